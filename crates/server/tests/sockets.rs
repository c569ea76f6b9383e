//! The WebSocket, as the protocol describes it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use inkwire::{Action, Options};
use inkwire_embedded::{Embedded, EmbeddedOptions, Memory};
use serde_json::{Value, json};
use support::socket::{Socket, any, close_code, token};
use support::{Node, options};
use tokio_tungstenite::tungstenite::{Error, Message};

fn publish(channel: &str, text: &str) -> Value {
    json!({ "op": "publish", "channel": channel, "fields": { "text": text } })
}

fn subscribe(channel: &str, offset: &str) -> Value {
    json!({ "op": "subscribe", "channel": channel, "offset": offset })
}

async fn status(node: &Node, query: &str) -> u16 {
    match Socket::try_open(node, query).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_token_comes_with_the_request_or_with_the_first_command() {
    let node = Node::start().await;
    assert_eq!(status(&node, "?token=nonsense").await, 403);
    assert_eq!(node.get("/ws").await.status(), 400);
    assert_eq!(reqwest::Client::new().post(format!("{}/ws", node.url)).send().await.unwrap().status(), 405);

    let mut early = Socket::try_open(&node, &format!("?token={}", any("ann"))).await.unwrap();
    let connected = early.event().await;
    assert_eq!(connected["user"], json!({ "id": "ann", "username": "ann" }));
    assert!(connected["node"].is_string());

    let mut late = Socket::try_open(&node, "").await.unwrap();
    assert_eq!(late.refused(json!({ "op": "ping" })).await, "unauthorized");
    assert_eq!(late.refused(json!({ "op": "auth", "token": "nonsense" })).await, "forbidden");
    late.done(json!({ "op": "auth", "token": any("bob") })).await;
    assert_eq!(late.event().await["user"]["id"], "bob");
    late.done(json!({ "op": "ping" })).await;
    // A newer token of the same identity is taken, somebody else's is not.
    late.done(json!({ "op": "auth", "token": any("bob") })).await;
    assert_eq!(late.refused(json!({ "op": "auth", "token": any("ann") })).await, "conflict");
}

#[tokio::test]
async fn the_subprotocol_is_confirmed() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let node = Node::start().await;
    let mut request = format!("ws://{}/ws?token={}", node.address, any("ann")).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "other, inkwire.v1".parse().unwrap());
    let (_, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "inkwire.v1");
}

#[tokio::test]
async fn every_subscriber_sees_every_message_once_and_in_order() {
    let broker = Arc::new(Memory::default());
    let (one, two) = (Node::with(broker.clone(), options()).await, Node::with(broker, options()).await);
    let mut ann = Socket::anybody(&one, "ann").await;
    let mut bob = Socket::anybody(&two, "bob").await;
    for socket in [&mut ann, &mut bob] {
        let reply = socket.done(subscribe("a", "$")).await;
        assert_eq!((&reply["offset"], &reply["gap"]), (&json!("0-0"), &json!(false)));
    }
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(ann.begin(publish("a", &format!("{n}"))).await);
    }
    let mut offsets = Vec::new();
    for id in ids {
        offsets.push(ann.reply(id).await["offset"].as_str().unwrap().to_owned());
    }
    let expected: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(ann.texts(300).await, expected);
    assert_eq!(bob.texts(300).await, expected);
    // A late one reads the log, or continues where it was.
    let mut eve = Socket::anybody(&two, "eve").await;
    eve.done(subscribe("a", "0")).await;
    assert_eq!(eve.texts(300).await, expected);
    eve.done(json!({ "op": "unsubscribe", "channel": "a" })).await;
    eve.done(subscribe("a", &offsets[289])).await;
    assert_eq!(eve.texts(10).await, expected[290..]);
    assert_eq!(eve.refused(subscribe("a", "0")).await, "conflict");
}

#[tokio::test]
async fn a_cursor_that_cannot_be_continued_is_told_so() {
    let node = Node::start().await;
    let mut socket = Socket::anybody(&node, "ann").await;
    socket.publish("a", "1").await;
    let reply = socket.done(subscribe("a", "9999999999999-0")).await;
    assert_eq!((&reply["offset"], &reply["gap"]), (&json!("0-0"), &json!(true)));
    assert_eq!(socket.texts(1).await, ["1"]);
    let read = json!({ "op": "read", "channel": "a", "after": "5-0" });
    assert_eq!(socket.done(read).await["gap"], true);
}

