//! A channel as Server-Sent Events, for load generators: bytes as they come, and no mending.

use ::http::Method;
use ::http::header::ACCEPT;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use inkwire_core::ChannelName;
use inkwire_protocol::channel::From;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Error;
use crate::http;
use crate::socket::Ended;
use crate::target::Target;

/// An open event stream of a channel.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

impl EventStream {
    /// Opens a stream.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server refuses, [`Error::Unreachable`] when it does not answer.
    pub async fn open(
        target: &Target,
        token: &str,
        channel: &ChannelName,
        from: From,
    ) -> Result<Self, Error> {
        // The only character of a channel's name that means something else in a path.
        let channel = channel.as_str().replace('/', "%2F");
        let path = format!("/channels/{channel}?offset={from}");
        let request = http::request(Method::GET, target, &path, Some(token))?;
        let answer = http::send(target, request.header(ACCEPT, "text/event-stream"), Vec::new()).await?;
        let (body, connection) = answer.stream().await?;
        Ok(Self { body, _connection: connection })
    }

    /// The next bytes, wherever events begin and end in them.
    ///
    /// # Errors
    /// [`Ended`] once the stream is over.
    pub async fn chunk(&mut self) -> Result<Bytes, Ended> {
        let over = |reason: String| Ended { code: None, reason };
        loop {
            let frame = self.body.frame().await.ok_or_else(|| over("the stream has ended".into()))?;
            let frame = frame.map_err(|error| over(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                return Ok(data);
            }
        }
    }
}
