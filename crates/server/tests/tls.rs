//! TLS as a client meets it: what is agreed on, which certificate is shown, and what becomes of those who do not speak it.
//!
//! Seen to fail: no ALPN; a certificate that is never replaced; a key taken that is another certificate's; a handshake
//! without a deadline.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response, StatusCode, Version};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use inkwire::{Server, Tls, TlsError};
use inkwire_embedded::Memory;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use support::socket::any;
use support::{Node, PATIENCE, options, raw};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

/// A certificate for `localhost`, signed by nobody else, and its key.
struct Pair {
    issued: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Pair {
    fn new() -> Self {
        Self { issued: rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap() }
    }

    fn certificate(&self) -> String {
        self.issued.cert.pem()
    }

    fn key(&self) -> String {
        self.issued.signing_key.serialize_pem()
    }

    fn tls(&self) -> Tls {
        Tls::from_pem(self.certificate().as_bytes(), self.key().as_bytes()).unwrap()
    }

    /// Somebody who believes this certificate and no other.
    fn believer(&self, speaking: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issued.cert.der().clone()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = speaking.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn meet(&self, node: &Node, speaking: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(node.address).await?;
        self.believer(speaking).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    async fn is_shown_by(&self, node: &Node) -> bool {
        self.meet(node, &[b"http/1.1"]).await.is_ok()
    }
}

async fn start(tls: &Tls) -> Node {
    let server = Server::new(Arc::new(Memory::default()), options()).tls(tls.clone());
    Node::of(server).await
}

fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Request<Full<&'static [u8]>> {
    let mut request = Request::builder().method(method).uri(target).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.as_bytes())).unwrap()
}

/// Sends a request over what was agreed on.
async fn send(stream: TlsStream<TcpStream>, request: Request<Full<&'static [u8]>>) -> Response<Incoming> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if is_http2 {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }
}

#[tokio::test]
async fn the_version_of_http_is_agreed_on() {
    let pair = Pair::new();
    let node = start(&pair.tls()).await;
    for (speaking, agreed, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..]), Version::HTTP_2),
        (&[b"http/1.1", b"h2"], Some(b"h2"), Version::HTTP_2),
        (&[b"http/1.1"], Some(b"http/1.1"), Version::HTTP_11),
        (&[], None, Version::HTTP_11),
    ] {
        let stream = pair.meet(&node, speaking).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        let answer = send(stream, request("GET", "https://localhost/healthz", &[], "")).await;
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
    }
}

#[tokio::test]
async fn an_event_stream_flows() {
    let pair = Pair::new();
    let node = start(&pair.tls()).await;
    for speaking in [&b"http/1.1"[..], b"h2"] {
        let json = [("content-type", "application/json")];
        let access = request("POST", "https://localhost/access", &json, "{\"username\":\"ann\"}");
        let answer = send(pair.meet(&node, &[speaking]).await.unwrap(), access).await;
        let answer: Value =
            serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let bearer = format!("Bearer {}", answer["token"].as_str().unwrap());
        let headers = [("accept", "text/event-stream"), ("authorization", &bearer)];
        let connect = request("GET", "https://localhost/connect", &headers, "");
        let mut answer = send(pair.meet(&node, &[speaking]).await.unwrap(), connect).await;
        assert_eq!(content_type(answer.headers()), "text/event-stream");
        let mut told = String::new();
        while !told.contains("event: connected\n") {
            let frame = tokio::time::timeout(PATIENCE, answer.body_mut().frame()).await.expect("in time");
            told.push_str(std::str::from_utf8(&frame.unwrap().unwrap().into_data().unwrap()).unwrap());
        }
        assert!(told.starts_with("retry: 1000\n\nid: "), "{told}");
    }
}

#[tokio::test]
async fn a_websocket_opens() {
    let pair = Pair::new();
    let node = start(&pair.tls()).await;
    let stream = pair.meet(&node, &[b"http/1.1"]).await.unwrap();
    let url = format!("wss://localhost/ws?token={}", any("ann"));
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut said = async |command: &str| {
        socket.send(Message::text(command)).await.unwrap();
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").unwrap().unwrap();
        serde_json::from_str::<Value>(message.to_text().unwrap()).unwrap()
    };
    // The first thing said is said unasked.
    assert_eq!(said("{\"op\":\"ping\",\"id\":7}").await["event"], "connected");
    let publish = "{\"op\":\"publish\",\"channel\":\"a\",\"fields\":{\"text\":\"x\"},\"id\":8}";
    assert_eq!(said(publish).await, json!({ "id": 7, "ok": true }));
    assert!(said("{\"op\":\"ping\",\"id\":9}").await["offset"].is_string());
}

fn content_type(headers: &HeaderMap) -> &str {
    headers["content-type"].to_str().unwrap()
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let (first, second) = (Pair::new(), Pair::new());
    let tls = first.tls();
    let node = start(&tls).await;
    assert!(first.is_shown_by(&node).await && !second.is_shown_by(&node).await);
    let open = first.meet(&node, &[b"http/1.1"]).await.unwrap();

    let (certificate, key) = (second.certificate(), second.key());
    let refused =
        |certificate: &str, key: &str| tls.replace(certificate.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(matches!(refused("", &key), TlsError::NoCertificate));
    assert!(matches!(refused(&key, &key), TlsError::NoCertificate));
    assert!(matches!(refused(&certificate, ""), TlsError::NoKey));
    assert!(matches!(refused(&certificate, &certificate), TlsError::NoKey));
    assert!(matches!(refused(&certificate, &first.key()), TlsError::Unusable(_)), "the key of another");
    assert!(matches!(refused(&certificate[..certificate.len() / 2], &key), TlsError::Certificate(_)));
    assert!(matches!(refused(&certificate, &key[..key.len() / 2]), TlsError::Key(_)));
    assert!(first.is_shown_by(&node).await && !second.is_shown_by(&node).await);

    tls.replace(certificate.as_bytes(), key.as_bytes()).unwrap();
    assert!(second.is_shown_by(&node).await && !first.is_shown_by(&node).await);
    let answer = send(open, request("GET", "/healthz", &[], "")).await;
    assert_eq!(answer.status(), StatusCode::OK, "what was open goes on");
}

#[tokio::test]
async fn what_is_not_tls_ends_and_harms_nothing() {
    let pair = Pair::new();
    let node = start(&pair.tls()).await;
    assert!(raw::request(node.address, "GET", "/healthz", &[], b"").await.is_none());
    for bytes in
        [&b""[..], b"\0", b"GET /connect HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        assert!(raw::exchange(node.address, bytes).await.is_none());
    }
    assert!(pair.is_shown_by(&node).await);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let pair = Pair::new();
    let node = start(&pair.tls()).await;
    // Nothing; half of a record; a whole handshake and no request.
    for said in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        ends(&mut stream).await;
    }
    ends(&mut pair.meet(&node, &[b"http/1.1"]).await.unwrap()).await;
    assert!(pair.is_shown_by(&node).await);
}

/// Paused, time runs ahead as long as everybody waits.
async fn ends(stream: &mut (impl AsyncRead + Unpin)) {
    tokio::time::pause();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
    // Without a farewell: who is cut has said too little to be told one.
    let _ = ended.expect("the server hangs up");
    assert_eq!(rest, b"");
    tokio::time::resume();
}
