//! Event streams and WebSockets that have their sockets to themselves.
//!
//! A stream is one request, then hours of silence with now and then a few bytes. The general HTTP/1 machinery holds about
//! 25 KiB of buffers for each connection all that time; here a stream holds none. Only the plain case is taken: a
//! whole head that arrived at once, `GET`, no body. Everything else, and every other path, is hyper's.
//!
//! Invariant: a connection is looked at by peeking only, so that whatever is not taken goes to hyper untouched.

use std::io;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use crate::http::{Handover, is_asked_for};
use crate::ws::Opened;

/// How the paths begin whose answers are streams, and the WebSocket's.
const STREAMS: [&str; 3] = ["/connect", "/channels/", "/ws"];
/// How the requests for them begin.
const METHOD: &[u8] = b"GET ";
/// The longest head that is taken.
const LONGEST_HEAD: usize = 8 << 10;
/// The most headers that are taken.
const MOST_HEADERS: usize = 64;
/// How much a client may say after its request before it is hung up on: it has nothing to say.
const CHATTER: usize = 4 << 10;

/// A request for a stream, and how many bytes its head has.
#[derive(Debug)]
pub(crate) struct Opening {
    request: Request<Body>,
    length: usize,
}

/// Looks at what a connection has brought; `None` if it is not for here. Waits for the first bytes.
pub(crate) async fn look(stream: &TcpStream) -> io::Result<Option<Box<Opening>>> {
    let mut start = [0; 16];
    let seen = stream.peek(&mut start).await?;
    let path = start.get(..seen).and_then(|start| start.strip_prefix(METHOD)).unwrap_or_default();
    if !STREAMS.iter().any(|stream| path.starts_with(stream.as_bytes())) {
        return Ok(None);
    }
    // On the heap, and gone before the stream begins.
    let mut head = vec![0; LONGEST_HEAD];
    let seen = stream.peek(&mut head).await?;
    Ok(head.get(..seen).and_then(parse).map(Box::new))
}

fn parse(bytes: &[u8]) -> Option<Opening> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else { return None };
    let mut request = Request::builder().method(parsed.method?).uri(parsed.path?);
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
            return None;
        }
        request = request.header(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    let request = request.body(Body::empty()).ok()?;
    let is_plain = request.method() == Method::GET
        && is_for_a_stream(&request)
        && request.headers().get_all(HOST).iter().count() == 1;
    is_plain.then_some(Opening { request, length })
}

/// Reading a channel has the path of following it, and other answers than a stream are better kept with hyper.
fn is_for_a_stream(request: &Request<Body>) -> bool {
    match request.uri().path() {
        "/connect" | "/ws" => true,
        path => path.starts_with("/channels/") && is_asked_for(request.headers()),
    }
}

/// What follows the head of an answer.
pub(crate) enum Rest {
    /// A stream to be written: of a peer, who is to be noticed when it vanishes, or of a channel, whose reader may be slow.
    Stream(Of, Body),
    /// A WebSocket to be served.
    Socket(Box<Opened>),
}

/// Whose stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Peer,
    Channel,
}

/// Answers a request for a stream, up to where the stream begins.
pub(crate) async fn answer(stream: &mut TcpStream, opening: Opening, router: Router) -> io::Result<Rest> {
    consume(stream, opening.length).await?;
    let of = if opening.request.uri().path() == "/connect" { Of::Peer } else { Of::Channel };
    let mut answer = router.oneshot(opening.request).await.unwrap_or_else(|never| match never {});
    let opened = Handover::of(&mut answer);
    let (head, body) = take_apart(answer, opened.is_some()).await;
    stream.write_all(&head).await?;
    Ok(opened.map_or(Rest::Stream(of, body), |opened| Rest::Socket(Box::new(opened))))
}

/// Writes a stream to its end, or until the client hangs up.
pub(crate) async fn pump(mut stream: TcpStream, mut body: Body) -> io::Result<()> {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = hung_up(&stream) => return Ok(()),
        };
        let Some(Ok(frame)) = frame else { break };
        if let Ok(data) = frame.into_data() {
            stream.write_all(&data).await?;
        }
    }
    stream.shutdown().await
}

async fn consume(stream: &mut TcpStream, length: usize) -> io::Result<()> {
    let mut head = vec![0; length];
    stream.read_exact(&mut head).await.map(drop)
}

/// The bytes that come before a stream, and the stream. An answer that is no stream becomes bytes as a whole.
async fn take_apart(mut answer: Response<Body>, is_socket: bool) -> (Vec<u8>, Body) {
    let headers = answer.headers_mut();
    if is_socket {
        // What follows is no body (RFC 9110, 8.6).
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
    let is_stream = is_socket
        || headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    let (mut parts, mut body) = answer.into_parts();
    let mut whole = None;
    if !is_stream {
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        whole = Some(bytes);
        body = Body::empty();
    }
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_str()).into_bytes();
    for (name, value) in &parts.headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&whole.unwrap_or_default());
    (head, body)
}

/// Resolves when the client has closed its side, or will not stop talking. Safe to cancel.
async fn hung_up(stream: &TcpStream) {
    let mut said = 0;
    let mut chatter = [0; 64];
    while said < CHATTER && stream.readable().await.is_ok() {
        match stream.try_read(&mut chatter) {
            Ok(0) => return,
            Ok(count) => said += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(head: &str) -> bool {
        parse(head.as_bytes()).is_some_and(|opening| opening.length == head.len())
    }

    #[test]
    fn only_the_plain_case_is_taken() {
        assert!(taken("GET /connect HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(taken("GET /connect?token=a.b HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"));
        assert!(taken("GET /channels/a?offset=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"));
        for other in [
            "GET /channels/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /connected HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /connect/x HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST /connect HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /connect HTTP/1.1\r\n\r\n",
            "GET /connect HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET /connect HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n",
            "GET /connect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /connect HTTP/1.1\r\nHost: x\r\n",
            "GET /connect HTTP/1.1\r\nHo st: x\r\n\r\n",
        ] {
            assert!(!taken(other), "{other}");
        }
    }
}
