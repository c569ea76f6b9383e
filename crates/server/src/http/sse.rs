//! What all event streams have in common: who is admitted, and their headers. Knows nothing of what is told.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;

use super::failure::Failure;
use super::path::query_value;
use crate::app::App;

/// When a refused client should come back: by then a balancer has noticed that this node drains.
const DRAINING_RETRY: Duration = Duration::from_secs(1);

/// A stream as the answer to a request.
pub(crate) fn response(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

/// Refuses what would open a stream that cannot be.
pub(crate) fn admit(app: &App, parts: &Parts) -> Result<(), Failure> {
    if parts.method != Method::GET {
        return Err(Failure::method("GET"));
    }
    if app.drain.has_begun() {
        return Err(Failure::unavailable("the node is draining; connect to another", DRAINING_RETRY));
    }
    Ok(())
}

/// Whether a client asks for events.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

/// The position that a client shows, in the header or, where there is none, in the query. One that is not text is a
/// position all the same: one that nobody knows.
pub(crate) fn position(parts: &Parts, query: &str) -> Option<String> {
    let header = parts.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").to_owned());
    header.or_else(|| query_value(parts, query)).filter(|position| !position.is_empty())
}
