//! Files of rooms, as `PROTOCOL.md` tells them, by honest clients and by others.
//!
//! Seen to fail when: the digest is not compared; a file is served by its first part; a part's version grows with each upload;
//! the body's size is believed and not counted; `edit` is asked for `subscribe`; the policy is left out; memory for an upload
//! is set aside for as much as it announces.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use inkwire::{Action, Broker, ChannelName, Draft, Message, Offset, Options, Origins, Rate};
use inkwire_core::{Claim, Claimed, Error, GroupName, Page, Receipt, Tail};
use inkwire_embedded::Memory;
use reqwest::{Method, Response, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use support::raw::{exchange, request};
use support::socket::{Socket, token};
use support::{Client, Node, options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const LARGEST: usize = 4 << 20;

fn id(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that no two seeds have in common.
fn image(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
}

fn path(id: &str) -> String {
    format!("/rooms/lobby/files/{id}")
}

async fn put_as(client: &Client, id: &str, media: Option<&str>, bytes: Vec<u8>) -> Response {
    let mut request = client.http.put(format!("{}{}", client.url, path(id))).bearer_auth(&client.token);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    request.body(bytes).send().await.unwrap()
}

async fn put(client: &Client, bytes: &[u8]) -> u16 {
    put_as(client, &id(bytes), Some("image/png"), bytes.to_vec()).await.status().as_u16()
}

/// Puts a file without saying how long it is.
async fn put_in_chunks(client: &Client, bytes: &[u8]) -> Response {
    let chunks: Vec<_> = bytes.chunks(7_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    let request = client.http.put(format!("{}{}", client.url, path(&id(bytes)))).bearer_auth(&client.token);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    request.header("content-type", "image/png").body(body).send().await.unwrap()
}

async fn get(client: &Client, id: &str) -> Response {
    client.send(Method::GET, &path(id), None).await
}

/// A client with grants of our choice.
async fn client(node: &Node, grants: &[(&str, &[Action])]) -> Client {
    let client = node.client("eve").await;
    Client { token: token("eve", grants, Duration::from_secs(600)), ..client }
}

async fn fails(answer: Response, status: u16, code: &str) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_put_on_any_node() {
    let broker = Arc::new(Memory::default());
    let one = Node::with(broker.clone(), options()).await;
    let two = Node::with(broker, options()).await;
    let (ann, bob) = (one.client("ann").await, two.client("bob").await);
    let part = 192 << 10;
    for (seed, length) in [0, 1, part - 1, part, part + 1, 3 * part + 7, LARGEST].into_iter().enumerate() {
        let bytes = image(seed as u8, length);
        let id = id(&bytes);
        assert_eq!(get(&bob, &id).await.status(), StatusCode::NOT_FOUND);
        let reply = put_as(&ann, &id, Some("image/png"), bytes.clone()).await;
        assert_eq!(reply.status(), StatusCode::CREATED);
        assert_eq!(reply.json::<Value>().await.unwrap(), json!({ "id": id }));
        assert_eq!(put(&bob, &bytes).await, 200, "it is there already");
        let reply = get(&bob, &id).await;
        assert_eq!(reply.headers()["content-length"], length.to_string());
        assert_eq!(reply.bytes().await.unwrap(), bytes, "{length} bytes");
    }
    // Another room knows nothing of it.
    let elsewhere = format!("/rooms/other/files/{}", id(&image(1, 1)));
    fails(ann.send(Method::GET, &elsewhere, None).await, 404, "not-found").await;
}

#[tokio::test]
async fn a_file_is_served_as_nothing_but_an_image() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let name = id(svg);
    let reply = put_as(&ann, &name, Some("image/svg+xml; charset=utf-8"), svg.to_vec()).await;
    assert_eq!(reply.status(), StatusCode::CREATED);
    let reply = get(&ann, &name).await;
    let expected = [
        ("content-type", "image/svg+xml"),
        ("content-security-policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("content-disposition", &format!("inline; filename=\"{name}.svg\"")),
        ("etag", &format!("\"{name}\"")),
        ("vary", "Origin"),
    ];
    for (header, value) in expected {
        assert_eq!(reply.headers()[header], value);
    }
    // The first upload's type stays, whatever a later one says of the same bytes.
    assert_eq!(put_as(&ann, &name, Some("image/gif"), svg.to_vec()).await.status(), StatusCode::OK);
    assert_eq!(get(&ann, &name).await.headers()["content-type"], "image/svg+xml");
    // Whoever has it is told so; whoever has another is given it.
    for (tag, status) in [
        (format!("\"{name}\""), 304),
        (format!("W/\"{name}\", \"x\""), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let request = ann.http.get(format!("{}{}", ann.url, path(&name))).bearer_auth(&ann.token);
        let reply = request.header("if-none-match", &tag).send().await.unwrap();
        assert_eq!(reply.status(), status, "{tag}");
        assert_eq!(reply.bytes().await.unwrap().is_empty(), status == 304);
    }
    let reply = ann.send(Method::HEAD, &path(&name), None).await;
    assert_eq!(reply.headers()["content-length"], svg.len().to_string());
}

#[tokio::test]
async fn whatever_is_no_image_is_refused() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let bytes = image(1, 100);
    for media in ["text/html", "image/*", "application/json", "image/svg+xml2", "image/png,text/html"] {
        let reply = put_as(&ann, &id(&bytes), Some(media), bytes.clone()).await;
        fails(reply, 415, "unsupported-media-type").await;
    }
    fails(put_as(&ann, &id(&bytes), None, bytes.clone()).await, 415, "unsupported-media-type").await;
    // And the ids are the bytes' own, written in one way.
    for wrong in [id(b"other"), id(&bytes).to_uppercase(), id(&bytes)[1..].to_owned(), "x".repeat(64)] {
        fails(put_as(&ann, &wrong, Some("image/png"), bytes.clone()).await, 400, "invalid").await;
    }
    // Where the file stands, other bytes are no more welcome.
    assert_eq!(put(&ann, &bytes).await, 201);
    fails(put_as(&ann, &id(&bytes), Some("image/png"), image(2, 100)).await, 400, "invalid").await;
    assert_eq!(get(&ann, &id(&bytes)).await.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn tricks_with_the_path_lead_nowhere() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let bearer = format!("Bearer {}", ann.token);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "image/png")];
    let good = id(b"x");
    let cases = [
        (path(&format!("../../{good}")), 404),
        (path(&format!("..%2F{good}")), 400),
        (path(&format!("{good}%2F..")), 400),
        (path(&format!("{good}%00")), 400),
        (path(&format!("{good}.png")), 400),
        (path(&format!("{good}/")), 404),
        (path(""), 404),
        (path("%ff"), 400),
        (format!("/rooms/..%2F/files/{good}"), 400),
        (format!("/rooms/$x/files/{good}"), 400),
        (format!("/rooms/a.b/files/{good}"), 400),
        (format!("/rooms/metrics/files/{good}"), 400),
        (format!("/rooms//files/{good}"), 400),
    ];
    for (target, status) in cases {
        for method in ["PUT", "GET"] {
            let body: &[u8] = if method == "PUT" { b"x" } else { b"" };
            let answer = request(node.address, method, &target, &headers, body).await.unwrap();
            assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        }
    }
    let answer = request(node.address, "POST", &path(&good), &headers, b"x").await.unwrap();
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").unwrap().contains("PUT"));
    // The logs they stand in are the server's own.
    let own = format!("/channels/%24file%2Flobby%2F{good}");
    fails(ann.send(Method::GET, &own, None).await, 403, "forbidden").await;
    fails(ann.send(Method::POST, &own, Some(&json!({ "bytes": "eA==" }))).await, 403, "forbidden").await;
    let mut socket = Socket::anybody(&node, "eve").await;
    let channel = format!("$file/lobby/{good}");
    for op in ["subscribe", "read"] {
        assert_eq!(socket.refused(json!({ "op": op, "channel": channel })).await, "forbidden");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_however_it_comes() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let bytes = image(1, LARGEST + 1);
    let reply = put_as(&ann, &id(&bytes), Some("image/png"), bytes.clone()).await;
    fails(reply, 413, "too-large").await;
    // Announced, and never sent: nobody waits for it for long, and no room is made for it.
    let bearer = format!("Bearer {}", ann.token);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "image/png")];
    let announced = [&headers[..], &[("Content-Length", "99999999999")]].concat();
    let answer = request(node.address, "PUT", &path(&id(&bytes)), &announced, b"").await.unwrap();
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (413, Some("too-large")));
    // Without a length, it is counted as it comes.
    fails(put_in_chunks(&ann, &bytes).await, 413, "too-large").await;
    // A whole one in chunks is welcome; one that breaks off is not kept.
    let small = image(2, 300_000);
    let head = "Connection: close\r\nContent-Type: image/png\r\nContent-Length: 300000";
    let head =
        format!("PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n{head}\r\n\r\n", path(&id(&small)));
    let half = [head.as_bytes(), &small[..150_000]].concat();
    let answer = exchange(node.address, &half).await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
    assert_eq!(get(&ann, &id(&small)).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(put_in_chunks(&ann, &small).await.status(), StatusCode::CREATED);
    let limited = Node::with_options(Options { max_file: 10, ..options() }).await;
    let bob = limited.client("bob").await;
    assert_eq!((put(&bob, &image(1, 10)).await, put(&bob, &image(1, 11)).await), (201, 413));
}

