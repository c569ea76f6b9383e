//! Request bodies: JSON of a bounded size within a bounded time, or bytes piece by piece.

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
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use inkwire_protocol::Code;

use super::failure::Failure;

/// By when a body must have arrived. Files have a pace instead (`arriving.rs`).
const ARRIVAL: Duration = Duration::from_secs(20);
/// How much of a body that nobody wants is read and thrown away: answering, and closing the connection, while a client
/// still sends would cost it the answer. Twice the largest file, so that whoever sends one too large learns that it is.
const DISCARDED: usize = 8 << 20;
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

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// The body of a request as text, which must be JSON by its own account.
pub(crate) async fn json_text(request: Request, limit: usize) -> Result<String, Failure> {
    check_type(request.headers())?;
    let bytes = bytes(request.into_body(), limit).await?;
    String::from_utf8(bytes).map_err(|_| Failure::invalid("the body is not UTF-8"))
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

/// The bytes of a body.
async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut pieces = Pieces::of(body, limit)?;
    let collected = async {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = |_| Failure::invalid(format!("the body did not arrive within {} s", ARRIVAL.as_secs()));
    tokio::time::timeout(ARRIVAL, collected).await.map_err(late)?
}

/// A body as it arrives, of at most so many bytes.
pub(crate) struct Pieces {
    body: Limited<Body>,
    limit: usize,
}

impl Pieces {
    /// The pieces of a body. Announcing too much is answered at once.
    pub(crate) fn of(body: Body, limit: usize) -> Result<Self, Failure> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large(limit));
        }
        Ok(Self { body: Limited::new(body, limit), limit })
    }

    /// The next piece; `None` after the last. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(self.limit)),
                Some(Err(_)) => return Err(Failure::invalid("the body did not arrive whole")),
            }
        }
    }
}

fn too_large(limit: usize) -> Failure {
    Failure::new(Code::TooLarge, format!("the body is larger than {limit} bytes"))
}
