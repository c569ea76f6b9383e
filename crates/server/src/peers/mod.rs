//! Peers: who is connected, who is in which room, and what is for whom. Everything stands in logs, so any node takes
//! any request.
//!
//! | channel | sort | what it says | written by |
//! |---|---|---|---|
//! | `$peer/<id>` ([`record`]) | keyed | where the peer's stream is open, under which generation; its rooms | whoever opens, closes, joins, leaves |
//! | `$room/<id>` ([`roster`]) | keyed | who is in the room, since when | whoever joins or leaves |
//! | `$inbox/<id>` ([`inbox`]) | plain | what is for the peer | whoever relays |
//! | `$nodes` ([`lease`]) | keyed | which nodes live | each node |
//!
//! [`signalling`] writes these logs, [`stream`] reads them; [`position`] is what a client shows to resume; [`watch`] lets
//! the peers of dead nodes leave.
//!
//! Invariants. A *stream* changes hands only by a claim of the next generation in the peer's record, which exactly one
//! claimant wins. A *membership* has a key of its own in the room's log, begins once and ends once; its end is final.
//! What a stream tells its client is a function of the logs and of the client's position, and of nothing else.

pub(crate) mod inbox;
pub(crate) mod lease;
pub(crate) mod position;
pub(crate) mod record;
pub(crate) mod roster;
pub(crate) mod signalling;
pub(crate) mod stream;
pub(crate) mod watch;

use std::time::Duration;

use inkwire_core::{Lifetime, Retention};

/// How long the logs of peers and rooms outlive the last sign of life of whoever writes them.
pub(crate) const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How often a stream renews the logs it stands in: several times within [`LIFETIME`], so that one failed renewal
/// does no harm.
pub(crate) const RENEWAL: Duration = Duration::from_secs(75);

/// The longest grace time: a dropped stream renews nothing, and its logs must outlive it and what follows.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(60);

/// What records and rosters keep. Ended memberships stay long enough for every position that can still be resumed.
pub(crate) const KEYED: Retention = Retention {
    maximum: 100_000,
    age: None,
    tombstones: Duration::from_secs(2 * 60),
    lifetime: Lifetime::Expires(LIFETIME),
};

/// What an inbox keeps: the wire promises 1,000 events and 60 s.
pub(crate) const INBOX: Retention = Retention {
    maximum: 1_000,
    age: None,
    tombstones: Duration::ZERO,
    lifetime: Lifetime::Expires(LIFETIME),
};
