//! The consumer groups of one channel in memory, as values: what is held, since when, and how often it was given. By
//! whom plays no part in the rules.
//!
//! Invariant: a message is held by one consumer at a time, and only while it stands in the log.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use inkwire_core::{Claim, Claimed, GroupName, Message, Offset};
use tokio::time::Instant;

/// The messages of a log, by offset.
pub(crate) type Entries = BTreeMap<Offset, Arc<Message>>;

/// The groups of one channel.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<GroupName, Group>);

#[derive(Debug)]
struct Group {
    /// What follows it was given to nobody yet.
    cursor: Offset,
    held: BTreeMap<Offset, Held>,
}

#[derive(Debug)]
struct Held {
    deliveries: u64,
    since: Instant,
}

impl Groups {
    /// See [`Broker::claim`](inkwire_core::Broker::claim).
    pub(crate) fn claim(&mut self, entries: &Entries, claim: &Claim, now: Instant) -> Vec<Claimed> {
        let group = self
            .0
            .entry(claim.group.clone())
            .or_insert_with(|| Group { cursor: claim.from, held: BTreeMap::new() });
        group.held.retain(|offset, _| entries.contains_key(offset));
        let mut claimed = group.take_over(entries, claim, now);
        group.take_new(entries, claim, now, &mut claimed);
        claimed
    }

    /// See [`Broker::acknowledge`](inkwire_core::Broker::acknowledge).
    pub(crate) fn acknowledge(&mut self, group: &GroupName, offsets: &[Offset]) -> usize {
        let Some(group) = self.0.get_mut(group) else { return 0 };
        offsets.iter().filter(|offset| group.held.remove(offset).is_some()).count()
    }
}

impl Group {
    fn take_over(&mut self, entries: &Entries, claim: &Claim, now: Instant) -> Vec<Claimed> {
        let silent = |held: &&mut Held| now.duration_since(held.since) >= claim.min_idle;
        let mut claimed = Vec::new();
        for (offset, held) in self.held.iter_mut().filter(|(_, held)| silent(held)).take(claim.count) {
            let Some(message) = entries.get(offset) else { continue };
            *held = Held { deliveries: held.deliveries + 1, since: now };
            claimed.push(Claimed { message: Arc::clone(message), deliveries: held.deliveries });
        }
        claimed
    }

    fn take_new(&mut self, entries: &Entries, claim: &Claim, now: Instant, claimed: &mut Vec<Claimed>) {
        let following = entries.range((Bound::Excluded(self.cursor), Bound::Unbounded));
        for (offset, message) in following.take(claim.count.saturating_sub(claimed.len())) {
            self.cursor = *offset;
            self.held.insert(*offset, Held { deliveries: 1, since: now });
            claimed.push(Claimed { message: Arc::clone(message), deliveries: 1 });
        }
    }
}
