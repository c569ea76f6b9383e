//! How far the offsets of short-lived channels may go. Those channels leave nothing on the disk; so that a later
//! process, under a clock that went back, does not use their offsets again, the store writes down ahead of time how far
//! they may come.
//!
//! Invariant: no offset of a short-lived channel lies behind what is written down.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far ahead is written down: one small write in so much time, and as far may offsets run ahead of the clock after a
/// crash.
pub(crate) const AHEAD_MS: u64 = 10_000;

/// What is written down, and what was used of it. Milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct Reserve {
    until_ms: AtomicU64,
    used_ms: AtomicU64,
}

impl Reserve {
    /// Nothing behind `used_ms` was used, and up to `until_ms` is written down.
    pub(crate) fn new(used_ms: u64, until_ms: u64) -> Self {
        Self { until_ms: AtomicU64::new(until_ms), used_ms: AtomicU64::new(used_ms) }
    }

    /// Notes that an offset of this time will be used; `Some` with how far to reserve first.
    pub(crate) fn note(&self, wall_ms: u64) -> Option<u64> {
        let used = self.used_ms.fetch_max(wall_ms, Ordering::Relaxed).max(wall_ms);
        (used >= self.until_ms.load(Ordering::Acquire)).then(|| used.saturating_add(AHEAD_MS))
    }

    /// So far is written down now.
    pub(crate) fn extend(&self, until_ms: u64) {
        self.until_ms.fetch_max(until_ms, Ordering::Release);
    }

    /// How far offsets have come.
    pub(crate) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }
}
