//! `POST /access`: a token for anybody, where the operator allows that.

use ::http::Method;
use ::http::header::CONTENT_TYPE;
use inkwire_protocol::{AccessReply, AccessRequest, Code, Username};

use crate::error::Error;
use crate::http;
use crate::target::Target;

/// Asks a server for a token. With a token of the same route, still valid, the identity stays.
///
/// # Errors
/// [`Error::Refused`] with `forbidden` where the operator gives no tokens to anybody; [`Error::Unreachable`] when the server
/// does not answer.
pub async fn access(target: &Target, username: &Username, old: Option<&str>) -> Result<AccessReply, Error> {
    let body = serde_json::to_vec(&AccessRequest { username: username.clone(), view: None })
        .map_err(|error| Error::refused(Code::Invalid, error.to_string()))?;
    let request = http::request(Method::POST, target, "/access", old)?;
    let answer = http::send(target, request.header(CONTENT_TYPE, "application/json"), body).await?;
    serde_json::from_slice(&answer.text().await?).map_err(|error| Error::Misheard(error.to_string()))
}
