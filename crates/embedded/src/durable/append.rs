//! The rules of a publish, on the file: the same as [`log`](crate::log) keeps in memory.
//!
//! Invariant: every message names the head it was appended to; whatever leaves the log before its time is covered by
//! the channel's floor (keyed) or breaks the chain (plain), so that a cursor can always be judged. What has grown too old
//! lies behind the channel's horizon from that moment on, and is removed when there is time.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{
    ChannelName, Draft, Error, Keyed, Message, Offset, Producer, Published, Retention, State,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::channel::{Channel, Channels, Kind, offset_at};
use super::row::{self, ordered};
use super::trouble::Trouble;

/// How long a producer's latest sequence number is remembered, by the store's own clock.
const PRODUCERS_REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// How many forgotten producers one transaction removes, and how many due tombstones or old messages one publish: their
/// share of the housekeeping. The rest waits for the next.
const SHARE: usize = 500;

/// The present, in the two ways a log needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// For offsets: milliseconds since 1970.
    pub(crate) wall_ms: u64,
    /// For ages: the store's own clock, which never goes back.
    pub(crate) age_ms: u64,
}

/// What a publish did, if the transaction is committed.
pub(crate) type Appended = Result<(Published, Option<Arc<Message>>), Error>;

/// One transaction of the writer.
pub(crate) struct Work<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) channels: &'a mut Channels,
    pub(crate) now: Moment,
    /// The offsets of new channels lie behind it: used before, perhaps by a short-lived channel of the same name.
    pub(crate) floor: Offset,
    /// Room to write a row in.
    pub(crate) row: &'a mut Vec<u8>,
}

