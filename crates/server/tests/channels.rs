//! Channels over HTTP, as `PROTOCOL.md` tells them, against real servers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::num::NonZeroUsize;
use std::time::Duration;

use inkwire::{Options, Rate, RetentionRule, TokenSecret, Tokens};
use inkwire_protocol::access::{Action, Grant};
use inkwire_protocol::{PeerId, User, Username};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use support::{Client, Events, Node, eventually, options};

const BOARD: &str = "/channels/board%3Aa%2Fb";

async fn publish(client: &Client, path: &str, fields: Value) -> (StatusCode, Value) {
    let reply = client.send(Method::POST, path, Some(&fields)).await;
    (reply.status(), reply.json().await.unwrap())
}

async fn published(client: &Client, path: &str, text: &str) -> String {
    let (status, reply) = publish(client, path, json!({ "text": text })).await;
    assert_eq!(status, StatusCode::CREATED, "{reply}");
    reply["offset"].as_str().unwrap().to_owned()
}

async fn read(client: &Client, path: &str) -> Value {
    let reply = client.send(Method::GET, path, None).await;
    assert_eq!(reply.status(), StatusCode::OK);
    reply.json().await.unwrap()
}

async fn follow(client: &Client, path: &str, last: Option<&str>) -> Response {
    let mut request = client.http.get(format!("{}{path}", client.url)).bearer_auth(&client.token);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.header("accept", "text/event-stream").send().await.unwrap()
}

async fn texts(events: &mut Events, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.id.as_deref()), ("message", event.data["offset"].as_str()));
        texts.push(event.data["text"].as_str().unwrap().to_owned());
    }
    texts
}

#[tokio::test]
async fn what_is_published_is_read_in_order() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    assert_eq!(read(&ann, BOARD).await, json!({ "messages": [], "head": "0-0", "gap": false }));
    let (status, reply) = publish(&ann, BOARD, json!({ "b": "1", "a": "é\n" })).await;
    assert_eq!(status, StatusCode::CREATED);
    let first = reply["offset"].as_str().unwrap().to_owned();
    let second = published(&ann, BOARD, "two").await;
    let page = read(&ann, BOARD).await;
    let expected = json!([{ "offset": first, "b": "1", "a": "é\n" }, { "offset": second, "text": "two" }]);
    assert_eq!(page, json!({ "messages": expected, "head": second, "gap": false }));
    let page = read(&ann, &format!("{BOARD}?after={first}&limit=1")).await;
    assert_eq!(page["messages"], json!([expected[1]]));
    let page = read(&ann, &format!("{BOARD}?after=1-1")).await;
    assert_eq!((page["gap"].clone(), page["messages"].as_array().unwrap().len()), (json!(true), 2));
}

#[tokio::test]
async fn a_stream_replays_goes_live_and_resumes() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    for text in ["1", "2", "3"] {
        published(&ann, BOARD, text).await;
    }
    let mut all = Events::of(follow(&ann, &format!("{BOARD}?offset=0"), None).await);
    assert_eq!(texts(&mut all, 3).await, ["1", "2", "3"]);
    published(&ann, BOARD, "4").await;
    assert_eq!(texts(&mut all, 1).await, ["4"]);
    let position = all.position.clone().unwrap();
    drop(all);
    for text in ["5", "6"] {
        published(&ann, BOARD, text).await;
    }
    // The header wins over the query.
    let mut resumed = Events::of(follow(&ann, &format!("{BOARD}?offset=0"), Some(&position)).await);
    assert_eq!(texts(&mut resumed, 2).await, ["5", "6"]);
    let reply = follow(&ann, BOARD, Some("nonsense")).await;
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn whoever_heard_nothing_yet_misses_nothing_either() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    published(&ann, BOARD, "old").await;
    let stream = follow(&ann, BOARD, None).await;
    let mut events = Events::of(stream);
    let live = published(&ann, BOARD, "live").await;
    let first = events.next().await.unwrap();
    assert_eq!(first.id.as_deref(), Some(live.as_str()), "new messages only");
    let given = events.raw.strip_prefix("id: ").unwrap().split('\n').next().unwrap().to_owned();
    drop(events);
    let mut again = Events::of(follow(&ann, BOARD, Some(&given)).await);
    assert_eq!(texts(&mut again, 1).await, ["live"]);
}

