//! Rooms and signalling, as `PROTOCOL.md` tells them, against real servers. Two nodes are two servers on one broker.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use inkwire_embedded::Memory;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Client, Events, Node, eventually, options};

async fn two_nodes() -> (Node, Node) {
    let broker = Arc::new(Memory::default());
    (Node::with(broker.clone(), options()).await, Node::with(broker, options()).await)
}

/// Two peers in a room, having met.
async fn ann_and_bob(node: &Node) -> (Client, Events, Client, Events) {
    let (ann, bob) = (node.client("ann").await, node.client("bob").await);
    let (mut at_ann, mut at_bob) = (ann.connect().await, bob.connect().await);
    assert_eq!(ann.join("lobby").await, json!({ "room": "lobby", "peers": [] }));
    assert_eq!(bob.join("lobby").await, json!({ "room": "lobby", "peers": [ann.user()] }));
    assert_eq!(at_bob.short().await, "+ann");
    assert_eq!(at_ann.short().await, "+bob?");
    (ann, at_ann, bob, at_bob)
}

#[tokio::test]
async fn the_stream_begins_as_the_protocol_says() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let reply = ann.try_connect(None).await;
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    assert_eq!(reply.headers()["cache-control"], "no-cache");
    assert_eq!(reply.headers()["x-accel-buffering"], "no");
    let mut events = Events::of(reply);
    events.next().await.unwrap();
    let position = events.position.clone().unwrap();
    assert!(events.raw.starts_with(&format!("retry: 1000\n\nid: {position}\n\nevent: connected\ndata: {{")));
}

#[tokio::test]
async fn peers_are_introduced_and_the_newcomer_offers() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, mut at_bob) = ann_and_bob(&node).await;
    let eve = node.client("eve").await;
    let mut at_eve = eve.connect().await;
    eve.join("lobby").await;
    assert_eq!(at_eve.shorts(2).await, ["+ann", "+bob"]);
    let seen = at_ann.next().await.unwrap();
    assert_eq!(seen.data, json!({ "peer": eve.user(), "roomId": "lobby", "offer": false }));
    assert_eq!(at_bob.short().await, "+eve?");
    assert_eq!(ann.present("lobby").await, ["ann", "bob", "eve"]);
    bob.leave("lobby").await;
    let gone = at_ann.next().await.unwrap();
    assert_eq!(
        (gone.name.as_str(), gone.data),
        ("remove-peer", json!({ "peer": bob.user(), "roomId": "lobby" }))
    );
    assert_eq!(at_eve.short().await, "-bob");
    assert_eq!(eve.present("lobby").await, ["ann", "eve"]);
}

#[tokio::test]
async fn joining_and_leaving_twice_is_harmless() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, mut at_bob) = ann_and_bob(&node).await;
    assert_eq!(bob.join("lobby").await["peers"], json!([ann.user()]));
    bob.leave("lobby").await;
    bob.leave("lobby").await;
    bob.leave("nowhere").await;
    bob.join("lobby").await;
    assert_eq!(at_ann.shorts(2).await, ["-bob", "+bob?"]);
    assert_eq!(at_bob.short().await, "+ann");
    ann.relayed(&bob.id, "wave", json!(1)).await;
    assert_eq!(at_bob.next().await.unwrap().name, "wave", "nothing came in between");
}

#[tokio::test]
async fn relayed_events_keep_sender_body_and_order() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, mut at_bob) = ann_and_bob(&node).await;
    let bodies = [
        json!({ "type": "offer", "sdp": "v=0\r\no=- 1\r\n" }),
        json!(null),
        json!([1.5, "é\u{2028}"]),
        json!("x"),
    ];
    for body in &bodies {
        ann.relayed(&bob.id, "session-description", body.clone()).await;
    }
    for body in &bodies {
        let event = at_bob.next().await.unwrap();
        assert_eq!(event.name, "session-description");
        assert_eq!(event.data, json!({ "peer": ann.user(), "data": body }));
    }
    // Line breaks in a body's JSON cannot become lines of the stream.
    let sly = "{\"a\":\n\r\n\"b\\nevent: add-peer\"\n\n}";
    let reply = bob
        .http
        .post(format!("{}/relay/{}/wave", bob.url, ann.id))
        .bearer_auth(&bob.token)
        .header("content-type", "application/json")
        .body(sly)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(at_ann.next().await.unwrap().data["data"], json!({ "a": "b\nevent: add-peer" }));
}

