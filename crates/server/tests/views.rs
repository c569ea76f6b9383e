//! Read-only links, as `PROTOCOL.md` tells them: who has one sees the board, changes nothing, and never learns the room's id.
//!
//! Seen to fail when: a renewed token is given the boards; a view's frames are shared with the board's; the gap of an event
//! stream is looked up under the client's name for the channel; a view may be claimed, published to, or edited by whoever has
//! all grants; refusals name the room; the nonce is left out of what is opened.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use inkwire::{Action, Anonymous, Options, TokenSecret};
use inkwire_embedded::Memory;
use reqwest::{Method, Response, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use support::socket::{Socket, any, token};
use support::{Client, Events, Node, options};
use tokio_tungstenite::tungstenite::Message;

/// Told to nobody who was given a view.
const ROOM: &str = "Zq7-the-secret-room";

async fn two_nodes() -> (Node, Node) {
    let broker = Arc::new(Memory::default());
    (Node::with(broker.clone(), options()).await, Node::with(broker, options()).await)
}

async fn view_of(editor: &Client, room: &str) -> String {
    let reply = editor.send(Method::POST, &format!("/rooms/{room}/view"), None).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let reply: Value = reply.json().await.unwrap();
    assert_eq!(reply.as_object().unwrap().len(), 1);
    reply["view"].as_str().unwrap().to_owned()
}

async fn access(node: &Node, body: Value, held: Option<&str>) -> Response {
    let mut request = reqwest::Client::new().post(format!("{}/access", node.url)).json(&body);
    if let Some(held) = held {
        request = request.bearer_auth(held);
    }
    request.send().await.unwrap()
}

async fn given(node: &Node, body: Value, held: Option<&str>) -> Client {
    let reply = access(node, body, held).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let reply: Value = reply.json().await.unwrap();
    assert_eq!(reply.as_object().unwrap().len(), 2, "a token and a user, and no more");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Client {
        token: text(&reply["token"]),
        id: text(&reply["user"]["id"]),
        username: text(&reply["user"]["username"]),
        http: reqwest::Client::new(),
        url: node.url.clone(),
    }
}

async fn viewer(node: &Node, view: &str) -> Client {
    given(node, json!({ "username": "bob", "view": view }), None).await
}

fn grants(client: &Client) -> Value {
    let payload = client.token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["channels"].clone()
}

fn for_view(view: &str) -> Value {
    json!([{ "match": format!("view:{view}"), "can": ["subscribe"] }])
}

fn stroke(key: &str, version: &str) -> Value {
    json!({
        "op": "publish", "channel": format!("board:{ROOM}"),
        "fields": { "text": key }, "key": key, "version": version,
    })
}

fn keys(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|message| message["@key"].as_str().unwrap()).collect()
}

fn escaped(channel: &str) -> String {
    format!("/channels/{}", channel.replace(':', "%3A").replace('/', "%2F"))
}

#[tokio::test]
async fn whoever_has_the_link_sees_the_board_live_on_any_node() {
    let (one, two) = two_nodes().await;
    let ann = one.client("ann").await;
    let view = view_of(&ann, ROOM).await;
    assert_eq!(view_of(&ann.at(&two), ROOM).await, view, "the link is always the same");
    let bob = viewer(&two, &view).await;
    assert_eq!(grants(&bob), for_view(&view));
    let channel = format!("view:{view}");
    let mut at_ann = Socket::open(&one, &ann.token).await;
    let mut at_bob = Socket::open(&two, &bob.token).await;
    at_ann.done(stroke("e1", "1")).await;
    at_bob.done(json!({ "op": "subscribe", "channel": channel, "offset": "0" })).await;
    at_ann.done(stroke("e2", "1")).await;
    for key in ["e1", "e2"] {
        let event = at_bob.event().await;
        assert_eq!((&event["channel"], keys(&event["messages"])), (&json!(channel), vec![key]));
    }
    let page = at_bob.done(json!({ "op": "read", "channel": channel })).await;
    assert_eq!(keys(&page["messages"]), ["e1", "e2"]);
    let page: Value = bob.send(Method::GET, &escaped(&channel), None).await.json().await.unwrap();
    assert_eq!(keys(&page["messages"]), ["e1", "e2"]);
    let stream = bob.http.get(format!("{}{}?offset=0", bob.url, escaped(&channel)));
    let stream = stream.bearer_auth(&bob.token).header("accept", "text/event-stream").send().await.unwrap();
    let mut events = Events::of(stream);
    for key in ["e1", "e2"] {
        assert_eq!(events.next().await.unwrap().data["@key"], key);
    }
    at_ann.done(stroke("e3", "1")).await;
    assert_eq!(events.next().await.unwrap().data["@key"], "e3");
    // A drop on the way loses nothing.
    drop(events);
    at_ann.done(stroke("e4", "1")).await;
    let stream = bob.http.get(format!("{}{}", bob.url, escaped(&channel))).bearer_auth(&bob.token);
    let after = page["head"].as_str().unwrap();
    let stream = stream.header("accept", "text/event-stream").header("last-event-id", after);
    let mut events = Events::of(stream.send().await.unwrap());
    assert_eq!(events.next().await.unwrap().data["@key"], "e3");
    assert_eq!(events.next().await.unwrap().data["@key"], "e4");
}

