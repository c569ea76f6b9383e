//! The server's channels, for the program around it: what it publishes and reads passes no hooks and no grants.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inkwire_core::{
    ChannelName, Draft, Error, Fields, Hub, Lifetime, Offset, Page, Published, Retention, Start, Subscription,
};

use crate::options::RetentionRule;
use crate::retention::{Sort, retention};

/// The channel of what is said to everybody.
const BROADCAST: &str = "$broadcast";

/// What is kept of it: enough for sockets that are a moment behind. Whoever comes later was not meant.
const BROADCAST_RETENTION: Retention = Retention {
    maximum: 1_000,
    age: None,
    tombstones: Duration::ZERO,
    lifetime: Lifetime::Expires(Duration::from_secs(60)),
};

/// The channel of what is said to everybody.
pub(crate) fn broadcast_channel() -> ChannelName {
    ChannelName::new(BROADCAST).expect("a name by the rules")
}

/// The channels of a server: from [`Server::channels`](crate::Server::channels). Cheap to clone, and good for as long as
/// the server runs.
///
/// ```
/// # async fn of(server: inkwire::Server) -> Result<(), Box<dyn std::error::Error>> {
/// use inkwire::{ChannelName, Draft, Fields};
///
/// let channels = server.channels();
/// let news = ChannelName::new("news")?;
/// channels.set_maxlen(&news, std::num::NonZeroUsize::new(100));
/// channels.publish(&news, Fields::of([("text", "we have opened")])).await?;
/// channels.broadcast(Fields::of([("text", "closing in five minutes")])).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Channels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub: Hub,
    rules: Vec<RetentionRule>,
    maxlens: Mutex<HashMap<ChannelName, NonZeroUsize>>,
    /// Whether the program may say something to everybody: sockets listen for it only then.
    has_broadcasts: AtomicBool,
}

impl Channels {
    pub(crate) fn new(hub: Hub, rules: Vec<RetentionRule>) -> Self {
        let (maxlens, has_broadcasts) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { hub, rules, maxlens, has_broadcasts }))
    }

    /// The same, for the program around the server.
    pub(crate) fn for_program(&self) -> Self {
        self.0.has_broadcasts.store(true, Ordering::Relaxed);
        self.clone()
    }

    pub(crate) fn has_broadcasts(&self) -> bool {
        self.0.has_broadcasts.load(Ordering::Relaxed)
    }

    /// What a channel keeps: by the publisher's own wish, the program's, the operator's rules, or the default.
    pub(crate) fn retention(&self, channel: &ChannelName, sort: Sort, maxlen: Option<usize>) -> Retention {
        let maxlen = maxlen.or_else(|| self.maxlens().get(channel).copied().map(NonZeroUsize::get));
        retention(&self.0.rules, channel, sort, maxlen)
    }

    fn maxlens(&self) -> MutexGuard<'_, HashMap<ChannelName, NonZeroUsize>> {
        self.0.maxlens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes to a plain channel, which keeps what the server's rules say.
    ///
    /// # Errors
    /// The broker's: [`Error::Unavailable`] when the message is not kept, [`Error::Kind`] for a keyed channel.
    pub async fn publish(&self, channel: &ChannelName, fields: Fields) -> Result<Published, Error> {
        let kept = self.retention(channel, Sort::Plain, None);
        self.draft(channel, Draft::plain(fields).retained(kept)).await
    }

    /// Publishes a draft as it is: keyed, under a producer, or kept in its own way.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn draft(&self, channel: &ChannelName, draft: Draft) -> Result<Published, Error> {
        self.0.hub.publish(channel, draft).await
    }

    /// At most `limit` messages after an offset.
    ///
    /// # Errors
    /// The broker's.
    pub async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page, Error> {
        self.0.hub.read(channel, after, limit).await
    }

    /// Follows a channel.
    ///
    /// # Errors
    /// The broker's.
    pub async fn subscribe(&self, channel: &ChannelName, start: Start) -> Result<Subscription, Error> {
        Ok(self.0.hub.subscribe(channel, start, Arc::default()).await?.0)
    }

    /// How many messages a channel keeps from its next publish on, whoever publishes through this server; `None` leaves it
    /// to the rules again. A publish that asks for a `maxlen` of its own is given it.
    pub fn set_maxlen(&self, channel: &ChannelName, maxlen: Option<NonZeroUsize>) {
        let mut maxlens = self.maxlens();
        match maxlen {
            Some(maxlen) => drop(maxlens.insert(channel.clone(), maxlen)),
            None => drop(maxlens.remove(channel)),
        }
    }

    /// Says something to every WebSocket, on every node whose program has taken its [`Channels`]. It comes as a message of
    /// the channel `$broadcast`, unasked. Whoever is not connected misses it.
    ///
    /// # Errors
    /// The broker's.
    pub async fn broadcast(&self, fields: Fields) -> Result<(), Error> {
        let draft = Draft::plain(fields).retained(BROADCAST_RETENTION);
        self.draft(&broadcast_channel(), draft).await.map(drop)
    }
}
