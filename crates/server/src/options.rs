//! What can be chosen about a server, with the defaults of the protocol.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::tokens::TokenSecret;

/// Everything that can be chosen. Start from [`Options::new`] and change what you need.
#[derive(Debug, Clone)]
pub struct Options {
    /// Signs and verifies tokens.
    pub secret: TokenSecret,
    /// Whether anybody may have a token.
    pub anonymous: Anonymous,
    /// Which web origins may call.
    pub origins: Origins,
    /// How long a dropped stream can be resumed before its peer leaves. Default 5 s, at most 60 s.
    pub grace: Duration,
    /// How long a node may be silent before the others take it for dead and let its peers leave. Default 8 s, at most 60 s,
    /// and always longer than the grace time. It says so four times within it; a shorter lease
    /// makes a busy machine look like a dead one.
    pub lease: Duration,
    /// Over how long open streams are closed when the server goes down. Default 10 s.
    pub drain: Duration,
    /// How many events a peer may relay. Default 200/s, burst 500.
    pub relays: Rate,
    /// How many rooms a peer may join. Default 10/s, burst 20.
    pub joins: Rate,
    /// How many messages a peer with a token of `POST /access` may publish. Default 500/s, burst 2,000. Other tokens are
    /// not limited.
    pub publishes: Rate,
    /// How many files a peer may put into rooms. Default 1/s, burst 30.
    pub uploads: Rate,
    /// The largest file that may be put into a room, in bytes. Default 4 MiB.
    pub max_file: usize,
    /// How much of which channels is kept; the first rule that matches a channel's name decides. Default: none.
    pub retention: Vec<RetentionRule>,
    /// STUN and TURN. Default: none, which is enough on one machine and on a local network.
    pub ice: Ice,
}

/// Whether `POST /access` gives tokens to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// It does.
    Allowed,
    /// It answers 403: tokens come from the application.
    Refused,
}

/// Which web origins may call. No cookies are used, so any origin is a safe default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These, spelled as browsers do (`https://example.org`, no path), and the server's own page.
    Only(Vec<String>),
}

/// So many per second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Per second, in the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate; zero counts as one.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        const fn positive(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self { per_second: positive(per_second), burst: positive(burst) }
    }
}

/// How much is kept of the channels that a pattern names. What it leaves open is as without rules.
///
/// ```
/// use std::time::Duration;
/// use inkwire::RetentionRule;
/// let week = Duration::from_secs(7 * 24 * 60 * 60);
/// let rule = RetentionRule { age: Some(week), ..RetentionRule::new("log:*") };
/// assert_eq!(rule.maximum, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// Which channels: a name, in which `*` stands for any run of characters.
    pub pattern: String,
    /// How many messages, or keys, are kept. A publish that asks for a number of its own gets that.
    pub maximum: Option<NonZeroUsize>,
    /// How old the messages of a plain channel may become. Live keys have no age.
    pub age: Option<Duration>,
    /// How long a keyed channel keeps tombstones.
    pub tombstones: Option<Duration>,
}

impl RetentionRule {
    /// A rule that leaves everything open yet.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self { pattern: pattern.into(), maximum: None, age: None, tombstones: None }
    }
}

/// How peers find a way to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ice {
    /// `stun:` URLs.
    pub stun: Vec<String>,
    /// `turn:` and `turns:` URLs. Given to peers only with a `turn_secret`.
    pub turn: Vec<String>,
    /// The secret shared with the TURN server (coturn: `static-auth-secret`).
    pub turn_secret: Option<String>,
}

impl Options {
    /// The defaults.
    pub fn new(secret: TokenSecret) -> Self {
        Self {
            secret,
            anonymous: Anonymous::Allowed,
            origins: Origins::Any,
            grace: Duration::from_secs(5),
            lease: Duration::from_secs(8),
            drain: Duration::from_secs(10),
            relays: Rate::new(200, 500),
            joins: Rate::new(10, 20),
            publishes: Rate::new(500, 2_000),
            uploads: Rate::new(1, 30),
            max_file: 4 << 20,
            retention: Vec::new(),
            ice: Ice::default(),
        }
    }
}