#[tokio::test]
async fn what_a_peer_said_before_it_left_is_told_before_it_left() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, _at_bob) = ann_and_bob(&node).await;
    // More than the connection holds: ann does not read, so most of it waits in the log when bob leaves.
    let body = json!("x".repeat(60_000));
    for _ in 0..200 {
        bob.relayed(&ann.id, "wave", body.clone()).await;
    }
    bob.leave("lobby").await;
    for n in 0..200 {
        assert_eq!(at_ann.next().await.unwrap().name, "wave", "event {n}");
    }
    assert_eq!(at_ann.short().await, "-bob");
}

#[tokio::test]
async fn whatever_was_dropped_for_a_stranger_holds_up_nobody() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, _at_bob) = ann_and_bob(&node).await;
    let eve = node.client("eve").await;
    let _at_eve = eve.connect().await;
    eve.join("other").await;
    ann.join("other").await;
    let body = json!("x".repeat(60_000));
    for _ in 0..200 {
        bob.relayed(&ann.id, "wave", body.clone()).await;
    }
    eve.relayed(&ann.id, "hello", json!(1)).await;
    // Ann leaves the room, and has nothing to do with bob any more; eve's word must come all the same.
    ann.leave("lobby").await;
    while at_ann.next().await.unwrap().name != "hello" {}
}

#[tokio::test]
async fn an_introduction_always_precedes_the_first_relayed_event() {
    let (here, there) = two_nodes().await;
    for round in 0..50 {
        let room = format!("room-{round}");
        let (ann, bob) = (here.client("ann").await, there.client("bob").await);
        let (mut at_ann, _at_bob) = (ann.connect().await, bob.connect().await);
        ann.join(&room).await;
        bob.join(&room).await;
        bob.relayed(&ann.id, "wave", json!(round)).await;
        assert_eq!(at_ann.shorts(2).await[0], "+bob?");
    }
}

#[tokio::test]
async fn of_two_that_join_at_the_same_instant_exactly_one_offers() {
    let (here, there) = two_nodes().await;
    let mut pairs = tokio::task::JoinSet::new();
    for pair in 0..100 {
        let (one, two) = (here.client("one").await, there.client("two").await);
        pairs.spawn(async move {
            let (mut at_one, mut at_two) = (one.connect().await, two.connect().await);
            let room = format!("pair-{pair}");
            tokio::join!(one.join(&room), two.join(&room));
            let mut seen = [at_one.short().await, at_two.short().await];
            seen.sort();
            seen
        });
    }
    for seen in pairs.join_all().await {
        assert!(seen == ["+one", "+two?"] || seen == ["+one?", "+two"], "{seen:?}");
    }
}

/// Relays numbers to somebody, in order.
async fn count(from: &Client, to: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        from.relayed(to, "count", json!(number)).await;
    }
}

/// Reads numbers up to one, in order and without anything in between.
async fn expect(events: &mut Events, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["data"]), ("count", &json!(number)));
    }
}

#[tokio::test]
async fn two_hundred_events_around_a_drop_arrive_once_and_in_order() {
    let (here, there) = two_nodes().await;
    let (ann, mut at_ann, bob, mut at_bob) = ann_and_bob(&here).await;
    count(&ann, &bob.id, 0..70).await;
    // Some are read, the rest is on its way or unread when the stream is cut.
    expect(&mut at_bob, 0..40).await;
    let position = at_bob.position.clone().unwrap();
    drop(at_bob);
    count(&ann, &bob.id, 70..140).await;
    let mut at_bob = bob.at(&there).resume(&position).await;
    count(&ann, &bob.id, 140..200).await;
    expect(&mut at_bob, 40..200).await;
    // The others have noticed nothing: the next thing ann hears is what bob says now.
    bob.relayed(&ann.id, "count", json!(0)).await;
    expect(&mut at_ann, 0..1).await;
    assert_eq!(ann.present("lobby").await, ["ann", "bob"]);
}

