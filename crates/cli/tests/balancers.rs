//! nginx and HAProxy with the files of `deploy/`, before two real nodes on a real Redis: nothing that passes them is lost,
//! held up or sent twice, and no client needs to come back to the node it was on.
//!
//! Seen to fail: `proxy_buffering on` with the nodes' own header taken away (events do not arrive); `retry-on` and
//! `proxy_next_upstream` without 503 (a draining node's refusal reaches the client); the upgrade's headers left out; the log
//! formats that come with the programs (tokens in the log); a read timeout below the heartbeat.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

#[path = "support/balancer.rs"]
mod balancer;
mod support;

use balancer::{Behind, Events, Peer, Program, Wishes, request, until, whole};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use support::PATIENCE;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

/// Each test before each program.
macro_rules! behind_both {
    ($($test:ident),* $(,)?) => {
        mod nginx {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Program::Nginx).await;
            })*
        }
        mod haproxy {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Program::Haproxy).await;
            })*
        }
    };
}

behind_both!(
    events_arrive_while_the_stream_stays_open,
    signals_pass_from_any_node_to_any_node,
    a_stream_resumes_after_its_node_was_killed,
    a_websocket_passes,
    a_draining_node_is_sent_nobody,
    a_browser_has_twelve_streams,
    heartbeats_keep_silent_streams_open,
    logs_hold_no_tokens,
);

