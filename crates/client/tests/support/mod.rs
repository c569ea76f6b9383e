//! Real servers that can be killed, and a road to them that can be cut.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use inkwire::{Options, Server, TokenSecret, Tokens};
use inkwire_client::{ChannelName, Client, Event, Fields, Publish, Received, Subscription, Target, Token};
use inkwire_embedded::{Embedded, EmbeddedOptions};
use inkwire_protocol::access::{Action, Grant};
use inkwire_protocol::{PeerId, User, Username};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

/// Long enough for the slowest machine; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const SECRET: &str = "the tests' own secret, of more than 32 bytes";

/// Waits, but not for ever.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// A server on a store of its own, with a runtime of its own: when that is dropped, everything stops where it stands.
pub struct House {
    directory: PathBuf,
    pub address: SocketAddr,
    running: Option<Runtime>,
}

impl House {
    pub fn open() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("inkwire-client-test-{}-{number}", std::process::id());
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut house = Self { directory: std::env::temp_dir().join(name), address, running: None };
        house.start();
        house
    }

    /// Starts on the same port, with what the store kept.
    fn start(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = Arc::new(Embedded::open(EmbeddedOptions::new(&self.directory)).unwrap());
        let options = Options::new(TokenSecret::new(SECRET).unwrap());
        let listener = listen(self.address);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            Server::new(store, options).serve(listener, pending()).await
        });
        self.running = Some(runtime);
    }

    /// Stops it in the middle of whatever it does, and starts it again.
    pub async fn kill(self) -> Self {
        self.killed_while(|| ()).await.0
    }

    /// As [`House::kill`]; does something before it starts again.
    pub async fn killed_while<T>(mut self, meanwhile: impl FnOnce() -> T) -> (Self, T) {
        let running = self.running.take().unwrap();
        spawn_blocking(move || running.shutdown_timeout(PATIENCE)).await.unwrap();
        let done = meanwhile();
        self.start();
        (self, done)
    }

    pub fn target(&self) -> Target {
        target(self.address)
    }
}

fn listen(address: SocketAddr) -> std::net::TcpListener {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true).unwrap();
                return listener;
            }
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub fn target(address: SocketAddr) -> Target {
    format!("ws://{address}").parse().unwrap()
}

/// A token for some channels.
pub fn token(pattern: &str, validity: Duration) -> String {
    let user = User { id: PeerId::new("tester").unwrap(), username: Username::new("tester").unwrap() };
    let grant = Grant { pattern: pattern.into(), can: vec![Action::Subscribe, Action::Publish] };
    Tokens::new(&TokenSecret::new(SECRET).unwrap()).mint(&user, &[grant], validity)
}

/// A client with a good token.
pub fn client(target: Target) -> Client {
    Client::builder([target], Token::fixed(token("*", Duration::from_secs(3_600)))).connect()
}

/// A road to a server whose every connection can be cut.
pub struct Road {
    pub address: SocketAddr,
    travellers: Arc<Mutex<Vec<AbortHandle>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Road {
    pub async fn to(server: SocketAddr) -> Self {
        Self::long(server, Duration::ZERO).await
    }

    /// On which whatever the server says takes a while.
    pub async fn long(server: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let travellers = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let all = Arc::clone(&travellers);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let task = tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        let _ = carry(client, server, delay).await;
                    }
                });
                all.lock().unwrap().push(task.abort_handle());
            }
        });
        Self { address, travellers, _accepting: AbortOnDropHandle::new(accepting) }
    }

    pub fn target(&self) -> Target {
        target(self.address)
    }

    /// How many have come this way so far, if none was cut.
    pub fn travelled(&self) -> usize {
        self.travellers.lock().unwrap().len()
    }

    /// Cuts each connection with this chance; how many that were.
    pub fn cut(&self, mut chance: impl FnMut() -> bool) -> usize {
        let mut travellers = self.travellers.lock().unwrap();
        travellers.retain(|traveller| !traveller.is_finished());
        travellers.iter().filter(|_| chance()).map(AbortHandle::abort).count()
    }
}

async fn carry(client: TcpStream, server: TcpStream, delay: Duration) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let count = from_server.read(&mut bytes).await?;
            tokio::time::sleep(delay).await;
            if count == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&bytes[..count]).await?;
        }
    };
    tokio::select! {
        end = copy(&mut from_client, &mut to_server) => end.map(drop),
        end = back => end,
    }
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub fn say(name: &str, text: &str) -> Publish {
    Publish::plain(channel(name), Fields::of([("text", text)]))
}

pub fn text(message: &Received) -> String {
    message.fields.get("text").unwrap().to_owned()
}

/// The next so many messages; a gap is a failure.
pub async fn take(subscription: &mut Subscription, count: usize) -> Vec<Received> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match soon(subscription.next()).await.unwrap().unwrap() {
            Event::Messages(messages) => taken.extend(messages),
            gap @ Event::Gap { .. } => panic!("{gap:?}"),
        }
    }
    taken
}

/// The texts of the next so many messages.
pub async fn texts(subscription: &mut Subscription, count: usize) -> Vec<String> {
    take(subscription, count).await.iter().map(text).collect()
}