#[tokio::test]
async fn whoever_resumes_learns_who_came_and_went_meanwhile() {
    let (here, there) = two_nodes().await;
    let (ann, at_ann, bob, mut at_bob) = ann_and_bob(&here).await;
    let eve = there.client("eve").await;
    let mut at_eve = eve.connect().await;
    let position = at_ann.position.clone().unwrap();
    drop(at_ann);
    eve.join("lobby").await;
    assert_eq!(at_eve.shorts(2).await, ["+ann", "+bob"]);
    bob.leave("lobby").await;
    eve.relayed(&ann.id, "wave", json!(1)).await;
    let mut at_ann = ann.at(&there).resume(&position).await;
    assert_eq!(at_ann.shorts(2).await, ["+eve?", "-bob"]);
    assert_eq!(at_ann.next().await.unwrap().name, "wave");
    assert_eq!(at_bob.short().await, "+eve?");
}

#[tokio::test]
async fn every_position_given_can_be_resumed() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let mut at_ann = ann.connect().await;
    let mut positions = vec![at_ann.position.clone().unwrap()];
    ann.join("lobby").await;
    let mut expected = Vec::new();
    for name in ["b", "c", "d"] {
        let peer = node.client(name).await;
        let _stream = peer.connect().await;
        peer.join("lobby").await;
        peer.relayed(&ann.id, "count", json!(name)).await;
        peer.leave("lobby").await;
        for _ in 0..3 {
            expected.push(at_ann.next().await.unwrap().short());
            positions.push(at_ann.position.clone().unwrap());
        }
    }
    drop(at_ann);
    for (at, position) in positions.iter().enumerate() {
        let mut again = ann.resume(position).await;
        let rest: Vec<String> = again.shorts(expected.len() - at).await;
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        assert_eq!(sorted(&rest), sorted(&expected[at..]), "after event {at}");
    }
}

#[tokio::test]
async fn a_dropped_peer_leaves_after_the_grace_time_and_once() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, at_bob) = ann_and_bob(&node).await;
    drop(at_bob);
    assert_eq!(ann.present("lobby").await, ["ann", "bob"], "not before the grace time");
    assert_eq!(at_ann.short().await, "-bob");
    assert_eq!(ann.present("lobby").await, ["ann"]);
    let reply = bob.send(Method::POST, "/lobby/join", None).await;
    assert_eq!(reply.status(), StatusCode::CONFLICT);
    let _at_bob = bob.connect().await;
    bob.join("lobby").await;
    assert_eq!(at_ann.short().await, "+bob?");
}

#[tokio::test]
async fn the_newer_stream_replaces_the_older() {
    let (here, there) = two_nodes().await;
    let (_ann, mut at_ann, bob, mut at_bob) = ann_and_bob(&here).await;
    let mut second = bob.at(&there).connect().await;
    assert_eq!(at_bob.next().await.unwrap().name, "replaced");
    assert_eq!(at_bob.next().await, None);
    assert_eq!(at_ann.short().await, "-bob", "a stream without a position starts anew");
    bob.join("lobby").await;
    assert_eq!(at_ann.short().await, "+bob?");
    assert_eq!(second.short().await, "+ann");
    drop(at_bob);
    // The end of the replaced stream takes nobody away.
    tokio::time::sleep(support::SHORT_GRACE * 3).await;
    assert_eq!(bob.present("lobby").await, ["ann", "bob"]);
}

#[tokio::test]
async fn a_resumed_stream_replaces_the_one_it_continues() {
    let node = Node::start().await;
    let (ann, _at_ann, bob, mut at_bob) = ann_and_bob(&node).await;
    let position = at_bob.position.clone().unwrap();
    let mut resumed = bob.resume(&position).await;
    assert_eq!(at_bob.next().await.unwrap().name, "replaced");
    ann.relayed(&bob.id, "wave", json!(1)).await;
    assert_eq!(resumed.next().await.unwrap().name, "wave");
    assert_eq!(ann.present("lobby").await, ["ann", "bob"]);
}

