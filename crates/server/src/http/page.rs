//! The board page: `/` leads to a fresh room, `/{roomId}` is the page, as is `/{viewId}`, and `/static/*` its files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use inkwire_protocol::{Code, RoomId, ViewId};
use rand::RngExt as _;

use super::failure::Failure;
use super::path::Segments;
use crate::app::App;

/// What the page may do: nothing that is not listed. It needs no other host, and no script that is not a file of its own.
/// Styles in attributes are the drawing library's; `wasm-unsafe-eval` and `blob:` are for its font subsetting.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Files whose names change with their content may be kept for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Everything else is asked for again each time, and answered with 304 when it has not changed.
const ASK_AGAIN: &str = "no-cache";

/// The page's worker lies under `/static/`, and looks after every room: that takes the server's word.
const WORKER: &str = "worker.js";

/// `GET /`
pub(crate) async fn fresh_room() -> impl IntoResponse {
    // 96 bits: nobody finds a room by guessing.
    let random: [u8; 12] = rand::rng().random();
    let location = format!("/{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    (StatusCode::FOUND, [(LOCATION, location), (CACHE_CONTROL, "no-store".to_owned())])
}

/// `GET /{roomId}` and `GET /{viewId}`: one page, which finds out what it is for.
pub(crate) async fn room(
    State(app): State<Arc<App>>,
    Segments(room): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if ViewId::new(&room).is_err() {
        RoomId::new(&room)?;
    }
    serve(&app, "index.html", ASK_AGAIN, &headers)
}

/// `GET /static/*`
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Segments(path): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let keep = if path.starts_with("assets/") { FOR_EVER } else { ASK_AGAIN };
    serve(&app, &path, keep, &headers)
}

fn serve(app: &App, path: &str, keep: &'static str, headers: &HeaderMap) -> Result<Response, Failure> {
    let not_found = || Failure::new(Code::NotFound, "the page has no such file");
    let (encoding, file) = encodings(headers)
        .into_iter()
        .find_map(|(encoding, ending)| Some((encoding, app.page.file(&format!("{path}{ending}"))?)))
        .ok_or_else(not_found)?;
    let etag = etag(&file);
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|known| *known == etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = match file {
            std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
        };
        Body::from(body).into_response()
    };
    let out = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| out.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, media_type(path));
    set(CACHE_CONTROL, keep);
    set(VARY, "Accept-Encoding");
    set(HeaderName::from_static("content-security-policy"), POLICY);
    set(HeaderName::from_static("x-content-type-options"), "nosniff");
    // A room's address is the key to it: it must not leak to other sites by a link.
    set(HeaderName::from_static("referrer-policy"), "no-referrer");
    if path == WORKER {
        set(HeaderName::from_static("service-worker-allowed"), "/");
    }
    if let Some(encoding) = encoding {
        set(CONTENT_ENCODING, encoding);
    }
    out.insert(ETAG, etag);
    Ok(response)
}

/// The forms in which a file may be sent, best first: the encoding's name and the file's ending.
fn encodings(headers: &HeaderMap) -> Vec<(Option<&'static str>, &'static str)> {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes = |name: &str| accepted.split(',').any(|entry| accepts(entry, name));
    let known = [("br", ".br"), ("gzip", ".gz")];
    let compressed =
        known.into_iter().filter(|(name, _)| takes(name)).map(|(name, ending)| (Some(name), ending));
    compressed.chain([(None, "")]).collect()
}

/// Whether one entry of `Accept-Encoding` names an encoding, and not with `q=0`.
fn accepts(entry: &str, name: &str) -> bool {
    let mut parts = entry.split(';').map(str::trim);
    let named = parts.next().is_some_and(|own| own.eq_ignore_ascii_case(name));
    let refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|q| q.parse() == Ok(0.0));
    named && !refused
}

fn etag(file: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish())).expect("hexadecimal digits make a header")
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_taken_at_their_word() {
        let cases = [
            ("gzip, deflate, br, zstd", vec![".br", ".gz", ""]),
            ("gzip", vec![".gz", ""]),
            ("br;q=0, gzip;q=0.5", vec![".gz", ""]),
            ("", vec![""]),
            ("brotli", vec![""]),
        ];
        for (accepted, expected) in cases {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            let endings: Vec<_> = encodings(&headers).into_iter().map(|(_, ending)| ending).collect();
            assert_eq!(endings, expected, "{accepted}");
        }
    }
}
