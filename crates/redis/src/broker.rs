//! [`Redis`]: the broker that many nodes share.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use async_trait::async_trait;
use inkwire_core::{
    Broker, ChannelName, Claim, Claimed, Draft, Error, GroupName, Offset, Page, Receipt, Result, Tail,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::{Address, OptionError};
use crate::dispatch::dispatch;
use crate::queue::Queue;
use crate::reply;
use crate::task::Task;
use crate::topology::Topology;

/// How a [`Redis`] behaves.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where Redis is.
    pub address: Address,
    /// What the names of all keys begin with. Applications that share a Redis have different ones.
    pub prefix: String,
    /// How long anybody waits for Redis, reconnecting included; then the answer is `unavailable`. A publish that was
    /// given up in this way has been carried out wholly or not at all, and nobody knows which: repeat it under a
    /// [`Producer`](inkwire_core::Producer).
    pub patience: Duration,
    /// The certificates (PEM) that servers behind `rediss://` are checked against; `None`: those that the system trusts.
    pub certificates: Option<Vec<u8>>,
}

impl RedisOptions {
    /// How long anybody waits for Redis unless told otherwise: longer than a restart takes, shorter than people wait.
    pub const PATIENCE: Duration = Duration::from_secs(5);
    /// What keys begin with unless told otherwise.
    pub const PREFIX: &str = "inkwire:";

    /// The defaults, at an address.
    pub fn new(address: Address) -> Self {
        Self { address, prefix: Self::PREFIX.to_owned(), patience: Self::PATIENCE, certificates: None }
    }
}

/// A broker on Redis 7 or later, or on Valkey. As durable as the server's own settings.
///
/// It connects when it is first needed and reconnects by itself; while there is no Redis, it answers
/// [`Error::Unavailable`].
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use inkwire_core::{Broker, ChannelName, Draft, Fields};
/// use inkwire_redis::{Redis, RedisOptions};
/// let broker = Redis::new(RedisOptions::new("redis://localhost".parse()?))?;
/// let channel = ChannelName::new("greetings")?;
/// broker.publish(&channel, Draft::plain(Fields::of([("text", "hello")]))).await?;
/// # Ok(()) }
/// ```
pub struct Redis {
    name: Arc<str>,
    queue: Arc<Queue>,
    topology: Arc<Topology>,
    patience: Duration,
    _dispatch: Task,
}

impl Redis {
    /// A broker. Needs a Tokio runtime, and connects to nothing yet.
    ///
    /// # Errors
    /// [`OptionError`] when an option cannot be used.
    pub fn new(options: RedisOptions) -> std::result::Result<Self, OptionError> {
        let RedisOptions { address, prefix, patience, certificates } = options;
        if prefix.contains(['{', '}']) {
            return Err(OptionError::Prefix(prefix));
        }
        let topology = Arc::new(Topology::new(&address, &prefix, certificates.as_deref(), patience)?);
        let queue = Arc::<Queue>::default();
        let dispatch = Task::spawn(dispatch(Arc::clone(&queue), Arc::clone(&topology)));
        Ok(Self { name: address.to_string().into(), queue, topology, patience, _dispatch: dispatch })
    }

    /// Calls the server that has a channel: at once the call takes its place among all others.
    fn call(
        &self,
        channel: &ChannelName,
        cmd: Cmd,
    ) -> Result<impl Future<Output = Result<Value>> + Send + use<>> {
        let deadline = Instant::now() + self.patience;
        let answered = timeout_at(deadline, self.queue.push(channel, cmd, deadline)?);
        let gave_up = self.gave_up(channel);
        Ok(async move {
            match answered.await {
                Ok(Ok(answer)) => answer,
                // It was left undone at that very moment.
                Ok(Err(_)) | Err(_) => Err(gave_up()),
            }
        })
    }

    async fn tail_at_last(&self, channel: &ChannelName) -> Result<Tail> {
        let server = self.topology.server_at_last(channel).await;
        let server = server.ok_or_else(|| Error::Unavailable("there is no Redis".into()))?;
        server.listener.tail(server.layout.audience(channel)).await
    }

    /// What to say when nothing has answered, and why.
    fn gave_up(&self, channel: &ChannelName) -> impl FnOnce() -> Error + Send + use<> {
        let (topology, channel) = (Arc::clone(&self.topology), channel.clone());
        let (name, patience) = (Arc::clone(&self.name), self.patience);
        move || {
            let servers = topology.server(&channel).map_or_else(|| topology.servers(), |server| vec![server]);
            let trouble = servers.iter().find_map(|server| server.troubles.now());
            let why = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
            Error::Unavailable(format!("Redis at {name} has not answered for {patience:?}{why}"))
        }
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("servers", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for Redis {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        let answer = self.call(channel, self.topology.layout(channel).publish(channel, &draft)?)?;
        Ok(Receipt::new(async move { reply::published(answer.await?) }))
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        reply::page(
            self.call(channel, self.topology.layout(channel).read(channel, after, limit))?.await?,
            after,
        )
    }

    /// One on each of several independent servers. A cluster goes down and comes back as one.
    fn witnesses(&self, channel: &ChannelName) -> Vec<ChannelName> {
        self.topology.witnesses(channel)
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        timeout(self.patience, self.tail_at_last(channel))
            .await
            .unwrap_or_else(|_| Err(self.gave_up(channel)()))
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        reply::claimed(self.call(channel, self.topology.layout(channel).claim(channel, &claim))?.await?)
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        let cmd = self.topology.layout(channel).acknowledge(channel, group, offsets);
        reply::acknowledged(&self.call(channel, cmd)?.await?)
    }
}
