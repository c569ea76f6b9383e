//! Consumer groups, on the file: who holds what, since when, and how often it was given.
//!
//! Invariant: a message is held by one consumer at a time, and given only while it stands in the log; what was answered
//! survives a restart, and time goes on counting over it.

use std::sync::Arc;

use inkwire_core::{ChannelName, Claim, Claimed, GroupName, Message, Offset};
use rusqlite::{OptionalExtension as _, params};

use super::append::{Work, millis};
use super::channel::offset_at;
use super::readers::messages_after;
use super::row::{self, ordered};
use super::trouble::Trouble;

/// A channel, as far as groups need it.
#[derive(Clone, Copy)]
struct Place {
    channel: i64,
    /// What stands at or before it has grown too old to be given.
    horizon: Offset,
}

/// A group in a channel.
struct Group {
    id: i64,
    place: Place,
    /// What follows it was given to nobody yet.
    cursor: Offset,
}

impl Work<'_> {
    /// See [`Broker::claim`](inkwire_core::Broker::claim).
    ///
    /// # Errors
    /// [`Trouble`] of the file; the transaction is then to be undone.
    pub(crate) fn claim(&mut self, name: &ChannelName, claim: &Claim) -> Result<Vec<Claimed>, Trouble> {
        let Some(place) = self.place(name)? else { return Ok(Vec::new()) };
        let group = match self.find_group(place, &claim.group)? {
            Some(group) => group,
            None => self.create_group(place, claim)?,
        };
        self.let_go_of_trimmed(&group)?;
        let mut claimed = self.take_over(&group, claim)?;
        self.take_new(&group, claim, &mut claimed)?;
        Ok(claimed)
    }

    /// See [`Broker::acknowledge`](inkwire_core::Broker::acknowledge).
    ///
    /// # Errors
    /// [`Trouble`] of the file; the transaction is then to be undone.
    pub(crate) fn acknowledge(
        &mut self,
        name: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize, Trouble> {
        let Some(place) = self.place(name)? else { return Ok(0) };
        let Some(group) = self.find_group(place, group)? else { return Ok(0) };
        let mut acknowledged = 0;
        for offset in offsets {
            acknowledged += self.let_go(&group, *offset)?;
        }
        Ok(acknowledged)
    }

    fn place(&mut self, name: &ChannelName) -> Result<Option<Place>, Trouble> {
        let wall_ms = self.now.wall_ms;
        let found = self.channels.find(self.connection, name)?;
        Ok(found.map(|channel| Place { channel: channel.id, horizon: channel.horizon(wall_ms) }))
    }

    fn find_group(&self, place: Place, name: &GroupName) -> Result<Option<Group>, Trouble> {
        let found = self
            .connection
            .prepare_cached("SELECT id, ms, seq FROM consumer_groups WHERE channel = ?1 AND name = ?2")?
            .query_row(params![place.channel, name.as_str().as_bytes()], |row| {
                Ok(Group { id: row.get(0)?, place, cursor: offset_at(row, 1)? })
            })
            .optional()?;
        Ok(found)
    }

    fn create_group(&self, place: Place, claim: &Claim) -> Result<Group, Trouble> {
        self.connection
            .prepare_cached("INSERT INTO consumer_groups (channel, name, ms, seq) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                place.channel,
                claim.group.as_str().as_bytes(),
                ordered(claim.from.ms),
                ordered(claim.from.seq)
            ])?;
        Ok(Group { id: self.connection.last_insert_rowid(), place, cursor: claim.from })
    }

    /// Forgets who held what was trimmed since: it would otherwise stand here for ever.
    fn let_go_of_trimmed(&self, group: &Group) -> Result<(), Trouble> {
        let Place { channel, horizon } = group.place;
        self.connection
            .prepare_cached(
                "DELETE FROM pending WHERE consumer_group = ?1 AND (ms, seq) <
                 (SELECT ms, seq FROM messages WHERE channel = ?2 AND (ms, seq) > (?3, ?4)
                  ORDER BY ms, seq LIMIT 1)",
            )?
            .execute(params![group.id, channel, ordered(horizon.ms), ordered(horizon.seq)])?;
        Ok(())
    }

    /// Takes what its holders have been silent about longest, and answers it in the order of the log.
    fn take_over(&self, group: &Group, claim: &Claim) -> Result<Vec<Claimed>, Trouble> {
        let Some(silent_since) = self.now.age_ms.checked_sub(millis(claim.min_idle)) else {
            return Ok(Vec::new());
        };
        let mut claimed = self.still_standing(group, silent_since, claim.count)?;
        for claimed in &claimed {
            self.hold(group, claim, claimed)?;
        }
        claimed.sort_unstable_by_key(|claimed| claimed.message.offset);
        Ok(claimed)
    }

    /// What is held since then or longer, counted as given once more. Forgets on the way what was replaced since.
    fn still_standing(
        &self,
        group: &Group,
        silent_since: u64,
        limit: usize,
    ) -> Result<Vec<Claimed>, Trouble> {
        loop {
            let held = self.held_since(group, silent_since, limit)?;
            let mut standing = Vec::with_capacity(held.len());
            let mut gone = 0;
            for (offset, deliveries) in held {
                match self.message_at(group, offset)? {
                    Some(message) => standing.push(Claimed { message, deliveries: deliveries + 1 }),
                    None => gone += self.let_go(group, offset)?,
                }
            }
            if gone == 0 {
                return Ok(standing);
            }
        }
    }

    fn held_since(
        &self,
        group: &Group,
        silent_since: u64,
        limit: usize,
    ) -> Result<Vec<(Offset, u64)>, Trouble> {
        let held = self
            .connection
            .prepare_cached(
                "SELECT ms, seq, deliveries FROM pending WHERE consumer_group = ?1 AND since <= ?2
                 ORDER BY since, ms, seq LIMIT ?3",
            )?
            .query_map(
                params![group.id, ordered(silent_since), i64::try_from(limit).unwrap_or(i64::MAX)],
                |row| Ok((offset_at(row, 0)?, row.get(2)?)),
            )?
            .collect::<Result<_, _>>()?;
        Ok(held)
    }

    fn take_new(&self, group: &Group, claim: &Claim, claimed: &mut Vec<Claimed>) -> Result<(), Trouble> {
        let wanted = claim.count.saturating_sub(claimed.len());
        if wanted == 0 {
            return Ok(());
        }
        let Place { channel, horizon } = group.place;
        let following = messages_after(self.connection, channel, group.cursor.max(horizon), wanted)?;
        let Some(last) = following.last().map(|message| message.offset) else { return Ok(()) };
        for message in following {
            let new = Claimed { message, deliveries: 1 };
            self.hold(group, claim, &new)?;
            claimed.push(new);
        }
        self.connection
            .prepare_cached("UPDATE consumer_groups SET ms = ?2, seq = ?3 WHERE id = ?1")?
            .execute(params![group.id, ordered(last.ms), ordered(last.seq)])?;
        Ok(())
    }

    fn hold(&self, group: &Group, claim: &Claim, claimed: &Claimed) -> Result<(), Trouble> {
        let offset = claimed.message.offset;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO pending (consumer_group, ms, seq, consumer, deliveries, since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                group.id,
                ordered(offset.ms),
                ordered(offset.seq),
                claim.consumer.as_str().as_bytes(),
                claimed.deliveries,
                ordered(self.now.age_ms),
            ])?;
        Ok(())
    }

    fn let_go(&self, group: &Group, offset: Offset) -> Result<usize, Trouble> {
        let removed = self
            .connection
            .prepare_cached("DELETE FROM pending WHERE consumer_group = ?1 AND ms = ?2 AND seq = ?3")?
            .execute(params![group.id, ordered(offset.ms), ordered(offset.seq)])?;
        Ok(removed)
    }

    fn message_at(&self, group: &Group, offset: Offset) -> Result<Option<Arc<Message>>, Trouble> {
        let Place { channel, horizon } = group.place;
        if offset <= horizon {
            return Ok(None);
        }
        let found = self
            .connection
            .prepare_cached("SELECT row FROM messages WHERE channel = ?1 AND ms = ?2 AND seq = ?3")?
            .query_row(params![channel, ordered(offset.ms), ordered(offset.seq)], |row| {
                row.get::<_, Vec<u8>>(0)
            })
            .optional()?;
        let Some(content) = found else { return Ok(None) };
        Ok(Some(Arc::new(row::decode(channel, offset, &content)?)))
    }
}
