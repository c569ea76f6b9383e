//! Leases: which nodes live, by what each says of itself in `$nodes`. Pure: beats and moments in, verdicts out.
//!
//! Invariant: a node is taken for dead only after a time of silence in which this node heard itself all along, through the
//! same channel. So neither a broker that is away, nor a pause of this very node, looks like the death of all others.

use std::collections::HashMap;
use std::time::Duration;

use inkwire_core::{ChannelName, Draft, Fields, Key, Keyed, Lifetime, Message, Retention, State, Version};
use tokio::time::Instant;

/// How many beats a node sends within its lease: two may be lost or late, and it lives.
const BEATS: u32 = 4;

/// How long after its last word a node may still hold connections: they end with the process.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// The longest lease: what a dead node's peers wrote must outlive it, and so must what follows (see
/// [`super::LIFETIME`]).
pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// What `$nodes` keeps: the newest beat of each node. When no node beats, nobody reads it either.
const RETENTION: Retention = Retention {
    maximum: 10_000,
    age: None,
    tombstones: Duration::from_secs(2 * 60),
    lifetime: Lifetime::Expires(super::LIFETIME),
};

/// The channel in which nodes say that they live.
pub(crate) fn channel() -> ChannelName {
    ChannelName::new("$nodes").expect("a name by the rules")
}

/// A node's word that it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) node: Box<str>,
    /// Counts the node's beats.
    pub(crate) number: u64,
    /// How long the node may be silent before it is taken for dead.
    pub(crate) lease: Duration,
    /// Whether it goes on.
    pub(crate) tense: Tense,
}

/// Whether a node goes on after what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tense {
    /// It does.
    Lives,
    /// It was its last word: it was stopped, and its streams have ended.
    Leaves,
}

impl Beat {
    /// The last word of a node that was stopped: it gives its lease back but for the grace time of those whose streams ended with
    /// it. To nodes that do not know the word it is a beat with a short lease.
    pub(crate) fn farewell(node: &str, number: u64, grace: Duration) -> Self {
        Self { node: node.into(), number, lease: grace + LAST_MOMENT, tense: Tense::Leaves }
    }

    /// The draft that says it.
    pub(crate) fn draft(&self) -> Draft {
        let fields = Fields::of([
            ("beat", &self.number.to_string()),
            ("leaseMs", &self.lease.as_millis().to_string()),
        ]);
        let fields = match self.tense {
            Tense::Lives => fields,
            Tense::Leaves => fields.and("leaves", "true"),
        };
        keyed(&self.node, fields, &format!("{:020}", self.number), State::Live)
    }

    /// Reads one; `None` for what is none, and for a node that was struck off.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let keyed = message.keyed.as_ref().filter(|keyed| keyed.state == State::Live)?;
        Some(Self {
            node: Box::from(keyed.key.as_str()),
            number: message.fields.get("beat")?.parse().ok()?,
            lease: Duration::from_millis(message.fields.get("leaseMs")?.parse().ok()?),
            tense: if message.fields.get("leaves").is_some() { Tense::Leaves } else { Tense::Lives },
        })
    }
}

/// The draft that strikes a dead node off the list. Its next beat, should it wake, wins over this.
pub(crate) fn struck_off(node: &str, last: u64) -> Draft {
    keyed(node, Fields::of([("beat", &last.to_string())]), &format!("{last:020}.over"), State::Tombstone)
}

fn keyed(node: &str, fields: Fields, version: &str, state: State) -> Draft {
    let key = Key::new(node).expect("a node's name makes a key");
    let version = Version::new(version).expect("the program's versions follow the rules");
    Draft::keyed(fields, Keyed { key, version, state }).retained(RETENTION)
}

/// How often a node with this lease says that it lives.
pub(crate) fn interval(lease: Duration) -> Duration {
    lease / BEATS
}

/// The lease of a node: as asked for, but long enough that nobody who dropped with it leaves before the grace time is over.
/// Its last beat may have been sent up to one interval before it died.
pub(crate) fn at_least(asked: Duration, grace: Duration) -> Duration {
    asked.min(LONGEST_LEASE).max(grace * BEATS / (BEATS - 1))
}

/// What this node has heard of the nodes, itself included.
#[derive(Debug)]
pub(crate) struct Leases {
    own: Box<str>,
    lease: Duration,
    /// When this node last heard itself.
    heard_itself: Option<Instant>,
    /// Since when it has heard itself without a break.
    hearing_since: Instant,
    others: HashMap<Box<str>, Heard>,
}

/// What was last heard of another node.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    number: u64,
    lease: Duration,
    tense: Tense,
}

/// A node whose lease has run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lapsed {
    pub(crate) node: Box<str>,
    /// The number of its last beat; 0 if none was ever heard.
    pub(crate) last: u64,
}

