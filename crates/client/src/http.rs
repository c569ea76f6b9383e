//! Requests over HTTP, one connection each: what there is besides the WebSocket.

use std::fmt;

use ::http::header::{AUTHORIZATION, HOST, HeaderValue};
use ::http::request::Builder;
use ::http::{Method, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use inkwire_protocol::{Code, Problem, Refused};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::{answer, connect};
use crate::error::Error;
use crate::target::Target;

/// A token is some hundred bytes, a problem document not many more.
const LARGEST_ANSWER: usize = 64 << 10;

/// The least that hyper reads with: connections may be many.
const BUFFER: usize = 8 << 10;

/// An answer whose body is still to be read, over a connection that ends with it.
#[derive(Debug)]
pub(crate) struct Answer {
    target: Target,
    response: Response<Incoming>,
    connection: AbortOnDropHandle<hyper::Result<()>>,
}

/// A request to a target, with a token where there is one.
pub(crate) fn request(
    method: Method,
    target: &Target,
    path: &str,
    token: Option<&str>,
) -> Result<Builder, Error> {
    let request = Request::builder().method(method).uri(target.path(path)).header(HOST, &*target.authority);
    Ok(match token {
        Some(token) => request.header(AUTHORIZATION, bearer(token)?),
        None => request,
    })
}

/// A token as a header, which is not printed.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let wrong = |_| Error::refused(Code::Invalid, "the token cannot stand in a header");
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(wrong)?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// Sends a request and waits for the head of the answer.
pub(crate) async fn send(target: &Target, request: Builder, body: Vec<u8>) -> Result<Answer, Error> {
    let wrong = |error: ::http::Error| Error::refused(Code::Invalid, error.to_string());
    let request = request.body(Full::new(Bytes::from(body))).map_err(wrong)?;
    let connection = TokioIo::new(connect(target).await?);
    let handshake = http1::Builder::new().max_buf_size(BUFFER).handshake(connection);
    let (mut sender, driver) = answer(target, handshake).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(driver));
    let response = answer(target, sender.send_request(request)).await?;
    Ok(Answer { target: target.clone(), response, connection })
}

impl Answer {
    /// The whole body of a success.
    pub(crate) async fn text(self) -> Result<Bytes, Error> {
        let Self { target, response, connection: _connection } = self.succeeded().await?;
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        Ok(body.map_err(|error| unreachable(&target, &error))?.to_bytes())
    }

    /// The body of a success, as it comes.
    pub(crate) async fn stream(self) -> Result<(Incoming, AbortOnDropHandle<hyper::Result<()>>), Error> {
        let Self { response, connection, .. } = self.succeeded().await?;
        Ok((response.into_body(), connection))
    }

    async fn succeeded(self) -> Result<Self, Error> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(self);
        }
        let body = Limited::new(self.response.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| unreachable(&self.target, &error))?.to_bytes();
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::Refused(Refused::new(problem.code, problem.detail)),
            Err(_) => unreachable(&self.target, &status),
        })
    }
}

fn unreachable(target: &Target, error: &dyn fmt::Display) -> Error {
    Error::Unreachable(format!("{target}: {error}"))
}
