//! What the tests of the Redis broker share: real servers on free ports of this machine, and words for what is published.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::indexing_slicing, reason = "these are tests: a panic is a finding")]

pub mod cluster;
pub mod watched;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inkwire_core::{Broker, ChannelName, Draft, Fields, Message, Offset, Published};
use inkwire_redis::{Redis, RedisOptions};

/// A server that has not started by then never will.
const STARTING: Duration = Duration::from_secs(20);

/// A directory that is gone with its value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("inkwire-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A Redis of a test's own, ended with its value.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    pub port: u16,
    arguments: Vec<String>,
    directory: Scratch,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// At a port that was free a moment ago.
    pub fn at(port: u16) -> Self {
        Self::at_with(port, &[])
    }

    /// With further options, as on Redis's command line. In them, `DIR` is the server's directory.
    pub fn with(options: &[&str]) -> Self {
        let mut server = Self::stopped(options);
        let began = Instant::now();
        // Somebody else may have taken the port meanwhile.
        while began.elapsed() < STARTING {
            server.port = free_port();
            if server.tries_to_run() {
                return server;
            }
        }
        server.fails()
    }

    /// At a port that was free a moment ago, with further options.
    pub fn at_with(port: u16, options: &[&str]) -> Self {
        let mut server = Self::stopped(options);
        server.port = port;
        server.run();
        server
    }

    fn stopped(options: &[&str]) -> Self {
        let directory = Scratch::new();
        let place = directory.path().to_str().expect("a plain path");
        let arguments = options.iter().map(|option| option.replace("DIR", place)).collect();
        Self { child: None, port: 0, arguments, directory }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the process, at the port it had, unless somebody has taken that meanwhile.
    pub fn run(&mut self) {
        let began = Instant::now();
        while began.elapsed() < STARTING {
            if self.tries_to_run() {
                return;
            }
        }
        self.fails();
    }

    fn tries_to_run(&mut self) -> bool {
        let mut child = self.command().spawn().expect("redis-server is installed (make test does that)");
        while child.try_wait().expect("it can be waited for").is_none() {
            if self.log().contains("Ready to accept connections") || self.log().contains("Sentinel ID is") {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn fails(&self) -> ! {
        panic!("redis-server does not start: {}", self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory().join("log")).unwrap_or_default()
    }

    fn command(&self) -> Command {
        let log = File::create(self.directory().join("log")).expect("a file for the log");
        let mut command = Command::new(program());
        let port = self.port.to_string();
        if self.arguments.iter().any(|option| option == "--sentinel") {
            // It writes what it learns into its file of settings.
            fs::write(self.directory().join("conf"), "").expect("a file for the settings");
            command.args(["conf", "--bind", "127.0.0.1", "--port", &port]);
        } else {
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        }
        command
            .args(&self.arguments)
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null());
        command
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it can be waited for");
        }
    }

    /// Sends it a signal, such as `-STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill is there").success());
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions::new(self.url().parse().expect("an address"))
    }

    pub fn broker(&self) -> Redis {
        Redis::new(self.options()).expect("the options fit")
    }

    /// A connection of somebody else's.
    pub async fn stranger(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("an address");
        // A busy machine makes nobody wait for longer.
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(STARTING))
            .set_response_timeout(Some(STARTING));
        let began = Instant::now();
        // Sentinels cut the connections to a server whose part they change, those that are just being made included.
        loop {
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => return connection,
                Err(error) => assert!(began.elapsed() < STARTING, "the server answers: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server that is tested against: Debian's, or what `INKWIRE_TEST_REDIS` names, such as a Valkey.
fn program() -> String {
    std::env::var("INKWIRE_TEST_REDIS").unwrap_or_else(|_| "redis-server".to_owned())
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// Waits until what a master was told by anybody stands at a replica, too. `WAIT` speaks of the writes of its own
/// connection, so there must be one: of `key`.
pub async fn replicated(master: &mut redis::aio::MultiplexedConnection, key: &str) {
    redis::cmd("SET").arg(key).arg("here").exec_async(master).await.expect("a write");
    let mut wait = redis::cmd("WAIT");
    wait.arg(1).arg(5_000);
    while wait.query_async::<u64>(master).await.expect("an answer") == 0 {}
}

/// A broker and what it stands on: closed first, then ended.
pub type On<T> = inkwire_core::suite::on::On<Redis, T>;

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a channel name")
}

pub fn body(text: impl std::fmt::Display) -> Fields {
    Fields::of([("text", &text.to_string())])
}

pub async fn publish(broker: &dyn Broker, channel: &ChannelName, text: impl std::fmt::Display) -> Offset {
    match broker.publish(channel, Draft::plain(body(text))).await {
        Ok(Published::Appended(offset)) => offset,
        other => panic!("expected an appended message, got {other:?}"),
    }
}

pub fn texts<'a>(messages: impl IntoIterator<Item = &'a Arc<Message>>) -> Vec<String> {
    messages.into_iter().map(|message| message.fields.get("text").unwrap_or_default().to_owned()).collect()
}
