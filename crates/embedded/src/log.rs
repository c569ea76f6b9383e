//! One channel as a value: drafts in, answers out, time as a parameter. Knows nothing of readers, tasks or clocks.
//!
//! Invariant: every message names the head it was appended to; whatever leaves the log before its time is covered by
//! `floor` (keyed) or breaks the chain (plain), so that a cursor can always be judged.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{
    Claim, Claimed, Continuity, Draft, Error, GroupName, Key, Lifetime, Message, Offset, Page, Producer,
    ProducerId, Published, Result, Retention, State,
};
use tokio::time::Instant;

use crate::group::Groups;

/// How long a producer's latest sequence number is remembered.
const PRODUCERS_REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// The present, in the two ways a log needs it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For offsets: milliseconds since 1970.
    pub wall_ms: u64,
    /// For ages: never jumps.
    pub instant: Instant,
}

/// A channel's messages and what is known of those that are gone.
#[derive(Debug, Default)]
pub struct Log {
    head: Offset,
    entries: BTreeMap<Offset, Arc<Message>>,
    bytes: usize,
    keyed: Option<Box<KeyIndex>>,
    producers: Option<Box<Producers>>,
    groups: Option<Box<Groups>>,
    /// In a plain log, how old its messages may become.
    age: Option<Duration>,
    expires: Option<Instant>,
}

/// What a keyed log knows besides its messages.
#[derive(Debug)]
struct KeyIndex {
    /// The channel's first offset: a cursor before it belongs to an earlier channel of the same name.
    created: Offset,
    /// The newest message that was collected or evicted: a cursor before it may have missed that.
    floor: Offset,
    /// Where each key's message stands.
    places: HashMap<Key, Offset>,
    /// Deletions, in the order in which they are to be collected.
    tombstones: VecDeque<(Instant, Offset)>,
}

#[derive(Debug, Default)]
struct Producers {
    latest: HashMap<ProducerId, (u64, Offset, Instant)>,
    sweep_at: usize,
}

impl Log {
    /// The newest offset; [`Offset::ZERO`] when nothing was ever appended.
    pub fn head(&self) -> Offset {
        self.head
    }

    /// Bytes held by messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what has outlived the age of a plain log. Without it, reads and claims know nothing of age.
    pub fn age_out(&mut self, wall_ms: u64) {
        let Some(age) = self.age else { return };
        let last = Offset::older_than(age, wall_ms);
        while let Some(oldest) = self.entries.keys().next().copied().filter(|oldest| *oldest <= last) {
            self.remove(oldest);
        }
    }

    /// When the log as a whole is to be forgotten.
    pub fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Appends a draft, or says why it changes nothing. `floor` is an offset that was used before in a channel of this
    /// name: new offsets lie behind it.
    ///
    /// # Errors
    /// [`Error::Kind`] for a keyed draft in a plain log, or the reverse.
    pub fn append(
        &mut self,
        draft: Draft,
        floor: Offset,
        now: Now,
    ) -> Result<(Published, Option<Arc<Message>>)> {
        let unused = self.head == Offset::ZERO;
        if !unused && self.keyed.is_some() != draft.keyed.is_some() {
            return Err(Error::Kind(if self.keyed.is_some() { "keyed" } else { "plain" }));
        }
        self.expires = match draft.retention.lifetime {
            Lifetime::Kept => None,
            Lifetime::Expires(after) => Some(now.instant + after),
        };
        if let Some(offset) = draft.producer.as_ref().and_then(|producer| self.repeated(producer)) {
            return Ok((Published::Duplicate(offset), None));
        }
        if let Some(settled) = self.settled(&draft) {
            self.remember(draft.producer, settled.offset(), now);
            return Ok((settled, None));
        }
        // Under the age that held until now: a longer one does not bring back what no read gave any more.
        self.age_out(now.wall_ms);
        self.age = draft.retention.age.filter(|_| draft.keyed.is_none());
        let offset = self.head.max(floor).next(now.wall_ms);
        let message = Arc::new(Message {
            offset,
            prev: self.head,
            fields: draft.fields,
            keyed: draft.keyed,
            user: draft.user,
        });
        self.insert(&message, draft.retention, now);
        self.trim(draft.retention, now);
        self.remember(draft.producer, offset, now);
        Ok((Published::Appended(offset), Some(message)))
    }

