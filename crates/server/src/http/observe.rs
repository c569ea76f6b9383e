//! What is noted of every request: a metric, a log line, and a panic if there was one. Never the query, which may hold a
//! token.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use inkwire_protocol::Code;
use metrics::counter;
use tracing::{debug, error};

use super::failure::Failure;

/// Serves the request and notes what became of it.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        error!(%method, path, "a request made the server panic");
        Failure::new(Code::Internal, "the server is at fault; it has noted what happened").into_response()
    });
    let status = response.status();
    debug!(%method, path, status = status.as_u16(), elapsed = ?began.elapsed(), "request");
    counter!("inkwire_requests_total", "route" => route, "status" => status.as_str().to_owned()).increment(1);
    response
}
