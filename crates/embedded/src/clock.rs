//! The time of day, and the ages of what is kept across restarts.
//!
//! Invariant: [`AgeClock`] never goes back, neither while the process runs nor over a restart, whatever the time of
//! day does.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the time of day comes from: the system, or a test.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl WallClock {
    /// A clock that says what the function says.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since 1970; 0 before.
    pub fn now_ms(&self) -> u64 {
        let since_1970 = (self.0)().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", self.now_ms())
    }
}

/// Tells how old something is that was written down, perhaps by an earlier process: the time of day at the start,
/// then the monotonic clock. A time of day that lies before what was last written down counts as no time passed.
#[derive(Debug, Clone)]
pub(crate) struct AgeClock {
    base_ms: u64,
    started: Instant,
}

impl AgeClock {
    /// Goes on from what was last written down.
    pub(crate) fn resume(wall: &WallClock, written_ms: u64) -> Self {
        Self { base_ms: wall.now_ms().max(written_ms), started: Instant::now() }
    }

    /// Milliseconds, of which only differences mean something.
    pub(crate) fn now_ms(&self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.base_ms.saturating_add(passed)
    }
}
