//! Reading, beside the writer and without waiting for it.
//!
//! Invariant: a page, its head and its proof come from one snapshot of committed messages.

use std::sync::{Arc, Mutex, PoisonError};

use inkwire_core::{ChannelName, Continuity, Error, Message, Offset, Page, Result};
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::Semaphore;

use super::channel::{Channel, Kind, offset_at};
use super::file::Directory;
use super::row::{self, ordered};
use super::trouble::Trouble;

/// How many reads go on at once; more wait their turn. They share the disk anyway.
const READERS: usize = 4;

/// A pool of connections that read. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    directory: Arc<Directory>,
}

impl Readers {
    /// A pool that opens its connections when they are wanted.
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self(Arc::new(Pool { turns: Arc::new(Semaphore::new(READERS)), idle: Mutex::default(), directory }))
    }

    /// See [`Broker::read`](inkwire_core::Broker::read).
    pub(crate) async fn page(
        &self,
        channel: &ChannelName,
        after: Offset,
        limit: usize,
        wall_ms: u64,
    ) -> Result<Page> {
        let channel = channel.clone();
        self.with(move |connection| page(connection, &channel, after, limit, wall_ms)).await
    }

    /// Whether the channel was ever published to.
    pub(crate) async fn knows(&self, channel: &ChannelName) -> Result<bool> {
        let channel = channel.clone();
        self.with(move |connection| Ok(Channel::find(connection, &channel)?.is_some())).await
    }

    async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> std::result::Result<T, Trouble> + Send + 'static,
    ) -> Result<T> {
        let ended = |_| Error::Unavailable("the store's readers have ended".into());
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(ended)?;
        let pool = Arc::clone(&self.0);
        // The turn belongs to the reading, not to whoever waits for it and may not be looked at for a while.
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            pool.run(read)
        })
        .await;
        read.map_err(|_| Error::Unavailable("reading the store was cut short".into()))?
            .map_err(|trouble| Error::Unavailable(format!("the store cannot read this: {trouble}")))
    }
}

impl Pool {
    fn run<T>(
        &self,
        read: impl FnOnce(&Connection) -> std::result::Result<T, Trouble>,
    ) -> std::result::Result<T, Trouble> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.directory.open_reader()?,
        };
        let snapshot = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let answer = read(&snapshot)?;
        drop(snapshot);
        // A connection that met trouble is not used again.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }
}

fn page(
    connection: &Connection,
    name: &ChannelName,
    after: Offset,
    limit: usize,
    wall_ms: u64,
) -> std::result::Result<Page, Trouble> {
    let Some(channel) = Channel::find(connection, name)? else {
        let continuity = if after == Offset::ZERO { Continuity::Proved } else { Continuity::Broken };
        return Ok(Page { messages: Vec::new(), head: Offset::ZERO, continuity });
    };
    // The first one proves the continuity, also when none is wanted.
    let begin = after.max(channel.horizon(wall_ms));
    let mut messages = messages_after(connection, channel.id, begin, limit.max(1))?;
    let continuity = continuity(&channel, after, messages.first());
    messages.truncate(limit);
    Ok(Page { messages, head: channel.head, continuity })
}

/// At most `limit` messages of a channel after an offset.
pub(crate) fn messages_after(
    connection: &Connection,
    channel: i64,
    after: Offset,
    limit: usize,
) -> std::result::Result<Vec<Arc<Message>>, Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT ms, seq, row FROM messages WHERE channel = ?1 AND (ms, seq) > (?2, ?3)
         ORDER BY ms, seq LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![channel, ordered(after.ms), ordered(after.seq), limit])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        let content = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        messages.push(Arc::new(row::decode(channel, offset_at(row, 0)?, content)?));
    }
    Ok(messages)
}

fn continuity(channel: &Channel, after: Offset, next: Option<&Arc<Message>>) -> Continuity {
    let proved = match (channel.kind, next) {
        (Kind::Keyed, _) => {
            after == Offset::ZERO
                || (after >= channel.created && after >= channel.floor && after <= channel.head)
        }
        (Kind::Plain, Some(next)) => next.prev == after,
        (Kind::Plain, None) => after == channel.head,
    };
    if proved { Continuity::Proved } else { Continuity::Broken }
}
