//! The application's own rules, and its own door to the channels.
//!
//! Seen to fail when: reads skip the `deliver` hook; a claim's withheld messages are not acknowledged; a rewritten
//! channel's frames are shared under its real name; `disconnect` is told before `connect` has admitted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use inkwire::hooks::{PublishRequest, SubscribeRequest, Verdict};
use inkwire::{ChannelName, Client, Code, Draft, Fields, Hooks, Message, Refused, Server, UserId};
use inkwire_embedded::Memory;
use reqwest::Method;
use serde_json::{Value, json};
use support::socket::{Socket, any};
use support::{Node, options};
use tokio::sync::mpsc;

/// Rules that touch everything a hook can.
struct Rules {
    seen: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Hooks for Rules {
    async fn connect(&self, client: &Client) -> Result<(), Refused> {
        let name = client.user().username.as_str();
        if name == "banned" {
            return Err(Refused::new(Code::Forbidden, "you may not come in"));
        }
        self.seen.send(format!("{name} came")).unwrap();
        Ok(())
    }

    async fn subscribe(
        &self,
        _: &Client,
        mut request: SubscribeRequest,
    ) -> Result<SubscribeRequest, Refused> {
        if request.channel.as_str() == "closed" {
            return Err(Refused::new(Code::Forbidden, "closed"));
        }
        if request.channel.as_str() == "alias" {
            request.channel = ChannelName::new("real").unwrap();
        }
        Ok(request)
    }

    async fn publish(&self, client: &Client, mut request: PublishRequest) -> Result<PublishRequest, Refused> {
        if request.channel.as_str() == "closed" {
            return Err(Refused::new(Code::Forbidden, "closed"));
        }
        match request.channel.as_str() {
            "named" => request.draft = request.draft.named(UserId::new("somebody-else").unwrap()),
            // As a hook does that makes its own draft.
            "anew" => request.draft = Draft::plain(request.draft.fields.clone()),
            _ => {}
        }
        let text = request.draft.fields.get("text").unwrap_or_default().to_owned();
        let from = client.user().username.as_str();
        request.draft.fields = Fields::of([("text", &text), ("from", from)]);
        Ok(request)
    }

    fn deliver(&self, client: &Client, _: &ChannelName, message: &Message) -> Verdict {
        match message.fields.get("text") {
            Some("secret") if client.user().username.as_str() != "ann" => Verdict::Withhold,
            Some("whisper") => Verdict::TellInstead(Fields::of([("text", "…")])),
            Some("act") => {
                self.seen.send("acted".into()).unwrap();
                Verdict::Withhold
            }
            _ => Verdict::Tell,
        }
    }

    fn disconnect(&self, client: &Client) {
        self.seen.send(format!("{} left", client.user().username.as_str())).unwrap();
    }
}

async fn node() -> (Node, mpsc::UnboundedReceiver<String>) {
    let (seen, sights) = mpsc::unbounded_channel();
    let server = Server::new(Arc::new(Memory::default()), options());
    let node = Node::of(server.hooks(Rules { seen })).await;
    (node, sights)
}

fn subscribe(channel: &str) -> Value {
    json!({ "op": "subscribe", "channel": channel, "offset": "0" })
}

#[tokio::test]
async fn connections_are_admitted_and_seen_off() {
    let (node, mut sights) = node().await;
    assert!(Socket::try_open(&node, &format!("?token={}", any("banned"))).await.is_err());
    let mut late = Socket::try_open(&node, "").await.unwrap();
    assert_eq!(late.refused(json!({ "op": "auth", "token": any("banned") })).await, "forbidden");
    let ann = Socket::anybody(&node, "ann").await;
    assert_eq!(sights.recv().await.unwrap(), "ann came");
    drop(ann);
    assert_eq!(sights.recv().await.unwrap(), "ann left");
    let bob = node.client("bob").await;
    let stream = bob.connect().await;
    assert_eq!(sights.recv().await.unwrap(), "bob came");
    drop(stream);
    assert_eq!(sights.recv().await.unwrap(), "bob left");
    // Plain requests are no connections.
    bob.present("lobby").await;
    assert!(sights.try_recv().is_err());
}

#[tokio::test]
async fn what_is_published_may_be_refused_or_rewritten() {
    let (node, _sights) = node().await;
    let mut ann = Socket::anybody(&node, "ann").await;
    ann.publish("a", "hello").await;
    let page = ann.done(json!({ "op": "read", "channel": "a" })).await;
    assert_eq!(page["messages"][0]["from"], "ann");
    let closed = json!({ "op": "publish", "channel": "closed", "fields": { "text": "x" } });
    assert_eq!(ann.refused(closed).await, "forbidden");
    assert_eq!(ann.refused(subscribe("closed")).await, "forbidden");
    // Over HTTP too; and no hook can open the server's own channels.
    let bob = node.client("bob").await;
    let reply = bob.send(Method::POST, "/channels/closed", Some(&json!({ "text": "x" }))).await;
    assert_eq!(reply.status(), 403);
    assert_eq!(ann.refused(subscribe("$inbox/ann")).await, "forbidden");
    assert_eq!(bob.send(Method::GET, "/channels/%24inbox%2Fann", None).await.status(), 403);
}

/// A hook may give a message its publisher's name, and nobody else's, and cannot lose it; nor can what it tells instead.
#[tokio::test]
async fn a_name_is_the_clients_own_whatever_a_hook_does() {
    let (node, _sights) = node().await;
    let mut ann = Socket::anybody(&node, "ann").await;
    let publish = |channel: &str, text: &str, named: bool| json!({ "op": "publish", "channel": channel, "fields": { "text": text }, "named": named });
    for (channel, text, named, expected) in [
        ("named", "a", false, json!("ann")),
        ("named", "b", true, json!("ann")),
        ("anew", "c", true, json!("ann")),
        ("anew", "d", false, json!(null)),
        ("anew", "whisper", true, json!("ann")),
    ] {
        let offset = ann.done(publish(channel, text, named)).await["offset"].clone();
        let page = ann.done(json!({ "op": "read", "channel": channel, "limit": 1000 })).await;
        let last = page["messages"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["offset"], &last["@user"]), (&offset, &expected), "{channel} {text}");
    }
}

