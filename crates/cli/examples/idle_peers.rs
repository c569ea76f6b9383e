//! Measures what an idle peer costs: event stream open, joined to a room of four.
//!
//! `cargo run --release -p inkwire-cli --example idle_peers -- target/release/inkwire [PEERS]` starts the given binary,
//! opens that many peers (10,000 unless told), and prints the server's resident memory per peer.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const PEERS_PER_ROOM: usize = 4;
/// Streams opened at the same time.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let mut arguments = std::env::args().skip(1);
    let binary = arguments.next().context("usage: idle_peers BINARY [PEERS]")?;
    let peers: usize = arguments.next().map_or(Ok(10_000), |number| number.parse())?;
    let (mut server, address) = start(&binary).await?;
    let pid = server.id().context("the server has ended")?;
    let http = reqwest::Client::new();
    // What the first peers allocate once, all share.
    let _first = open_all(&http, &address, 0..100).await?;
    settle().await;
    let before = resident_kib(pid)?;
    let streams = open_all(&http, &address, 100..100 + peers).await?;
    settle().await;
    let after = resident_kib(pid)?;
    println!("peers {peers}");
    println!("resident before {before} KiB, after {after} KiB");
    println!("per idle peer {:.2} KiB", (after - before) as f64 / streams.len() as f64);
    server.kill().await?;
    Ok(())
}

async fn start(binary: &str) -> Result<(Child, String)> {
    let mut server = Command::new(binary)
        .args(["serve", "--port", "0", "--ephemeral", "--log", "warn"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {binary}"))?;
    let stdout = server.stdout.take().context("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await?.context("the server said nothing")?;
    let port = line.rsplit(':').next().context("no port")?;
    Ok((server, format!("127.0.0.1:{port}")))
}

async fn open_all(
    http: &reqwest::Client,
    address: &str,
    range: std::ops::Range<usize>,
) -> Result<Vec<TcpStream>> {
    let opening = futures_util::stream::iter(range).map(|number| open(http, address, number));
    let opened: Vec<Result<TcpStream>> = opening.buffer_unordered(AT_ONCE).collect().await;
    opened.into_iter().collect()
}

async fn open(http: &reqwest::Client, address: &str, number: usize) -> Result<TcpStream> {
    let username = json!({ "username": format!("peer {number}") });
    let reply: Value =
        http.post(format!("http://{address}/access")).json(&username).send().await?.json().await?;
    let token = reply.get("token").and_then(Value::as_str).context("no token")?;
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 512];
    let read = stream.read(&mut head).await?;
    ensure!(head.get(..read).is_some_and(|head| head.starts_with(b"HTTP/1.1 200")), "the stream was refused");
    let join = format!("http://{address}/room-{}/join", number / PEERS_PER_ROOM);
    let joined = http.post(join).bearer_auth(token).send().await?;
    ensure!(joined.status().is_success(), "joining was refused: {}", joined.status());
    Ok(stream)
}

/// Past the first heartbeat, when everything that was announced has been written.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(12)).await;
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
