//! Measures what a delivery costs the server, beside a plain loop that writes the same bytes to as many sockets.
//!
//! `cargo run --release -p inkwire-cli --example fan_out -- target/release/inkwire [--subscribers 10000] [--channels 1]
//! [--rate 20000] [--seconds 10] [--rounds 3] [--over ws|sse]`: each round starts the loop and the server one after the
//! other, lets both deliver at the same rate (in deliveries a second), and prints the CPU seconds of each per million
//! deliveries, and the resident memory of a subscriber that waits.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use futures_util::StreamExt as _;
use inkwire::{Action, Grant, PeerId, TokenSecret, Tokens, User, Username};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const SECRET: &str = "the measurement's own secret, never used elsewhere";
/// Sockets opened at the same time.
const AT_ONCE: usize = 64;
/// What is published: 128 bytes.
const PAYLOAD: usize = 128;
/// How long deliveries may take after the last publish.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The server's binary
    binary: String,
    #[arg(long, default_value = "10000")]
    subscribers: usize,
    #[arg(long, default_value = "1")]
    channels: usize,
    /// Deliveries a second
    #[arg(long, default_value = "20000")]
    rate: usize,
    #[arg(long, default_value = "10")]
    seconds: usize,
    #[arg(long, default_value = "3")]
    rounds: usize,
    #[arg(long, default_value = "ws")]
    over: Over,
    /// Be the loop: write this many bytes a time
    #[arg(long, hide = true)]
    floor: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Over {
    Ws,
    Sse,
}

impl Arguments {
    /// Deliveries of one message.
    fn fan(&self) -> usize {
        self.subscribers / self.channels
    }

    fn messages(&self) -> usize {
        self.rate * self.seconds / self.fan()
    }

    fn pause(&self) -> Duration {
        Duration::from_secs_f64(self.fan() as f64 / self.rate as f64)
    }
}

/// What was seen of one server.
struct Seen {
    cpu: f64,
    deliveries: f64,
    frame: u64,
    resident_kib: f64,
}

impl Seen {
    fn per_million(&self) -> f64 {
        self.cpu / self.deliveries * 1e6
    }
}

fn main() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let arguments = Arguments::parse();
    if let Some(frame) = arguments.floor {
        return write_plainly(&arguments, frame);
    }
    tokio::runtime::Runtime::new()?.block_on(measure(arguments))
}

async fn measure(arguments: Arguments) -> Result<()> {
    let Arguments { subscribers, channels, rate, over, .. } = arguments;
    println!(
        "{subscribers} subscribers, {channels} channels, {rate} deliveries/s, {PAYLOAD} B, over {over:?}"
    );
    // The length of a frame is the server's to say; a first short run tells.
    let mut frame =
        measure_server(&Arguments { subscribers: 100, channels: 1, seconds: 1, ..arguments.clone() })
            .await?
            .frame;
    for round in 1..=arguments.rounds {
        let floor = measure_floor(&arguments, frame).await?;
        let server = measure_server(&arguments).await?;
        frame = server.frame;
        println!(
            "round {round}: loop {:.2} s, server {:.2} s per million, ratio {:.2}; {frame} B a frame, {:.2} KiB a subscriber",
            floor.per_million(),
            server.per_million(),
            server.per_million() / floor.per_million(),
            server.resident_kib,
        );
    }
    Ok(())
}

async fn measure_server(arguments: &Arguments) -> Result<Seen> {
    let mut command = Command::new(&arguments.binary);
    command.args(["serve", "--port", "0", "--ephemeral", "--log", "warn"]).env("TOKEN_SECRET", SECRET);
    let (mut server, address) = start(&mut command).await?;
    let pid = server.id().context("the server has ended")?;
    let token = token()?;
    // What the first connections allocate once, all share.
    let warm = open_all(arguments, &address, &token, 0..100).await?;
    let before = resident_kib(pid)?;
    let sockets = open_all(arguments, &address, &token, 100..100 + arguments.subscribers).await?;
    sleep(Duration::from_secs(2)).await;
    let resident_kib = (resident_kib(pid)? - before) as f64 / arguments.subscribers as f64;
    drop(warm);
    let counter = count(sockets);
    let publisher = open_ws(&address, &token, None).await?;
    let began = cpu_seconds(pid)?;
    publish(arguments, publisher).await?;
    let expected = (arguments.messages() * arguments.fan()) as u64;
    let frame = counter.settle().await.div_ceil(expected);
    let cpu = cpu_seconds(pid)? - began;
    let bytes = counter.bytes.load(Ordering::Relaxed);
    // A heartbeat here and there is no delivery.
    ensure!(
        bytes.abs_diff(frame * expected) < bytes / 50,
        "{bytes} bytes are not {expected} frames of {frame}"
    );
    server.kill().await?;
    Ok(Seen { cpu, deliveries: expected as f64, frame, resident_kib })
}

async fn measure_floor(arguments: &Arguments, frame: u64) -> Result<Seen> {
    let mut command = Command::new(std::env::current_exe()?);
    let Arguments { subscribers, channels, rate, seconds, .. } = arguments;
    for (name, value) in
        [("--subscribers", subscribers), ("--channels", channels), ("--rate", rate), ("--seconds", seconds)]
    {
        command.args([name, &value.to_string()]);
    }
    command.args(["--floor", &frame.to_string(), "none"]);
    let (mut floor, address) = start(&mut command).await?;
    let pid = floor.id().context("the loop has ended")?;
    let opening = futures_util::stream::iter(0..arguments.subscribers).map(|_| TcpStream::connect(&address));
    let sockets: Vec<_> = opening.buffer_unordered(AT_ONCE).collect().await;
    let counter = count(sockets.into_iter().collect::<std::io::Result<_>>()?);
    sleep(Duration::from_millis(500)).await;
    let began = cpu_seconds(pid)?;
    let expected = (arguments.messages() * arguments.fan()) as u64;
    while counter.bytes.load(Ordering::Relaxed) < expected * frame {
        sleep(Duration::from_millis(50)).await;
    }
    let cpu = cpu_seconds(pid)? - began;
    floor.kill().await?;
    Ok(Seen { cpu, deliveries: expected as f64, frame, resident_kib: 0.0 })
}