#[tokio::test]
async fn files_are_for_those_who_may_see_the_board_and_from_those_who_may_edit_it() {
    let node = Node::start().await;
    let bytes = image(1, 1000);
    let id = id(&bytes);
    let both: &[Action] = &[Action::Subscribe, Action::Publish];
    let editor = client(&node, &[("board:lobby", both)]).await;
    let publisher = client(&node, &[("board:lobby", &[Action::Publish])]).await;
    let viewer = client(&node, &[("board:lobby", &[Action::Subscribe])]).await;
    let stranger = client(&node, &[("board:lobby2", both), ("$file/*", both)]).await;
    for refused in [&viewer, &stranger] {
        fails(put_as(refused, &id, Some("image/png"), bytes.clone()).await, 403, "forbidden").await;
    }
    assert_eq!(put(&publisher, &bytes).await, 201);
    for refused in [&publisher, &stranger] {
        fails(get(refused, &id).await, 403, "forbidden").await;
    }
    for allowed in [&editor, &viewer] {
        assert_eq!(get(allowed, &id).await.bytes().await.unwrap(), bytes);
    }
    for (method, body) in [("PUT", &bytes[..]), ("GET", b"")] {
        let answer = request(node.address, method, &path(&id), &[("Content-Type", "image/png")], body).await;
        assert_eq!(answer.unwrap().status, 401);
    }
}

