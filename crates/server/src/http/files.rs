//! Files of a room: `PUT` and `GET /rooms/{room}/files/{id}`, where the id is the SHA-256 of what is sent.
//!
//! What is served came from anybody: no header lets it be more than an image. A file never changes, so whoever has it never
//! asks again.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use inkwire_protocol::{Code, FileId, FileReply, Refused};
use ring::digest::{Context, SHA256};

use super::body::Pieces;
use super::failure::Failure;
use super::identity::Caller;
use super::path::Segments;
use crate::app::App;
use crate::files::{File, Media, Parts, Stored};
use crate::options::Origins;
use crate::session::Session;

/// What an image may do when somebody opens it by itself: an SVG has a look of its own, and no scripts.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'";
/// Who has it has it for good; but it is for those who may see the room, and not for a shared cache.
const KEEP: &str = "private, max-age=31536000, immutable";

/// `PUT /rooms/{room}/files/{id}`
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments((room, id)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let id = FileId::new(&id)?;
    let room = Session::new(Arc::clone(&app), caller).admit_upload(&room).await?;
    let media = media(request.headers())?;
    let body = request.into_body();
    let largest = app.files.largest();
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut pieces = Pieces::of(body, largest)?;
    let mut arrival = app.files.arrivals().begin(announced.unwrap_or(largest));
    let (mut digest, mut bytes) = (Context::new(&SHA256), Parts::default());
    while let Some(piece) = arrival.next(pieces.next()).await.map_err(Refused::from)?? {
        arrival.keep(piece.len()).await.map_err(Refused::from)?;
        digest.update(&piece);
        bytes.push(&piece);
    }
    arrival.complete();
    if hex(digest.finish().as_ref()) != id.as_str() {
        return Err(Failure::invalid(
            "the id is not the SHA-256 of the body, in lower-case hexadecimal digits",
        ));
    }
    let status = match app.files.store(&room, &id, media, &bytes).await? {
        Stored::Now => StatusCode::CREATED,
        Stored::Before => StatusCode::OK,
    };
    Ok((status, [(CACHE_CONTROL, "no-store")], Json(FileReply { id })).into_response())
}

fn media(headers: &HeaderMap) -> Result<Media, Failure> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Media::of(given).ok_or_else(|| {
        let advice =
            "send an image, with its Content-Type: image/png, jpeg, gif, webp, avif, bmp, x-icon or svg+xml";
        Failure::new(Code::UnsupportedMediaType, advice)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `GET /rooms/{room}/files/{id}`
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments((room, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = FileId::new(&id)?;
    let room = Session::new(Arc::clone(&app), caller).room_of_files(&room).await?;
    let file = app.files.find(&room, &id).await?;
    let file = file.ok_or_else(|| Failure::new(Code::NotFound, "the room has no such file"))?;
    let whole = file.whole();
    let mut response = if is_known(&headers, &id) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Body::from_stream(unfold(file, step)).into_response();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole.length));
        response
    };
    let out = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| out.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, whole.media.name);
    set(CACHE_CONTROL, KEEP);
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(HeaderName::from_static("cross-origin-resource-policy"), resource_policy(&app.options.origins));
    set(HeaderName::from_static("referrer-policy"), "no-referrer");
    out.insert(ETAG, text(&format!("\"{id}\"")));
    out.insert(CONTENT_DISPOSITION, text(&format!("inline; filename=\"{id}.{}\"", whole.media.ending)));
    Ok(response)
}

/// Which pages may show the file as it is, without asking as scripts do.
fn resource_policy(origins: &Origins) -> &'static str {
    match origins {
        Origins::Any => "cross-origin",
        Origins::Only(_) => "same-origin",
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("ids and endings make a header")
}

/// Whether the client has the file.
fn is_known(headers: &HeaderMap, id: &FileId) -> bool {
    let mut values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let names = |tag: &str| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == id.as_str();
    values.any(|value| value.split(',').any(|tag| names(tag.trim())))
}

/// A part that cannot be read ends the answer in the middle, which the client notices by its length.
async fn step(mut file: File) -> Option<(io::Result<bytes::Bytes>, File)> {
    let part = file.next().await.map_err(io::Error::other).transpose()?;
    Some((part, file))
}