/// The loop: one thread, one write to each socket.
fn write_plainly(arguments: &Arguments, frame: usize) -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    let mut sockets = Vec::new();
    while sockets.len() < arguments.subscribers {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    std::thread::sleep(Duration::from_secs(1));
    let frame = vec![b'x'; frame];
    let began = std::time::Instant::now();
    for message in 0..arguments.messages() {
        let due = began + arguments.pause() * u32::try_from(message)?;
        std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
        let channel = message % arguments.channels;
        for socket in sockets.iter_mut().skip(channel).step_by(arguments.channels) {
            socket.write_all(&frame)?;
        }
    }
    std::thread::sleep(Duration::from_secs(3600));
    Ok(())
}

/// Counts what all sockets are sent.
struct Counter {
    bytes: Arc<AtomicU64>,
    _reading: JoinSet<()>,
}

fn count(sockets: Vec<TcpStream>) -> Counter {
    let bytes = Arc::<AtomicU64>::default();
    let mut reading = JoinSet::new();
    for mut socket in sockets {
        let bytes = Arc::clone(&bytes);
        reading.spawn(async move {
            let mut space = [0; 1024];
            while let Ok(read @ 1..) = socket.read(&mut space).await {
                bytes.fetch_add(read as u64, Ordering::Relaxed);
            }
        });
    }
    Counter { bytes, _reading: reading }
}

impl Counter {
    /// Waits until nothing has come for a while.
    async fn settle(&self) -> u64 {
        let began = Instant::now();
        let mut last = 0;
        loop {
            sleep(Duration::from_millis(300)).await;
            let now = self.bytes.load(Ordering::Relaxed);
            if (now == last && now > 0) || began.elapsed() > PATIENCE {
                return now;
            }
            last = now;
        }
    }
}

async fn publish(arguments: &Arguments, mut publisher: TcpStream) -> Result<()> {
    let text = "x".repeat(PAYLOAD);
    let mut ticks = interval(arguments.pause());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for message in 0..arguments.messages() {
        ticks.tick().await;
        let channel = format!("c{}", message % arguments.channels);
        let command = json!({ "op": "publish", "channel": channel, "fields": { "text": text } });
        publisher.write_all(&masked(&command.to_string())?).await?;
    }
    // Hanging up too early would cost the last ones.
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

async fn open_all(
    arguments: &Arguments,
    address: &str,
    token: &str,
    range: std::ops::Range<usize>,
) -> Result<Vec<TcpStream>> {
    let opening = futures_util::stream::iter(range).map(|number| async move {
        let channel = format!("c{}", number % arguments.channels);
        match arguments.over {
            Over::Ws => open_ws(address, token, Some(&channel)).await,
            Over::Sse => open_sse(address, token, &channel).await,
        }
    });
    let opened: Vec<Result<TcpStream>> = opening.buffer_unordered(AT_ONCE).collect().await;
    opened.into_iter().collect()
}

async fn open_ws(address: &str, token: &str, channel: Option<&str>) -> Result<TcpStream> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let mut stream = ask(address, &request, "connected").await?;
    if let Some(channel) = channel {
        let command = json!({ "op": "subscribe", "channel": channel, "id": 1 });
        stream.write_all(&masked(&command.to_string())?).await?;
        read_until(&mut stream, "\"ok\":true").await?;
    }
    Ok(stream)
}

async fn open_sse(address: &str, token: &str, channel: &str) -> Result<TcpStream> {
    let request = format!(
        "GET /channels/{channel} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
    );
    ask(address, &request, "id: ").await
}

async fn ask(address: &str, request: &str, end: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    read_until(&mut stream, end).await?;
    Ok(stream)
}

async fn read_until(stream: &mut TcpStream, end: &str) -> Result<()> {
    let mut seen = String::new();
    let mut space = [0; 2048];
    while !seen.contains(end) {
        let read = stream.read(&mut space).await?;
        ensure!(read > 0, "the server hung up: {seen}");
        seen.push_str(&String::from_utf8_lossy(space.get(..read).unwrap_or_default()));
    }
    Ok(())
}

/// A client's frame, under a mask of zeros.
fn masked(text: &str) -> Result<Vec<u8>> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len())? {
        short @ ..126 => frame.push(0x80 | u8::try_from(short)?),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    Ok(frame)
}

fn token() -> Result<String> {
    let user = User { id: PeerId::new("measurement")?, username: Username::new("measurement")? };
    let grant = Grant { pattern: "*".into(), can: vec![Action::Subscribe, Action::Publish] };
    Ok(Tokens::new(&TokenSecret::new(SECRET)?).mint(&user, &[grant], Duration::from_secs(3600)))
}

async fn start(command: &mut Command) -> Result<(Child, String)> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await?.context("it said nothing")?;
    let port = line.rsplit(':').next().context("no port")?;
    Ok((child, format!("127.0.0.1:{port}")))
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

/// User and system time of a process; the kernel counts in hundredths.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let Some((_, rest)) = stat.rsplit_once(") ") else { bail!("/proc/{pid}/stat has another form") };
    let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}