#[tokio::test]
async fn images_are_part_of_the_view() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let id: String = digest(&SHA256, b"x").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let put = async |client: &Client, room: &str| {
        let request = client.http.put(format!("{}/rooms/{room}/files/{id}", client.url));
        let request = request.bearer_auth(&client.token).header("content-type", "image/png");
        request.body("x").send().await.unwrap().status().as_u16()
    };
    assert_eq!(put(&ann, ROOM).await, 201);
    let view = view_of(&ann, ROOM).await;
    let bob = viewer(&node, &view).await;
    let got = bob.send(Method::GET, &format!("/rooms/{view}/files/{id}"), None).await;
    assert_eq!((got.status(), got.bytes().await.unwrap().as_ref()), (StatusCode::OK, &b"x"[..]));
    // By the view's name only, and not into it.
    let status = async |client: &Client, room: &str| {
        client.send(Method::GET, &format!("/rooms/{room}/files/{id}"), None).await.status().as_u16()
    };
    assert_eq!(status(&bob, ROOM).await, 403);
    assert_eq!(status(&ann, &view).await, 403, "a view is for those who were given it");
    assert_eq!(status(&bob, &view_of(&ann, "other").await).await, 403);
    assert_eq!((put(&bob, &view).await, put(&bob, ROOM).await), (403, 403));
    let all = Client { token: any("eve"), ..ann };
    assert_eq!((put(&all, &view).await, status(&all, &view).await), (403, 200));
}

/// By hand, over every door; and no grant helps.
#[tokio::test]
async fn through_a_view_nothing_can_be_done() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    Socket::open(&node, &ann.token).await.done(stroke("e1", "1")).await;
    let view = view_of(&ann, ROOM).await;
    let bob = viewer(&node, &view).await;
    let (channel, board) = (format!("view:{view}"), format!("board:{ROOM}"));
    let everything: &[Action] = &[Action::Subscribe, Action::Publish];
    let grants = [("*", everything), (channel.as_str(), everything)];
    let mighty = token("eve", &grants, Duration::from_secs(600));
    for token in [&bob.token, &mighty] {
        let mut socket = Socket::open(&node, token).await;
        for command in [
            json!({ "op": "publish", "channel": channel, "fields": { "text": "x" } }),
            json!({ "op": "publish", "channel": channel, "fields": { "text": "x" }, "key": "e1", "version": "9" }),
            json!({ "op": "publish", "channel": channel, "fields": { "text": "x" }, "key": "e1", "version": "9", "tombstone": true }),
            json!({ "op": "claim", "channel": channel, "group": "g", "consumer": "c" }),
            json!({ "op": "claim", "channel": channel, "group": "g", "consumer": "c", "blockMs": 60_000 }),
            json!({ "op": "ack", "channel": channel, "group": "g", "offsets": ["1-0"] }),
        ] {
            assert_eq!(socket.refused(command).await, "forbidden");
        }
        assert_eq!(socket.refused(json!({ "op": "join", "room": view })).await, "invalid");
        let client = Client { token: token.clone(), ..bob.clone() };
        let publish = json!({ "text": "x" });
        for (method, path, body, status) in [
            (Method::POST, escaped(&channel), Some(&publish), 403),
            (Method::POST, format!("{}?key=e1&version=9", escaped(&channel)), Some(&publish), 403),
            (Method::POST, format!("/{view}/join"), None, 400),
            (Method::POST, format!("/{view}/leave"), None, 400),
            (Method::GET, format!("/rooms/{view}"), None, 400),
            (Method::POST, format!("/rooms/{view}/view"), None, 403),
        ] {
            assert_eq!(client.send(method.clone(), &path, body).await.status(), status, "{method} {path}");
        }
    }
    // Nor has the viewer anything to do with the board by its own name, or with its log.
    let mut socket = Socket::open(&node, &bob.token).await;
    for command in [
        stroke("e1", "9"),
        json!({ "op": "subscribe", "channel": board }),
        json!({ "op": "read", "channel": board }),
        json!({ "op": "claim", "channel": board, "group": "g", "consumer": "c" }),
        json!({ "op": "read", "channel": format!("$room/{ROOM}") }),
        json!({ "op": "read", "channel": "view:anything" }),
    ] {
        assert_eq!(socket.refused(command.clone()).await, "forbidden", "{command}");
    }
    assert_eq!(bob.send(Method::POST, &format!("/rooms/{ROOM}/view"), None).await.status(), 403);
    let page = Socket::anybody(&node, "eve").await.done(json!({ "op": "read", "channel": board })).await;
    assert_eq!((keys(&page["messages"]), &page["messages"][0]["@version"]), (vec!["e1"], &json!("1")));
}

