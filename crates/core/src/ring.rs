//! The newest messages of a channel, held once per node for all its readers.
//!
//! Invariant: the messages in a ring are an unbroken chain that ends at the ring's head; each names the one before it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cursor::{Step, step};
use crate::delivery::Delivery;
use crate::message::Message;
use crate::offset::Offset;

/// How many messages a ring holds. Enough for a reader that is a moment late; older ones are in the log.
pub const MAXIMUM_MESSAGES: usize = 1024;
/// How many bytes of messages a ring holds (one message more than this is held if it is alone). What subscribers are
/// written comes on top, once for each form.
pub const MAXIMUM_BYTES: usize = 1 << 20;

/// The newest messages of a channel.
#[derive(Debug, Default)]
pub struct Ring {
    /// Grows whenever the ring could no longer vouch for its past: readers ahead of the ring then ask the log.
    epoch: u64,
    head: Offset,
    messages: VecDeque<Arc<Delivery>>,
    bytes: usize,
}

/// What a ring knows about a cursor.
#[derive(Debug, PartialEq, Eq)]
pub enum Since {
    /// Nothing follows it here, for now.
    Level,
    /// These follow it, without a hole.
    Messages(Vec<Arc<Delivery>>),
    /// The ring does not reach back to it: only the log knows.
    Unknown,
}

impl Ring {
    /// The number of the present epoch; 0 until the first [`reset`](Self::reset).
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest offset the ring has heard of.
    pub fn head(&self) -> Offset {
        self.head
    }

    /// Forgets everything and stands at a head that the log has named. Readers will ask the log once.
    pub fn reset(&mut self, head: Offset) {
        self.epoch += 1;
        self.head = head;
        self.messages.clear();
        self.bytes = 0;
    }

    /// Lets go of the messages: nothing has come for a while, and whoever is still behind reads the log.
    pub fn rest(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
    }

    /// Takes an announcement. One that does not continue the ring starts it anew.
    pub fn push(&mut self, message: Arc<Message>) {
        match step(self.head, &message) {
            Step::Skip => return,
            Step::Deliver => {}
            Step::Reread => {
                self.messages.clear();
                self.bytes = 0;
            }
        }
        self.head = message.offset;
        self.bytes += message.weight();
        self.messages.push_back(Arc::new(Delivery::new(message)));
        while self.messages.len() > MAXIMUM_MESSAGES
            || (self.bytes > MAXIMUM_BYTES && self.messages.len() > 1)
        {
            let dropped = self.messages.pop_front().map_or(0, |oldest| oldest.weight());
            self.bytes -= dropped;
        }
    }

    /// At most `limit` messages after a cursor.
    pub fn since(&self, cursor: Offset, limit: usize) -> Since {
        if cursor >= self.head {
            return Since::Level;
        }
        let first = self.messages.partition_point(|message| message.offset <= cursor);
        match self.messages.get(first) {
            Some(next) if step(cursor, next) == Step::Deliver => {
                Since::Messages(self.messages.iter().skip(first).take(limit).cloned().collect())
            }
            _ => Since::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    fn at(ms: u64) -> Offset {
        Offset { ms, seq: 0 }
    }

    fn message(prev: u64, ms: u64) -> Arc<Message> {
        Arc::new(Message {
            offset: at(ms),
            prev: at(prev),
            fields: Fields::of([("n", "1")]),
            keyed: None,
            user: None,
        })
    }

    fn offsets(since: Since) -> Vec<u64> {
        match since {
            Since::Messages(messages) => messages.iter().map(|message| message.offset.ms).collect(),
            other => panic!("expected messages, got {other:?}"),
        }
    }

    #[test]
    fn serves_what_follows_a_cursor_in_its_chain() {
        let mut ring = Ring::default();
        ring.reset(at(1));
        (1..5).for_each(|ms| ring.push(message(ms, ms + 1)));
        assert_eq!(offsets(ring.since(at(1), 10)), [2, 3, 4, 5]);
        assert_eq!(offsets(ring.since(at(3), 1)), [4]);
        assert_eq!(ring.since(at(5), 10), Since::Level);
        assert_eq!(ring.since(at(9), 10), Since::Level, "a reader may be ahead of the announcements");
        assert_eq!(ring.since(at(0), 10), Since::Unknown);
    }

    #[test]
    fn a_hole_starts_the_ring_anew() {
        let mut ring = Ring::default();
        ring.reset(at(1));
        ring.push(message(1, 2));
        ring.push(message(3, 4));
        assert_eq!(ring.since(at(2), 10), Since::Unknown);
        assert_eq!(offsets(ring.since(at(3), 10)), [4]);
    }

    #[test]
    fn a_rested_ring_goes_on_where_it_was() {
        let mut ring = Ring::default();
        ring.reset(at(1));
        ring.push(message(1, 2));
        ring.rest();
        assert_eq!(ring.since(at(1), 10), Since::Unknown);
        assert_eq!(ring.since(at(2), 10), Since::Level);
        ring.push(message(2, 3));
        assert_eq!(offsets(ring.since(at(2), 10)), [3]);
    }

    #[test]
    fn old_announcements_change_nothing() {
        let mut ring = Ring::default();
        ring.reset(at(1));
        ring.push(message(1, 2));
        ring.push(message(1, 2));
        ring.push(message(0, 1));
        assert_eq!(offsets(ring.since(at(1), 10)), [2]);
    }

    #[test]
    fn holds_a_bounded_number_of_messages_and_bytes() {
        let mut ring = Ring::default();
        ring.reset(at(0));
        (0..5_000).for_each(|ms| ring.push(message(ms, ms + 1)));
        assert_eq!(ring.messages.len(), MAXIMUM_MESSAGES);
        let large = "x".repeat(MAXIMUM_BYTES / 2);
        for ms in 5_000..5_010 {
            let fields = Fields::of([("n", large.as_str())]);
            ring.push(Arc::new(Message {
                offset: at(ms + 1),
                prev: at(ms),
                fields,
                keyed: None,
                user: None,
            }));
        }
        assert_eq!(ring.messages.len(), 1);
        assert_eq!(ring.bytes, ring.messages.iter().map(|message| message.weight()).sum::<usize>());
    }
}
