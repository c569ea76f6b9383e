//! How long to wait before trying again: longer each time, and never in step with the other nodes.

use std::time::Duration;

use rand::RngExt as _;

/// The first pause.
const FIRST: Duration = Duration::from_millis(20);
/// The longest pause: so long may a node stay away from a Redis that has come back.
const LONGEST: Duration = Duration::from_secs(1);

/// Pauses between attempts at one thing.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: waits before the next attempt.
    pub(crate) async fn wait(&mut self) {
        let jitter = rand::rng().random_range(0.5..1.0);
        let pause = pause(self.failures).mul_f64(jitter);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

/// The pause after so many failures, before jitter.
fn pause(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!([0, 1, 2, 3].map(pause), [20, 40, 80, 160].map(Duration::from_millis));
        assert_eq!([6, 100, u32::MAX].map(pause), [LONGEST; 3]);
    }
}