#[tokio::test]
async fn a_gap_is_told_before_what_is_left() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let first = published(&ann, BOARD, "first").await;
    for n in 0..150 {
        published(&ann, &format!("{BOARD}?maxlen=5"), &n.to_string()).await;
    }
    let mut events = Events::of(follow(&ann, BOARD, Some(&first)).await);
    let gap = events.next().await.unwrap();
    assert_eq!((gap.name.as_str(), gap.id), ("gap", None));
    assert_eq!(gap.data["after"], json!(first));
    let next = events.next().await.unwrap();
    assert_eq!(next.data["offset"], gap.data["oldest"]);
}

#[tokio::test]
async fn keyed_messages() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let put = |version: &str, more: &str| format!("{BOARD}?key=k&version={version}{more}");
    let first = published(&ann, &put("2", ""), "two").await;
    let (status, reply) = publish(&ann, &put("2", ""), json!({ "text": "again" })).await;
    assert_eq!((status, reply), (StatusCode::OK, json!({ "offset": first, "duplicate": true })));
    let (status, reply) = publish(&ann, &put("1", ""), json!({ "text": "old" })).await;
    assert_eq!((status, reply), (StatusCode::OK, json!({ "offset": first, "superseded": true })));
    let last = published(&ann, &put("3", "&tombstone=true"), "gone").await;
    let page = read(&ann, BOARD).await;
    let message = json!({ "offset": last, "text": "gone", "@key": "k", "@version": "3", "@deleted": true });
    assert_eq!(page["messages"], json!([message]));
    let (status, reply) = publish(&ann, BOARD, json!({ "text": "plain" })).await;
    assert_eq!((status, &reply["code"]), (StatusCode::CONFLICT, &json!("conflict")));
}

