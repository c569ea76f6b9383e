//! A cursor that moves. It takes what follows it from the ring; when the ring does not reach back to it, from the log;
//! when the log does not either, it says so and begins again at the oldest message kept.
//!
//! Invariant: what a subscription yields is, in order and without a hole, what the log held after its start; every
//! hole is announced by [`Event::Gap`] before anything that lies behind it. Nothing is buffered here: who does not
//! ask is given nothing, and costs nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::warn;

use crate::broker::{Continuity, Error, Page};
use crate::delivery::Delivery;
use crate::feed::{Feed, Seat};
use crate::hub::Hub;
use crate::name::ChannelName;
use crate::offset::Offset;
use crate::ring::Since;

/// How many messages are taken at once.
pub const BATCH: usize = 256;

/// How many messages the first read of the log takes: nobody knows yet how large they are, and a thousand readers may come
/// at once.
const FIRST_READ: usize = 1;

/// By how much each read may be larger than the one before it.
const GROWTH: usize = 4;

/// How many bytes a read of the log should bring. The next read asks for as many messages as would have.
const READ_BYTES: usize = 256 << 10;

/// How long a subscription waits after a failed read of the log before it tries again.
const RETRY: Duration = Duration::from_millis(500);

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the next message published.
    New,
    /// With everything that is kept; never a gap.
    Beginning,
    /// After an offset.
    After(Offset),
}

/// Where a subscription really began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The cursor it starts from.
    pub cursor: Offset,
    /// The log could not prove that it continues the offset asked for; it starts at the oldest message kept.
    pub gap: bool,
}

impl Started {
    pub(crate) const BEGINNING: Self = Self { cursor: Offset::ZERO, gap: false };
}

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The next messages; never empty.
    Messages(Vec<Arc<Delivery>>),
    /// What followed `after` is gone; what comes next begins at `oldest`.
    Gap {
        /// The last offset that was taken.
        after: Offset,
        /// The oldest message kept; [`Offset::ZERO`] when there is none.
        oldest: Offset,
    },
}

/// Tells a reader, who may hold many subscriptions, that one of them may have something. One waiter at a time.
#[derive(Debug, Default)]
pub struct Wake {
    woken: AtomicBool,
    waiter: AtomicWaker,
}