    /// See [`Broker::read`](inkwire_core::Broker::read).
    pub fn read(&self, after: Offset, limit: usize) -> Page {
        let mut following =
            self.entries.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, message)| message);
        let continuity = self.continuity(after, following.clone().next());
        let messages = following.by_ref().take(limit).cloned().collect();
        Page { messages, head: self.head, continuity }
    }

    /// See [`Broker::claim`](inkwire_core::Broker::claim).
    pub fn claim(&mut self, claim: &Claim, now: Instant) -> Vec<Claimed> {
        if self.head == Offset::ZERO {
            return Vec::new();
        }
        self.groups.get_or_insert_default().claim(&self.entries, claim, now)
    }

    /// See [`Broker::acknowledge`](inkwire_core::Broker::acknowledge).
    pub fn acknowledge(&mut self, group: &GroupName, offsets: &[Offset]) -> usize {
        self.groups.as_mut().map_or(0, |groups| groups.acknowledge(group, offsets))
    }

    fn continuity(&self, after: Offset, next: Option<&Arc<Message>>) -> Continuity {
        let proved = match (&self.keyed, next) {
            (Some(index), _) => {
                after == Offset::ZERO
                    || (after >= index.created && after >= index.floor && after <= self.head)
            }
            (None, Some(next)) => next.prev == after,
            (None, None) => after == self.head,
        };
        if proved { Continuity::Proved } else { Continuity::Broken }
    }

    /// The answer to a keyed draft that does not win.
    fn settled(&self, draft: &Draft) -> Option<Published> {
        let (keyed, index) = (draft.keyed.as_ref()?, self.keyed.as_ref()?);
        let offset = *index.places.get(&keyed.key)?;
        let standing = self.entries.get(&offset)?.keyed.as_ref()?;
        match keyed.version.cmp(&standing.version) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal => Some(Published::Duplicate(offset)),
            std::cmp::Ordering::Less => Some(Published::Superseded(offset)),
        }
    }

    fn insert(&mut self, message: &Arc<Message>, retention: Retention, now: Now) {
        self.head = message.offset;
        self.bytes += message.weight();
        self.entries.insert(message.offset, Arc::clone(message));
        let Some(keyed) = &message.keyed else { return };
        let index = self.keyed.get_or_insert_with(|| Box::new(KeyIndex::created(message.offset)));
        if keyed.state == State::Tombstone {
            index.tombstones.push_back((now.instant + retention.tombstones, message.offset));
        }
        if let Some(replaced) = index.places.insert(keyed.key.clone(), message.offset) {
            self.remove(replaced);
        }
    }

    fn trim(&mut self, retention: Retention, now: Now) {
        let Some(index) = self.keyed.as_mut() else {
            self.age_out(now.wall_ms);
            if self.entries.len() > retention.maximum + Retention::SLACK {
                while self.entries.len() > retention.maximum {
                    self.drop_oldest();
                }
            }
            return;
        };
        let mut gone = Vec::new();
        while let Some((due, offset)) = index.tombstones.front().copied() {
            if due > now.instant {
                break;
            }
            index.tombstones.pop_front();
            gone.push(offset);
        }
        // A tombstone that was itself replaced since has left the log already, and is nobody's loss.
        for offset in gone {
            self.collect(offset);
        }
        while self.entries.len() > retention.maximum.max(1) {
            let Some(oldest) = self.entries.keys().next().copied() else { break };
            self.collect(oldest);
        }
    }

    /// Removes a keyed message before anything replaced it: older cursors can no longer be continued.
    fn collect(&mut self, offset: Offset) {
        let Some(message) = self.remove(offset) else { return };
        if let (Some(index), Some(keyed)) = (self.keyed.as_mut(), &message.keyed) {
            index.places.remove(&keyed.key);
            index.floor = index.floor.max(offset);
        }
    }

    /// Drops the oldest messages of a plain log until it holds no more than so many bytes; the newest stays.
    pub fn shrink(&mut self, bytes: usize) {
        while self.keyed.is_none() && self.bytes > bytes && self.entries.len() > 1 {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.keys().next().copied() {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, offset: Offset) -> Option<Arc<Message>> {
        let message = self.entries.remove(&offset)?;
        self.bytes -= message.weight();
        Some(message)
    }

    fn repeated(&self, producer: &Producer) -> Option<Offset> {
        let (seq, offset, _) = self.producers.as_ref()?.latest.get(&producer.id)?;
        (producer.seq <= *seq).then_some(*offset)
    }

    fn remember(&mut self, producer: Option<Producer>, offset: Offset, now: Now) {
        let Some(producer) = producer else { return };
        let producers = self.producers.get_or_insert_default();
        producers.latest.insert(producer.id, (producer.seq, offset, now.instant));
        // Sweeping when the number has doubled costs each publish a constant.
        if producers.latest.len() > producers.sweep_at {
            producers.latest.retain(|_, (_, _, at)| now.instant.duration_since(*at) < PRODUCERS_REMEMBERED);
            producers.sweep_at = (producers.latest.len() * 2).max(64);
        }
    }
}

impl KeyIndex {
    fn created(offset: Offset) -> Self {
        Self { created: offset, floor: Offset::ZERO, places: HashMap::new(), tombstones: VecDeque::new() }
    }
}
