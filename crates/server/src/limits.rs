//! How often a peer may do what costs others something. Counted on the node that takes the request.

use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use inkwire_protocol::PeerId;

use crate::options::Rate;

/// A limit that each peer has for itself.
#[derive(Debug)]
pub(crate) struct PeerLimit {
    limiter: DefaultKeyedRateLimiter<PeerId>,
    clock: DefaultClock,
}

/// A limit of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl ConnectionLimit {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { limiter: RateLimiter::direct(quota(rate)), clock: DefaultClock::default() }
    }

    /// Counts one.
    pub(crate) fn admit(&self) -> Result<(), TooMany> {
        self.limiter.check().map_err(|not_until| TooMany(not_until.wait_time_from(self.clock.now())))
    }
}

fn quota(rate: Rate) -> Quota {
    Quota::per_second(rate.per_second).allow_burst(rate.burst)
}

/// Too many; come back after this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) Duration);

impl PeerLimit {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { limiter: RateLimiter::keyed(quota(rate)), clock: DefaultClock::default() }
    }

    /// Counts one.
    pub(crate) fn admit(&self, peer: &PeerId) -> Result<(), TooMany> {
        self.limiter.check_key(peer).map_err(|not_until| TooMany(not_until.wait_time_from(self.clock.now())))
    }

    /// Forgets peers whose limit is as good as new.
    pub(crate) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}
