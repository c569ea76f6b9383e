//! What is known of a channel besides its messages, and the writer's memory of it: enough to give a message its place
//! without asking the file.
//!
//! Invariant: after a transaction that failed nothing of it is trusted; the writer then forgets all channels.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use inkwire_core::{ChannelName, Offset};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::append::millis;
use super::row::{ordered, unordered};

/// How many channels the writer remembers. Over it, it forgets all of them, and asks the file again.
const REMEMBERED: usize = 50_000;

/// Whether a channel's messages have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Keyed,
}

/// A channel without its messages.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) id: i64,
    pub(crate) kind: Kind,
    /// How many messages are kept.
    pub(crate) kept: usize,
    pub(crate) head: Offset,
    /// The channel's first offset.
    pub(crate) created: Offset,
    /// In a keyed channel, the newest message that left before anything replaced it. In a plain one, the end of what
    /// had grown too old at the last publish, whether it is removed already or not.
    pub(crate) floor: Offset,
    /// In a plain channel, how old its messages may become.
    pub(crate) age: Option<Duration>,
    /// The writer's: up to where everything that had grown too old is removed.
    pub(crate) swept: Offset,
    /// The writer's: when the next tombstone is to be collected.
    pub(crate) next_due: Option<u64>,
    /// The writer's: not yet saved.
    pub(crate) is_changed: bool,
}

impl Channel {
    /// Reads a channel; `None` for one that was never published to.
    pub(crate) fn find(connection: &Connection, name: &ChannelName) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT id, keyed, kept, head_ms, head_seq, created_ms, created_seq, floor_ms, floor_seq, age
                 FROM channels WHERE name = ?1",
            )?
            .query_row([name.as_str()], Self::from_row)
            .optional()
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            kind: if row.get(1)? { Kind::Keyed } else { Kind::Plain },
            kept: row.get(2)?,
            head: offset_at(row, 3)?,
            created: offset_at(row, 5)?,
            floor: offset_at(row, 7)?,
            age: row.get::<_, Option<i64>>(9)?.map(|age| Duration::from_millis(unordered(age))),
            swept: Offset::ZERO,
            next_due: None,
            is_changed: false,
        })
    }

    /// A new channel, whose first message will stand at `first`.
    fn create(
        connection: &Connection,
        name: &ChannelName,
        kind: Kind,
        first: Offset,
    ) -> rusqlite::Result<Self> {
        let (ms, seq) = (ordered(first.ms), ordered(first.seq));
        let zero = ordered(0);
        connection
            .prepare_cached(
                "INSERT INTO channels
                 (name, keyed, kept, head_ms, head_seq, created_ms, created_seq, floor_ms, floor_seq)
                 VALUES (?1, ?2, 0, ?3, ?3, ?4, ?5, ?3, ?3)",
            )?
            .execute(params![name.as_str(), kind == Kind::Keyed, zero, ms, seq])?;
        Ok(Self {
            id: connection.last_insert_rowid(),
            kind,
            kept: 0,
            head: Offset::ZERO,
            created: first,
            floor: Offset::ZERO,
            age: None,
            swept: Offset::ZERO,
            next_due: None,
            is_changed: true,
        })
    }

    fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE channels SET kept = ?2, head_ms = ?3, head_seq = ?4, floor_ms = ?5, floor_seq = ?6,
                 age = ?7
                 WHERE id = ?1",
            )?
            .execute(params![
                self.id,
                self.kept,
                ordered(self.head.ms),
                ordered(self.head.seq),
                ordered(self.floor.ms),
                ordered(self.floor.seq),
                self.age.map(|age| ordered(millis(age))),
            ])?;
        Ok(())
    }

    /// In a plain channel, the end of what has grown too old: nobody is given what stands at or before it.
    pub(crate) fn horizon(&self, wall_ms: u64) -> Offset {
        match (self.kind, self.age) {
            (Kind::Keyed, _) => Offset::ZERO,
            (Kind::Plain, None) => self.floor,
            (Kind::Plain, Some(age)) => self.floor.max(Offset::older_than(age, wall_ms)),
        }
    }

    /// When the next tombstone of a keyed channel is to be collected.
    pub(crate) fn find_due(&self, connection: &Connection) -> rusqlite::Result<Option<u64>> {
        if self.kind == Kind::Plain {
            return Ok(None);
        }
        connection
            .prepare_cached("SELECT min(due) FROM keys WHERE channel = ?1 AND due IS NOT NULL")?
            .query_row([self.id], |row| Ok(row.get::<_, Option<i64>>(0)?.map(unordered)))
    }
}

/// The offset in two neighbouring columns.
pub(crate) fn offset_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Offset> {
    Ok(Offset { ms: unordered(row.get(column)?), seq: unordered(row.get(column + 1)?) })
}

/// The writer's memory of channels.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    by_name: HashMap<ChannelName, Channel>,
    changed: Vec<ChannelName>,
}

impl Channels {
    /// A channel that was published to.
    pub(crate) fn find(
        &mut self,
        connection: &Connection,
        name: &ChannelName,
    ) -> rusqlite::Result<Option<&mut Channel>> {
        match self.by_name.entry(name.clone()) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(place) => {
                let Some(mut channel) = Channel::find(connection, name)? else { return Ok(None) };
                channel.next_due = channel.find_due(connection)?;
                Ok(Some(place.insert(channel)))
            }
        }
    }

    /// Makes a channel that [`find`](Self::find) did not find.
    pub(crate) fn create(
        &mut self,
        connection: &Connection,
        name: &ChannelName,
        kind: Kind,
        first: Offset,
    ) -> rusqlite::Result<()> {
        let channel = Channel::create(connection, name, kind, first)?;
        self.by_name.insert(name.clone(), channel);
        self.changed.push(name.clone());
        Ok(())
    }

    /// Notes that a channel is to be saved with this transaction.
    pub(crate) fn note(&mut self, name: &ChannelName) {
        if let Some(channel) = self.by_name.get_mut(name)
            && !channel.is_changed
        {
            channel.is_changed = true;
            self.changed.push(name.clone());
        }
    }

    /// Saves what has changed, once per transaction however much was published.
    pub(crate) fn save(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for name in self.changed.drain(..) {
            let Some(channel) = self.by_name.get_mut(&name) else { continue };
            channel.save(connection)?;
            channel.is_changed = false;
        }
        if self.by_name.len() > REMEMBERED {
            self.by_name.clear();
        }
        Ok(())
    }

    /// Forgets everything: the transaction it belonged to is undone.
    pub(crate) fn forget(&mut self) {
        self.by_name.clear();
        self.changed.clear();
    }
}
