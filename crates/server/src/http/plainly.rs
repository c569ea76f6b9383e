//! Failures for people: whoever opens an address in a browser and is told no reads it in plain words, with a way on, where a
//! program is given the problem document.
//!
//! Invariant: only those who ask for HTML are given it; the status and the headers stay; and nothing of what was asked for
//! is repeated in the page.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use inkwire_protocol::Code;
use ring::digest::{SHA256, digest};

/// Says with a response that it is a failure which people may have explained to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Explicable(pub(crate) Code);

/// What it looks like, by day and by night.
const STYLE: &str = "\
:root{color-scheme:light dark;font:1.1rem/1.6 system-ui,sans-serif}\
body{max-width:34rem;margin:12vh auto;padding:0 1.25rem;color:light-dark(#1b1b1f,#e3e3e8);background:light-dark(#fff,#121212)}\
h1{font-size:1.5rem;line-height:1.3}\
a{display:inline-block;margin-top:.75rem;padding:.55rem 1.1rem;border-radius:.5rem;text-decoration:none;\
color:light-dark(#fff,#121212);background:light-dark(#5b57d1,#b2aeff)}\
a:focus-visible{outline:.2rem solid;outline-offset:.2rem}";

/// What the page may do: look as [`STYLE`] says, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("Base64 makes a header")
});

/// Answers people in their own words.
pub(crate) async fn say(request: Request, next: Next) -> Response {
    let is_of_a_person = is_of_a_person(&request);
    let mut response = next.run(request).await;
    if let Some(Explicable(code)) = response.extensions_mut().remove::<Explicable>()
        && is_of_a_person
    {
        return explained(code, response);
    }
    response
}

/// Browsers ask for HTML when somebody opens an address, and not when a page's script does.
fn is_of_a_person(request: &Request) -> bool {
    let asks = |headers: &HeaderMap| {
        let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        accepted.any(|value| value.to_ascii_lowercase().contains("text/html"))
    };
    [Method::GET, Method::HEAD].contains(request.method()) && asks(request.headers())
}

/// The same failure as a page.
fn explained(code: Code, response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    let headers = &mut parts.headers;
    headers.remove(CONTENT_LENGTH);
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, "text/html; charset=utf-8");
    set(HeaderName::from_static("x-content-type-options"), "nosniff");
    // The address may be a room's, mistyped: not for other sites.
    set(HeaderName::from_static("referrer-policy"), "no-referrer");
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.append(VARY, HeaderValue::from_static("Accept"));
    Response::from_parts(parts, Body::from(page(code)))
}

fn page(code: Code) -> String {
    let (title, text) = words(code);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title} – Inkwire</title>\n<style>{STYLE}</style>\n\
         <main>\n<h1>{title}</h1>\n<p>{text}</p>\n<a href=\"/\">Start a new board</a>\n</main>\n</html>\n"
    )
}

/// What has happened, and what to do about it.
fn words(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::NotFound => (
            "There is nothing here",
            "This address leads nowhere. It may be mistyped, or a link that was cut off when it was copied: then ask \
             whoever sent it for the whole of it.",
        ),
        Code::Invalid => (
            "This is no board’s address",
            "A board’s name has 1 to 64 letters (a to z), digits, hyphens and underscores, and is none of the few words \
             that the server needs for itself. If this is a link that you were sent, it may have been changed or cut off \
             on the way: ask for it again.",
        ),
        Code::Unauthorized | Code::Forbidden | Code::MethodNotAllowed | Code::NotAcceptable => (
            "This address is for programs",
            "The server uses it for itself, so it cannot be a board’s name, and there is nothing to see at it.",
        ),
        Code::RateLimited | Code::Unavailable => (
            "Not now",
            "The server cannot answer this at the moment. Wait a little, and load the page again.",
        ),
        Code::Conflict | Code::TooLarge | Code::UnsupportedMediaType | Code::Internal => {
            ("That did not work", "The server could not do what this address asks for.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_a_person() {
        let is = |method: &str, accept: Option<&str>| {
            let mut request = axum::http::Request::builder().method(method);
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            is_of_a_person(&request.body(Body::empty()).unwrap())
        };
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert!(is("GET", Some(browser)) && is("HEAD", Some("Text/HTML")));
        for (method, accept) in [
            ("GET", None),
            ("GET", Some("*/*")),
            ("GET", Some("application/json")),
            ("GET", Some("text/event-stream")),
            ("POST", Some(browser)),
        ] {
            assert!(!is(method, accept), "{method} {accept:?}");
        }
    }
}
