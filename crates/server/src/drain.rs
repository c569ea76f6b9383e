//! Going down in daylight: everybody is told once, new streams are refused, and open ones end spread over the drain time,
//! so that their clients do not all arrive elsewhere at the same moment.

use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether the server goes down, as seen by whoever must act on it.
#[derive(Debug, Clone)]
pub(crate) struct Drain(watch::Receiver<Option<Instant>>);

/// Begins the drain.
#[derive(Debug)]
pub(crate) struct DrainTrigger(watch::Sender<Option<Instant>>);

impl Drain {
    pub(crate) fn new() -> (DrainTrigger, Self) {
        let (sender, receiver) = watch::channel(None);
        (DrainTrigger(sender), Self(receiver))
    }

    /// Whether the drain has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for the drain to begin; answers by when everything ends. Safe to cancel.
    pub(crate) async fn begun(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(ends) => ends.unwrap_or_else(Instant::now),
            // The trigger is gone: so is the server.
            Err(_) => Instant::now(),
        }
    }
}

impl DrainTrigger {
    /// Begins the drain.
    pub(crate) fn begin(&self, time: Duration) {
        self.0.send_replace(Some(Instant::now() + time));
    }
}

/// A moment between now and the end, for one stream to end at.
pub(crate) fn moment_before(ends: Instant) -> Instant {
    let now = Instant::now();
    let share: f64 = rand::rng().random_range(0.0..1.0);
    now + ends.saturating_duration_since(now).mul_f64(share)
}
