//! The broker of a node that stands alone: durable logs in a file, short-lived ones in memory.
//!
//! Invariant: a channel lives in one of the two. What its first message asks for decides; the other sort is refused for
//! as long as there is anything of the channel.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use inkwire_core::{
    Broker, ChannelName, Claim, Claimed, Draft, Error, GroupName, Lifetime, Offset, Page, Receipt, Result,
    Tail,
};
use rusqlite::params;

use crate::clock::{AgeClock, WallClock};
use crate::durable::channel::offset_at;
use crate::durable::file::{Directory, OpenError};
use crate::durable::readers::Readers;
use crate::durable::request::Request;
use crate::durable::row::ordered;
use crate::durable::writer::{Desk, Writer};
use crate::memory::{Memory, MemoryOptions};
use crate::reserve::{AHEAD_MS, Reserve};
use crate::tails::Tails;

/// How an [`Embedded`] behaves.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Where the store lives. Made if there is none; serves one process at a time.
    pub directory: PathBuf,
    /// How many bytes the file may hold; over it, publishing answers `unavailable`. `None`: as many as the disk.
    pub maximum_bytes: Option<u64>,
    /// For the short-lived channels.
    pub memory: MemoryOptions,
    /// The time of day, for offsets.
    pub wall: WallClock,
}

impl EmbeddedOptions {
    /// The defaults, in a directory.
    pub fn new(directory: impl AsRef<Path>) -> Self {
        Self {
            directory: directory.as_ref().to_owned(),
            maximum_bytes: None,
            memory: MemoryOptions::default(),
            wall: WallClock::default(),
        }
    }
}

/// A broker with a disk. Channels whose lifetime is [`Lifetime::Expires`] live in memory only; of all others nothing
/// that was answered is lost, whatever happens to the process or to the power.
///
/// Dropping it writes what was asked for and closes the file; that blocks for a moment.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("inkwire-doc-{}", std::process::id()));
/// use inkwire_core::{Broker, ChannelName, Draft, Fields, Offset};
/// use inkwire_embedded::{Embedded, EmbeddedOptions};
/// let channel = ChannelName::new("greetings")?;
/// let broker = Embedded::open(EmbeddedOptions::new(&directory))?;
/// broker.publish(&channel, Draft::plain(Fields::of([("text", "hello")]))).await?;
/// drop(broker);
///
/// let broker = Embedded::open(EmbeddedOptions::new(&directory))?;
/// let page = broker.read(&channel, Offset::ZERO, 10).await?;
/// assert_eq!(page.messages[0].fields.get("text"), Some("hello"));
/// # drop(broker); std::fs::remove_dir_all(directory)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Embedded {
    writer: Writer,
    readers: Readers,
    memory: Arc<Memory>,
    tails: Arc<Tails>,
    reserve: Arc<Reserve>,
    wall: WallClock,
}

impl Embedded {
    /// Opens a store, or makes one.
    ///
    /// # Errors
    /// [`OpenError`]: the directory is in use, or the file is not ours, newer than this program, or damaged.
    pub fn open(options: EmbeddedOptions) -> std::result::Result<Self, OpenError> {
        let EmbeddedOptions { directory, maximum_bytes, memory, wall } = options;
        let lock = Arc::new(Directory::lock(&directory)?);
        let connection = lock.open_writer(maximum_bytes)?;
        let damaged = |reason| lock.damaged(reason);

        let written = connection
            .query_row("SELECT age, reserved FROM store", [], |row| offset_at(row, 0))
            .map_err(damaged)?;
        let (written_age_ms, written_until_ms) = (written.ms, written.seq);
        let age = AgeClock::resume(&wall, written_age_ms);
        // Behind everything that an earlier process may have used.
        let floor = Offset { ms: written_until_ms.saturating_add(1), seq: 0 };
        let until_ms = wall.now_ms().max(floor.ms).saturating_add(AHEAD_MS);
        connection
            .execute(
                "UPDATE store SET age = ?1, reserved = ?2",
                params![ordered(age.now_ms()), ordered(until_ms)],
            )
            .map_err(damaged)?;

        let tails = Arc::<Tails>::default();
        let memory = Arc::new(Memory::beside(memory, wall.clone(), Arc::clone(&tails), floor));
        let reserve = Arc::new(Reserve::new(floor.ms, until_ms));
        let writer = Writer::start(Desk {
            connection,
            age,
            wall: wall.clone(),
            memory: Arc::clone(&memory),
            tails: Arc::clone(&tails),
            reserve: Arc::clone(&reserve),
            directory: Arc::clone(&lock),
        })
        .map_err(|reason| OpenError::Directory { path: directory, reason })?;
        Ok(Self { writer, readers: Readers::new(lock), memory, tails, reserve, wall })
    }

    async fn submit_durable(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        if self.memory.holds(channel) {
            return Err(Error::Kind("short-lived"));
        }
        let weight = draft.fields.weight();
        let channel = channel.clone();
        let answer = self.writer.submit(weight, |answer| Request::Publish { channel, draft, answer }).await?;
        Ok(Receipt::new(answer))
    }

    async fn submit_in_memory(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        // A file that cannot be read must not keep rooms from working.
        if !self.memory.holds(channel) && self.readers.knows(channel).await.unwrap_or(false) {
            return Err(Error::Kind("durable"));
        }
        if let Some(until_ms) = self.reserve.note(self.wall.now_ms()) {
            // Nor must one that cannot be written.
            let _ = self.writer.ask(0, |answer| Request::Reserve { until_ms, answer }).await;
        }
        self.memory.submit(channel, draft).await
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        match draft.retention.lifetime {
            Lifetime::Kept => self.submit_durable(channel, draft).await,
            Lifetime::Expires(_) => self.submit_in_memory(channel, draft).await,
        }
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        match self.memory.read_held(channel, after, limit) {
            Some(page) => Ok(page),
            None => self.readers.page(channel, after, limit, self.wall.now_ms()).await,
        }
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        Ok(self.tails.open(channel))
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        if self.memory.holds(channel) {
            return self.memory.claim(channel, claim).await;
        }
        let channel = channel.clone();
        self.writer.ask(0, |answer| Request::Claim { channel, claim, answer }).await
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        if self.memory.holds(channel) {
            return self.memory.acknowledge(channel, group, offsets).await;
        }
        let (channel, group, offsets) = (channel.clone(), group.clone(), offsets.to_vec());
        let weight = size_of_val(offsets.as_slice());
        self.writer.ask(weight, |answer| Request::Acknowledge { channel, group, offsets, answer }).await
    }
}