#[tokio::test]
async fn a_position_that_cannot_be_continued_is_told_as_a_gap() {
    let node = Node::start().await;
    let elsewhere = Node::start().await;
    let (_ann, mut at_ann, bob, mut at_bob) = ann_and_bob(&node).await;
    let from_elsewhere = {
        let stranger = elsewhere.client("bob").await;
        stranger.connect().await.position.unwrap()
    };
    for position in ["nonsense", "", "0-0;x", "9999999999999-0", "1-0", "é", &from_elsewhere] {
        if position.is_empty() {
            continue;
        }
        drop(at_bob);
        at_bob = bob.open(Some(position), false).await;
        let gap = at_bob.next().await.unwrap();
        assert_eq!((gap.name.as_str(), gap.data), ("gap", json!({})), "{position}");
        assert!(gap.id.is_some());
        assert_eq!(at_ann.short().await, "-bob", "it has left its rooms");
        bob.join("lobby").await;
        assert_eq!(at_bob.short().await, "+ann");
        assert_eq!(at_ann.short().await, "+bob?");
    }
}

#[tokio::test]
async fn a_position_is_too_old_after_the_grace_time() {
    let node = Node::start().await;
    let (_ann, mut at_ann, bob, at_bob) = ann_and_bob(&node).await;
    let position = at_bob.position.clone().unwrap();
    drop(at_bob);
    assert_eq!(at_ann.short().await, "-bob");
    let mut at_bob = bob.open(Some(&position), false).await;
    assert_eq!(at_bob.next().await.unwrap().name, "gap");
}

#[tokio::test]
async fn a_position_of_somebody_else_opens_nobodys_inbox() {
    let node = Node::start().await;
    let (ann, at_ann, bob, at_bob) = ann_and_bob(&node).await;
    ann.relayed(&bob.id, "secret", json!("for bob")).await;
    let position = at_bob.position.clone().unwrap();
    drop((at_ann, at_bob));
    let mut at_ann = ann.open(Some(&position), false).await;
    assert_eq!(at_ann.next().await.unwrap().name, "gap");
}

#[tokio::test]
async fn the_query_resumes_too_and_the_header_wins() {
    let node = Node::start().await;
    let (_ann, _at_ann, bob, at_bob) = ann_and_bob(&node).await;
    let position = at_bob.position.clone().unwrap();
    drop(at_bob);
    let url = format!("{}/connect?token={}&lastEventId={position}", bob.url, bob.token);
    let request = || bob.http.get(&url).header("accept", "text/event-stream");
    let connected = Events::of(request().send().await.unwrap()).next().await.unwrap();
    assert_eq!(connected.data["resumed"], json!(true));
    let reply = request().header("last-event-id", "nonsense").send().await.unwrap();
    assert_eq!(Events::of(reply).next().await.unwrap().data["resumed"], json!(false));
}

#[tokio::test]
async fn refusals() {
    let node = Node::start().await;
    let (ann, _at_ann, bob, _at_bob) = ann_and_bob(&node).await;
    let stranger = node.client("stranger").await;
    let _stream = stranger.connect().await;
    let idle = node.client("idle").await;
    let status = |reply: reqwest::Response| (reply.status().as_u16(), reply);
    let cases: [(&Client, String, Value, u16, &str); 8] = [
        (&idle, "/lobby/join".into(), Value::Null, 409, "conflict"),
        (&ann, format!("/relay/{}/wave", stranger.id), json!(1), 403, "forbidden"),
        (&stranger, format!("/relay/{}/wave", ann.id), json!(1), 403, "forbidden"),
        (&ann, "/relay/nobody/wave".into(), json!(1), 404, "not-found"),
        (&ann, format!("/relay/{}/wave", idle.id), json!(1), 404, "not-found"),
        (&ann, format!("/relay/{}/add-peer", bob.id), json!(1), 403, "forbidden"),
        (&ann, format!("/relay/{}/Wave", bob.id), json!(1), 400, "invalid"),
        (&ann, format!("/relay/{}/wave", bob.id), json!("x".repeat(64 << 10)), 413, "too-large"),
    ];
    for (client, path, body, expected, code) in cases {
        let (found, reply) = status(client.send(Method::POST, &path, Some(&body)).await);
        assert_eq!(found, expected, "{path}");
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        let problem: Value = reply.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(expected)));
    }
    // The largest body that is allowed arrives.
    let largest = json!("x".repeat((64 << 10) - 2));
    ann.relayed(&bob.id, "wave", largest).await;
}

