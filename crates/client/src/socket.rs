//! One WebSocket, from its handshake to its end, as a load generator uses it directly and [`Client`](crate::Client)
//! within.
//!
//! Invariant: what is queued never holds up what is heard. Reading and writing are driven by one poll, so two sides that
//! both have much to say cannot wait for each other.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::header::{AUTHORIZATION, HOST, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use ::http::{Request, Response, StatusCode};
use futures_util::{Sink as _, Stream as _};
use inkwire_protocol::reply::SUBPROTOCOL;
use inkwire_protocol::{Code, Problem, Refused};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::connection::{Connection, answer, connect};
use crate::error::Error;
use crate::http::bearer;
use crate::target::Target;

/// The largest frame a server takes: 1 MiB (`PROTOCOL.md`). A larger one costs the connection.
pub const LARGEST_FRAME: usize = 1 << 20;

/// What a frame from the server may hold: a page of a thousand messages, each as large as it may be, would be a gigabyte;
/// this is what a client is ready to hold at once.
const LARGEST_HEARD: usize = 256 << 20;

/// The buffer a socket reads into. Frames are mostly small and sockets many.
const READ_BUFFER: usize = 4 << 10;

/// An open WebSocket.
pub struct Socket {
    stream: WebSocketStream<Connection>,
    is_flushed: bool,
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The close code of the server; `None` when the connection broke.
    pub code: Option<u16>,
    /// In words.
    pub reason: String,
}

/// A text frame that was heard, where it was read.
#[derive(Debug, Clone)]
pub struct Text(Utf8Bytes);

#[cfg(test)]
impl Text {
    pub(crate) fn of(text: &'static str) -> Self {
        Self(Utf8Bytes::from_static(text))
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

/// What a socket hears.
#[derive(Debug)]
pub(crate) enum Sound {
    Text(Text),
    /// A sign of life.
    Pulse,
    /// Nothing; but everything that was queued is written, and more may be.
    Flushed,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("is_flushed", &self.is_flushed).finish_non_exhaustive()
    }
}

impl Socket {
    /// Opens a WebSocket to a target, showing a token in a header.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server answered otherwise, [`Error::Unreachable`] when it did not.
    pub async fn open(target: &Target, token: &str) -> Result<Self, Error> {
        let request = request(target, token)?;
        let connection = connect(target).await?;
        let handshake = client_async_with_config(request, connection, Some(config()));
        // That the server answers otherwise is an answer too.
        let answered = answer(target, async {
            match handshake.await {
                Err(WebSocketError::Http(response)) => Ok(Err(response)),
                opened => opened.map(Ok),
            }
        });
        match answered.await? {
            Ok((stream, _)) => Ok(Self { stream, is_flushed: true }),
            Err(response) => Err(refusal(target, &response)),
        }
    }

    /// A client's end of an open WebSocket.
    #[cfg(test)]
    pub(crate) async fn over(connection: Connection) -> Self {
        let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
        let stream = WebSocketStream::from_raw_socket(connection, role, Some(config())).await;
        Self { stream, is_flushed: true }
    }

    /// Puts a text among what is written while [`Socket::hear`] is awaited.
    ///
    /// # Errors
    /// [`Ended`] when there is nobody to write to.
    pub fn queue(&mut self, text: String) -> Result<(), Ended> {
        self.put(Message::text(text))
    }

    pub(crate) fn ping(&mut self) -> Result<(), Ended> {
        self.put(Message::Ping(bytes::Bytes::new()))
    }

    fn put(&mut self, message: Message) -> Result<(), Ended> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).start_send(message).map_err(|error| ended(&error))
    }

    /// Whether everything that was queued is written. Who waits for it before queueing more keeps no memory here.
    pub fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    /// Writes what is queued, answers pings, and gives the next text. Can be cancelled without losing anything.
    ///
    /// # Errors
    /// [`Ended`] once the connection is over.
    pub async fn hear(&mut self) -> Result<Text, Ended> {
        loop {
            if let Sound::Text(text) = self.listen().await? {
                return Ok(text);
            }
        }
    }

    /// As [`Socket::hear`], and ready at any other sign of life too, and when everything is written.
    pub(crate) async fn listen(&mut self) -> Result<Sound, Ended> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|error| ended(&error))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sound, Ended>> {
        let was_flushed = self.is_flushed;
        if let Poll::Ready(Err(end)) = self.poll_write(cx) {
            return Poll::Ready(Err(end));
        }
        match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => Poll::Ready(sound(message)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(ended(&error))),
            Poll::Ready(None) => Poll::Ready(Err(broken("the connection has ended"))),
            // There is room again: whoever waits to queue more is to know.
            Poll::Pending if self.is_flushed && !was_flushed => Poll::Ready(Ok(Sound::Flushed)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn sound(message: Message) -> Result<Sound, Ended> {
    match message {
        Message::Text(text) => Ok(Sound::Text(Text(text))),
        Message::Close(Some(frame)) => {
            Err(Ended { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() })
        }
        Message::Close(None) => Err(broken("the server closed the connection")),
        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Sound::Pulse),
    }
}

fn ended(error: &WebSocketError) -> Ended {
    broken(&error.to_string())
}

fn broken(reason: &str) -> Ended {
    Ended { code: None, reason: reason.to_owned() }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_message_size(Some(LARGEST_HEARD))
        .max_frame_size(Some(LARGEST_HEARD))
}

fn request(target: &Target, token: &str) -> Result<Request<()>, Error> {
    let url = format!("ws://{}{}", target.authority, target.path("/ws"));
    let mut request = url.into_client_request().map_err(|error| Error::Unreachable(error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, bearer(token)?);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    if let Ok(host) = HeaderValue::from_str(&target.authority) {
        headers.insert(HOST, host);
    }
    Ok(request)
}

/// What an answer that opens no WebSocket means. Only what the server says of the token, or of the request, stays as it
/// is; anything else may be a proxy whose server is about to come back.
fn refusal(target: &Target, response: &Response<Option<Vec<u8>>>) -> Error {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let said = problem.as_ref().map_or_else(|| format!("{target} answers {status}"), |p| p.detail.clone());
    let code = match status {
        StatusCode::BAD_REQUEST => Code::Invalid,
        StatusCode::UNAUTHORIZED => Code::Unauthorized,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => Code::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => return Error::Unreachable(format!("{target} answers {status}")),
    };
    let retry_after_ms =
        response.headers().get(RETRY_AFTER).and_then(seconds).map(|s| s.saturating_mul(1_000));
    Error::Refused(Refused { retry_after_ms, ..Refused::new(code, said) })
}

fn seconds(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}
