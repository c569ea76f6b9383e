//! Web origins: which may call, and the CORS headers that tell browsers so. No cookies are used, so nothing is gained
//! by calling from elsewhere without a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use inkwire_protocol::Code;

use super::failure::Failure;
use crate::app::App;
use crate::options::Origins;

/// Refuses other origins, answers preflights, and adds the headers.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        let mut response = next.run(request).await;
        vary(response.headers_mut());
        return response;
    };
    let allowed = match &app.options.origins {
        Origins::Any => HeaderValue::from_static("*"),
        Origins::Only(list) if is_listed(&origin, list) || is_own(&origin, &request) => origin,
        Origins::Only(_) => return Failure::new(Code::Forbidden, "this origin may not call").into_response(),
    };
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { preflight() } else { next.run(request).await };
    tell(response.headers_mut(), allowed);
    response
}

fn is_listed(origin: &HeaderValue, list: &[String]) -> bool {
    list.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

/// Whether the page was served by this server: its origin is the host that the request was sent to.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((host, origin), (Some(host), Some((_, own))) if host.eq_ignore_ascii_case(own))
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, OPTIONS"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Authorization, Content-Type, Last-Event-ID, Idempotency-Key, Cache-Control",
        ),
    );
    // A day; browsers shorten it as they like.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn tell(headers: &mut HeaderMap, allowed: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    vary(headers);
}

/// Says that another origin is told something else, none included: what a browser has kept of an answer without the headers
/// would fail a page of another origin.
fn vary(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
