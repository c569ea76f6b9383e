//! All channels in memory. Serves `--ephemeral` nodes and the channels that do not outlive the process.
//!
//! Invariant: the memory held by logs is bounded by [`MemoryOptions::maximum_bytes`] and a quarter more; over it, publishing
//! answers `unavailable` and reading goes on. Whoever floods pays first: from half of the bound on, an expiring plain log
//! that is published to keeps [`UNDER_PRESSURE`] only (its slow readers are told of the gap). What must go on longest, the
//! small keyed logs that say who is where, is refused last. A channel that expired is forgotten in passing, by whoever
//! publishes next: no task sweeps.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use inkwire_core::{
    Broker, ChannelName, Claim, Claimed, Draft, Error, GroupName, Lifetime, Message, Offset, Page, Published,
    Receipt, Result, Tail,
};
use tokio::time::Instant;

use crate::clock::WallClock;
use crate::log::{Log, Now};
use crate::tails::Tails;

/// How many due channels one publish forgets at most: its share of the housekeeping.
const FORGET_PER_PUBLISH: usize = 8;

/// What an expiring plain log keeps, in bytes, while memory is short: more than a conversation of two peers needs.
pub const UNDER_PRESSURE: usize = 256 << 10;

/// How much a [`Memory`] may hold.
#[derive(Debug, Clone, Copy)]
pub struct MemoryOptions {
    /// Bytes of messages in all logs together.
    pub maximum_bytes: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { maximum_bytes: 512 << 20 }
    }
}

/// How dear a message is when memory is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Kept for good: refusing it is honest, losing it is not.
    Kept,
    /// On its way to somebody, and soon forgotten.
    Passing,
    /// Says who is where; small, and everything else depends on it.
    State,
}

impl Sort {
    fn of(draft: &Draft) -> Self {
        match (draft.retention.lifetime, &draft.keyed) {
            (Lifetime::Kept, _) => Self::Kept,
            (Lifetime::Expires(_), None) => Self::Passing,
            (Lifetime::Expires(_), Some(_)) => Self::State,
        }
    }
}

impl MemoryOptions {
    fn limit(&self, sort: Sort) -> usize {
        match sort {
            Sort::Kept => self.maximum_bytes,
            Sort::Passing => self.maximum_bytes + self.maximum_bytes / 8,
            Sort::State => self.maximum_bytes + self.maximum_bytes / 4,
        }
    }
}

/// A broker without a disk.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> inkwire_core::Result<()> {
/// use inkwire_core::{Broker, ChannelName, Draft, Fields, Offset};
/// let broker = inkwire_embedded::Memory::default();
/// let channel = ChannelName::new("greetings").unwrap();
/// broker.publish(&channel, Draft::plain(Fields::of([("text", "hello")]))).await?;
/// let page = broker.read(&channel, Offset::ZERO, 10).await?;
/// assert_eq!(page.messages[0].fields.get("text"), Some("hello"));
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Memory {
    options: MemoryOptions,
    wall: WallClock,
    tails: Arc<Tails>,
    channels: Mutex<Channels>,
}

#[derive(Debug, Default)]
struct Channels {
    by_name: HashMap<ChannelName, Channel>,
    /// When to look at a channel again; each channel that may be forgotten stands here once.
    due: BTreeSet<(Instant, ChannelName)>,
    bytes: usize,
    /// The highest offset of any channel that was forgotten: offsets are never used twice.
    forgotten: Offset,
}

#[derive(Debug, Default)]
struct Channel {
    log: Log,
    /// When it is looked at again.
    due: Option<Instant>,
}