#[tokio::test]
async fn publishing_says_what_became_of_it() {
    let node = Node::start().await;
    let mut socket = Socket::anybody(&node, "ann").await;
    let keyed = |version: &str| json!({ "op": "publish", "channel": "k", "fields": { "text": "x" }, "key": "a", "version": version });
    let first = socket.done(keyed("2")).await;
    assert!(first.get("duplicate").is_none() && first.get("superseded").is_none());
    let again = socket.done(keyed("2")).await;
    assert_eq!((&again["duplicate"], &again["offset"]), (&json!(true), &first["offset"]));
    let old = socket.done(keyed("1")).await;
    assert_eq!((&old["superseded"], &old["offset"]), (&json!(true), &first["offset"]));
    assert_eq!(socket.refused(publish("k", "x")).await, "conflict");

    let mut produced = publish("a", "x");
    produced["producer"] = json!({ "id": "p", "seq": 5 });
    let first = socket.done(produced.clone()).await;
    let again = socket.done(produced).await;
    assert_eq!((&again["duplicate"], &again["offset"]), (&json!(true), &first["offset"]));

    let mut short = publish("short", "x");
    short["maxlen"] = json!(1);
    for _ in 0..150 {
        socket.done(short.clone()).await;
    }
    let read = json!({ "op": "read", "channel": "short", "limit": 1000 });
    let page = socket.done(read).await;
    assert!(page["messages"].as_array().unwrap().len() <= 101);

    let mut tombstone = keyed("3");
    tombstone["tombstone"] = json!(true);
    socket.done(tombstone).await;
    let page = socket.done(json!({ "op": "read", "channel": "k" })).await;
    let message = &page["messages"][0];
    assert_eq!(
        (&message["@key"], &message["@version"], &message["@deleted"], &message["text"]),
        (&json!("a"), &json!("3"), &json!(true), &json!("x"))
    );
    let unused = socket.done(json!({ "op": "read", "channel": "unused" })).await;
    assert_eq!((&unused["head"], &unused["messages"]), (&json!("0-0"), &json!([])));
}

#[tokio::test]
async fn a_named_message_says_whose_token_published_it() {
    let node = Node::start().await;
    let (mut ann, mut bob) = (Socket::anybody(&node, "ann").await, Socket::anybody(&node, "bob").await);
    for channel in ["log", "poll"] {
        bob.done(json!({ "op": "subscribe", "channel": channel })).await;
    }
    let named = |channel: &str, fields: Value| json!({ "op": "publish", "channel": channel, "fields": fields, "named": true });
    let offset = ann.done(named("log", json!({ "from": "bob" }))).await["offset"].clone();
    let message = json!({ "offset": offset, "from": "bob", "@user": "ann" });
    assert_eq!(bob.event().await["messages"], json!([message]));
    let page = bob.done(json!({ "op": "read", "channel": "log" })).await;
    assert_eq!(page["messages"], json!([message]));
    let claim = json!({ "op": "claim", "channel": "log", "group": "g", "consumer": "c" });
    assert_eq!(bob.done(claim).await["messages"][0]["@user"], "ann");
    let mut vote = named("poll", json!({ "text": "x" }));
    (vote["key"], vote["version"]) = (json!("k"), json!("1"));
    ann.done(vote).await;
    assert_eq!(bob.event().await["messages"][0]["@user"], "ann");
    // Nobody writes the name himself.
    for fields in [json!({ "@user": "bob" }), json!({ "text": "x", "@user": "bob" })] {
        assert_eq!(ann.refused(named("log", fields)).await, "invalid");
    }
    let mut other = named("log", json!({ "text": "x" }));
    other["named"] = json!("bob");
    assert_eq!(ann.refused(other).await, "invalid");
    // Unasked it is not said, whatever else the command has.
    let mut unasked = named("log", json!({ "text": "x" }));
    (unasked["named"], unasked["@user"]) = (json!(false), json!("bob"));
    ann.done(unasked).await;
    assert_eq!(bob.event().await["messages"][0].get("@user"), None);
}

