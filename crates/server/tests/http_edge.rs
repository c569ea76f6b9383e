//! The HTTP edge: what is malformed, oversized, slow or hostile gets a clear answer and harms nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use inkwire::{Anonymous, Options, Origins, Page, Server};
use inkwire_embedded::Memory;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use support::raw::{Answer, exchange, request};
use support::{Node, options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn fails(answer: Option<Answer>, status: u16, code: &str) {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.problem()["code"], code);
}

#[tokio::test]
async fn every_failure_has_its_code() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let bearer = format!("Bearer {}", ann.token);
    let auth = ("Authorization", bearer.as_str());
    let at = node.address;
    let get = async |target: &str, headers: &[(&str, &str)]| request(at, "GET", target, headers, b"").await;
    let post = async |target: &str, headers: &[(&str, &str)], body: &str| {
        request(at, "POST", target, headers, body.as_bytes()).await
    };
    for body in [
        "",
        "{}",
        "[]",
        "{",
        "{\"username\":1}",
        "{\"username\":\"\"}",
        "{\"username\":\"  \"}",
        "\u{feff}{}",
    ] {
        fails(post("/access", &[JSON], body).await, 400, "invalid").await;
    }
    let long = json!({ "username": "x".repeat(65) }).to_string();
    fails(post("/access", &[JSON], &long).await, 400, "invalid").await;
    fails(post("/access", &[JSON], "{\"username\":\"a\\nb\"}").await, 400, "invalid").await;
    fails(post("/access", &[JSON], &" ".repeat(5000)).await, 413, "too-large").await;
    fails(
        post("/access", &[("Content-Type", "text/xml")], "{\"username\":\"a\"}").await,
        415,
        "unsupported-media-type",
    )
    .await;
    fails(request(at, "PUT", "/access", &[], b"").await, 405, "method-not-allowed").await;
    fails(get("/access", &[]).await, 405, "method-not-allowed").await;
    for target in ["/ice", "/rooms/lobby", "/connect"] {
        fails(get(target, &[]).await, 401, "unauthorized").await;
        fails(get(target, &[("Authorization", "Basic abc")]).await, 401, "unauthorized").await;
        fails(get(target, &[("Authorization", "Bearer abc")]).await, 403, "forbidden").await;
        fails(get(&format!("{target}?token=a.b.c"), &[]).await, 403, "forbidden").await;
    }
    fails(get("/connect", &[auth]).await, 406, "not-acceptable").await;
    fails(get("/connect", &[auth, ("Accept", "application/json")]).await, 406, "not-acceptable").await;
    fails(
        request(at, "HEAD", "/connect", &[("Accept", "text/event-stream")], b"").await.map(without_body),
        401,
        "",
    )
    .await;
    for room in ["rooms", "static", "relay", "ws", "doctor", "a.b", "%20", "%ff", "a%0ab", &"r".repeat(65)] {
        fails(get(&format!("/{room}"), &[]).await, 400, "invalid").await;
        fails(post(&format!("/{room}/join"), &[auth], "").await, 400, "invalid").await;
        fails(post(&format!("/{room}/leave"), &[auth], "").await, 400, "invalid").await;
        fails(get(&format!("/rooms/{room}"), &[auth]).await, 400, "invalid").await;
    }
    fails(get("/a/b/c", &[]).await, 404, "not-found").await;
    fails(get("/static/none.js", &[]).await, 404, "not-found").await;
    fails(get("/static/../index.html", &[]).await, 404, "not-found").await;
    let target = format!("/relay/{}/wave", ann.id);
    fails(post(&target, &[auth, JSON], "{").await, 400, "invalid").await;
    fails(post(&target, &[auth, JSON], "").await, 400, "invalid").await;
    fails(post(&target, &[auth, JSON], "1 2").await, 400, "invalid").await;
    fails(post("/relay/no%2Fbody/wave", &[auth, JSON], "1").await, 404, "not-found").await;
    fails(post(&format!("/relay/{}/a%0Ab", ann.id), &[auth, JSON], "1").await, 400, "invalid").await;
    let not_utf8 = request(at, "POST", &target, &[auth, JSON], b"\"\xff\"").await;
    fails(not_utf8, 400, "invalid").await;
}

/// HEAD is answered without a body, so without a document to look at.
fn without_body(answer: Answer) -> Answer {
    assert!(answer.body.is_empty());
    let body = json!({ "status": answer.status, "code": "", "type": "", "title": "", "detail": "" });
    Answer { body: body.to_string().into_bytes(), ..answer }
}

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

