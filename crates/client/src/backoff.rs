//! How long to wait before trying again: a function of values, so that its every answer can be tested.

use std::time::Duration;

/// The first wait. A server that restarts is back within a second; waiting longer would be felt.
pub const SHORTEST: Duration = Duration::from_millis(200);
/// The longest wait. A server that comes back after an hour finds its clients within this time.
pub const LONGEST: Duration = Duration::from_secs(10);

/// The wait after `failures` rounds in which no target answered: doubled each time from [`SHORTEST`] up to [`LONGEST`], of
/// which `chance` (from 0 to 1) takes away up to a half. The chance keeps clients that lost one server from
/// coming back in step.
///
/// ```
/// use std::time::Duration;
/// use inkwire_client::backoff;
/// assert_eq!(backoff::wait(0, 0.0), Duration::from_millis(200));
/// assert_eq!(backoff::wait(0, 1.0), Duration::from_millis(100));
/// assert_eq!(backoff::wait(3, 0.0), Duration::from_millis(1600));
/// assert_eq!(backoff::wait(1000, 0.0), Duration::from_secs(10));
/// ```
pub fn wait(failures: u32, chance: f64) -> Duration {
    let doubled = SHORTEST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST);
    doubled.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest() {
        let waits: Vec<u128> = (0..8).map(|failures| wait(failures, 0.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(wait(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn chance_takes_at_most_a_half() {
        for failures in 0..10 {
            let (most, least) = (wait(failures, 0.0), wait(failures, 1.0));
            assert_eq!(least * 2, most);
            assert!((least..=most).contains(&wait(failures, 0.3)));
        }
        assert_eq!(wait(2, -5.0), wait(2, 0.0));
        assert_eq!(wait(2, 5.0), wait(2, 1.0));
    }
}
