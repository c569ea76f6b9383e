//! Request bodies: JSON, of a bounded size, within a bounded time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use inkwire_protocol::Code;

use super::failure::Failure;

/// By when a body must have arrived.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How much over the limit is read and thrown away: closing a connection on a client that still sends would cost it
/// the answer.
const DISCARDED: usize = 1 << 20;

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
    match tokio::time::timeout(ARRIVAL, collect(body, limit)).await {
        Ok(Ok(Collected::Whole(bytes))) => Ok(bytes),
        Ok(Ok(Collected::TooLarge)) => {
            Err(Failure::new(Code::TooLarge, format!("the body is larger than {limit} bytes")))
        }
        Ok(Err(_)) => Err(Failure::invalid("the body did not arrive whole")),
        Err(_) => Err(Failure::invalid(format!("the body did not arrive within {} s", ARRIVAL.as_secs()))),
    }
}

enum Collected {
    Whole(Bytes),
    TooLarge,
}

async fn collect(mut body: Body, limit: usize) -> Result<Collected, axum::Error> {
    let (mut whole, mut arrived) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        arrived += data.len();
        if arrived <= limit {
            whole.extend_from_slice(&data);
        } else if arrived > limit + DISCARDED {
            break;
        }
    }
    Ok(if arrived > limit { Collected::TooLarge } else { Collected::Whole(whole.freeze()) })
}