#[tokio::test]
async fn browsers_may_put_from_other_origins_and_show_where_the_origins_rule_lets_them() {
    let only = Options { origins: Origins::Only(vec!["https://a.example".into()]), ..options() };
    let node = Node::with_options(only).await;
    let (ann, bytes) = (node.client("ann").await, image(1, 10));
    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    let answer = request(node.address, "OPTIONS", &path(&id(&bytes)), &preflight, b"").await.unwrap();
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PUT"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("Content-Type"));
    assert_eq!(put(&ann, &bytes).await, 201);
    assert_eq!(get(&ann, &id(&bytes)).await.headers()["cross-origin-resource-policy"], "same-origin");
    let other = [("Origin", "https://b.example"), ("Access-Control-Request-Method", "PUT")];
    let answer = request(node.address, "OPTIONS", &path(&id(&bytes)), &other, b"").await.unwrap();
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn uploads_of_a_peer_are_limited() {
    let node = Node::with_options(Options { uploads: Rate::new(1, 2), ..options() }).await;
    let (ann, bob) = (node.client("ann").await, node.client("bob").await);
    assert_eq!((put(&ann, &image(1, 1)).await, put(&ann, &image(2, 1)).await), (201, 201));
    let bytes = image(3, 1);
    let reply = put_as(&ann, &id(&bytes), Some("image/png"), bytes.clone()).await;
    assert!(reply.headers().contains_key("retry-after"));
    fails(reply, 429, "rate-limited").await;
    assert_eq!(put(&bob, &bytes).await, 201);
}

/// A store that can break off, and that counts how much of files is on its way to it at once.
#[derive(Default)]
struct Fragile {
    store: Memory,
    /// So many more publishes to files are carried out.
    left: AtomicUsize,
    /// Publishes to files wait for this while it is set.
    holds: AtomicBool,
    released: Notify,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    arrived: Notify,
}

#[async_trait]
impl Broker for Fragile {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt, Error> {
        if !channel.as_str().starts_with("$file/") {
            return self.store.submit(channel, draft).await;
        }
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(Error::Unavailable("broken".into()));
        }
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        self.arrived.notify_one();
        let mut released = std::pin::pin!(self.released.notified());
        released.as_mut().enable();
        if self.holds.load(Ordering::SeqCst) {
            released.await;
        }
        let receipt = self.store.submit(channel, draft).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        receipt
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page, Error> {
        self.store.read(channel, after, limit).await
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail, Error> {
        self.store.tail(channel).await
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>, Error> {
        self.store.claim(channel, claim).await
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize, Error> {
        self.store.acknowledge(channel, group, offsets).await
    }
}

#[tokio::test]
async fn half_a_file_is_never_served_and_can_be_completed() {
    let broker = Arc::new(Fragile::default());
    let node = Node::with(broker.clone(), options()).await;
    let (ann, bytes) = (node.client("ann").await, image(1, 1_000_000));
    // Six parts and the word that they are all: it breaks off after each.
    for left in 0..7 {
        broker.left.store(left, Ordering::SeqCst);
        let reply = put_as(&ann, &id(&bytes), Some("image/png"), bytes.clone()).await;
        fails(reply, 503, "unavailable").await;
        assert_eq!(get(&ann, &id(&bytes)).await.status(), StatusCode::NOT_FOUND, "after {left} publishes");
    }
    broker.left.store(7, Ordering::SeqCst);
    assert_eq!(put(&ann, &bytes).await, 201);
    assert_eq!(get(&ann, &id(&bytes)).await.bytes().await.unwrap(), bytes);
    // It stands once, however often it was begun.
    let channel = ChannelName::new(format!("$file/lobby/{}", id(&bytes))).unwrap();
    let log = broker.read(&channel, Offset::ZERO, 100).await.unwrap();
    assert_eq!(log.messages.len(), 7);
}

#[tokio::test]
async fn uploads_of_one_file_at_once_come_to_one_file() {
    let broker = Arc::new(Fragile { left: AtomicUsize::new(usize::MAX), ..Fragile::default() });
    let nodes = [Node::with(broker.clone(), options()).await, Node::with(broker.clone(), options()).await];
    let bytes = image(1, LARGEST);
    let mut uploads = Vec::new();
    for at in 0..8 {
        let (client, bytes) = (nodes[at % 2].client(&format!("ann{at}")).await, bytes.clone());
        uploads.push(tokio::spawn(async move { put(&client, &bytes).await }));
    }
    let mut answers = Vec::new();
    for upload in uploads {
        answers.push(upload.await.unwrap());
    }
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 200, 200, 200, 200, 201], "exactly one was the first");
    let bob = nodes[0].client("bob").await;
    assert_eq!(get(&bob, &id(&bytes)).await.bytes().await.unwrap(), bytes);
    let channel = ChannelName::new(format!("$file/lobby/{}", id(&bytes))).unwrap();
    let log = broker.read(&channel, Offset::ZERO, 100).await.unwrap();
    let keys: Vec<&Message> = log.messages.iter().map(|message| &**message).collect();
    assert_eq!(keys.len(), LARGEST.div_ceil(192 << 10) + 1);
}

/// A node whose store holds up what files bring, and so many uploads of a size to it.
async fn held_up(count: u8, size: usize) -> (Arc<Fragile>, Node, Vec<JoinHandle<u16>>) {
    let broker = Arc::new(Fragile {
        left: AtomicUsize::new(usize::MAX),
        holds: AtomicBool::new(true),
        ..Fragile::default()
    });
    let node = Node::with(broker.clone(), options()).await;
    let mut uploads = Vec::new();
    for seed in 0..count {
        let (client, bytes) = (node.client(&format!("ann{seed}")).await, image(seed, size));
        uploads.push(tokio::spawn(async move { put(&client, &bytes).await }));
    }
    (broker, node, uploads)
}

/// The store goes on, and all of them are stored.
async fn go_on(broker: &Fragile, uploads: Vec<JoinHandle<u16>>) {
    broker.holds.store(false, Ordering::SeqCst);
    broker.released.notify_waiters();
    for upload in uploads {
        assert_eq!(upload.await.unwrap(), 201);
    }
}

/// While the store holds up what files bring, drawing goes on; and of many uploads it is given few parts at once.
#[tokio::test]
async fn uploads_hold_up_no_one_who_draws() {
    let (broker, node, uploads) = held_up(6, 1_000_000).await;
    while broker.under_way.load(Ordering::SeqCst) < 2 {
        broker.arrived.notified().await;
    }
    let mut bob = Socket::anybody(&node, "bob").await;
    for n in 0..100 {
        bob.publish("board:lobby", &n.to_string()).await;
    }
    go_on(&broker, uploads).await;
    assert_eq!(broker.most_under_way.load(Ordering::SeqCst), 2);
}

/// An upload of the largest size that was begun, and sends no more than this of it.
async fn begin(client: &Client, node: &Node, sent: &[u8]) -> TcpStream {
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: image/png\r\nContent-Length: {LARGEST}\r\n\r\n",
        path(&id(b"never")),
        client.token
    );
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(&[head.as_bytes(), sent].concat()).await.unwrap();
    stream
}

/// The status of whatever answers first.
async fn first_status(streams: &mut [TcpStream]) -> String {
    let answers = streams.iter_mut().map(|stream| {
        Box::pin(async move {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            String::from_utf8(answer.to_vec()).unwrap()
        })
    });
    let first = futures_util::future::select_all(answers);
    tokio::time::timeout(support::PATIENCE, first).await.unwrap().0
}

/// How many bytes of uploads the process holds.
async fn held(node: &Node) -> f64 {
    let metrics = node.get("/metrics").await.text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("inkwire_upload_bytes ")).unwrap();
    line.parse().unwrap()
}

