//! Where a message stands in its channel: `<ms>-<seq>`, ordered, and exactly a Redis stream ID.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A position in a channel. Offsets of one channel only ever grow, and are never used twice.
///
/// ```
/// use inkwire_core::Offset;
/// let offset: Offset = "1518951480106-0".parse().unwrap();
/// assert!(offset > Offset::ZERO);
/// assert_eq!(offset.to_string(), "1518951480106-0");
/// assert!("01-0".parse::<Offset>().is_err(), "one offset has one spelling");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset {
    /// Milliseconds since 1970 by the clock of whoever stores the log; never goes back.
    pub ms: u64,
    /// Tells messages of one millisecond apart.
    pub seq: u64,
}

impl Offset {
    /// Before every message; the head of an unused channel.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The offset for a message that arrives at `now_ms`: after this one, even when the clock went back.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Self {
        if now_ms > self.ms {
            return Self { ms: now_ms, seq: 0 };
        }
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms + 1, seq: 0 },
        }
    }

    /// The offset right before this one, whether there is a message at it or not: whoever reads after it begins with this
    /// one. Nothing is before [`Offset::ZERO`].
    #[must_use]
    pub fn before(self) -> Self {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Self { ms: self.ms, seq },
            (None, Some(ms)) => Self { ms, seq: u64::MAX },
            (None, None) => Self::ZERO,
        }
    }

    /// The last offset that is older than `age` at `now_ms`, whether there is a message at it or not; [`Offset::ZERO`] if
    /// there is none. An offset that lies ahead of the clock, since that went back, is not old.
    #[must_use]
    pub fn older_than(age: Duration, now_ms: u64) -> Self {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        match now_ms.checked_sub(age_ms).and_then(|oldest_ms| oldest_ms.checked_sub(1)) {
            Some(ms) => Self { ms, seq: u64::MAX },
            None => Self::ZERO,
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A text that is not an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an offset is <ms>-<seq>, two whole numbers without leading zeros")]
pub struct OffsetError;

impl FromStr for Offset {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, OffsetError> {
        let (ms, seq) = text.split_once('-').ok_or(OffsetError)?;
        Ok(Self { ms: whole(ms)?, seq: whole(seq)? })
    }
}

fn whole(text: &str) -> Result<u64, OffsetError> {
    let canonical = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().map_err(|_| OffsetError) } else { Err(OffsetError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_spelling_only() {
        for bad in
            ["", "-", "1", "1-", "-1", "+1-0", "1-0-0", "01-0", "1-00", "1 -0", "18446744073709551616-0"]
        {
            assert!(bad.parse::<Offset>().is_err(), "{bad}");
        }
        let max = Offset { ms: u64::MAX, seq: u64::MAX };
        assert_eq!(max.to_string().parse(), Ok(max));
    }

    #[test]
    fn orders_by_number_not_by_text() {
        assert!("9-0".parse::<Offset>().unwrap() < "10-0".parse().unwrap());
        assert!("1-9".parse::<Offset>().unwrap() < "1-10".parse().unwrap());
    }

    #[test]
    fn nothing_lies_between_an_offset_and_the_one_before_it() {
        for offset in ["1-0", "5-7", "1-18446744073709551615"] {
            let offset: Offset = offset.parse().unwrap();
            let before = offset.before();
            assert!(before < offset);
            assert!(before.seq.checked_add(1).map_or(offset.ms == before.ms + 1, |seq| offset.seq == seq));
        }
        assert_eq!(Offset::ZERO.before(), Offset::ZERO);
    }

    #[test]
    fn what_is_exactly_of_an_age_is_not_older() {
        let bound = |age_ms, now_ms| Offset::older_than(Duration::from_millis(age_ms), now_ms);
        assert!(Offset { ms: 69, seq: u64::MAX } <= bound(30, 100));
        assert!(Offset { ms: 70, seq: 0 } > bound(30, 100));
        assert_eq!(bound(0, 100), Offset { ms: 99, seq: u64::MAX });
        assert_eq!(bound(100, 100), Offset::ZERO);
        assert_eq!(bound(101, 100), Offset::ZERO);
        assert_eq!(Offset::older_than(Duration::MAX, u64::MAX), Offset::ZERO);
    }

    #[test]
    fn next_never_goes_back() {
        let last = Offset { ms: 10, seq: 3 };
        assert_eq!(last.next(11), Offset { ms: 11, seq: 0 });
        assert_eq!(last.next(10), Offset { ms: 10, seq: 4 });
        assert_eq!(last.next(2), Offset { ms: 10, seq: 4 });
        assert!(Offset { ms: 10, seq: u64::MAX }.next(5) > Offset { ms: 10, seq: u64::MAX });
    }
}