impl Wake {
    /// Wakes the waiter, or the next one to wait.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.waiter.wake();
        }
    }

    /// Waits until woken. Safe to cancel.
    pub async fn woken(&self) {
        poll_fn(|context| {
            // Registered before looking, so that a wake in between is not lost.
            self.waiter.register(context.waker());
            if self.woken.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// A reader's position in a channel, and its way to what comes next.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    channel: ChannelName,
    /// `None` only while being dropped.
    feed: Option<Arc<Feed>>,
    seat: Seat,
    wake: Arc<Wake>,
    cursor: Offset,
    /// The cursor stands before all that is kept, whatever that is: reading on is no gap.
    at_beginning: bool,
    /// The ring's epoch in which the log last vouched for the cursor.
    vouched: u64,
    /// How many messages the next read of the log takes.
    limit: usize,
    retry: Option<Retry>,
}

/// A pause after a failed read; wakes the reader when it is over.
#[derive(Debug)]
struct Retry {
    at: Instant,
    task: AbortHandle,
}

impl Drop for Retry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a subscription can yield without asking the log.
#[derive(Debug)]
pub enum AtHand {
    /// This comes next.
    Event(Event),
    /// Nothing for now; the wake is told when asking again makes sense.
    Nothing,
    /// Only the log knows what comes next: see [`Subscription::ready`].
    InLog,
}

enum Look {
    Yield(Event),
    Wait,
    AskLog { epoch: u64, head: Offset },
}

impl Subscription {
    /// `start` is what was asked for, `started` what the log said to it.
    pub(crate) fn new(
        hub: Hub,
        channel: ChannelName,
        feed: Arc<Feed>,
        wake: Arc<Wake>,
        start: Start,
        started: Started,
    ) -> Self {
        let seat = feed.sit(Arc::clone(&wake));
        // Whatever is there already is not announced again.
        wake.wake();
        let at_beginning = started.gap || start == Start::Beginning;
        let cursor = started.cursor;
        Self {
            hub,
            channel,
            feed: Some(feed),
            seat,
            wake,
            cursor,
            at_beginning,
            vouched: 0,
            limit: FIRST_READ,
            retry: None,
        }
    }

    /// The channel subscribed to.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The offset up to which everything was taken.
    pub fn cursor(&self) -> Offset {
        self.cursor
    }

    /// What can be taken at once, without waiting for anything.
    pub fn at_hand(&mut self) -> AtHand {
        match self.look() {
            Look::Yield(event) => AtHand::Event(event),
            Look::Wait => AtHand::Nothing,
            Look::AskLog { .. } if self.is_pausing() => AtHand::Nothing,
            Look::AskLog { .. } => AtHand::InLog,
        }
    }

    /// What can be taken now; `None` when the cursor is level with the log, or the log cannot be read at present. The
    /// wake is told when asking again makes sense. Safe to cancel.
    pub async fn ready(&mut self) -> Option<Event> {
        loop {
            match self.look() {
                Look::Yield(event) => return Some(event),
                Look::Wait => return None,
                Look::AskLog { epoch, head } => {
                    if self.is_pausing() {
                        return None;
                    }
                    match self.ask_log(epoch, head, self.limit).await {
                        Ok(None) => {}
                        Ok(Some(event)) => return Some(event),
                        Err(error) => {
                            warn!(channel = %self.channel, %error, "cannot read the log; trying again");
                            self.retry_later();
                            return None;
                        }
                    }
                }
            }
        }
    }

    /// The next event, waiting for it. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready().await {
                return event;
            }
            self.wake.woken().await;
        }
    }

    /// What the log holds beyond the cursor, whether it has been announced yet or not. For a reader that knows, from
    /// elsewhere, that there must be something. Safe to cancel.
    ///
    /// # Errors
    /// The broker's.
    pub async fn catch_up(&mut self) -> Result<Option<Event>, Error> {
        let Some(feed) = &self.feed else { return Ok(None) };
        let glance = feed.glance(self.cursor, 0);
        self.ask_log(glance.epoch, glance.head, BATCH).await
    }

    fn look(&mut self) -> Look {
        let Some(feed) = &self.feed else { return Look::Wait };
        let glance = feed.glance(self.cursor, BATCH);
        match glance.since {
            // Not following yet: the feed wakes everyone when it does.
            _ if glance.epoch == 0 => Look::Wait,
            Since::Messages(messages) => {
                self.vouched = glance.epoch;
                self.advance(messages)
            }
            Since::Level if glance.head == self.cursor => {
                self.vouched = glance.epoch;
                self.at_beginning = false;
                Look::Wait
            }
            Since::Level if self.vouched == glance.epoch => Look::Wait,
            Since::Level | Since::Unknown => Look::AskLog { epoch: glance.epoch, head: glance.head },
        }
    }

    /// Whether a read has failed so lately that trying again makes no sense yet.
    fn is_pausing(&self) -> bool {
        self.retry.as_ref().is_some_and(|retry| Instant::now() < retry.at)
    }

    fn advance(&mut self, messages: Vec<Arc<Delivery>>) -> Look {
        if let Some(last) = messages.last() {
            self.cursor = last.offset;
            self.at_beginning = false;
        }
        Look::Yield(Event::Messages(messages))
    }

    async fn ask_log(&mut self, epoch: u64, ring_head: Offset, limit: usize) -> Result<Option<Event>, Error> {
        let page = self.hub.read_in_turn(&self.channel, self.cursor, limit).await?;
        self.retry = None;
        if page.head < ring_head
            && let Some(feed) = &self.feed
        {
            feed.log_went_back(epoch, page.head);
        }
        if page.continuity == Continuity::Broken && !self.at_beginning {
            let oldest = self.hub.read_in_turn(&self.channel, Offset::ZERO, 1).await?;
            let oldest = oldest.messages.first().map_or(Offset::ZERO, |message| message.offset);
            let after = std::mem::take(&mut self.cursor);
            self.at_beginning = true;
            return Ok(Some(Event::Gap { after, oldest }));
        }
        self.vouched = epoch;
        self.cursor = page.end(limit);
        self.at_beginning = false;
        self.limit = next_limit(limit, &page);
        let messages: Vec<_> =
            page.messages.into_iter().map(|message| Arc::new(Delivery::new(message))).collect();
        Ok((!messages.is_empty()).then_some(Event::Messages(messages)))
    }

    fn retry_later(&mut self) {
        let wake = Arc::clone(&self.wake);
        let task = tokio::spawn(async move {
            tokio::time::sleep(RETRY).await;
            wake.wake();
        });
        self.retry = Some(Retry { at: Instant::now() + RETRY, task: task.abort_handle() });
    }
}

/// How many messages to read next, by what the last read brought: a reader holds about so many bytes, however large the
/// messages are.
fn next_limit(limit: usize, page: &Page) -> usize {
    let bytes: usize = page.messages.iter().map(|message| message.weight()).sum();
    let fitting = match bytes {
        0 => BATCH,
        bytes => page.messages.len() * READ_BYTES / bytes,
    };
    fitting.min(limit * GROWTH).clamp(1, BATCH)
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.take() {
            feed.rise(self.seat);
            self.hub.release(&self.channel, feed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Fields, Message};

    /// How many messages of a size the reads after the first one take.
    fn reads(size: usize) -> Vec<usize> {
        let text = "x".repeat(size);
        let message = Message {
            offset: Offset::ZERO,
            prev: Offset::ZERO,
            fields: Fields::of([("t", &text)]),
            keyed: None,
            user: None,
        };
        let message = Arc::new(message);
        let mut limit = FIRST_READ;
        let next = |_| {
            let messages = vec![Arc::clone(&message); limit];
            limit = next_limit(limit, &Page { messages, head: Offset::ZERO, continuity: Continuity::Proved });
            limit
        };
        (0..5).map(next).collect()
    }

    #[test]
    fn reads_grow_while_messages_are_small() {
        assert_eq!(reads(10), [4, 16, 64, 256, 256]);
        assert_eq!(reads(20_000), [4, 13, 13, 13, 13]);
        assert_eq!(reads(1 << 20), [1, 1, 1, 1, 1]);
    }
}