#[tokio::test]
async fn renewing_never_makes_more_of_a_token() {
    let (one, two) = two_nodes().await;
    let ann = one.client("ann").await;
    let (view, other) = (view_of(&ann, ROOM).await, view_of(&ann, "other").await);
    let name = json!({ "username": "bobby" });
    let bob = viewer(&one, &view).await;
    // Its own token, renewed twice, with and without the view.
    let again = given(&two, name.clone(), Some(&bob.token)).await;
    assert_eq!((&again.id, grants(&again)), (&bob.id, for_view(&view)));
    let with = given(&one, json!({ "username": "b", "view": view }), Some(&again.token)).await;
    assert_eq!((&with.id, grants(&with)), (&bob.id, for_view(&view)));
    // Another link: that, and not both.
    let moved = given(&one, json!({ "username": "b", "view": other }), Some(&with.token)).await;
    assert_eq!((&moved.id, grants(&moved)), (&bob.id, for_view(&other)));
    let moved = given(&one, name.clone(), Some(&moved.token)).await;
    assert_eq!(grants(&moved), for_view(&other));
    // An editor who follows a link is less from then on, and stays the same person.
    let less = given(&one, json!({ "username": "ann", "view": view }), Some(&ann.token)).await;
    assert_eq!((&less.id, grants(&less)), (&ann.id, for_view(&view)));
    let less = given(&one, name.clone(), Some(&less.token)).await;
    assert_eq!((&less.id, grants(&less)), (&ann.id, for_view(&view)));
    // An editor stays one.
    let editor = given(&one, name.clone(), Some(&ann.token)).await;
    assert_eq!((&editor.id, grants(&editor)), (&ann.id, grants(&ann)));
    assert_eq!(grants(&ann), json!([{ "match": "board:*", "can": ["subscribe", "publish"] }]));
    // What the application grants is not renewed here.
    let own = token("bob", &[("secret", &[Action::Publish])], Duration::from_secs(600));
    let fresh = given(&one, name, Some(&own)).await;
    assert_ne!(fresh.id, "bob");
    assert_eq!(grants(&fresh), grants(&ann));
}

