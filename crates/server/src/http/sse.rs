//! What all event streams have in common: their headers, their heartbeat, and when they end. Knows nothing of what is told.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;

use super::failure::Failure;
use super::path::query_value;
use crate::app::App;
use crate::drain::{Drain, moment_before};

/// How often a stream says that it lives: proxies cut streams that are silent for long.
const PING: Duration = Duration::from_secs(10);
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

/// What happens to a stream by the passing of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// It is time for a heartbeat.
    Ping,
    /// The node has begun to drain: to be told once.
    Draining,
    /// The stream ends: its token has expired, or the drain has reached it.
    End,
}

/// A stream's sense of time.
#[derive(Debug)]
pub(crate) struct Pulse {
    drain: Drain,
    ping: Instant,
    ends: Instant,
    is_draining: bool,
}

impl Pulse {
    /// For a stream whose token expires then.
    pub(crate) fn new(drain: Drain, expires: SystemTime) -> Self {
        Self { drain, ping: Instant::now() + PING, ends: monotonic(expires), is_draining: false }
    }

    /// The next beat. Safe to cancel.
    pub(crate) async fn beat(&mut self) -> Beat {
        tokio::select! {
            ends = self.drain.begun(), if !self.is_draining => {
                self.is_draining = true;
                self.ends = self.ends.min(moment_before(ends));
                Beat::Draining
            }
            () = tokio::time::sleep_until(self.ping.min(self.ends)) => {
                if Instant::now() >= self.ends {
                    return Beat::End;
                }
                self.ping = Instant::now() + PING;
                Beat::Ping
            }
        }
    }
}

/// A moment of the wall clock on the clock that does not jump.
fn monotonic(moment: SystemTime) -> Instant {
    // Further away than that is for ever; the clock cannot count to everything a token may claim.
    const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Instant::now() + moment.duration_since(SystemTime::now()).unwrap_or_default().min(FOR_EVER)
}