impl Leases {
    pub(crate) fn new(own: &str, lease: Duration, now: Instant) -> Self {
        Self { own: own.into(), lease, heard_itself: None, hearing_since: now, others: HashMap::new() }
    }

    /// Takes a beat, heard now. A beat that was heard before proves nothing.
    pub(crate) fn hear(&mut self, beat: &Beat, now: Instant) {
        if beat.node == self.own {
            if !self.hears(now) {
                self.hearing_since = now;
            }
            self.heard_itself = Some(now);
            return;
        }
        let known = self.others.get(&beat.node);
        if known.is_none_or(|known| beat.number > known.number) {
            let heard = Heard { at: now, number: beat.number, lease: beat.lease, tense: beat.tense };
            self.others.insert(beat.node.clone(), heard);
        }
    }

    /// Whether this node hears: it has heard itself lately. Less than a lease, by more than an interval: after a stall of
    /// the broker it must know that it was deaf before others seem dead.
    fn hears(&self, now: Instant) -> bool {
        self.heard_itself.is_some_and(|at| now.saturating_duration_since(at) <= self.lease * 5 / 8)
    }

    /// Minds a node that is named elsewhere: if it is not heard within a lease from now, it lapses too. Not sooner: it may
    /// be so young that its first beat is on its way.
    pub(crate) fn mind(&mut self, node: &str, now: Instant) {
        if *node != *self.own && !self.others.contains_key(node) {
            let heard = Heard { at: now, number: 0, lease: self.lease, tense: Tense::Lives };
            self.others.insert(node.into(), heard);
        }
    }

    /// Whether a node's lease has run out.
    pub(crate) fn has_lapsed(&self, node: &str, now: Instant) -> bool {
        self.others.get(node).is_some_and(|heard| self.is_over(*heard, now))
    }

    fn is_over(&self, heard: Heard, now: Instant) -> bool {
        let silent_since = heard.at.max(self.hearing_since);
        self.hears(now) && now.saturating_duration_since(silent_since) > heard.lease
    }

    /// The nodes whose lease has run out.
    pub(crate) fn lapsed(&self, now: Instant) -> Vec<Lapsed> {
        let over = self.others.iter().filter(|(_, heard)| self.is_over(**heard, now));
        over.map(|(node, heard)| Lapsed { node: node.clone(), last: heard.number }).collect()
    }

    /// Forgets a dead node; its next beat, should it wake, is news.
    pub(crate) fn forget(&mut self, lapsed: &Lapsed) {
        if self.others.get(&lapsed.node).is_some_and(|heard| heard.number == lapsed.last) {
            self.others.remove(&lapsed.node);
        }
    }