/// Whoever announces the largest and trickles takes no more than what it has sent. Where what an upload announces is set aside for
/// it, the ninth is turned away.
#[tokio::test]
async fn uploads_that_trickle_keep_nobody_out() {
    let node = Node::start().await;
    let (ann, bob) = (node.client("ann").await, node.client("bob").await);
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(begin(&ann, &node, b"slowly").await);
    }
    support::eventually("all eight are let in", async || held(&node).await >= 8.0 * 6.0).await;
    assert_eq!(put(&bob, &image(1, LARGEST)).await, 201);
    assert_eq!(first_status(&mut slow).await, "HTTP/1.1 503", "they are given up in time");
}

/// Whoever has sent nearly all and then stops holds memory indeed, and gives way when another needs it.
#[tokio::test]
async fn uploads_that_stop_give_way() {
    let node = Node::start().await;
    let (ann, bob) = (node.client("ann").await, node.client("bob").await);
    let nearly = image(1, LARGEST - 1);
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(begin(&ann, &node, &nearly).await);
    }
    let all = 8.0 * nearly.len() as f64;
    support::eventually("the memory is full", async || held(&node).await >= all).await;
    assert_eq!(put(&bob, &image(2, LARGEST)).await, 201);
    assert_eq!(first_status(&mut slow).await, "HTTP/1.1 503");
}

/// What waits for the store holds its memory, and gives way to nobody: whoever comes then is told to come again, and may
/// when the store goes on.
#[tokio::test]
async fn uploads_that_wait_for_the_store_turn_others_away_for_a_while() {
    let (broker, node, uploads) = held_up(8, LARGEST).await;
    support::eventually("the memory is full", async || held(&node).await >= 8.0 * LARGEST as f64).await;
    let (bob, bytes) = (node.client("bob").await, image(99, 100));
    let refused = put_as(&bob, &id(&bytes), Some("image/png"), bytes.clone()).await;
    assert!(refused.headers().contains_key("retry-after"));
    fails(refused, 503, "unavailable").await;
    go_on(&broker, uploads).await;
    assert_eq!(put(&bob, &bytes).await, 201);
}

/// Nothing of a file is told to whoever follows the board.
#[tokio::test]
async fn a_file_is_no_message_of_the_board() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    assert_eq!(put(&ann, &image(1, 1000)).await, 201);
    let page: Value = ann.send(Method::GET, "/channels/board%3Alobby", None).await.json().await.unwrap();
    assert_eq!(page, json!({ "messages": [], "head": "0-0", "gap": false }));
}
