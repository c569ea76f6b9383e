//! The door for everyone who publishes, reads or subscribes on this node. Holds the feeds: one per channel that has
//! a local reader, made on demand, gone with its last reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::broker::{Broker, Claim, Claimed, Continuity, Page, Published, Receipt, Result};
use crate::feed::Feed;
use crate::message::Draft;
use crate::name::{ChannelName, GroupName};
use crate::offset::Offset;
use crate::subscription::{Start, Started, Subscription, Wake};

/// How a hub behaves.
#[derive(Debug, Clone, Copy)]
pub struct HubOptions {
    /// How often a feed compares its position with the log's. Finds what no announcement tells: a wiped log, a tail
    /// that fell silent.
    pub check: Duration,
    /// How many subscriptions may read the log at once; the others wait their turn. Keeps a broken tail of a
    /// channel with very many readers from becoming that many reads at the same moment.
    pub reads: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self { check: Duration::from_secs(10), reads: 64 }
    }
}

/// All channels, seen from this node. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    broker: Arc<dyn Broker>,
    options: HubOptions,
    reads: Semaphore,
    feeds: Mutex<HashMap<ChannelName, Weak<Feed>>>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("feeds", &self.feeds().len()).finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub on a broker.
    pub fn new(broker: Arc<dyn Broker>, options: HubOptions) -> Self {
        let reads = Semaphore::new(options.reads.max(1));
        Self(Arc::new(Inner { broker, options, reads, feeds: Mutex::default() }))
    }

    /// Publishes; see [`Broker::publish`].
    ///
    /// # Errors
    /// The broker's.
    pub async fn publish(&self, channel: &ChannelName, draft: Draft) -> Result<Published> {
        self.0.broker.publish(channel, draft).await
    }

    /// Takes a draft in, in order; see [`Broker::submit`].
    ///
    /// # Errors
    /// The broker's.
    pub async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        self.0.broker.submit(channel, draft).await
    }

    /// Reads; see [`Broker::read`].
    ///
    /// # Errors
    /// The broker's.
    pub async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        self.0.broker.read(channel, after, limit).await
    }

    /// Takes messages for a consumer of a group; see [`Broker::claim`].
    ///
    /// # Errors
    /// The broker's.
    pub async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        self.0.broker.claim(channel, claim).await
    }

    /// Settles messages of a group; see [`Broker::acknowledge`].
    ///
    /// # Errors
    /// The broker's.
    pub async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        self.0.broker.acknowledge(channel, group, offsets).await
    }

    /// The offset of the newest message of a channel; [`Offset::ZERO`] for an unused one.
    ///
    /// # Errors
    /// The broker's.
    pub async fn head(&self, channel: &ChannelName) -> Result<Offset> {
        Ok(self.read(channel, Offset::ZERO, 0).await?.head)
    }

    /// Subscribes from a position. `wake` is told when there may be something to take.
    ///
    /// # Errors
    /// The broker's, when the position cannot be judged now.
    pub async fn subscribe(
        &self,
        channel: &ChannelName,
        start: Start,
        wake: Arc<Wake>,
    ) -> Result<(Subscription, Started)> {
        let started = self.judge(channel, start).await?;
        let feed = self.feed(channel);
        Ok((Subscription::new(self.clone(), channel.clone(), feed, wake, start, started), started))
    }

    async fn judge(&self, channel: &ChannelName, start: Start) -> Result<Started> {
        match start {
            Start::New => Ok(Started { cursor: self.head(channel).await?, ..Started::BEGINNING }),
            Start::Beginning => Ok(Started::BEGINNING),
            Start::After(cursor) => match self.read(channel, cursor, 0).await?.continuity {
                Continuity::Proved => Ok(Started { cursor, ..Started::BEGINNING }),
                Continuity::Broken => Ok(Started { gap: true, ..Started::BEGINNING }),
            },
        }
    }

    /// Reads the log for a subscription, in its turn.
    pub(crate) async fn read_in_turn(
        &self,
        channel: &ChannelName,
        after: Offset,
        limit: usize,
    ) -> Result<Page> {
        let _turn = self.0.reads.acquire().await;
        self.read(channel, after, limit).await
    }

    fn feed(&self, channel: &ChannelName) -> Arc<Feed> {
        let mut feeds = self.feeds();
        if let Some(feed) = feeds.get(channel).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(Feed::start(Arc::clone(&self.0.broker), channel.clone(), self.0.options.check));
        feeds.insert(channel.clone(), Arc::downgrade(&feed));
        feed
    }

    /// Lets go of a feed; forgets the channel when that was its last reader.
    pub(crate) fn release(&self, channel: &ChannelName, feed: Arc<Feed>) {
        let mut feeds = self.feeds();
        drop(feed);
        if feeds.get(channel).is_some_and(|feed| feed.strong_count() == 0) {
            feeds.remove(channel);
        }
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<ChannelName, Weak<Feed>>> {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Channels that tell, together, whether all of the store works; see [`Broker::witnesses`].
    pub fn witnesses(&self, channel: &ChannelName) -> Vec<ChannelName> {
        self.0.broker.witnesses(channel)
    }

    /// The channels that have a reader on this node.
    pub fn followed(&self) -> Vec<ChannelName> {
        let feeds = self.feeds();
        feeds.iter().filter(|(_, feed)| feed.strong_count() > 0).map(|(channel, _)| channel.clone()).collect()
    }

    /// How many channels have a reader on this node.
    pub fn channels(&self) -> usize {
        self.feeds().len()
    }
}