#[tokio::test]
async fn commands_of_a_connection_are_carried_out_in_order() {
    in_order(Node::start().await).await;
}

/// A store that takes its time: publishes are still under way when the next command comes.
#[tokio::test]
async fn commands_of_a_connection_are_carried_out_in_order_on_a_disk() {
    let folder = std::env::temp_dir().join(format!("inkwire-sockets-{}", std::process::id()));
    let store = Embedded::open(EmbeddedOptions::new(&folder)).unwrap();
    in_order(Node::with(Arc::new(store), options()).await).await;
    std::fs::remove_dir_all(folder).unwrap();
}

async fn in_order(node: Node) {
    let mut socket = Socket::anybody(&node, "ann").await;
    // Not one reply is waited for: each command must find what those before it have done.
    let mut ids = vec![socket.begin(publish("a", "1")).await];
    ids.push(socket.begin(subscribe("a", "$")).await);
    ids.push(socket.begin(publish("a", "2")).await);
    ids.push(socket.begin(json!({ "op": "publish", "channel": "a" })).await);
    ids.push(socket.begin(json!({ "op": "read", "channel": "a" })).await);
    ids.push(socket.begin(json!({ "op": "unsubscribe", "channel": "a" })).await);
    ids.push(socket.begin(publish("a", "3")).await);
    ids.push(socket.begin(json!({ "op": "read", "channel": "a" })).await);
    let mut replies = Vec::new();
    let mut told = 0;
    while replies.len() < ids.len() {
        let next = socket.json().await;
        if next.get("event").is_some() {
            assert_eq!((next["messages"][0]["text"].as_str(), told), (Some("2"), 0));
            told += 1;
        } else {
            replies.push(next);
        }
    }
    // What is malformed is no command of any channel, and may be answered before its turn.
    replies.sort_by_key(|reply| reply["id"].as_u64());
    assert_eq!(replies[3]["error"]["code"], "invalid");
    assert_eq!(replies[1]["offset"], replies[0]["offset"]);
    assert_eq!(replies[4]["messages"].as_array().unwrap().len(), 2);
    assert_eq!(replies[7]["messages"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_malformed_harms_nothing_else() {
    let node = Node::start().await;
    let mut socket = Socket::anybody(&node, "ann").await;
    for bad in ["", "{", "[]", "null", "\"ping\"", "{\"op\":\"ping\",\"id\":\"x\"}"] {
        socket.send(bad).await;
        let event = socket.event().await;
        assert_eq!((&event["event"], &event["error"]["code"]), (&json!("error"), &json!("invalid")), "{bad}");
    }
    // Without an id: no reply, and failures as events.
    socket.send(&publish("a", "1").to_string()).await;
    socket.send(&publish("$inbox/ann", "1").to_string()).await;
    assert_eq!(socket.event().await["error"]["code"], "forbidden");
    let page = socket.done(json!({ "op": "read", "channel": "a" })).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    assert_eq!(socket.refused(json!({ "op": "dance" })).await, "invalid");
    socket.send("{\"op\":\"ping\",\"id\":1.50}").await;
    assert_eq!(socket.frame().await.unwrap().to_text().unwrap(), "{\"id\":1.50,\"ok\":true}");
}

#[tokio::test]
async fn an_answer_of_large_messages_is_shorter() {
    let node = Node::start().await;
    let mut socket = Socket::anybody(&node, "ann").await;
    for n in 0..40 {
        socket.publish("a", &format!("{n}:{}", "x".repeat(400_000))).await;
    }
    // Reading on from the last one gives them all, in order, and none is ever left out without a word.
    let (mut after, mut seen) = ("0".to_owned(), 0);
    loop {
        let page = socket.done(json!({ "op": "read", "channel": "a", "after": after, "limit": 1000 })).await;
        assert!(page.to_string().len() < 8 << 20, "{}", page.to_string().len());
        assert_eq!(page["gap"], false);
        for message in page["messages"].as_array().unwrap() {
            assert!(message["text"].as_str().unwrap().starts_with(&format!("{seen}:")));
            message["offset"].as_str().unwrap().clone_into(&mut after);
            seen += 1;
        }
        if page["head"] == after.as_str() {
            break;
        }
    }
    assert_eq!(seen, 40);
    let claim = json!({ "op": "claim", "channel": "a", "group": "g", "consumer": "c", "count": 1000, "minIdleMs": 0 });
    let claimed = socket.done(claim).await;
    let messages = claimed["messages"].as_array().unwrap();
    assert!((10..40).contains(&messages.len()), "{}", messages.len());
    assert!(messages.iter().all(|message| message["@deliveries"] == 1));
}

#[tokio::test]
async fn grants_decide() {
    let node = Node::start().await;
    let reader = token("r", &[("a", &[Action::Subscribe])], Duration::from_secs(60));
    let mut socket = Socket::open(&node, &reader).await;
    socket.done(subscribe("a", "0")).await;
    socket.done(json!({ "op": "read", "channel": "a" })).await;
    let claim = |channel: &str| json!({ "op": "claim", "channel": channel, "group": "g", "consumer": "c" });
    socket.done(claim("a")).await;
    socket.done(json!({ "op": "ack", "channel": "a", "group": "g", "offsets": ["1-0"] })).await;
    for other in [
        publish("a", "x"),
        subscribe("b", "0"),
        json!({ "op": "read", "channel": "b" }),
        claim("b"),
        json!({ "op": "ack", "channel": "b", "group": "g", "offsets": ["1-0"] }),
        subscribe("$peer/r", "0"),
        json!({ "op": "unsubscribe", "channel": "$broadcast" }),
    ] {
        assert_eq!(socket.refused(other).await, "forbidden");
    }
}

#[tokio::test]
async fn workers_share_a_channel() {
    let node = Node::start().await;
    let mut boss = Socket::anybody(&node, "boss").await;
    let mut worker = Socket::anybody(&node, "w").await;
    let claim = |consumer: &str, block: u64, idle: u64| {
        json!({ "op": "claim", "channel": "jobs", "group": "g", "consumer": consumer,
                "blockMs": block, "minIdleMs": idle, "count": 1 })
    };
    assert_eq!(worker.done(claim("w1", 0, 30_000)).await["messages"], json!([]));
    // A claim that waits holds up nothing else, and is answered by what comes.
    let waiting = worker.begin(claim("w1", 20_000, 30_000)).await;
    worker.done(json!({ "op": "ping" })).await;
    worker.done(json!({ "op": "read", "channel": "jobs" })).await;
    let offset = boss.publish("jobs", "1").await;
    let claimed = worker.reply(waiting).await;
    assert_eq!(claimed["messages"][0]["text"], "1");
    assert_eq!(claimed["messages"][0]["@deliveries"], 1);
    // Nobody else is given it, until its holder has been silent for long enough.
    assert_eq!(worker.done(claim("w2", 0, 30_000)).await["messages"], json!([]));
    let taken_over = worker.done(claim("w2", 0, 0)).await;
    assert_eq!(taken_over["messages"][0]["@deliveries"], 2);
    let ack = json!({ "op": "ack", "channel": "jobs", "group": "g", "offsets": [offset] });
    assert_eq!(worker.done(ack.clone()).await["acknowledged"], 1);
    assert_eq!(worker.done(ack).await["acknowledged"], 0);
    assert_eq!(worker.done(claim("w2", 0, 0)).await["messages"], json!([]));
    // A wait that nothing ends is over in time.
    assert_eq!(worker.done(claim("w2", 50, 30_000)).await["messages"], json!([]));
    // A new group begins where it is told to.
    boss.publish("jobs", "2").await;
    let mut fresh = claim("w1", 0, 30_000);
    fresh["group"] = json!("late");
    fresh["from"] = json!("$");
    assert_eq!(worker.done(fresh.clone()).await["messages"], json!([]));
    boss.publish("jobs", "3").await;
    assert_eq!(worker.done(fresh).await["messages"][0]["text"], "3");
}

/// Whoever waits must not keep others from the store, however much is asked at once.
#[tokio::test]
async fn claims_that_wait_hold_up_nobody() {
    let folder = std::env::temp_dir().join(format!("inkwire-claims-{}", std::process::id()));
    let store = Embedded::open(EmbeddedOptions::new(&folder)).unwrap();
    let node = Node::with(Arc::new(store), options()).await;
    let (mut ann, mut bob) = (Socket::anybody(&node, "ann").await, Socket::anybody(&node, "bob").await);
    ann.publish("a", "1").await;
    for n in 0..16 {
        let claim = json!({ "id": n, "op": "claim", "channel": "a", "group": format!("g{n}"), "consumer": "c",
                            "from": "$", "blockMs": 20_000 });
        ann.stream.feed(Message::text(claim.to_string())).await.unwrap();
    }
    ann.stream.feed(Message::text(r#"{"id":99,"op":"read","channel":"a"}"#)).await.unwrap();
    ann.stream.flush().await.unwrap();
    assert_eq!(ann.reply(99).await["messages"].as_array().unwrap().len(), 1);
    assert_eq!(bob.done(json!({ "op": "read", "channel": "a" })).await["gap"], false);
    let one_more =
        json!({ "op": "claim", "channel": "a", "group": "h", "consumer": "c", "from": "$", "blockMs": 1 });
    assert_eq!(ann.refused(one_more).await, "conflict");
    bob.publish("a", "2").await;
    for _ in 0..16 {
        assert_eq!(ann.json().await["messages"][0]["text"], "2");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn many_fields_are_no_trouble() {
    let node = Node::start().await;
    let mut socket = Socket::anybody(&node, "ann").await;
    let fields: serde_json::Map<_, _> = (0..80_000).map(|n| (format!("{n:x}"), json!(""))).collect();
    socket.done(json!({ "op": "publish", "channel": "a", "fields": fields })).await;
    let page = socket.done(json!({ "op": "read", "channel": "a" })).await;
    assert_eq!(page["messages"][0].as_object().unwrap().len(), 80_001);
}

#[tokio::test]
async fn limits_close_with_their_code() {
    let node = Node::start().await;
    let mut large = Socket::anybody(&node, "a").await;
    // Just below the limit is taken.
    large.publish("a", &"x".repeat((1 << 20) - 200)).await;
    let _ = large.stream.send(Message::text("x".repeat((1 << 20) + 1))).await;
    assert_eq!(large.closed().await, 1009);
    let mut binary = Socket::anybody(&node, "a").await;
    binary.stream.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(binary.closed().await, 1003);
    let mut polite = Socket::anybody(&node, "a").await;
    polite.stream.close(None).await.unwrap();
    assert!(polite.frame().await.is_none_or(|message| close_code(&message).is_some()));
}

#[tokio::test]
async fn a_token_that_expires_closes_the_socket_unless_it_is_renewed() {
    let node = Node::start().await;
    let brief = |id: &str| token(id, &[], Duration::from_secs(1));
    let mut kept = Socket::open(&node, &brief("kept")).await;
    let mut lost = Socket::open(&node, &brief("lost")).await;
    kept.done(json!({ "op": "auth", "token": any("kept") })).await;
    assert_eq!(lost.closed().await, 4401);
    kept.publish("a", "still here").await;
}

#[tokio::test]
async fn a_client_that_talks_without_end_is_closed_in_time_all_the_same() {
    let node = Node::start().await;
    let loud = Socket::open(&node, &token("loud", &[], Duration::from_secs(1))).await;
    let (mut sink, mut stream) = loud.stream.split();
    let talking =
        tokio::spawn(async move { while sink.send(Message::text("{\"op\":\"ping\"}")).await.is_ok() {} });
    let ended = tokio::time::timeout(support::PATIENCE, async {
        while let Some(Ok(message)) = stream.next().await {
            if let Some(code) = close_code(&message) {
                return Some(code);
            }
        }
        None
    });
    // The goodbye may be lost on somebody who does not listen; the end is not.
    assert!(matches!(ended.await.unwrap(), Some(4401) | None));
    talking.await.unwrap();
}

#[tokio::test]
async fn draining_is_told_and_closes() {
    let mut node = Node::start().await;
    let mut socket = Socket::anybody(&node, "ann").await;
    node.stop();
    assert_eq!(socket.event().await["event"], "draining");
    assert_eq!(status(&node, &format!("?token={}", any("bob"))).await, 503);
    assert_eq!(socket.closed().await, 1012);
    node.stopped().await;
}

#[tokio::test]
async fn tokens_that_anybody_can_have_are_limited() {
    let node = Node::with_options(Options { publishes: inkwire::Rate::new(1, 3), ..options() }).await;
    let ann = node.client("ann").await;
    let mut socket = Socket::open(&node, &ann.token).await;
    for _ in 0..3 {
        socket.publish("board:a", "x").await;
    }
    let reply = socket.ask(publish("board:a", "x")).await;
    assert_eq!(reply["error"]["code"], "rate-limited");
    assert!(reply["error"]["retryAfterMs"].as_u64().unwrap() <= 1000);
    // Each connection has a limit of its own, and other tokens have none.
    Socket::open(&node, &ann.token).await.publish("board:a", "x").await;
    let mut own = Socket::anybody(&node, "app").await;
    for _ in 0..10 {
        own.publish("board:a", "x").await;
    }
}

#[tokio::test]
async fn a_socket_becomes_the_peers_stream_when_it_joins() {
    let node = Node::start().await;
    let (ann, bob) = (node.client("ann").await, node.client("bob").await);
    let mut at_bob = bob.connect().await;
    bob.join("lobby").await;
    let mut at_ann = Socket::open(&node, &ann.token).await;
    let joined = at_ann.done(json!({ "op": "join", "room": "lobby" })).await;
    assert_eq!((&joined["room"], &joined["peers"]), (&json!("lobby"), &json!([bob.user()])));
    let added = at_ann.event().await;
    assert_eq!(added["event"], "add-peer");
    assert_eq!(
        (&added["peer"], &added["offer"], &added["roomId"]),
        (&bob.user(), &json!(true), &json!("lobby"))
    );
    assert!(added["position"].is_string());
    assert_eq!(at_bob.next().await.unwrap().data["offer"], json!(false));

    at_ann.done(json!({ "op": "relay", "to": bob.id, "event": "wave", "data": { "x": 1 } })).await;
    let wave = at_bob.next().await.unwrap();
    assert_eq!((wave.name.as_str(), &wave.data["data"]), ("wave", &json!({ "x": 1 })));
    bob.relayed(&ann.id, "answer", json!([1, 2])).await;
    let answer = at_ann.event().await;
    assert_eq!(
        (&answer["event"], &answer["data"], &answer["peer"]),
        (&json!("answer"), &json!([1, 2]), &bob.user())
    );
    for (command, code) in [
        (json!({ "op": "relay", "to": "nobody", "event": "wave", "data": 1 }), "not-found"),
        (json!({ "op": "relay", "to": bob.id, "event": "add-peer", "data": 1 }), "forbidden"),
        (json!({ "op": "relay", "to": bob.id, "event": "Wave", "data": 1 }), "invalid"),
        (json!({ "op": "relay", "to": bob.id, "event": "wave", "data": "x".repeat(65_600) }), "too-large"),
        (json!({ "op": "join", "room": "access" }), "invalid"),
    ] {
        assert_eq!(at_ann.refused(command).await, code);
    }

    // It drops, and comes back with its position on a new socket: nothing lost, nothing told to the others.
    let position = answer["position"].as_str().unwrap().to_owned();
    drop(at_ann);
    bob.relayed(&ann.id, "while-away", json!(1)).await;
    let query = format!("?token={}&lastEventId={position}", ann.token);
    let mut at_ann = Socket::try_open(&node, &query).await.unwrap();
    let connected = at_ann.event().await;
    assert_eq!((&connected["event"], &connected["resumed"]), (&json!("connected"), &json!(true)));
    assert_eq!(at_ann.event().await["event"], "while-away");
    at_ann.done(json!({ "op": "leave", "room": "lobby" })).await;
    assert_eq!(at_bob.next().await.unwrap().name, "remove-peer");

    // A newer stream takes over; the socket goes on for channels.
    let _stream = ann.connect().await;
    assert_eq!(at_ann.event().await["event"], "replaced");
    at_ann.done(json!({ "op": "ping" })).await;

    let mut lost =
        Socket::try_open(&node, &format!("?token={}&lastEventId=nonsense", ann.token)).await.unwrap();
    assert_eq!(lost.event().await["resumed"], false);
    let gap = lost.event().await;
    assert_eq!(gap["event"], "gap");
    assert!(gap.get("channel").is_none());
}
