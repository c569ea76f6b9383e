//! A subscriber that stops reading costs the server next to nothing, slows nobody, and misses nothing.
//!
//! Seen to fail when the socket pulls messages without looking at what it has still to write.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use inkwire::{Action, Grant, PeerId, TokenSecret, Tokens, User, Username};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const SECRET: &str = "the tests' own secret, of more than 32 bytes";
/// What passes: 200 MB.
const MESSAGES: usize = 2_000;
const BYTES: usize = 100_000;
/// How much more memory the slow one may cost.
const MOST_MORE_KIB: u64 = 64 << 10;
/// Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Node {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Node {
    async fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("inkwire-slow-{name}-{}", std::process::id()));
        let mut child = Command::new(env!("CARGO_BIN_EXE_inkwire"))
            .args(["serve", "--port", "0", "--log", "warn", "--data-dir"])
            .arg(&folder)
            .env_clear()
            .env("TOKEN_SECRET", SECRET)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let line = BufReader::new(stdout).lines().next_line().await.unwrap().unwrap();
        let port = line.rsplit(':').next().unwrap();
        Self { child, folder, url: format!("ws://127.0.0.1:{port}/ws?token={}", token()) }
    }

    /// The most memory it has ever held.
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    async fn connect(&self) -> Socket {
        let (mut socket, _) = connect_async(&self.url).await.unwrap();
        assert_eq!(next(&mut socket).await["event"], "connected");
        socket
    }

    async fn subscribe(&self) -> Socket {
        let mut socket = self.connect().await;
        let command = json!({ "id": 1, "op": "subscribe", "channel": "a" });
        socket.send(Message::text(command.to_string())).await.unwrap();
        assert_eq!(next(&mut socket).await["ok"], true);
        socket
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn token() -> String {
    let user = User { id: PeerId::new("t").unwrap(), username: Username::new("t").unwrap() };
    let grant = Grant { pattern: "*".into(), can: vec![Action::Subscribe, Action::Publish] };
    Tokens::new(&TokenSecret::new(SECRET).unwrap()).mint(&user, &[grant], Duration::from_secs(600))
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// Reads until it has seen everything, in order.
async fn read_all(mut socket: Socket) {
    let mut expected = 0;
    while expected < MESSAGES {
        let event = next(&mut socket).await;
        assert_eq!(event["event"], "messages", "{}", event["event"]);
        for message in event["messages"].as_array().unwrap() {
            assert_eq!(message["n"], expected.to_string());
            expected += 1;
        }
    }
}

/// Lets 200 MB pass by a reader that keeps up; the memory it took, and the server.
async fn let_pass(node: &Node) -> u64 {
    let reading = tokio::spawn(read_all(node.subscribe().await));
    let mut publisher = node.connect().await;
    let text = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        let fields = json!({ "n": n.to_string(), "text": text });
        let command = json!({ "id": n, "op": "publish", "channel": "a", "fields": fields });
        publisher.send(Message::text(command.to_string())).await.unwrap();
        // Eight under way: what waits to be stored is no part of what is measured.
        if n >= 8 {
            assert_eq!(next(&mut publisher).await["ok"], true);
        }
    }
    timeout(PATIENCE, reading).await.unwrap().unwrap();
    node.peak_kib()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_reading_costs_little_and_misses_nothing() {
    let without = let_pass(&Node::start("without").await).await;
    let node = Node::start("with").await;
    let slow = node.subscribe().await;
    let with = let_pass(&node).await;
    assert!(with <= without + MOST_MORE_KIB, "{without} KiB without, {with} KiB with a slow reader");
    read_all(slow).await;
    let after = node.peak_kib();
    assert!(after <= without + MOST_MORE_KIB, "{without} KiB without, {after} KiB when it has caught up");
    println!(
        "peak {without} KiB without a slow reader, {with} KiB with one, {after} KiB when it has caught up"
    );
}