impl Work<'_> {
    /// Appends a draft, or says why it changes nothing.
    ///
    /// # Errors
    /// [`Trouble`] of the file; the transaction is then to be undone.
    pub(crate) fn publish(&mut self, name: &ChannelName, draft: Draft) -> Result<Appended, Trouble> {
        let kind = if draft.keyed.is_some() { Kind::Keyed } else { Kind::Plain };
        if let Some(channel) = self.channels.find(self.connection, name)? {
            if channel.kind != kind {
                return Ok(Err(Error::Kind(if kind == Kind::Plain { "keyed" } else { "plain" })));
            }
            let id = channel.id;
            if let Some(producer) = &draft.producer
                && let Some(offset) = self.repeated(id, producer)?
            {
                return Ok(Ok((Published::Duplicate(offset), None)));
            }
            if let Some(keyed) = &draft.keyed
                && let Some(settled) = self.settled(id, keyed)?
            {
                self.remember(id, draft.producer.as_ref(), settled.offset())?;
                return Ok(Ok((settled, None)));
            }
        } else {
            let first = self.floor.next(self.now.wall_ms);
            self.channels.create(self.connection, name, kind, first)?;
        }
        Ok(Ok(self.append(name, draft)?))
    }

    fn append(
        &mut self,
        name: &ChannelName,
        draft: Draft,
    ) -> Result<(Published, Option<Arc<Message>>), Trouble> {
        self.channels.note(name);
        let (connection, now) = (self.connection, self.now);
        let Some(channel) = self.channels.find(connection, name)? else {
            return Err(rusqlite::Error::QueryReturnedNoRows.into());
        };
        let unused = channel.head == Offset::ZERO;
        let offset = if unused { channel.created } else { channel.head.next(now.wall_ms) };
        let message = Arc::new(Message {
            offset,
            prev: channel.head,
            fields: draft.fields,
            keyed: draft.keyed,
            user: draft.user,
        });
        if message.keyed.is_none() {
            age_out(connection, channel, draft.retention.age, now)?;
        }
        insert(connection, channel, &message, self.row)?;
        if let Some(keyed) = &message.keyed {
            let due = (keyed.state == State::Tombstone)
                .then(|| now.age_ms.saturating_add(millis(draft.retention.tombstones)));
            place(connection, channel, keyed, offset, due)?;
            collect_due(connection, channel, now)?;
            evict(connection, channel, draft.retention.maximum.max(1))?;
        } else if channel.kept > draft.retention.maximum.saturating_add(Retention::SLACK) {
            trim(connection, channel, draft.retention.maximum)?;
        }
        let id = channel.id;
        self.remember(id, draft.producer.as_ref(), offset)?;
        Ok((Published::Appended(offset), Some(message)))
    }

    /// The offset of what a producer has published before.
    fn repeated(&self, channel: i64, producer: &Producer) -> Result<Option<Offset>, Trouble> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT ms, seq FROM producers WHERE channel = ?1 AND id = ?2 AND number >= ?3 AND since > ?4",
            )?
            .query_row(
                params![channel, producer.id.as_str().as_bytes(), ordered(producer.seq), self.forgotten_since()],
                |row| offset_at(row, 0),
            )
            .optional()?;
        Ok(found)
    }

    fn remember(&self, channel: i64, producer: Option<&Producer>, offset: Offset) -> Result<(), Trouble> {
        let Some(producer) = producer else { return Ok(()) };
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO producers (channel, id, number, ms, seq, since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                channel,
                producer.id.as_str().as_bytes(),
                ordered(producer.seq),
                ordered(offset.ms),
                ordered(offset.seq),
                ordered(self.now.age_ms),
            ])?;
        Ok(())
    }

    fn forgotten_since(&self) -> i64 {
        ordered(self.now.age_ms.saturating_sub(millis(PRODUCERS_REMEMBERED)))
    }

    /// Removes some of the producers that are remembered no longer.
    pub(crate) fn forget_producers(&self) -> Result<(), Trouble> {
        self.connection
            .prepare_cached(
                "DELETE FROM producers WHERE (channel, id) IN
                 (SELECT channel, id FROM producers WHERE since <= ?1 LIMIT ?2)",
            )?
            .execute(params![self.forgotten_since(), SHARE])?;
        Ok(())
    }

    /// Writes down how far the offsets of short-lived channels may go.
    pub(crate) fn reserve(&self, until_ms: u64) -> Result<(), Trouble> {
        self.connection
            .prepare_cached("UPDATE store SET reserved = max(reserved, ?1)")?
            .execute([ordered(until_ms)])?;
        Ok(())
    }

    /// Writes down the store's clock.
    pub(crate) fn write_age(&self) -> Result<(), Trouble> {
        self.connection.prepare_cached("UPDATE store SET age = ?1")?.execute([ordered(self.now.age_ms)])?;
        Ok(())
    }

    /// The answer to a keyed draft that does not win.
    fn settled(&self, channel: i64, keyed: &Keyed) -> Result<Option<Published>, Trouble> {
        let standing = self
            .connection
            .prepare_cached("SELECT version, ms, seq FROM keys WHERE channel = ?1 AND key = ?2")?
            .query_row(params![channel, keyed.key.as_str().as_bytes()], |row| {
                let order = keyed.version.as_str().as_bytes().cmp(row.get_ref(0)?.as_blob()?);
                Ok((order, offset_at(row, 1)?))
            })
            .optional()?;
        Ok(standing.and_then(|(order, offset)| match order {
            Ordering::Greater => None,
            Ordering::Equal => Some(Published::Duplicate(offset)),
            Ordering::Less => Some(Published::Superseded(offset)),
        }))
    }
}

