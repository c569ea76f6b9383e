//! A connection's sense of time: when to say that it lives, that the node goes down, and when it ends.
//!
//! Invariant: waiting for a beat again and again costs a look, not a timer: what waits is kept.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::drain::{Drain, moment_before};

/// How often a connection says that it lives: proxies cut those that are silent for long.
const PING: Duration = Duration::from_secs(10);

/// What happens to a connection by the passing of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// It is time for a heartbeat.
    Ping,
    /// The node has begun to drain: to be told once.
    Draining,
    /// Its token has expired.
    Expired,
    /// The drain has reached it.
    Drained,
}

/// A connection's sense of time.
pub(crate) struct Pulse {
    /// `None` once the drain has begun.
    drain: Option<BoxFuture<'static, Instant>>,
    ping: Instant,
    expires: Instant,
    drained: Option<Instant>,
    next: Pin<Box<Sleep>>,
}

impl Pulse {
    /// For a connection whose token expires then.
    pub(crate) fn new(mut drain: Drain, expires: SystemTime) -> Self {
        let (ping, expires) = (Instant::now() + PING, monotonic(expires));
        Self {
            drain: Some(Box::pin(async move { drain.begun().await })),
            ping,
            expires,
            drained: None,
            next: Box::pin(sleep_until(ping.min(expires))),
        }
    }

    /// There is a newer token, which expires then.
    pub(crate) fn renew(&mut self, expires: SystemTime) {
        self.expires = monotonic(expires);
        self.set();
    }

    /// The next beat. Safe to cancel.
    pub(crate) async fn beat(&mut self) -> Beat {
        poll_fn(|context| self.poll_beat(context)).await
    }

    fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<Beat> {
        if let Some(drain) = &mut self.drain
            && let Poll::Ready(ends) = drain.as_mut().poll(context)
        {
            self.drain = None;
            self.drained = Some(moment_before(ends));
            self.set();
            return Poll::Ready(Beat::Draining);
        }
        // A timer may ring early: it was set before the token was renewed, or for another of the three.
        while self.next.as_mut().poll(context).is_ready() {
            if let Some(beat) = self.due() {
                self.set();
                return Poll::Ready(beat);
            }
            self.set();
        }
        Poll::Pending
    }

    fn due(&mut self) -> Option<Beat> {
        let now = Instant::now();
        if self.drained.is_some_and(|drained| drained <= now) {
            Some(Beat::Drained)
        } else if self.expires <= now {
            Some(Beat::Expired)
        } else if self.ping <= now {
            self.ping = now + PING;
            Some(Beat::Ping)
        } else {
            None
        }
    }

    fn set(&mut self) {
        let next = self.ping.min(self.expires);
        self.next.as_mut().reset(self.drained.map_or(next, |drained| next.min(drained)));
    }
}

/// A moment of the wall clock on the clock that does not jump.
fn monotonic(moment: SystemTime) -> Instant {
    // Further away than that is for ever; the clock cannot count to everything a token may claim.
    const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Instant::now() + moment.duration_since(SystemTime::now()).unwrap_or_default().min(FOR_EVER)
}