/// Seen to fail when programs are given the page too, when the status becomes 200, and when the policy is left out.
#[tokio::test]
async fn people_are_told_in_plain_words_and_programs_as_ever() {
    let node = Node::start().await;
    let get = async |target: &str, headers: &[(&str, &str)]| {
        request(node.address, "GET", target, headers, b"").await.unwrap()
    };
    let long = format!("/{}", "r".repeat(65));
    for (target, status, words) in [
        ("/a/b/c", 404, "This address leads nowhere"),
        ("/room%20with%20space", 400, "name has 1 to 64"),
        ("/%3Cscript%3E", 400, "name has 1 to 64"),
        ("/%ff", 400, "name has 1 to 64"),
        (&long, 400, "name has 1 to 64"),
        ("/v.cut-off", 400, "it may have been changed or cut off"),
        ("/rooms", 400, "none of the few words"),
        ("/static/none.js", 404, "This address leads nowhere"),
        ("/ice", 401, "cannot be a board"),
        ("/access", 405, "cannot be a board"),
        // Taken off hyper's hands.
        ("/connect", 401, "cannot be a board"),
    ] {
        let answer = get(target, &[BROWSER]).await;
        assert_eq!(answer.status, status, "{target}");
        let page = String::from_utf8(answer.body.clone()).unwrap();
        assert!(page.contains(words) && page.contains("href=\"/\""), "{target}: {page}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("script") && !page.contains("<script") && !page.contains("src="), "{page}");
        for headers in [&[][..], &[("Accept", "*/*")], &[("Accept", "application/json")]] {
            let answer = get(target, headers).await;
            assert_eq!((answer.status, &answer.problem()["status"]), (status, &json!(status)), "{target}");
            assert_eq!(answer.header("content-security-policy"), None);
        }
    }
    assert!(get("/access", &[BROWSER]).await.header("allow").is_some(), "the headers stay");
    let head = request(node.address, "HEAD", "/a/b/c", &[BROWSER], b"").await.unwrap();
    assert_eq!((head.status, head.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(head.body.is_empty());
    let posted = request(node.address, "POST", "/a/b/c", &[BROWSER], b"x").await;
    fails(posted, 404, "not-found").await;
    // What is no failure is as it was.
    assert_eq!(get("/lobby", &[BROWSER]).await.status, 200);
}

#[tokio::test]
async fn only_the_pages_worker_may_look_after_every_room() {
    let page = Page::new(|_| Some(b"".as_slice().into()));
    let node = Node::of(Server::new(Arc::new(Memory::default()), options()).page(page)).await;
    for (path, scope) in
        [("/static/worker.js", Some("/")), ("/static/assets/worker.js", None), ("/lobby", None)]
    {
        let answer = node.get(path).await;
        let allowed = answer.headers().get("service-worker-allowed").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, scope, "{path}");
    }
    let worker = node.get("/static/worker.js").await;
    assert_eq!(worker.headers()["cache-control"], "no-cache");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends() {
    let node = Node::start().await;
    for (target, expected) in
        [("/relay/x/wave", 401), ("/relay/x/add-peer?token=forged", 403), ("/nowhere/at/all", 404)]
    {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        // Twice on one connection: the first answer must leave it in order.
        for _ in 0..2 {
            let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..6 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                stream.write_all(&[b'x'; 10_000]).await.unwrap();
            }
            let mut answer = vec![0; 4096];
            let read =
                tokio::time::timeout(support::PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{target}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn names_are_taken_as_they_are() {
    let node = Node::start().await;
    for name in ["ann", "Ünï 🖌 <b>\"&", &"é".repeat(64)] {
        let ann = node.client(name).await;
        assert_eq!(ann.connect().await.position.is_some(), !name.is_empty());
    }
}

#[tokio::test]
async fn anonymous_access_can_be_switched_off() {
    let node = Node::with_options(Options { anonymous: Anonymous::Refused, ..options() }).await;
    let answer = request(node.address, "POST", "/access", &[JSON], b"{\"username\":\"ann\"}").await;
    fails(answer, 403, "forbidden").await;
}

#[tokio::test]
async fn origins() {
    let any = Node::start().await;
    let answer =
        request(any.address, "GET", "/healthz", &[("Origin", "https://x.example")], b"").await.unwrap();
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));

    let only = Origins::Only(vec!["https://good.example".into()]);
    let node = Node::with_options(Options { origins: only, ..options() }).await;
    let from =
        async |origin: &str| request(node.address, "GET", "/healthz", &[("Origin", origin)], b"").await;
    let good = from("https://good.example").await.unwrap();
    assert_eq!(
        (good.status, good.header("access-control-allow-origin")),
        (200, Some("https://good.example"))
    );
    assert_eq!(good.header("vary"), Some("Origin"));
    for other in ["https://evil.example", "null", "https://good.example.evil.example"] {
        fails(from(other).await, 403, "forbidden").await;
    }
    assert_eq!(from(&format!("http://{}", node.address)).await.unwrap().status, 200, "its own page");
    assert_eq!(request(node.address, "GET", "/healthz", &[], b"").await.unwrap().status, 200, "no browser");

    let preflight = [
        ("Origin", "https://good.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let answer = request(node.address, "OPTIONS", "/lobby/join", &preflight, b"").await.unwrap();
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").unwrap().contains("Authorization"));
}

#[tokio::test]
async fn the_page_and_the_way_to_a_room() {
    let node = Node::start().await;
    let mut rooms = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = request(node.address, "GET", "/", &[], b"").await.unwrap();
        assert_eq!(answer.status, 302);
        let location = answer.header("location").unwrap().to_owned();
        assert!(location.len() > 14, "at least 80 bits: {location}");
        assert!(rooms.insert(location));
    }
    let room = rooms.first().unwrap();
    let answer = request(node.address, "GET", room, &[], b"").await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let etag = answer.header("etag").unwrap();
    let again = request(node.address, "GET", room, &[("If-None-Match", etag)], b"").await.unwrap();
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let node = Node::start().await;
    let mut streams = Vec::new();
    for beginning in ["", "GET / HT", "GET /connect", "PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        streams.push((beginning, stream));
    }
    for (beginning, mut stream) in streams {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {beginning:?}");
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let head =
        "POST /access HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nContent-Type: application/json\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(support::PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

/// Runs an asynchronous property against one server that must survive all cases.
fn survives<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    check: impl AsyncFn(SocketAddr, String, T),
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, token) = runtime.block_on(async {
        let node = Node::start().await;
        let ann = node.client("ann").await;
        (node, ann.token)
    });
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) });
    let (sender, _failures) = mpsc::channel::<()>();
    runner
        .run(&strategy, |case| {
            runtime.block_on(check(node.address, token.clone(), case));
            let _ = sender.send(());
            Ok(())
        })
        .unwrap();
    let alive = runtime.block_on(request(node.address, "GET", "/healthz", &[], b"")).unwrap();
    assert_eq!(alive.status, 200);
}

/// Segments that mean something, and segments that mean nothing.
fn segment() -> impl Strategy<Value = String> {
    let known = &[
        "access", "connect", "relay", "rooms", "ice", "static", "join", "leave", "lobby", "healthz", "..",
        ".",
    ][..];
    prop_oneof![
        proptest::sample::select(known).prop_map(str::to_owned),
        proptest::collection::vec(any::<u8>(), 0..12)
            .prop_map(|bytes| bytes.iter().map(|byte| format!("%{byte:02X}")).collect()),
        "[A-Za-z0-9_.~$:@-]{0,80}",
    ]
}

#[test]
fn any_request_gets_an_answer_or_a_problem_document() {
    let methods = proptest::sample::select(&["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"][..]);
    let target = proptest::collection::vec(segment(), 0..4);
    let query = proptest::option::of("[a-zA-Z0-9=&%.+]{0,40}");
    let types = proptest::option::of(proptest::sample::select(&["application/json", "text/plain", "x"][..]));
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let with_token = any::<bool>();
    let strategy = (methods, target, query, types, body, with_token);
    survives(strategy, async |at, token, (method, segments, query, media_type, body, with_token)| {
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let target = format!("/{}{query}", segments.join("/"));
        let bearer = format!("Bearer {token}");
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(media_type.map(|media_type| ("Content-Type", media_type)));
        headers.extend(with_token.then_some(("Authorization", bearer.as_str())));
        let answer = request(at, method, &target, &headers, &body).await.expect("an answer");
        assert!(answer.status < 500, "{method} {target}: {answer:?}");
        if answer.status >= 400 && method != "HEAD" && !answer.body.is_empty() {
            answer.problem();
        }
    });
}

#[test]
fn any_bytes_leave_the_server_standing() {
    let noise = proptest::collection::vec(any::<u8>(), 0..400);
    let headers =
        "(GET|POST) /[a-z/]{0,20} HTTP/1.[01]\r\n([A-Za-z-]{0,20}: [ -~]{0,60}\r\n){0,6}\r\n[ -~]{0,60}";
    let strategy = prop_oneof![noise, headers.prop_map(String::into_bytes)];
    survives(strategy, async |at, _, bytes| {
        if let Some(answer) = exchange(at, &bytes).await {
            assert!(answer.status < 500, "{answer:?}");
        }
    });
}

#[test]
fn any_position_is_continued_or_told_as_a_gap() {
    let made_up = "[0-9a-f]{0,9}[.;:-]?[0-9]{0,22}[-;:.]{0,2}[0-9]{0,22}(;[a-z]{0,3}:[0-9]{0,21}:[0-9]{0,21}-[0-9]{0,3}){0,3}";
    survives(prop_oneof![made_up, "[ -~]{1,60}"], async |at, token, position: String| {
        let bearer = format!("Bearer {token}");
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = format!(
            "GET /connect HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nAccept: text/event-stream\r\nLast-Event-ID: {position}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("event: connected")
            || !(position.trim().is_empty() || seen.contains("event: gap"))
        {
            let mut chunk = [0; 1024];
            let read =
                tokio::time::timeout(support::PATIENCE, stream.read(&mut chunk)).await.unwrap().unwrap();
            assert_ne!(read, 0, "the stream ended: {seen}");
            seen.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        assert!(seen.contains("\"resumed\":false"), "{seen}");
    });
}
