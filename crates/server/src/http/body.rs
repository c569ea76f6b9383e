//! Request bodies: JSON, of a bounded size, within a bounded time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use inkwire_protocol::Code;

use super::failure::Failure;

/// By when a body must have arrived.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How much of a body that nobody wants is read and thrown away: answering, and closing the connection, while a client
/// still sends would cost it the answer.
const DISCARDED: usize = 2 << 20;
/// For how long.
const DISCARDING: Duration = Duration::from_secs(5);

/// Lets a request be answered without its body having been read: what is left of it is thrown away first.
pub(crate) async fn settle(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let shared = Shared(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(shared.clone()))).await;
    let _ = tokio::time::timeout(DISCARDING, shared.discard()).await;
    response
}

/// A body that its reader may abandon.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    async fn discard(mut self) {
        let mut left = DISCARDED;
        while let Some(Ok(frame)) = self.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(still) = left.checked_sub(length) else { return };
            left = still;
        }
    }
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }
}

/// The body of a request as text, which must be JSON by its own account.
pub(crate) async fn json_text(request: Request, limit: usize) -> Result<String, Failure> {
    check_type(request.headers())?;
    let bytes = read(request.into_body(), limit).await?;
    String::from_utf8(bytes.into()).map_err(|_| Failure::invalid("the body is not UTF-8"))
}

/// A body without a type is taken for JSON; one of another type is refused.
fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json =
        essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json");
    if is_json {
        return Ok(());
    }
    Err(Failure::new(
        Code::UnsupportedMediaType,
        "send JSON, with the header: Content-Type: application/json",
    ))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Failure> {
    match tokio::time::timeout(ARRIVAL, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Failure::new(Code::TooLarge, format!("the body is larger than {limit} bytes")))
        }
        Ok(Err(_)) => Err(Failure::invalid("the body did not arrive whole")),
        Err(_) => Err(Failure::invalid(format!("the body did not arrive within {} s", ARRIVAL.as_secs()))),
    }
}
