//! A line to a server that can be made bad: slow, cut, or dead without a word.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the line does with what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Passes it on.
    Good,
    /// Passes it on so much later.
    Slow(Duration),
    /// Loses it, on every connection that is open or opened now; such a connection stays dead, and nobody is told.
    Dead,
}

/// What is true of the line at present.
#[derive(Debug, Clone, Copy)]
struct Now {
    line: Line,
    /// Counts the cuts: a connection ends when this is no longer what it was.
    cuts: u64,
}

/// The line; gone with its value.
pub struct Proxy {
    pub port: u16,
    now: Arc<watch::Sender<Now>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let now = Arc::new(watch::Sender::new(Now { line: Line::Good, cuts: 0 }));
        let watched = Arc::clone(&now);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let now = watched.subscribe();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        join(client, server, now).await;
                    }
                });
            }
        });
        Self { port: own, now, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn is(&self, line: Line) {
        self.now.send_modify(|now| now.line = line);
    }

    /// Ends every connection; new ones are taken.
    pub fn cut(&self) {
        self.now.send_modify(|now| now.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn join(client: TcpStream, server: TcpStream, mut now: watch::Receiver<Now>) {
    let cuts = now.borrow().cuts;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = carry(from_client, to_server, now.clone());
    let down = carry(from_server, to_client, now.clone());
    tokio::select! {
        _ = async { tokio::try_join!(up, down) } => {}
        _ = now.wait_for(|now| now.cuts != cuts) => {}
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    now: watch::Receiver<Now>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut is_dead = false;
    loop {
        let bytes = from.read(&mut buffer).await?;
        let line = now.borrow().line;
        is_dead |= line == Line::Dead;
        if is_dead && bytes > 0 {
            continue;
        }
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Line::Slow(delay) = line {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}