impl Memory {
    /// An empty store.
    pub fn new(options: MemoryOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// An empty store whose offsets, and the ages of whose messages, go by this time of day.
    pub fn with_clock(options: MemoryOptions, wall: WallClock) -> Self {
        Self { options, wall, ..Self::default() }
    }

    /// An empty store beside another one: its offsets lie behind `floor`, and `tails` hear it.
    pub(crate) fn beside(options: MemoryOptions, wall: WallClock, tails: Arc<Tails>, floor: Offset) -> Self {
        let channels = Channels { forgotten: floor, ..Channels::default() };
        Self { options, wall, tails, channels: Mutex::new(channels) }
    }

    /// Bytes of messages in all logs together.
    pub fn bytes(&self) -> usize {
        self.channels().bytes
    }

    /// Whether there is anything of the channel here.
    pub(crate) fn holds(&self, channel: &ChannelName) -> bool {
        self.channels().held(channel, self.now()).is_some()
    }

    /// A page of the channel, if there is anything of it here.
    pub(crate) fn read_held(&self, channel: &ChannelName, after: Offset, limit: usize) -> Option<Page> {
        self.channels().held(channel, self.now()).map(|log| log.read(after, limit))
    }

    /// The highest offset of any channel that was forgotten.
    pub(crate) fn forgotten(&self) -> Offset {
        self.channels().forgotten
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.wall.now_ms(), instant: Instant::now() }
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for Memory {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        let now = self.now();
        let mut channels = self.channels();
        channels.forget_due(now.instant);
        let sort = Sort::of(&draft);
        if channels.bytes >= self.options.limit(sort) {
            return Err(Error::Unavailable(format!(
                "the logs in memory have reached their limit of {} bytes",
                self.options.maximum_bytes
            )));
        }
        let (published, message) = channels.append(channel, draft, now)?;
        if sort == Sort::Passing && channels.bytes >= self.options.maximum_bytes / 2 {
            channels.shrink(channel);
        }
        if let Some(message) = message {
            // Under the lock, so that announcements keep the order of the offsets.
            self.tails.announce(channel, &message);
        }
        Ok(published.into())
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        Ok(self.read_held(channel, after, limit).unwrap_or_else(|| Log::default().read(after, limit)))
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        Ok(self.tails.open(channel))
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        let now = self.now();
        let mut channels = self.channels();
        Ok(channels.held(channel, now).map_or_else(Vec::new, |log| log.claim(&claim, now.instant)))
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        Ok(self.channels().held(channel, self.now()).map_or(0, |log| log.acknowledge(group, offsets)))
    }
}

impl Channels {
    /// The log of a channel that has one, without what time has taken from it.
    fn held(&mut self, name: &ChannelName, now: Now) -> Option<&mut Log> {
        self.forget_if_expired(name, now.instant);
        let log = &mut self.by_name.get_mut(name)?.log;
        let before = log.bytes();
        log.age_out(now.wall_ms);
        self.bytes = self.bytes - before + log.bytes();
        (log.head() != Offset::ZERO).then_some(log)
    }

    fn append(
        &mut self,
        name: &ChannelName,
        draft: Draft,
        now: Now,
    ) -> Result<(Published, Option<Arc<Message>>)> {
        let known = self.by_name.entry(name.clone()).or_default();
        let before = known.log.bytes();
        let (published, message) = known.log.append(draft, self.forgotten, now)?;
        self.bytes = self.bytes - before + known.log.bytes();
        if let Some(expires) = known.log.expires() {
            self.look_again(name, expires);
        }
        Ok((published, message))
    }

    /// Lets a log that is published to too much pay for it.
    fn shrink(&mut self, name: &ChannelName) {
        if let Some(known) = self.by_name.get_mut(name) {
            let before = known.log.bytes();
            known.log.shrink(UNDER_PRESSURE);
            self.bytes = self.bytes - before + known.log.bytes();
        }
    }

    /// Looks at a channel at that time, or before if that is planned already.
    fn look_again(&mut self, name: &ChannelName, at: Instant) {
        let Some(known) = self.by_name.get_mut(name) else { return };
        match known.due {
            Some(due) if due <= at => return,
            Some(due) => drop(self.due.remove(&(due, name.clone()))),
            None => {}
        }
        known.due = Some(at);
        self.due.insert((at, name.clone()));
    }

    fn forget_due(&mut self, now: Instant) {
        for _ in 0..FORGET_PER_PUBLISH {
            if self.due.first().is_none_or(|(at, _)| *at > now) {
                return;
            }
            let Some((_, name)) = self.due.pop_first() else { return };
            self.forget_if_expired(&name, now);
            let Some(known) = self.by_name.get_mut(&name) else { continue };
            known.due = None;
            match known.log.expires() {
                Some(expires) => self.look_again(&name, expires),
                None if known.log.head() != Offset::ZERO => {}
                None => drop(self.by_name.remove(&name)),
            }
        }
    }

    /// Forgets what a channel held when its time is over.
    fn forget_if_expired(&mut self, name: &ChannelName, now: Instant) {
        let Some(known) = self.by_name.get_mut(name) else { return };
        if known.log.expires().is_some_and(|expires| expires <= now) {
            let log = std::mem::take(&mut known.log);
            self.bytes -= log.bytes();
            self.forgotten = self.forgotten.max(log.head());
        }
    }
}