fn insert(
    connection: &Connection,
    channel: &mut Channel,
    message: &Message,
    row: &mut Vec<u8>,
) -> Result<(), Trouble> {
    row.clear();
    row::encode(channel.id, message, row);
    connection
        .prepare_cached("INSERT INTO messages (channel, ms, seq, row) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![channel.id, ordered(message.offset.ms), ordered(message.offset.seq), &*row])?;
    channel.head = message.offset;
    channel.kept += 1;
    Ok(())
}

/// Gives a key its new message and removes the one it had.
fn place(
    connection: &Connection,
    channel: &mut Channel,
    keyed: &Keyed,
    offset: Offset,
    due: Option<u64>,
) -> Result<(), Trouble> {
    let key = keyed.key.as_str().as_bytes();
    let replaced = connection
        .prepare_cached("SELECT ms, seq FROM keys WHERE channel = ?1 AND key = ?2")?
        .query_row(params![channel.id, key], |row| offset_at(row, 0))
        .optional()?;
    if let Some(replaced) = replaced {
        remove(connection, channel, replaced)?;
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO keys (channel, key, version, ms, seq, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            channel.id,
            key,
            keyed.version.as_str().as_bytes(),
            ordered(offset.ms),
            ordered(offset.seq),
            due.map(ordered),
        ])?;
    channel.next_due = [channel.next_due, due].into_iter().flatten().min();
    Ok(())
}

/// Collects tombstones whose time is over.
fn collect_due(connection: &Connection, channel: &mut Channel, now: Moment) -> Result<(), Trouble> {
    if channel.next_due.is_none_or(|due| due > now.age_ms) {
        return Ok(());
    }
    let due: Vec<(Vec<u8>, Offset)> = connection
        .prepare_cached(
            "SELECT key, ms, seq FROM keys WHERE channel = ?1 AND due <= ?2 ORDER BY due LIMIT ?3",
        )?
        .query_map(params![channel.id, ordered(now.age_ms), SHARE], |row| {
            Ok((row.get(0)?, offset_at(row, 1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (key, offset) in due {
        collect(connection, channel, &key, offset)?;
    }
    channel.next_due = channel.find_due(connection)?;
    Ok(())
}

/// Over the maximum the oldest keys go.
fn evict(connection: &Connection, channel: &mut Channel, maximum: usize) -> Result<(), Trouble> {
    while channel.kept > maximum {
        let oldest = connection
            .prepare_cached("SELECT ms, seq, row FROM messages WHERE channel = ?1 ORDER BY ms, seq LIMIT 1")?
            .query_row([channel.id], |row| Ok((offset_at(row, 0)?, row.get::<_, Vec<u8>>(2)?)))?;
        let message = row::decode(channel.id, oldest.0, &oldest.1)?;
        let Some(keyed) = message.keyed else { return Err(row::Damaged(oldest.0).into()) };
        collect(connection, channel, keyed.key.as_str().as_bytes(), oldest.0)?;
    }
    Ok(())
}

/// Removes a keyed message before anything replaced it: older cursors can no longer be continued.
fn collect(
    connection: &Connection,
    channel: &mut Channel,
    key: &[u8],
    offset: Offset,
) -> Result<(), Trouble> {
    remove(connection, channel, offset)?;
    connection
        .prepare_cached("DELETE FROM keys WHERE channel = ?1 AND key = ?2")?
        .execute(params![channel.id, key])?;
    channel.floor = channel.floor.max(offset);
    Ok(())
}

fn remove(connection: &Connection, channel: &mut Channel, offset: Offset) -> Result<(), Trouble> {
    let removed = connection
        .prepare_cached("DELETE FROM messages WHERE channel = ?1 AND ms = ?2 AND seq = ?3")?
        .execute(params![channel.id, ordered(offset.ms), ordered(offset.seq)])?;
    channel.kept = channel.kept.saturating_sub(removed);
    Ok(())
}

/// Gives a plain channel its age from now on, and removes some of what has grown too old: under that age, and under the
/// one that held until now, so that a longer one does not bring back what no read gave any more.
fn age_out(
    connection: &Connection,
    channel: &mut Channel,
    age: Option<Duration>,
    now: Moment,
) -> Result<(), Trouble> {
    channel.floor = channel.horizon(now.wall_ms);
    channel.age = age;
    channel.floor = channel.horizon(now.wall_ms);
    if channel.swept >= channel.floor {
        return Ok(());
    }
    let removed = connection
        .prepare_cached(
            "DELETE FROM messages WHERE channel = ?1 AND (ms, seq) IN
             (SELECT ms, seq FROM messages WHERE channel = ?1 AND (ms, seq) <= (?2, ?3)
              ORDER BY ms, seq LIMIT ?4)",
        )?
        .execute(params![channel.id, ordered(channel.floor.ms), ordered(channel.floor.seq), SHARE])?;
    channel.kept = channel.kept.saturating_sub(removed);
    if removed < SHARE {
        channel.swept = channel.floor;
    }
    Ok(())
}

/// Drops the oldest messages of a plain channel, down to the maximum.
fn trim(connection: &Connection, channel: &mut Channel, maximum: usize) -> Result<(), Trouble> {
    let surplus = channel.kept.saturating_sub(maximum);
    let removed = connection
        .prepare_cached(
            "DELETE FROM messages WHERE channel = ?1 AND (ms, seq) <=
             (SELECT ms, seq FROM messages WHERE channel = ?1 ORDER BY ms, seq LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![channel.id, surplus.saturating_sub(1)])?;
    channel.kept = channel.kept.saturating_sub(removed);
    Ok(())
}

/// A duration in the unit of the store.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