#[tokio::test]
async fn relays_and_joins_are_limited_per_peer() {
    let node = Node::start().await;
    let (ann, _at_ann, bob, _at_bob) = ann_and_bob(&node).await;
    let mut limited = None;
    for room in 0..40 {
        let reply = ann.send(Method::POST, &format!("/room-{room}/join"), None).await;
        if reply.status() == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(reply);
            break;
        }
    }
    let reply = limited.expect("forty joins at once are too many");
    assert!(reply.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(reply.json::<Value>().await.unwrap()["code"], "rate-limited");
    bob.join("another").await;
}

#[tokio::test]
async fn a_peer_is_in_a_bounded_number_of_rooms() {
    let node =
        Node::with_options(inkwire::Options { joins: inkwire::Rate::new(1000, 1000), ..options() }).await;
    let ann = node.client("ann").await;
    let _stream = ann.connect().await;
    for room in 0..32 {
        ann.join(&format!("room-{room}")).await;
    }
    assert_eq!(ann.send(Method::POST, "/one-more/join", None).await.status(), StatusCode::CONFLICT);
    ann.join("room-5").await;
    ann.leave("room-5").await;
    ann.join("one-more").await;
}

#[tokio::test]
async fn draining_is_told_once_and_streams_end() {
    let mut node = Node::start().await;
    let (ann, mut at_ann, _bob, mut at_bob) = ann_and_bob(&node).await;
    eventually("the node is ready", || async { node.get("/readyz").await.status() == StatusCode::OK }).await;
    node.stop();
    for events in [&mut at_ann, &mut at_bob] {
        assert_eq!(events.next().await.unwrap().name, "draining");
    }
    let reply = ann.try_connect(None).await;
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.headers().contains_key("retry-after"));
    assert_eq!(node.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(node.get("/healthz").await.status(), StatusCode::OK);
    for events in [&mut at_ann, &mut at_bob] {
        // Whose stream ends last may still see the other leave.
        while let Some(event) = events.next().await {
            assert_eq!(event.name, "remove-peer");
        }
    }
    node.stopped().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    use inkwire::{TokenSecret, Tokens};
    use inkwire_protocol::{PeerId, User, Username};
    let node = Node::start().await;
    let user = User { id: PeerId::new("brief").unwrap(), username: Username::new("brief").unwrap() };
    let tokens = Tokens::new(&TokenSecret::new(support::SECRET).unwrap());
    let token = tokens.mint(&user, &[], Duration::ZERO);
    let brief = Client {
        http: reqwest::Client::new(),
        url: node.url.clone(),
        token,
        id: "brief".into(),
        username: "brief".into(),
    };
    let mut events = brief.connect().await;
    assert_eq!(events.next().await, None);
    let refused = || async { brief.try_connect(None).await.status() == StatusCode::FORBIDDEN };
    eventually("the expired token is refused", refused).await;
}

#[tokio::test]
async fn a_renewed_token_keeps_the_identity() {
    let node = Node::start().await;
    let (ann, mut at_ann, bob, at_bob) = ann_and_bob(&node).await;
    let reply = bob.send(Method::POST, "/access", Some(&json!({ "username": "bob" }))).await;
    let reply: Value = reply.json().await.unwrap();
    assert_eq!(reply["user"], bob.user());
    let renewed = Client { token: reply["token"].as_str().unwrap().to_owned(), ..bob.clone() };
    let position = at_bob.position.clone().unwrap();
    drop(at_bob);
    let _at_bob = renewed.resume(&position).await;
    renewed.relayed(&ann.id, "wave", json!(1)).await;
    assert_eq!(at_ann.next().await.unwrap().name, "wave");
}
