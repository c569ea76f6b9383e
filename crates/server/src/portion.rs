//! How much of a log is given in one answer: at most so many messages, and about so many bytes, however large they are.
//! Pure; whoever reads or claims asks it how many to take next.

/// How many bytes an answer has, about: it ends with the message that passes this. Clients take frames of several times
/// that, and a few hundred clients that read large messages at once do no harm.
const BYTES: usize = 4 << 20;

/// How many messages are taken first, when nobody knows how large they are.
const FIRST: usize = 16;
/// How many are taken at most after that.
const MOST: usize = 256;

/// An answer as it grows.
#[derive(Debug)]
pub(crate) struct Portion {
    left: usize,
    taken: usize,
    bytes: usize,
}

impl Portion {
    /// An answer of at most `limit` messages.
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, taken: 0, bytes: 0 }
    }

    /// How many to take next; `None` when it is enough.
    pub(crate) fn next(&self) -> Option<usize> {
        let room = BYTES.checked_sub(self.bytes).filter(|room| *room > 0 && self.left > 0)?;
        let fitting = match self.bytes {
            0 => FIRST,
            bytes => (room.saturating_mul(self.taken) / bytes).clamp(1, MOST),
        };
        Some(fitting.min(self.left))
    }

    /// So many were taken, of so many bytes.
    pub(crate) fn take(&mut self, messages: usize, bytes: usize) {
        self.left = self.left.saturating_sub(messages);
        self.taken += messages;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an answer takes of a log of messages of one size.
    fn taken(limit: usize, size: usize) -> usize {
        let mut portion = Portion::new(limit);
        while let Some(count) = portion.next() {
            assert!(count > 0);
            portion.take(count, count * size);
        }
        portion.taken
    }

    #[test]
    fn small_messages_are_taken_to_the_limit_and_large_ones_to_the_bytes() {
        assert_eq!(taken(1_000, 100), 1_000);
        assert_eq!(taken(3, 1 << 20), 3);
        assert_eq!(taken(1, 100), 1);
        assert_eq!(taken(1_000, BYTES / 128), 128);
        // The first look is the only one that does not know.
        assert_eq!(taken(1_000, 1 << 20), FIRST);
    }
}
