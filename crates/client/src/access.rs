//! `POST /access`: a token for anybody, where the operator allows that.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use inkwire_protocol::{AccessReply, AccessRequest, Code, Problem, Refused, Username};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::connect;
use crate::error::Error;
use crate::target::Target;

/// A token is some hundred bytes, a problem document not many more.
const LARGEST_ANSWER: usize = 64 << 10;

/// Asks a server for a token. With a token of the same route, still valid, the identity stays.
///
/// # Errors
/// [`Error::Refused`] with `forbidden` where the operator gives no tokens to anybody; [`Error::Unreachable`] when the server
/// does not answer.
pub async fn access(target: &Target, username: &Username, old: Option<&str>) -> Result<AccessReply, Error> {
    let unreachable = |error: &dyn fmt::Display| Error::Unreachable(format!("{target}: {error}"));
    let connection = connect(target).await.map_err(|error| unreachable(&error))?;
    let (mut sender, driver) =
        http1::handshake(TokioIo::new(connection)).await.map_err(|error| unreachable(&error))?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(driver));
    let answer = sender.send_request(request(target, username, old)?).await.map_err(|e| unreachable(&e))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| unreachable(&error))?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| Error::Misheard(error.to_string()));
    }
    Err(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Error::Refused(Refused::new(problem.code, problem.detail)),
        Err(_) => unreachable(&format!("POST /access answers {status}")),
    })
}

fn request(target: &Target, username: &Username, old: Option<&str>) -> Result<Request<Full<Bytes>>, Error> {
    let wrong = |error: &dyn fmt::Display| Error::refused(Code::Invalid, error.to_string());
    let body = serde_json::to_vec(&AccessRequest { username: username.clone() }).map_err(|e| wrong(&e))?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target.path("/access"))
        .header(HOST, &*target.authority)
        .header(CONTENT_TYPE, "application/json");
    if let Some(old) = old {
        let mut bearer = HeaderValue::try_from(format!("Bearer {old}")).map_err(|e| wrong(&e))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    request.body(Full::new(Bytes::from(body))).map_err(|error| wrong(&error))
}
