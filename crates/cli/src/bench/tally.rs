//! What one follower has seen, as values: each publisher numbers its messages in each channel from 1.

use std::ops::Range;

use serde::Deserialize;

/// What a message of the measurement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Fields")]
pub(super) struct Sample {
    pub(super) publisher: usize,
    /// The publisher's number in this channel.
    pub(super) number: u64,
    /// When it was due, in microseconds since the measurement began.
    pub(super) due: u64,
}

/// As it stands in the message; anything else would be somebody else's.
#[derive(Deserialize)]
struct Fields<'a> {
    p: &'a str,
    n: &'a str,
    t: &'a str,
}

impl From<Fields<'_>> for Sample {
    fn from(fields: Fields<'_>) -> Self {
        Self {
            publisher: fields.p.parse().unwrap_or(usize::MAX),
            number: fields.n.parse().unwrap_or(0),
            due: fields.t.parse().unwrap_or(0),
        }
    }
}

/// What a follower of a channel has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Which of the channels.
    pub(super) channel: usize,
    /// The highest number of each publisher.
    highest: Box<[u64]>,
    /// What was passed over, and did not come later.
    missing: Vec<(usize, Range<u64>)>,
    pub(super) doubled: u64,
    pub(super) reordered: u64,
}

impl Tally {
    pub(super) fn new(channel: usize, publishers: usize) -> Self {
        let highest = vec![0; publishers].into();
        Self { channel, highest, missing: Vec::new(), doubled: 0, reordered: 0 }
    }

    /// Takes a message in.
    pub(super) fn see(&mut self, sample: Sample) {
        let Some(highest) = self.highest.get_mut(sample.publisher) else { return };
        if sample.number > *highest {
            if sample.number > *highest + 1 {
                self.missing.push((sample.publisher, *highest + 1..sample.number));
            }
            *highest = sample.number;
        } else if self.find(sample) {
            self.reordered += 1;
        } else {
            self.doubled += 1;
        }
    }

    /// Takes a number out of what is missing, if it is.
    fn find(&mut self, Sample { publisher, number, .. }: Sample) -> bool {
        let found = self.missing.iter().position(|(own, range)| *own == publisher && range.contains(&number));
        let Some(found) = found else { return false };
        let (_, range) = self.missing.swap_remove(found);
        let rest = [range.start..number, number + 1..range.end];
        self.missing
            .extend(rest.into_iter().filter(|range| !range.is_empty()).map(|range| (publisher, range)));
        true
    }

    /// How much never came of what each publisher has sent.
    pub(super) fn lost(&self, sent: impl Fn(usize) -> u64) -> u64 {
        let within: u64 = self.missing.iter().map(|(_, range)| range.end - range.start).sum();
        let after = self
            .highest
            .iter()
            .enumerate()
            .map(|(publisher, highest)| sent(publisher).saturating_sub(*highest));
        within + after.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a follower of one publisher that sent 5 messages says: lost, doubled, reordered.
    fn check(seen: &[u64], expected: (u64, u64, u64)) {
        let mut tally = Tally::new(0, 1);
        for number in seen {
            tally.see(Sample { publisher: 0, number: *number, due: 0 });
        }
        assert_eq!((tally.lost(|_| 5), tally.doubled, tally.reordered), expected, "{seen:?}");
    }

    #[test]
    fn every_flaw_is_counted_once() {
        check(&[1, 2, 3, 4, 5], (0, 0, 0));
        check(&[], (5, 0, 0));
        check(&[2, 4], (3, 0, 0));
        check(&[1, 2, 2, 3, 4, 5, 5], (0, 2, 0));
        check(&[1, 5, 3, 2, 4], (0, 0, 3));
        check(&[1, 5, 3, 3], (2, 1, 1));
    }
}