    /// How many nodes live, this one included, as far as it knows.
    pub(crate) fn living(&self, now: Instant) -> usize {
        let lives =
            |heard: &Heard| heard.number > 0 && heard.tense == Tense::Lives && !self.is_over(*heard, now);
        1 + self.others.values().filter(|heard| lives(heard)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inkwire_core::Offset;

    const LEASE: Duration = Duration::from_secs(8);

    fn beat(node: &str, number: u64) -> Beat {
        Beat { node: node.into(), number, lease: LEASE, tense: Tense::Lives }
    }

    /// Seconds of a node's life; it is called `own`.
    struct Life {
        leases: Leases,
        start: Instant,
    }

    impl Life {
        fn new() -> Self {
            let start = Instant::now();
            Self { leases: Leases::new("own", LEASE, start), start }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        /// Beats are heard every other second of a time, of those who live.
        fn hear(&mut self, seconds: std::ops::RangeInclusive<u64>, nodes: &[&str]) {
            for second in seconds.step_by(2) {
                for node in nodes {
                    self.leases.hear(&beat(node, 1 + second), self.at(second));
                }
            }
        }

        fn lapsed(&self, second: u64) -> Vec<Box<str>> {
            let mut nodes: Vec<_> =
                self.leases.lapsed(self.at(second)).into_iter().map(|lapsed| lapsed.node).collect();
            nodes.sort();
            nodes
        }
    }

    #[test]
    fn a_node_that_falls_silent_lapses_and_no_other() {
        let mut life = Life::new();
        life.hear(0..=20, &["own", "dead", "living"]);
        life.hear(22..=30, &["own", "living"]);
        assert!(life.lapsed(28).is_empty(), "8 s are not over");
        assert_eq!(life.lapsed(29), ["dead".into()]);
        assert!(life.leases.has_lapsed("dead", life.at(29)));
        assert_eq!(life.leases.living(life.at(29)), 2);
    }

    #[test]
    fn who_does_not_hear_itself_judges_nobody() {
        let mut life = Life::new();
        life.hear(0..=20, &["own", "other"]);
        assert!(life.lapsed(60).is_empty(), "the broker was away, or this node was paused");
        // It hears itself again: the other has its whole lease to be heard, too.
        life.hear(60..=68, &["own"]);
        assert!(life.lapsed(68).is_empty());
        life.hear(70..=70, &["own"]);
        assert_eq!(life.lapsed(70), ["other".into()]);
    }

    /// The longest stall that this node does not notice is shorter than what makes the others seem dead.
    #[test]
    fn a_stall_of_the_broker_of_any_length_kills_nobody() {
        for stall in 0..40 {
            let mut life = Life::new();
            life.hear(0..=20, &["own", "other"]);
            let again = 22 + stall;
            life.leases.hear(&beat("own", 900), life.at(again));
            assert!(life.lapsed(again).is_empty(), "{stall} s");
            assert!(life.lapsed(again + 1).is_empty(), "{stall} s: the other beats a second later");
            life.leases.hear(&beat("other", 900), life.at(again + 2));
            assert!(life.lapsed(again + 3).is_empty(), "{stall} s");
        }
    }

    #[test]
    fn a_beat_heard_again_proves_nothing() {
        let mut life = Life::new();
        life.hear(0..=0, &["own", "other"]);
        for second in 1..=9 {
            life.leases.hear(&beat("own", 10 + second), life.at(second));
            life.leases.hear(&beat("other", 1), life.at(second));
        }
        assert_eq!(life.lapsed(9), ["other".into()]);
    }

    #[test]
    fn a_node_that_is_named_but_never_heard_lapses_a_lease_later() {
        let mut life = Life::new();
        life.hear(0..=100, &["own"]);
        let now = life.at(100);
        life.leases.mind("ghost", now);
        life.leases.mind("young", now);
        life.leases.mind("own", now);
        life.hear(102..=110, &["own", "young"]);
        assert!(life.lapsed(108).is_empty());
        assert_eq!(life.lapsed(110), ["ghost".into()]);
        let [ghost] = &life.leases.lapsed(life.at(110))[..] else { panic!("it is one") };
        life.leases.forget(ghost);
        assert!(life.lapsed(110).is_empty());
    }

    #[test]
    fn a_node_that_wakes_lives_again() {
        let mut life = Life::new();
        life.hear(0..=0, &["own", "paused"]);
        life.hear(2..=20, &["own"]);
        let [paused] = &life.leases.lapsed(life.at(20))[..] else { panic!("it is one") };
        life.leases.hear(&beat("paused", 2), life.at(20));
        life.leases.forget(paused);
        assert_eq!(life.leases.living(life.at(20)), 2, "forgetting must not overtake the beat");
    }

    #[test]
    fn being_struck_off_lasts_until_the_next_beat() {
        let version = |draft: Draft| draft.keyed.unwrap().version;
        assert!(version(beat("n", 7).draft()) < version(struck_off("n", 7)));
        assert!(version(struck_off("n", 7)) < version(beat("n", 8).draft()));
        assert!(version(struck_off("n", 9)) < version(beat("n", 10).draft()));
    }

    #[test]
    fn a_beat_reads_what_was_drafted() {
        let stored = |draft: Draft| Message {
            offset: Offset::ZERO,
            prev: Offset::ZERO,
            fields: draft.fields,
            keyed: draft.keyed,
            user: draft.user,
        };
        assert_eq!(Beat::of(&stored(beat("n", 7).draft())), Some(beat("n", 7)));
        assert_eq!(Beat::of(&stored(struck_off("n", 7))), None);
        let farewell = Beat::farewell("n", 8, LEASE);
        assert_eq!(Beat::of(&stored(farewell.draft())), Some(farewell));
    }

    /// Who has said farewell does not live any more, and its peers have the grace time from then on, whatever its lease was.
    #[test]
    fn a_farewell_gives_the_lease_back() {
        let grace = Duration::from_secs(5);
        let mut life = Life::new();
        life.hear(0..=20, &["own", "stopped", "living"]);
        life.leases.hear(&Beat::farewell("stopped", 100, grace), life.at(20));
        assert_eq!(life.leases.living(life.at(20)), 2);
        // A beat that was on its way is late.
        life.leases.hear(&beat("stopped", 99), life.at(21));
        life.hear(22..=30, &["own", "living"]);
        assert!(life.lapsed(25).is_empty(), "the grace time is not over");
        assert_eq!(life.lapsed(26), ["stopped".into()]);
        assert_eq!(life.leases.living(life.at(26)), 2);
    }

    #[test]
    fn no_lease_ends_before_the_grace_time_can_be_over() {
        let seconds = Duration::from_secs;
        for (asked, grace) in [(8, 5), (8, 6), (1, 5), (8, 60), (60, 5)] {
            let lease = at_least(seconds(asked), seconds(grace));
            assert!(lease - interval(lease) >= seconds(grace) - Duration::from_millis(1), "{asked} {grace}");
        }
        assert_eq!(at_least(seconds(8), seconds(5)), seconds(8));
    }
}