#[tokio::test]
async fn a_repeated_request_with_a_key_is_given_the_first_answer() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let send = async |key: &str| {
        let request = ann.http.post(format!("{}{BOARD}", ann.url)).bearer_auth(&ann.token);
        request.header("idempotency-key", key).json(&json!({ "text": "once" })).send().await.unwrap()
    };
    let first = send("a").await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let first: Value = first.json().await.unwrap();
    let again = send("a").await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(send("b").await.status(), StatusCode::CREATED);
    assert_eq!(send(&"x".repeat(200)).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(read(&ann, BOARD).await["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn grants_decide() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let tokens = Tokens::new(&TokenSecret::new(support::SECRET).unwrap());
    let user = User { id: PeerId::new("app").unwrap(), username: Username::new("app").unwrap() };
    let grants = [Grant { pattern: "news.*".into(), can: vec![Action::Subscribe] }];
    let reader = Client { token: tokens.mint(&user, &grants, Duration::from_secs(60)), ..ann.clone() };
    let nobody = Client { token: tokens.mint(&user, &[], Duration::from_secs(60)), ..ann.clone() };
    let cases = [
        (&ann, Method::GET, "/channels/news.1", 403),
        (&ann, Method::POST, "/channels/news.1", 403),
        (&ann, Method::GET, "/channels/board:x", 200),
        (&reader, Method::GET, "/channels/news.1", 200),
        (&reader, Method::POST, "/channels/news.1", 403),
        (&reader, Method::GET, "/channels/other", 403),
        (&nobody, Method::GET, "/channels/board:x", 403),
        (&ann, Method::GET, "/channels/$room%2Flobby", 403),
        (&ann, Method::POST, "/channels/$inbox%2Fx", 403),
        (&ann, Method::GET, "/channels/a%20b", 400),
    ];
    for (client, method, path, expected) in cases {
        let reply = client.send(method.clone(), path, Some(&json!({ "a": "b" }))).await;
        assert_eq!(reply.status().as_u16(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let named = json!({ "text": "x", "@user": "bob" });
    for fields in
        [json!({}), json!([]), json!({ "a": 1 }), json!({ "@a": "b" }), named, json!({ "offset": "b" })]
    {
        assert_eq!(publish(&ann, BOARD, fields.clone()).await.0, StatusCode::BAD_REQUEST, "{fields}");
    }
    for query in
        ["maxlen=0", "maxlen=x", "key=k", "version=1", "tombstone=true", "key=k&version=a%20b", "tombstone=1"]
    {
        let reply = publish(&ann, &format!("{BOARD}?{query}"), json!({ "a": "b" })).await;
        assert_eq!(reply.0, StatusCode::BAD_REQUEST, "{query}");
    }
    for query in ["after=x", "after=$", "limit=0", "limit=1001", "limit=x"] {
        let reply = ann.send(Method::GET, &format!("{BOARD}?{query}"), None).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    let large = json!({ "a": "x".repeat(1 << 20) });
    assert_eq!(publish(&ann, BOARD, large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(read(&ann, BOARD).await["messages"], json!([]));
}

#[tokio::test]
async fn anonymous_publishers_are_limited() {
    let options = Options { publishes: Rate::new(1, 3), ..options() };
    let node = Node::with_options(options).await;
    let ann = node.client("ann").await;
    for n in 0..3 {
        published(&ann, BOARD, &n.to_string()).await;
    }
    let reply = ann.send(Method::POST, BOARD, Some(&json!({ "a": "b" }))).await;
    assert_eq!(reply.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(reply.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn channels_keep_what_the_operator_says() {
    let node = Node::with_options(Options {
        retention: vec![
            RetentionRule { maximum: NonZeroUsize::new(1), ..RetentionRule::new("board:few*") },
            RetentionRule { age: Some(Duration::from_millis(1)), ..RetentionRule::new("board:brief*") },
        ],
        ..options()
    })
    .await;
    let ann = node.client("ann").await;
    for _ in 0..101 {
        published(&ann, "/channels/board%3Afew", "x").await;
    }
    let kept = async |path: &str| {
        let page = read(&ann, path).await;
        (page["messages"].as_array().unwrap().len(), page["head"].clone())
    };
    assert_eq!(kept("/channels/board%3Afew?limit=1000").await.0, 101);
    let last = published(&ann, "/channels/board%3Afew", "x").await;
    assert_eq!(kept("/channels/board%3Afew?limit=1000").await, (1, json!(last)));
    published(&ann, "/channels/board%3Afew?maxlen=200", "x").await;
    for _ in 0..150 {
        published(&ann, "/channels/board%3Afew?maxlen=200", "x").await;
    }
    assert_eq!(kept("/channels/board%3Afew?limit=1000").await.0, 152, "the publisher's own maximum wins");

    let first = published(&ann, "/channels/board%3Abrief", "x").await;
    let second = published(&ann, "/channels/board%3Abrief", "y").await;
    eventually("everything is too old", async || kept("/channels/board%3Abrief").await == (0, json!(second)))
        .await;
    let gap = |page: Value| page["gap"].clone();
    assert_eq!(gap(read(&ann, &format!("/channels/board%3Abrief?after={second}")).await), json!(false));
    assert_eq!(gap(read(&ann, &format!("/channels/board%3Abrief?after={first}")).await), json!(true));
    let mut stream = Events::of(follow(&ann, "/channels/board%3Abrief", Some(&first)).await);
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.name.as_str(), gap.data), ("gap", json!({ "after": first, "oldest": "0-0" })));
}

/// Seen to fail when the name is taken from the fields, when it is said without being asked for, and when it is the username.
#[tokio::test]
async fn a_message_says_who_published_it_where_that_is_asked_for() {
    let node = Node::start().await;
    let (ann, bob) = (node.client("ann").await, node.client("bob").await);
    let mut events = Events::of(follow(&bob, &format!("{BOARD}?offset=0"), None).await);
    let first = published(&ann, &format!("{BOARD}?named=true"), "one").await;
    let second = published(&ann, &format!("{BOARD}?named=false"), "two").await;
    let third = published(&bob, BOARD, "three").await;
    let expected = json!([
        { "offset": first, "text": "one", "@user": ann.id },
        { "offset": second, "text": "two" },
        { "offset": third, "text": "three" },
    ]);
    assert_eq!(read(&bob, BOARD).await["messages"], expected);
    for expected in expected.as_array().unwrap() {
        assert_eq!(events.next().await.unwrap().data, *expected);
    }
    // What was published once is not published again in another's name.
    let once = |client: &Client| {
        let request = client.http.post(format!("{}{BOARD}?named=true", client.url));
        request
            .bearer_auth(&client.token)
            .header("idempotency-key", "k")
            .json(&json!({ "text": "four" }))
            .send()
    };
    for client in [&ann, &bob] {
        assert!(once(client).await.unwrap().status().is_success());
    }
    let messages = read(&bob, BOARD).await["messages"].clone();
    assert_eq!((messages.as_array().unwrap().len(), &messages[3]["@user"]), (4, &json!(ann.id)));
    let (status, reply) = publish(&ann, &format!("{BOARD}?named=bob"), json!({ "text": "x" })).await;
    assert_eq!((status, &reply["code"]), (StatusCode::BAD_REQUEST, &json!("invalid")));
}
