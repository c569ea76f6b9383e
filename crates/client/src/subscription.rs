//! A channel being followed: the reader's end, and the inbox between it and the client's task.
//!
//! Invariant: an inbox is bounded and loses nothing. When it is full the client unsubscribes, and subscribes again after
//! the last message it holds once the reader has come along: the channel is a log, so it keeps what the reader has not asked for.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use inkwire_core::{ChannelName, Offset};
use inkwire_protocol::channel::Received;
use tokio::sync::Notify;

use crate::client::Client;
use crate::error::Error;

/// So many bytes may wait for the reader, give or take one frame; then the client unsubscribes until half of it is read. As
/// large as the largest message, so that one is never too many.
const INBOX_BYTES: usize = 1 << 20;

/// What a message holds beside its fields, roughly: it keeps an inbox of tiny messages small as well.
const MESSAGE_OVERHEAD: usize = 128;

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Messages, in the order of their offsets: at least one.
    Messages(Vec<Received>),
    /// What followed an offset is gone. Forget what you had: what comes next begins at the oldest message kept.
    Gap {
        /// The last offset that was delivered, or the one that was asked for.
        after: Offset,
        /// The oldest message kept, where the server said so.
        oldest: Option<Offset>,
    },
}

/// A channel being followed, through every drop of the connection: every message once, in order. A [`Stream`] that ends only
/// with an error that the client cannot mend. Dropping it ends the subscription.
///
/// ```no_run
/// # async fn follow(client: inkwire_client::Client) -> Result<(), inkwire_client::Error> {
/// use futures_util::StreamExt as _;
/// use inkwire_client::{Event, From};
/// let mut events = client.subscribe("board:lobby".parse().expect("a name"), From::Beginning).await?;
/// while let Some(event) = events.next().await {
///     match event? {
///         Event::Messages(messages) => messages.iter().for_each(|message| println!("{}", message.offset)),
///         Event::Gap { after, .. } => println!("what followed {after} is gone"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Subscription {
    channel: ChannelName,
    inbox: Arc<Inbox>,
    /// The task that fills the inbox lives as long as somebody can hear it.
    _client: Client,
}

impl Subscription {
    pub(crate) fn new(channel: ChannelName, inbox: Arc<Inbox>, client: Client) -> Self {
        Self { channel, inbox, _client: client }
    }

    /// Which channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inbox.poll(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inbox.contents().is_closed = true;
        self.inbox.attention.notify_one();
    }
}

/// What was heard and not yet read.
#[derive(Debug)]
pub(crate) struct Inbox {
    contents: Mutex<Contents>,
    /// Tells the client's task that there is room again, or nobody any more.
    attention: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Contents {
    events: VecDeque<Event>,
    weight: usize,
    /// The client has stopped filling it.
    is_full: bool,
    is_closed: bool,
    end: Option<Error>,
    reader: Option<Waker>,
}

impl Inbox {
    pub(crate) fn new(attention: Arc<Notify>) -> Self {
        Self { contents: Mutex::default(), attention }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in; whether there is room for more.
    pub(crate) fn put(&self, event: Event) -> Room {
        let mut contents = self.contents();
        contents.weight += weight(&event);
        contents.add(event);
        contents.is_full = contents.weight >= INBOX_BYTES;
        contents.wake();
        if contents.is_full { Room::None } else { Room::Some }
    }

    /// Nothing will come any more, because of this.
    pub(crate) fn end(&self, error: Error) {
        let mut contents = self.contents();
        contents.end = Some(error);
        contents.wake();
    }

    /// Whether there is room for more than a little, or again after it was full.
    pub(crate) fn has_room(&self) -> bool {
        let contents = self.contents();
        contents.weight < INBOX_BYTES / 2
    }

    /// Whether nobody reads it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.contents().is_closed
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut contents = self.contents();
        if let Some(event) = contents.events.pop_front() {
            contents.weight = contents.weight.saturating_sub(weight(&event));
            if contents.is_full && contents.weight < INBOX_BYTES / 2 {
                contents.is_full = false;
                self.attention.notify_one();
            }
            return Poll::Ready(Some(Ok(event)));
        }
        if contents.is_closed {
            return Poll::Ready(None);
        }
        if let Some(error) = contents.end.take() {
            contents.is_closed = true;
            return Poll::Ready(Some(Err(error)));
        }
        contents.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Whether more can be put into an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Some,
    None,
}

impl Contents {
    /// Messages that wait are read together.
    fn add(&mut self, event: Event) {
        match (self.events.back_mut(), event) {
            (Some(Event::Messages(waiting)), Event::Messages(more)) => waiting.extend(more),
            (_, event) => self.events.push_back(event),
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Messages(messages) => {
            messages.iter().map(|message| MESSAGE_OVERHEAD + message.fields.weight()).sum()
        }
        Event::Gap { .. } => MESSAGE_OVERHEAD,
    }
}
