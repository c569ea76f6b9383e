//! Real servers on free ports, and a client that knows the protocol from its text only.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod raw;
pub mod socket;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use inkwire::{Options, Server, TokenSecret};
use inkwire_core::Broker;
use inkwire_embedded::Memory;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for the slowest machine; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const SECRET: &str = "the tests' own secret, of more than 32 bytes";

/// A grace time that tests can afford to wait for.
pub const SHORT_GRACE: Duration = Duration::from_millis(400);

pub fn options() -> Options {
    Options {
        grace: SHORT_GRACE,
        drain: Duration::from_millis(500),
        ..Options::new(TokenSecret::new(SECRET).unwrap())
    }
}

/// A running server; it is gone when this is dropped.
pub struct Node {
    pub address: SocketAddr,
    pub url: String,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl Node {
    pub async fn start() -> Self {
        Self::with(Arc::new(Memory::default()), options()).await
    }

    pub async fn with_options(options: Options) -> Self {
        Self::with(Arc::new(Memory::default()), options).await
    }

    pub async fn with(broker: Arc<dyn Broker>, options: Options) -> Self {
        Self::of(Server::new(broker, options)).await
    }

    pub async fn of(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let serving = tokio::spawn(server.serve(listener, shutdown));
        Self { address, url: format!("http://{address}"), stop: Some(stop), serving: Some(serving) }
    }

    /// Tells the server to stop; [`Node::stopped`] waits for it.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn stopped(mut self) {
        tokio::time::timeout(PATIENCE, self.serving.take().unwrap()).await.unwrap().unwrap().unwrap();
    }

    pub async fn get(&self, path: &str) -> Response {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap()
    }

    pub async fn client(&self, username: &str) -> Client {
        Client::of(&self.url, username).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub url: String,
    pub token: String,
    pub id: String,
    pub username: String,
}

impl Client {
    /// Somebody new at the server of this URL.
    pub async fn of(url: &str, username: &str) -> Self {
        let http = reqwest::Client::new();
        let asked = http.post(format!("{url}/access")).json(&json!({ "username": username }));
        let reply = asked.send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        let reply: Value = reply.json().await.unwrap();
        Self {
            http,
            url: url.to_owned(),
            token: reply["token"].as_str().unwrap().to_owned(),
            id: reply["user"]["id"].as_str().unwrap().to_owned(),
            username: username.to_owned(),
        }
    }

    /// The same identity, talking to another node.
    pub fn at(&self, node: &Node) -> Self {
        Self { url: node.url.clone(), ..self.clone() }
    }

    pub fn user(&self) -> Value {
        json!({ "id": self.id, "username": self.username })
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    pub async fn join(&self, room: &str) -> Value {
        let reply = self.send(Method::POST, &format!("/{room}/join"), None).await;
        assert_eq!(reply.status(), StatusCode::OK, "{}", reply.text().await.unwrap());
        reply.json().await.unwrap()
    }

    pub async fn leave(&self, room: &str) {
        let reply = self.send(Method::POST, &format!("/{room}/leave"), None).await;
        assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    }

    pub async fn relay(&self, to: &str, event: &str, body: Value) -> Response {
        self.send(Method::POST, &format!("/relay/{to}/{event}"), Some(&body)).await
    }

    pub async fn relayed(&self, to: &str, event: &str, body: Value) {
        let reply = self.relay(to, event, body).await;
        assert_eq!(reply.status(), StatusCode::OK, "{}", reply.text().await.unwrap());
    }

    pub async fn present(&self, room: &str) -> Vec<String> {
        let reply: Value =
            self.send(Method::GET, &format!("/rooms/{room}"), None).await.json().await.unwrap();
        let peers = reply["peers"].as_array().unwrap();
        peers.iter().map(|peer| peer["username"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn try_connect(&self, position: Option<&str>) -> Response {
        self.request_stream(position).await.unwrap()
    }

    pub async fn request_stream(&self, position: Option<&str>) -> reqwest::Result<Response> {
        let mut request = self.http.get(format!("{}/connect", self.url)).bearer_auth(&self.token);
        request = request.header("accept", "text/event-stream");
        if let Some(position) = position {
            request = request.header("last-event-id", position);
        }
        request.send().await
    }

    /// Opens a stream and reads up to its `connected`.
    pub async fn connect(&self) -> Events {
        self.open(None, false).await
    }

    /// Resumes and expects that to succeed.
    pub async fn resume(&self, position: &str) -> Events {
        self.open(Some(position), true).await
    }

    pub async fn open(&self, position: Option<&str>, resumed: bool) -> Events {
        let reply = self.try_connect(position).await;
        assert_eq!(reply.status(), StatusCode::OK);
        let mut events = Events::of(reply);
        let connected = events.next().await.unwrap();
        assert_eq!(connected.name, "connected");
        assert_eq!(connected.data, json!({ "user": self.user(), "resumed": resumed }));
        assert_eq!(connected.id, None);
        assert!(events.position.is_some(), "the stream begins with a position");
        events
    }
}

/// One event, as it stood on the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Event {
    /// Room events in one line: `+bob` offers to bob, `+bob?` waits for bob's offer, `-bob` has left.
    pub fn short(&self) -> String {
        let peer = self.data["peer"]["username"].as_str().unwrap_or_default();
        match self.name.as_str() {
            "add-peer" if self.data["offer"] == json!(true) => format!("+{peer}"),
            "add-peer" => format!("+{peer}?"),
            "remove-peer" => format!("-{peer}"),
            name => format!("{name} {}", self.data),
        }
    }
}

/// A stream being read. Dropping it cuts the connection.
pub struct Events {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
    ready: VecDeque<Event>,
    /// The last position given.
    pub position: Option<String>,
    /// Everything that was read, to look at the letter of it.
    pub raw: String,
}

impl Events {
    pub fn of(reply: Response) -> Self {
        Self {
            bytes: Box::pin(reply.bytes_stream()),
            text: String::new(),
            ready: VecDeque::new(),
            position: None,
            raw: String::new(),
        }
    }

    /// The next event but heartbeats; `None` when the stream ends.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event, or the end, in time")
    }

    /// The next event in short.
    pub async fn short(&mut self) -> String {
        self.next().await.expect("the stream goes on").short()
    }

    pub async fn shorts(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.short().await);
        }
        all
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if event.id.is_some() {
                    self.position.clone_from(&event.id);
                }
                if event.name != "ping" {
                    return Some(event);
                }
            }
            let chunk = self.bytes.next().await?.ok()?;
            self.take(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Our streams separate lines by LF only, and write each line whole.
    fn take(&mut self, chunk: &str) {
        self.raw.push_str(chunk);
        self.text.push_str(chunk);
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let (mut name, mut id, mut data) = (None, None, None);
            // A block of comments is a heartbeat.
            let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with(':')).collect();
            for line in lines {
                match line.split_once(": ").unwrap() {
                    ("event", value) => assert_eq!(name.replace(value.to_owned()), None),
                    ("id", value) => assert_eq!(id.replace(value.to_owned()), None),
                    ("data", value) => assert_eq!(data.replace(value.to_owned()), None),
                    ("retry", value) => assert_eq!(value, "1000"),
                    other => panic!("unexpected line {other:?}"),
                }
            }
            match (name, data) {
                (Some(name), Some(data)) => {
                    let data = serde_json::from_str(&data).unwrap();
                    self.ready.push_back(Event { name, id, data });
                }
                (None, None) => self.position = id.or(self.position.take()),
                other => panic!("half an event: {other:?}"),
            }
            self.text = rest.to_owned();
        }
    }
}

/// Waits until a condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
