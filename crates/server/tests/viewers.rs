//! Peers who may not edit the board: they are in the room like anybody, and the others are told what they are.
//!
//! Seen to fail when: a room's log forgets the role; a record does; joining again changes it; the role is asked of the grant
//! to subscribe; the mark is told of editors too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use inkwire::{Action, Client as Caller, Code, Hooks, Refused, RoomId, Server};
use inkwire_embedded::Memory;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::socket::{Socket, token};
use support::{Client, Node, options};

const SEES: &[(&str, &[Action])] = &[("board:lobby", &[Action::Subscribe])];
const EDITS: &[(&str, &[Action])] = &[("board:lobby", &[Action::Subscribe, Action::Publish])];

fn with(node: &Node, id: &str, grants: &[(&str, &[Action])]) -> Client {
    Client {
        token: token(id, grants, Duration::from_secs(600)),
        id: id.into(),
        username: id.into(),
        http: reqwest::Client::new(),
        url: node.url.clone(),
    }
}

fn viewing(client: &Client) -> Value {
    json!({ "id": client.id, "username": client.username, "viewer": true })
}

async fn present(client: &Client) -> Value {
    let reply = client.send(Method::GET, "/rooms/lobby", None).await;
    reply.json::<Value>().await.unwrap()["peers"].clone()
}

fn added(peer: &Value, offer: bool) -> Value {
    json!({ "peer": peer, "roomId": "lobby", "offer": offer })
}

#[tokio::test]
async fn viewers_are_told_as_such_and_nobody_else() {
    let node = Node::start().await;
    let (ann, bob, eve) = (with(&node, "ann", EDITS), with(&node, "bob", SEES), with(&node, "eve", EDITS));
    let (mut at_ann, mut at_bob, mut at_eve) =
        (ann.connect().await, bob.connect().await, eve.connect().await);
    ann.join("lobby").await;
    assert_eq!(bob.join("lobby").await["peers"], json!([ann.user()]));
    assert_eq!(eve.join("lobby").await["peers"], json!([ann.user(), viewing(&bob)]));
    assert_eq!(at_ann.next().await.unwrap().data, added(&viewing(&bob), false));
    assert_eq!(at_ann.next().await.unwrap().data, added(&eve.user(), false));
    assert_eq!(at_bob.next().await.unwrap().data, added(&ann.user(), true));
    assert_eq!(at_eve.next().await.unwrap().data, added(&ann.user(), true));
    assert_eq!(at_eve.next().await.unwrap().data, added(&viewing(&bob), true));
    assert_eq!(present(&ann).await, json!([ann.user(), viewing(&bob), eve.user()]));
    // What a viewer relays, and its going, are told as ever.
    bob.relayed("ann", "wave", json!(1)).await;
    assert_eq!(at_ann.next().await.unwrap().data, json!({ "peer": bob.user(), "data": 1 }));
    bob.leave("lobby").await;
    assert_eq!(at_ann.next().await.unwrap().data, json!({ "peer": bob.user(), "roomId": "lobby" }));
    // Over the WebSocket, too; and without any grant at all.
    let mut joe = Socket::open(&node, &token("joe", &[], Duration::from_secs(600))).await;
    let joined = joe.done(json!({ "op": "join", "room": "lobby" })).await;
    assert_eq!(joined["peers"], json!([ann.user(), eve.user()]));
    let joe = json!({ "id": "joe", "username": "joe", "viewer": true });
    assert_eq!(at_ann.next().await.unwrap().data, added(&joe, false));
}

#[tokio::test]
async fn the_role_is_that_of_the_joining_for_as_long_as_it_lasts() {
    let broker = Arc::new(Memory::default());
    let one = Node::with(broker.clone(), options()).await;
    let two = Node::with(broker, options()).await;
    let (ann, bob) = (with(&one, "ann", EDITS), with(&one, "bob", SEES));
    let (mut at_ann, at_bob) = (ann.connect().await, bob.connect().await);
    ann.join("lobby").await;
    bob.join("lobby").await;
    assert_eq!(at_ann.next().await.unwrap().data, added(&viewing(&bob), false));
    // On another node, under a token that allows more, its stream resumes and it joins again: nothing has changed.
    let more = with(&two, "bob", EDITS);
    let position = at_bob.position.clone().unwrap();
    drop(at_bob);
    let _at_bob = more.resume(&position).await;
    more.join("lobby").await;
    assert_eq!(present(&ann).await, json!([ann.user(), viewing(&bob)]));
    // Nor does an editor become less by a weaker token; each may leave and come again.
    let weaker = Client { url: one.url.clone(), ..with(&two, "ann", SEES) };
    assert_eq!(weaker.join("lobby").await["peers"], json!([viewing(&bob)]));
    assert_eq!(present(&ann).await, json!([ann.user(), viewing(&bob)]));
    more.leave("lobby").await;
    more.join("lobby").await;
    assert_eq!(at_ann.next().await.unwrap().data, json!({ "peer": bob.user(), "roomId": "lobby" }));
    assert_eq!(at_ann.next().await.unwrap().data, added(&bob.user(), false));
    assert_eq!(present(&ann).await, json!([ann.user(), bob.user()]));
}

/// Nobody edits but ann, whatever the grants say; and of joe nothing is known today.
struct Rules;

#[async_trait]
impl Hooks for Rules {
    async fn edit(&self, client: &Caller, _: &RoomId) -> Result<(), Refused> {
        match client.user().username.as_str() {
            "ann" => Ok(()),
            "joe" => Err(Refused::new(Code::Unavailable, "nobody knows")),
            _ => Err(Refused::new(Code::Forbidden, "look, and do not touch")),
        }
    }
}

#[tokio::test]
async fn the_application_may_decide_who_edits() {
    let node = Node::of(Server::new(Arc::new(Memory::default()), options()).hooks(Rules)).await;
    let (ann, bob, joe) = (with(&node, "ann", &[]), with(&node, "bob", EDITS), with(&node, "joe", EDITS));
    let _streams = (ann.connect().await, bob.connect().await, joe.connect().await);
    ann.join("lobby").await;
    bob.join("lobby").await;
    assert_eq!(present(&ann).await, json!([ann.user(), viewing(&bob)]));
    let reply = joe.send(Method::POST, "/lobby/join", None).await;
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    let view = |client: &Client| {
        let client = client.clone();
        async move { client.send(Method::POST, "/rooms/lobby/view", None).await.status().as_u16() }
    };
    assert_eq!((view(&ann).await, view(&bob).await, view(&joe).await), (200, 403, 503));
}
