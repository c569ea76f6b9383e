//! All channels in memory. Serves `--ephemeral` nodes and the channels that do not outlive the process.
//!
//! Invariant: the memory held by logs is bounded by [`MemoryOptions::maximum_bytes`]; over it, publishing answers
//! `unavailable` and reading goes on. A channel that expired is forgotten in passing, by whoever publishes next: no
//! task sweeps.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use inkwire_core::{
    Broker, ChannelName, Draft, Error, Message, Offset, Page, Published, Result, Tail, TailSender,
};
use tokio::time::Instant;

use crate::log::{Log, Now};

/// How often a channel without messages is looked at for readers that have gone.
const UNUSED_CHECK: Duration = Duration::from_secs(60);
/// How many due channels one publish forgets at most: its share of the housekeeping.
const FORGET_PER_PUBLISH: usize = 8;

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
    tails: Vec<TailSender>,
    is_due: bool,
}

impl Memory {
    /// An empty store.
    pub fn new(options: MemoryOptions) -> Self {
        Self { options, channels: Mutex::default() }
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for Memory {
    async fn publish(&self, channel: &ChannelName, draft: Draft) -> Result<Published> {
        let now = now();
        let mut channels = self.channels();
        channels.forget_due(now.instant);
        if channels.bytes >= self.options.maximum_bytes {
            return Err(Error::Unavailable(format!(
                "the logs in memory have reached their limit of {} bytes",
                self.options.maximum_bytes
            )));
        }
        channels.append(channel, draft, now)
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        let mut channels = self.channels();
        channels.forget_if_expired(channel, Instant::now());
        let unused = Log::default();
        let log = channels.by_name.get(channel).map_or(&unused, |channel| &channel.log);
        Ok(log.read(after, limit))
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        let (sender, tail) = Tail::new();
        let mut channels = self.channels();
        let known = channels.by_name.entry(channel.clone()).or_default();
        known.tails.retain(|tail| !tail.is_closed());
        known.tails.push(sender);
        channels.look_again(channel, Instant::now() + UNUSED_CHECK);
        Ok(tail)
    }
}

impl Channels {
    fn append(&mut self, name: &ChannelName, draft: Draft, now: Now) -> Result<Published> {
        let known = self.by_name.entry(name.clone()).or_default();
        let before = known.log.bytes();
        let (published, message) = known.log.append(draft, self.forgotten, now)?;
        self.bytes = self.bytes - before + known.log.bytes();
        if let Some(message) = message {
            known.announce(&message);
        }
        if let Some(expires) = known.log.expires() {
            self.look_again(name, expires);
        }
        Ok(published)
    }

    fn look_again(&mut self, name: &ChannelName, at: Instant) {
        if let Some(known) = self.by_name.get_mut(name)
            && !known.is_due
        {
            known.is_due = true;
            self.due.insert((at, name.clone()));
        }
    }

    fn forget_due(&mut self, now: Instant) {
        for _ in 0..FORGET_PER_PUBLISH {
            if self.due.first().is_none_or(|(at, _)| *at > now) {
                return;
            }
            let Some((_, name)) = self.due.pop_first() else { return };
            self.forget_if_expired(&name, now);
            let Some(known) = self.by_name.get_mut(&name) else { continue };
            known.is_due = false;
            known.tails.retain(|tail| !tail.is_closed());
            match known.log.expires() {
                Some(expires) => self.look_again(&name, expires),
                None if known.log.head() != Offset::ZERO => {}
                None if known.tails.is_empty() => drop(self.by_name.remove(&name)),
                None => self.look_again(&name, now + UNUSED_CHECK),
            }
        }
    }

    /// Forgets what a channel held when its time is over; its readers' tails go on.
    fn forget_if_expired(&mut self, name: &ChannelName, now: Instant) {
        let Some(known) = self.by_name.get_mut(name) else { return };
        if known.log.expires().is_some_and(|expires| expires <= now) {
            let log = std::mem::take(&mut known.log);
            self.bytes -= log.bytes();
            self.forgotten = self.forgotten.max(log.head());
        }
    }
}

impl Channel {
    fn announce(&mut self, message: &Arc<Message>) {
        self.tails.retain(|tail| tail.send(message).is_ok());
    }
}

fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX), instant: Instant::now() }
}