#[tokio::test]
async fn a_view_that_was_not_made_here_is_none() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let view = view_of(&ann, ROOM).await;
    for malformed in
        ["", "v.", "v.x", ROOM, "v.é", &view[2..], &format!("{view}\u{0}"), &view.replace('.', "..")]
    {
        let reply = access(&node, json!({ "username": "b", "view": malformed }), None).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{malformed}");
    }
    assert_eq!(access(&node, json!({ "username": "b", "view": 1 }), None).await.status(), 400);
    let secret = TokenSecret::new("another secret of more than thirty-two bytes").unwrap();
    let elsewhere = Node::with_options(Options { secret, ..options() }).await;
    assert_eq!(access(&elsewhere, json!({ "username": "b", "view": view }), None).await.status(), 404);
    let mut socket = Socket::anybody(&node, "eve").await;
    for at in 2..view.len() {
        let mut changed = view.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(access(&node, json!({ "username": "b", "view": changed }), None).await.status(), 404);
        let channel = format!("view:{changed}");
        for op in ["subscribe", "read"] {
            assert_eq!(socket.refused(json!({ "op": op, "channel": channel })).await, "not-found");
        }
        let path = format!("/rooms/{changed}/files/{}", "0".repeat(64));
        let all = Client { token: any("eve"), ..ann.clone() };
        assert_eq!(all.send(Method::GET, &path, None).await.status(), 404);
    }
    // The page is the same for all; it asks.
    assert_eq!(node.get(&format!("/{view}")).await.status(), StatusCode::OK);
    assert_eq!(node.get("/v.x").await.status(), StatusCode::BAD_REQUEST);
    // Channels that only begin like a view's are anybody's.
    socket.publish("view:anything", "hello").await;
}

#[tokio::test]
async fn where_nobody_is_given_tokens_views_give_none() {
    let node = Node::with_options(Options { anonymous: Anonymous::Refused, ..options() }).await;
    let ann = Client {
        token: any("ann"),
        id: "ann".into(),
        username: "ann".into(),
        http: reqwest::Client::new(),
        url: node.url.clone(),
    };
    let view = view_of(&ann, ROOM).await;
    assert_eq!(access(&node, json!({ "username": "b", "view": view }), None).await.status(), 403);
    // The application's tokens may name it.
    let channel = format!("view:{view}");
    let own = token("bob", &[(channel.as_str(), &[Action::Subscribe])], Duration::from_secs(600));
    Socket::open(&node, &own).await.done(json!({ "op": "subscribe", "channel": channel })).await;
    let refused = token("eve", &[("view:*", &[Action::Publish])], Duration::from_secs(600));
    let mut eve = Socket::open(&node, &refused).await;
    assert_eq!(eve.refused(json!({ "op": "subscribe", "channel": channel })).await, "forbidden");
}

/// All that a viewer is ever sent, kept to the letter.
#[derive(Default)]
struct Heard(Vec<u8>);