async fn events_arrive_while_the_stream_stays_open(program: Program) {
    let behind = Behind::start(program, Wishes::default()).await;
    let ann = behind.somebody("ann").await;
    let mut events = ann.follow("board:a").await;
    for n in 0..3 {
        ann.post("/channels/board:a", &json!({ "n": n.to_string() })).await;
        assert_eq!(events.told().await.unwrap().data["n"], n.to_string());
    }
    // The largest there may be, to the byte, and one byte more.
    let largest = "x".repeat((1 << 20) - r#"{"text":""}"#.len());
    ann.post("/channels/board:a", &json!({ "text": largest })).await;
    assert_eq!(events.told().await.unwrap().data["text"], largest);
    let over = json!({ "text": largest + "x" });
    let answer = ann.request("/channels/board:a", &over).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(whole(answer).await["code"], "too-large", "in the node's own words");
}

/// Two peers with streams on different nodes.
struct Apart {
    ann: Peer,
    anns: Events,
    /// The node of Ann's stream.
    place: usize,
    bob: Peer,
    bobs: Events,
    /// Streams of others that were opened on the way: they stay, so that numbers of streams only grow.
    _others: Vec<Events>,
}

async fn apart(behind: &Behind) -> Apart {
    let ann = behind.somebody("ann").await;
    let (anns, place) = behind.placed(&ann).await;
    let mut others = Vec::new();
    loop {
        let bob = behind.somebody("bob").await;
        let (bobs, other) = behind.placed(&bob).await;
        if other != place {
            return Apart { ann, anns, place, bob, bobs, _others: others };
        }
        others.push(bobs);
    }
}

async fn signals_pass_from_any_node_to_any_node(program: Program) {
    let behind = Behind::start(program, Wishes { grace: "0.5", ..Wishes::default() }).await;
    let Apart { ann, mut anns, bob, mut bobs, .. } = apart(&behind).await;
    ann.post("/lobby/join", &json!({})).await;
    bob.post("/lobby/join", &json!({})).await;
    let met = anns.told().await.unwrap();
    assert_eq!((&*met.name, &met.data["peer"]["id"]), ("add-peer", &json!(bob.id)));
    assert_eq!(bobs.told().await.unwrap().data["offer"], true, "the newcomer offers");
    // Each of them is a request of its own, on whatever node the balancer likes.
    for n in 0..10 {
        bob.post(&format!("/relay/{}/ice-candidate", ann.id), &json!(n)).await;
        ann.post(&format!("/relay/{}/ice-candidate", bob.id), &json!(n)).await;
    }
    for n in 0..10 {
        assert_eq!(anns.told().await.unwrap().data["data"], n);
        assert_eq!(bobs.told().await.unwrap().data["data"], n);
    }
    // Whoever goes away is gone for the node, too.
    drop(anns);
    let left = bobs.told().await.unwrap();
    assert_eq!((&*left.name, &left.data["peer"]["id"]), ("remove-peer", &json!(ann.id)));
}

async fn a_stream_resumes_after_its_node_was_killed(program: Program) {
    let mut behind = Behind::start(program, Wishes::default()).await;
    let Apart { ann, mut anns, place, bob, mut bobs, _others } = apart(&behind).await;
    ann.post("/lobby/join", &json!({})).await;
    bob.post("/lobby/join", &json!({})).await;
    assert_eq!(anns.told().await.unwrap().name, "add-peer");
    assert_eq!(bobs.told().await.unwrap().name, "add-peer");
    let relay = async |n: u32| bob.post(&format!("/relay/{}/ice-candidate", ann.id), &json!(n)).await;
    relay(0).await;
    assert_eq!(anns.told().await.unwrap().data["data"], 0);
    relay(1).await;
    behind.nodes[place].kill();
    // What is asked for while it is down reaches the other node.
    for n in 2..12 {
        relay(n).await;
    }
    let mut seen = Vec::new();
    while let Some(event) = anns.told().await {
        seen.push(event.data["data"].as_u64().unwrap());
    }
    let mut anns = ann.connect(anns.position.as_deref()).await;
    while seen.last() != Some(&11) {
        seen.push(anns.told().await.unwrap().data["data"].as_u64().unwrap());
    }
    assert_eq!(seen, (1..12).collect::<Vec<_>>(), "each once, and in order");
    bob.post("/channels/board:a", &json!({ "still": "here" })).await;
    behind.nodes[place].again();
    until("it is sent streams again", async || {
        drop(behind.somebody("eve").await.connect(None).await);
        behind.streams(place).await > 0
    })
    .await;
}

async fn a_websocket_passes(program: Program) {
    let behind = Behind::start(program, Wishes::default()).await;
    let ann = behind.somebody("ann").await;
    let mut socket = behind.socket(&ann.token).await;
    let subscribe = json!({ "id": 1, "op": "subscribe", "channel": "board:a", "offset": "0" });
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let publish =
        json!({ "id": 2, "op": "publish", "channel": "board:a", "fields": { "text": "x".repeat(900_000) } });
    socket.send(Message::text(publish.to_string())).await.unwrap();
    let mut waiting = vec!["reply 1", "reply 2", "messages"];
    while !waiting.is_empty() {
        let Message::Text(text) = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() else {
            continue;
        };
        let said: Value = serde_json::from_str(&text).unwrap();
        let name = match (said["id"].as_u64(), said["event"].as_str()) {
            (Some(id), _) => format!("reply {id}"),
            (None, event) => event.unwrap().to_owned(),
        };
        assert_ne!(said["ok"], false, "{said}");
        waiting.retain(|other| *other != name);
    }
    socket.send(Message::Ping("hello".into())).await.unwrap();
    while !matches!(timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap(), Message::Pong(_)) {}
    socket.close(None).await.unwrap();
}

async fn a_draining_node_is_sent_nobody(program: Program) {
    let mut behind = Behind::start(program, Wishes { drain: "5", ..Wishes::default() }).await;
    let Apart { ann, mut anns, place, bob, bobs: _bobs, _others } = apart(&behind).await;
    behind.nodes[place].signal("-TERM");
    assert_eq!(anns.told().await.unwrap().name, "draining");
    let mut streams = Vec::new();
    for _ in 0..10 {
        let eve = behind.somebody("eve").await;
        let (events, other) = behind.placed(&eve).await;
        assert_ne!(other, place);
        streams.push(events);
        bob.post("/channels/board:a", &json!({ "text": "while it drains" })).await;
    }
    // The old stream ends when its time has come, and its peer goes on elsewhere.
    while anns.told().await.is_some() {}
    ann.connect(anns.position.as_deref()).await;
    let ended = behind.nodes[place].wait();
    assert_eq!(ended.code(), Some(0));
    for _ in 0..10 {
        bob.post("/channels/board:a", &json!({ "text": "after it has gone" })).await;
    }
}

async fn a_browser_has_twelve_streams(program: Program) {
    let behind = Behind::start(program, Wishes::default()).await;
    let mut streams = Vec::new();
    for n in 0..12 {
        // On one connection, as all requests of these tests are.
        streams.push(behind.somebody(&format!("tab {n}")).await.connect(None).await);
    }
    let ann = behind.somebody("ann").await;
    let mut followed = Vec::new();
    for _ in 0..12 {
        followed.push(ann.follow("board:a").await);
    }
    ann.post("/channels/board:a", &json!({ "text": "to all" })).await;
    for events in &mut followed {
        assert_eq!(events.told().await.unwrap().data["text"], "to all");
    }
}

/// With the balancers' minute cut to what a stream without heartbeats would not outlive. (A WebSocket is silent for almost two of
/// them at most: one is left out where something was said since the last.)
async fn heartbeats_keep_silent_streams_open(program: Program) {
    let instead = match program {
        Program::Nginx => ("_timeout 60s", "_timeout 22s"),
        Program::Haproxy => (" 60s", " 22s"),
    };
    let behind = Behind::start(program, Wishes { instead: Some(instead), ..Wishes::default() }).await;
    let ann = behind.somebody("ann").await;
    let mut events = ann.connect(None).await;
    let bob = behind.somebody("bob").await;
    let mut followed = bob.follow("board:quiet").await;
    let mut socket = behind.socket(&bob.token).await;
    let began = Instant::now();
    while began.elapsed().as_secs() < 28 {
        assert_eq!(events.next().await.expect("it stays open").name, "ping");
    }
    bob.post("/channels/board:quiet", &json!({ "text": "after a while" })).await;
    assert_eq!(followed.told().await.expect("it stays open").data["text"], "after a while");
    socket.send(Message::text(json!({ "id": 1, "op": "ping" }).to_string())).await.unwrap();
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().expect("it stays open").unwrap() {
            Message::Text(text) if text.contains(r#""id":1"#) => break,
            _ => {}
        }
    }
}

async fn logs_hold_no_tokens(program: Program) {
    let behind = Behind::start(program, Wishes::default()).await;
    let ann = behind.somebody("ann").await;
    let path = format!("/ice?token={}", ann.token);
    assert!(behind.browser.send(request(Method::GET, &path, &[], None)).await.status().is_success());
    until("the request is written down", async || behind.log().contains("/ice")).await;
    assert!(!behind.log().contains(&ann.token), "{}", behind.log());
    for path in ["/metrics", "/readyz"] {
        let answer = behind.browser.send(request(Method::GET, path, &[], None)).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path} is nobody else's business");
    }
}