#[tokio::test]
async fn each_subscriber_is_told_what_the_hook_says() {
    let (node, mut sights) = node().await;
    let (mut ann, mut bob) = (Socket::anybody(&node, "ann").await, Socket::anybody(&node, "bob").await);
    for socket in [&mut ann, &mut bob] {
        socket.done(subscribe("a")).await;
    }
    for text in ["one", "secret", "whisper", "act", "two"] {
        ann.publish("a", text).await;
    }
    assert_eq!(ann.texts(4).await, ["one", "secret", "…", "two"]);
    assert_eq!(bob.texts(3).await, ["one", "…", "two"]);
    let mut acted = 0;
    while acted < 2 {
        acted += usize::from(sights.recv().await.unwrap() == "acted");
    }
    // The same holds for whoever reads, follows over HTTP, or claims.
    let page = bob.done(json!({ "op": "read", "channel": "a" })).await;
    let texts = |page: &Value| {
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|message| message["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&page), ["one", "…", "two"]);
    let claim = json!({ "op": "claim", "channel": "a", "group": "g", "consumer": "c", "minIdleMs": 0 });
    let claimed = bob.done(claim.clone()).await;
    assert_eq!(texts(&claimed), ["one", "…", "two"]);
    let offsets: Vec<_> =
        claimed["messages"].as_array().unwrap().iter().map(|message| message["offset"].clone()).collect();
    bob.done(json!({ "op": "ack", "channel": "a", "group": "g", "offsets": offsets })).await;
    // What was withheld does not wait for anybody.
    let mut ann_claims = claim;
    ann_claims["consumer"] = json!("ann");
    assert_eq!(ann.done(ann_claims).await["messages"], json!([]));
}

#[tokio::test]
async fn a_rewritten_channel_keeps_the_clients_name() {
    let (node, _sights) = node().await;
    let (mut ann, mut bob) = (Socket::anybody(&node, "ann").await, Socket::anybody(&node, "bob").await);
    ann.done(subscribe("alias")).await;
    bob.done(subscribe("real")).await;
    bob.publish("real", "hello").await;
    assert_eq!(ann.event().await["channel"], "alias");
    assert_eq!(bob.event().await["channel"], "real");
}

#[tokio::test]
async fn the_program_publishes_caps_and_speaks_to_everybody() {
    let broker = Arc::new(Memory::default());
    let (one, two) = (Server::new(broker.clone(), options()), Server::new(broker, options()));
    let channels = one.channels();
    // The other node's program may speak to everybody too; that is what makes it listen.
    two.channels();
    let (one, two) = (Node::of(one).await, Node::of(two).await);
    let (mut ann, mut bob) = (Socket::anybody(&one, "ann").await, Socket::anybody(&two, "bob").await);
    channels.broadcast(Fields::of([("text", "hello, everybody")])).await.unwrap();
    for socket in [&mut ann, &mut bob] {
        let event = socket.event().await;
        assert_eq!(
            (&event["channel"], &event["messages"][0]["text"]),
            (&json!("$broadcast"), &json!("hello, everybody"))
        );
    }
    let log = ChannelName::new("log").unwrap();
    channels.set_maxlen(&log, NonZeroUsize::new(1));
    for n in 0..150 {
        ann.publish("log", &n.to_string()).await;
    }
    channels.publish(&log, Fields::of([("text", "last")])).await.unwrap();
    let page = bob.done(json!({ "op": "read", "channel": "log", "limit": 1000 })).await;
    let messages = page["messages"].as_array().unwrap();
    assert!(messages.len() <= 101, "{}", messages.len());
    assert_eq!(messages.last().unwrap()["text"], "last");
}
