//! `GET /ws`: how a request becomes a WebSocket (RFC 6455, section 4.2).
//!
//! The answer carries a [`Handover`] for whoever owns the connection; this file never sees it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use inkwire_protocol::reply::SUBPROTOCOL;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, digest};

use super::failure::Failure;
use super::identity::MaybeCaller;
use super::path::query_value;
use super::sse;
use crate::app::App;
use crate::session::Session;
use crate::ws::Opened;

/// What the accepted key is made of (4.2.2).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is needed to serve a WebSocket, on its way from the request to the connection.
#[derive(Clone)]
pub(crate) struct Handover(Arc<Mutex<Option<Opened>>>);

impl Handover {
    fn new(opened: Opened) -> Self {
        Self(Arc::new(Mutex::new(Some(opened))))
    }

    /// Takes it out of an answer that carries one.
    pub(crate) fn of(answer: &mut Response<Body>) -> Option<Opened> {
        let Self(opened) = answer.extensions_mut().remove::<Self>()?;
        opened.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `GET /ws`
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    MaybeCaller(caller): MaybeCaller,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let accept = match check(&parts) {
        Ok(accept) => accept,
        Err(detail) => {
            let mut response = Failure::invalid(detail).into_response();
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Ok(response);
        }
    };
    sse::admit(&app, &parts)?;
    let position = query_value(&parts, "lastEventId").filter(|position| !position.is_empty());
    let session = match caller {
        Some(caller) => Some(Session::connect(Arc::clone(&app), caller).await?),
        None => None,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if lists(&parts.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response.extensions_mut().insert(Handover::new(Opened { app, session, position }));
    Ok(response)
}

/// Checks what the client sends, and makes the proof that it was understood.
fn check(parts: &Parts) -> Result<HeaderValue, &'static str> {
    let headers = &parts.headers;
    if parts.version != Version::HTTP_11 {
        return Err("open the WebSocket over HTTP/1.1");
    }
    let once = |name: &HeaderName| headers.get_all(name).iter().count() == 1;
    if !once(&HOST) || !once(&SEC_WEBSOCKET_KEY) || !once(&SEC_WEBSOCKET_VERSION) {
        return Err("Host, Sec-WebSocket-Key and Sec-WebSocket-Version stand once each");
    }
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        return Err("this path is a WebSocket's: send Connection: Upgrade and Upgrade: websocket");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("Sec-WebSocket-Version must be 13");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        HeaderValue::from_str(&accept_key(key)).map_err(|_| "Sec-WebSocket-Key is malformed")
    } else {
        Err("Sec-WebSocket-Key must be 16 bytes in base64")
    }
}

/// The proof that a key was understood (4.2.2).
pub(crate) fn accept_key(key: &[u8]) -> String {
    BASE64_STANDARD.encode(digest(&SHA1, &[key, GUID.as_bytes()].concat()))
}

/// Whether a header that is a list holds a word, in whatever case.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = axum::http::Request::get("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const GOOD: [(&str, &str); 5] = [
        ("host", "x"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(check(&parts(&GOOD)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn whatever_is_missing_is_named() {
        for missing in GOOD {
            let headers: Vec<_> = GOOD.into_iter().filter(|header| *header != missing).collect();
            assert!(check(&parts(&headers)).is_err(), "without {missing:?}");
        }
        for (name, value) in
            [("sec-websocket-version", "8"), ("sec-websocket-key", "short"), ("upgrade", "h2c")]
        {
            let headers = GOOD.map(|(own, good)| if own == name { (own, value) } else { (own, good) });
            assert!(check(&parts(&headers)).is_err(), "{name}: {value}");
        }
    }
}