impl Heard {
    async fn answer(&mut self, reply: Response) -> (u16, Value) {
        let status = reply.status().as_u16();
        for (name, value) in reply.headers() {
            self.0.extend_from_slice(name.as_str().as_bytes());
            self.0.extend_from_slice(value.as_bytes());
        }
        let body = reply.bytes().await.unwrap();
        self.0.extend_from_slice(&body);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Sends a command and keeps what comes, up to its reply.
    async fn ask(&mut self, socket: &mut Socket, command: Value) -> Value {
        let id = socket.begin(command).await;
        loop {
            let next = self.frame(socket).await;
            if next["id"] == id {
                return next;
            }
        }
    }

    async fn frame(&mut self, socket: &mut Socket) -> Value {
        let Some(Message::Text(text)) = socket.frame().await else { panic!("a text") };
        self.0.extend_from_slice(text.as_bytes());
        serde_json::from_str(&text).unwrap()
    }

    fn assert_silent(&self) {
        let all = String::from_utf8_lossy(&self.0);
        assert!(all.len() > 5_000, "it heard much: {}", all.len());
        let base64 = base64::prelude::BASE64_STANDARD_NO_PAD.encode(ROOM);
        for told in [ROOM, &ROOM[4..], &base64[..base64.len() - 2]] {
            assert!(!all.contains(told), "{told} in {all}");
        }
    }
}

#[tokio::test]
async fn no_byte_that_a_viewer_is_sent_tells_the_room() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let mut at_ann = Socket::open(&node, &ann.token).await;
    at_ann.done(json!({ "op": "subscribe", "channel": format!("board:{ROOM}") })).await;
    for n in 0..20 {
        at_ann.done(stroke(&format!("e{n}"), "1")).await;
        // The frame of each is made, and held for whoever comes.
        at_ann.texts(1).await;
    }
    let (_stream, view) = (ann.connect().await, view_of(&ann, ROOM).await);
    ann.join(ROOM).await;
    let mut heard = Heard::default();
    let (status, reply) =
        heard.answer(access(&node, json!({ "username": "bob", "view": view }), None).await).await;
    assert_eq!(status, 200);
    let bob = Client {
        token: reply["token"].as_str().unwrap().to_owned(),
        id: reply["user"]["id"].as_str().unwrap().to_owned(),
        username: "bob".into(),
        ..ann.clone()
    };
    let channel = format!("view:{view}");
    // Over the WebSocket: what is told, what is refused, and what is gone.
    let mut socket = Socket::try_open(&node, &format!("?token={}", bob.token)).await.unwrap();
    heard.frame(&mut socket).await;
    for command in [
        json!({ "op": "subscribe", "channel": channel, "offset": "9999999999999-0" }),
        json!({ "op": "subscribe", "channel": channel, "offset": "0" }),
        json!({ "op": "read", "channel": channel, "limit": 5 }),
        json!({ "op": "read", "channel": channel, "after": "9999999999999-0" }),
        json!({ "op": "publish", "channel": channel, "fields": { "text": "x" } }),
        json!({ "op": "claim", "channel": channel, "group": "g", "consumer": "c" }),
        json!({ "op": "ack", "channel": channel, "group": "g", "offsets": [] }),
        json!({ "op": "join", "room": view }),
        json!({ "op": "relay", "to": ann.id, "event": "wave", "data": 1 }),
        json!({ "op": "auth", "token": bob.token }),
    ] {
        heard.ask(&mut socket, command).await;
    }
    at_ann.done(stroke("last", "1")).await;
    while heard.frame(&mut socket).await["messages"][0]["@key"] != "last" {}
    // Over HTTP.
    let path = escaped(&channel);
    let body = json!({ "text": "x" });
    for (method, path, body) in [
        (Method::GET, path.clone(), None),
        (Method::GET, format!("{path}?after=9999999999999-0"), None),
        (Method::GET, format!("{path}?after=x"), None),
        (Method::POST, path.clone(), Some(&body)),
        (Method::GET, format!("/rooms/{view}"), None),
        (Method::POST, format!("/rooms/{view}/view"), None),
        (Method::POST, format!("/{view}/join"), None),
        (Method::GET, format!("/{view}"), None),
        (Method::GET, format!("/rooms/{view}/files/{}", "0".repeat(64)), None),
        (Method::PUT, format!("/rooms/{view}/files/{}", "0".repeat(64)), None),
        (Method::GET, "/ice".to_owned(), None),
        (Method::POST, format!("/relay/{}/wave", ann.id), Some(&body)),
        (Method::POST, "/access".to_owned(), Some(&json!({ "username": "b" }))),
        (Method::GET, "/metrics".to_owned(), None),
        (Method::GET, "/readyz".to_owned(), None),
    ] {
        heard.answer(bob.send(method, &path, body).await).await;
    }
    // On event streams, from a position that is gone, too: the oldest message is the board's.
    let page: Value = bob.send(Method::GET, &format!("{path}?limit=1"), None).await.json().await.unwrap();
    let stream = bob.http.get(format!("{}{path}", bob.url)).bearer_auth(&bob.token);
    let stream = stream.header("accept", "text/event-stream").header("last-event-id", "9999999999999-0");
    let mut events = Events::of(stream.send().await.unwrap());
    let gap = events.next().await.unwrap();
    let oldest = &page["messages"][0]["offset"];
    assert_eq!((gap.name.as_str(), &gap.data["oldest"]), ("gap", oldest));
    while events.next().await.unwrap().data["@key"] != "last" {}
    heard.0.extend_from_slice(events.raw.as_bytes());
    // As a peer, in a room that it may know.
    let mut peer = bob.connect().await;
    bob.join("elsewhere").await;
    let _at_ann = ann.connect().await;
    ann.join("elsewhere").await;
    assert_eq!(peer.short().await, "+ann?");
    heard.0.extend_from_slice(peer.raw.as_bytes());
    heard.assert_silent();
}
