//! The seam: whatever stores the logs stands behind [`Broker`]. The contract is not only these words but the suite
//! that every broker passes (`suite`, behind the feature of that name).

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::message::{Draft, Message};
use crate::name::{ChannelName, ConsumerName, GroupName};
use crate::offset::Offset;

/// What a broker answers when it cannot do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not now: the store cannot be reached, is full, or has stopped taking writes. Trying later may help.
    #[error("{0}")]
    Unavailable(String),
    /// The channel is of the other sort: a keyed draft for a plain channel, or a plain one for a keyed channel. A broker
    /// that keeps short-lived channels elsewhere answers the same to a draft of the other lifetime.
    #[error("the channel is {0}, and stays so")]
    Kind(&'static str),
}

/// A broker's answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What became of a draft. Each variant carries the offset that the publisher should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It stands in the log, at this offset.
    Appended(Offset),
    /// It was there before, at this offset; nothing changed.
    Duplicate(Offset),
    /// A message of the same key with a higher version stands at this offset; nothing changed.
    Superseded(Offset),
}

impl Published {
    /// The offset, whatever happened.
    pub fn offset(self) -> Offset {
        match self {
            Self::Appended(offset) | Self::Duplicate(offset) | Self::Superseded(offset) => offset,
        }
    }
}

/// What becomes of a draft that was taken in: answers when the message is as durable as the channel's retention asks.
#[must_use = "a publish is not done before its receipt says so"]
pub struct Receipt(Pin<Box<dyn Future<Output = Result<Published>> + Send>>);

impl Receipt {
    /// A receipt that answers when this does.
    pub fn new(published: impl Future<Output = Result<Published>> + Send + 'static) -> Self {
        Self(Box::pin(published))
    }
}

impl From<Published> for Receipt {
    fn from(published: Published) -> Self {
        Self::new(std::future::ready(Ok(published)))
    }
}

impl Future for Receipt {
    type Output = Result<Published>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Published>> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(…)")
    }
}

/// Whether a log proves that it continues a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing between the cursor and what was read is missing.
    Proved,
    /// Something was trimmed, wiped or lost, or the cursor lies in the log's future.
    Broken,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Messages after the cursor, in order. Fewer than asked for: the log holds no more.
    pub messages: Vec<Arc<Message>>,
    /// The offset of the newest message ever appended (also when it is kept no more); [`Offset::ZERO`] if none.
    pub head: Offset,
    /// Whether the log continues the cursor.
    pub continuity: Continuity,
}

impl Page {
    /// Where a reader stands who has taken this page, having asked for `limit` messages.
    pub fn end(&self, limit: usize) -> Offset {
        match self.messages.last() {
            Some(last) if self.messages.len() >= limit => last.offset,
            _ => self.head,
        }
    }
}

/// What a consumer asks of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The group. Its first claim in a channel that holds anything makes it.
    pub group: GroupName,
    /// Who asks.
    pub consumer: ConsumerName,
    /// At most this many messages.
    pub count: usize,
    /// Messages that another consumer took so long ago, and has not acknowledged, are taken over.
    pub min_idle: Duration,
    /// Where a new group begins: after this offset. A group that exists goes on where it is.
    pub from: Offset,
}

impl Claim {
    /// How long a consumer may be silent before its messages are given to others, unless told otherwise: 30 s.
    pub const MIN_IDLE: Duration = Duration::from_secs(30);

    /// A claim on all there is, from the channel's beginning.
    pub fn new(group: GroupName, consumer: ConsumerName, count: usize) -> Self {
        Self { group, consumer, count, min_idle: Self::MIN_IDLE, from: Offset::ZERO }
    }
}

/// A message that a consumer holds until it acknowledges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The message.
    pub message: Arc<Message>,
    /// How often it was given to a consumer of the group, this time included.
    pub deliveries: u64,
}

/// A store of logs, and announcer of what is new in them.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Takes a draft in, to be appended and announced. Drafts of one channel are carried out in the order in which they were
    /// taken in: whoever submits the next one when this has answered need not wait for the receipts in between. What was
    /// taken in is carried out, whether anybody waits for its receipt or not.
    ///
    /// Whatever becomes of the draft, it renews the lifetime of a channel that expires: saying again what stands is how
    /// a log is kept.
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt>;

    /// Appends and announces; answers when the message is as durable as the channel's retention asks.
    async fn publish(&self, channel: &ChannelName, draft: Draft) -> Result<Published> {
        self.submit(channel, draft).await?.await
    }

    /// Channels that tell, together, whether all of the store works: this one, where it works as a whole or not at all; else
    /// one in each part that may fail by itself, with names that begin so.
    fn witnesses(&self, channel: &ChannelName) -> Vec<ChannelName> {
        vec![channel.clone()]
    }

    /// At most `limit` messages after a cursor, the head, and whether the log still reaches back to the cursor.
    ///
    /// Continuity of a plain channel: the first message after the cursor names it as its predecessor, or the cursor is
    /// the head. Of a keyed channel: the cursor is [`Offset::ZERO`], or lies between the channel's creation and its
    /// head and not before the last collected message.
    ///
    /// What has grown older than a plain channel's [`age`](crate::Retention::age) has left the log, also when nothing was
    /// published since: neither a page nor a claim holds it, and a cursor before the last of it is not continued. What
    /// has left in this way stays out when a later publish asks for a longer age, or for none.
    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page>;

    /// The messages from now on. Keeps order; may skip; ends rather than lose its latest message quietly.
    async fn tail(&self, channel: &ChannelName) -> Result<Tail>;

    /// Takes messages for a consumer of a group, without waiting for any: first those that were taken, are not
    /// acknowledged, and whose holder (whoever it is) was silent for [`Claim::min_idle`]; then those that nobody of the
    /// group was given yet, oldest first. Each is held by one consumer at a time. A message that leaves the log is given
    /// to nobody any more.
    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>>;

    /// Settles messages of a group for good, whoever holds them. Answers how many of them were held and not yet
    /// acknowledged.
    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize>;
}

/// How many announced messages wait for a feed to take them. When it is full, the tail ends; the feed then reads the
/// log, which has them all.
pub const TAIL_CAPACITY: usize = 256;

/// The receiving end of a channel's announcements: a hint, never the truth.
#[derive(Debug)]
pub struct Tail(Arc<Pipe>);

/// The announcing end, held by a broker.
#[derive(Debug)]
pub struct TailSender(Arc<Pipe>);

/// A queue that costs almost nothing while it is empty, which is nearly always: a node has one for every channel with a
/// reader.
#[derive(Debug, Default)]
struct Pipe {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Arc<Message>>,
    /// The sender is gone: what waits is the last of it.
    ended: bool,
    /// The reader is gone.
    closed: bool,
}

impl Pipe {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    /// A new tail and its sender.
    pub fn new() -> (TailSender, Self) {
        let pipe = Arc::<Pipe>::default();
        (TailSender(Arc::clone(&pipe)), Self(pipe))
    }

    /// The next announcement; `None` once the tail has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        self.take(VecDeque::pop_front).await
    }

    /// All announcements that wait, at least one; `None` once the tail has ended. Safe to cancel.
    pub async fn waiting(&mut self) -> Option<VecDeque<Arc<Message>>> {
        self.take(|waiting| (!waiting.is_empty()).then(|| std::mem::take(waiting))).await
    }

    async fn take<T>(&mut self, take: impl Fn(&mut VecDeque<Arc<Message>>) -> Option<T>) -> Option<T> {
        loop {
            {
                let mut waiting = self.0.waiting();
                if let Some(taken) = take(&mut waiting.messages) {
                    return Some(taken);
                }
                // A burst leaves room behind; most channels never see another.
                waiting.messages.shrink_to(0);
                if waiting.ended {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.closed = true;
        waiting.messages.clear();
    }
}

/// A tail that is over: drop its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl TailSender {
    /// Announces a message without waiting.
    ///
    /// # Errors
    /// [`Ended`] when the reader is gone or too far behind: the sender must be dropped, which ends the tail.
    pub fn send(&self, message: &Arc<Message>) -> std::result::Result<(), Ended> {
        {
            let mut waiting = self.0.waiting();
            if waiting.closed || waiting.messages.len() >= TAIL_CAPACITY {
                return Err(Ended);
            }
            waiting.messages.push_back(Arc::clone(message));
        }
        self.0.changed.notify_one();
        Ok(())
    }

    /// Whether nobody reads the tail any more.
    pub fn is_closed(&self) -> bool {
        self.0.waiting().closed
    }
}

impl Drop for TailSender {
    fn drop(&mut self) {
        self.0.waiting().ended = true;
        self.0.changed.notify_one();
    }
}
