//! What a server's words mean for those who trust their messages to it. Values in, findings out.
//!
//! Invariant: *trouble* is what keeps nodes from working, or will lose what was answered while nothing has failed; what
//! is lost only when something fails is a *warning*.

use std::time::Duration;

use inkwire_core::Finding;

use crate::about::About;
use crate::address::Kind;
use crate::endpoint::fits;

/// A round trip that is felt: every publish waits for at least one.
const SLOW: Duration = Duration::from_millis(10);
/// Nodes allow each other's tokens 5 s. Two clocks that are this far off in opposite directions have nearly used that up.
const CLOCK: Duration = Duration::from_secs(2);
/// From here on a bound on memory is near.
const NEARLY_FULL: f64 = 0.8;

/// What is made of a server once it has spoken. Where it cannot be used, the rest does not matter.
pub(crate) fn server(about: &About, kind: Kind) -> Vec<Finding> {
    let found = product(about, kind);
    if found.level == inkwire_core::Level::Trouble {
        return vec![found];
    }
    let mut findings = vec![found, persistence(about), eviction(about), memory(about), replicas(about, kind)];
    findings.extend(failing_writes(about));
    findings
}

fn product(about: &About, kind: Kind) -> Finding {
    let product = about.product();
    if about.is_loading() {
        return Finding::trouble(
            "product",
            format!(
                "{product} is still loading its data ({} s left, it says)",
                about.said("loading_eta_seconds")
            ),
            "wait; nodes are not ready meanwhile, and go on by themselves",
        );
    }
    if about.is_replica() && kind == Kind::Spread {
        let master = format!("{}:{}", about.said("master_host"), about.said("master_port"));
        return Finding::trouble(
            "product",
            format!("{product} is a replica of {master}, and takes no writes (READONLY)"),
            "name the master, or let Sentinels name it: redis+sentinel://HOST,HOST/MASTER",
        );
    }
    match fits(kind, about.info(), about.info()) {
        Ok(()) => Finding::ok("product", product),
        Err(why) => Finding::trouble("product", why, "see REDIS_URL in: inkwire serve --help"),
    }
}

/// What class of promise an answered publish is.
fn persistence(about: &About) -> Finding {
    let snapshots = about.setting("save").is_some_and(|save| !save.is_empty());
    let advice = "CONFIG SET appendonly yes; CONFIG SET appendfsync always; CONFIG REWRITE";
    if about.number("aof_enabled") == 0 {
        let says = match (snapshots, about.setting("save")) {
            (true, _) => "no append-only file: a restart loses all since the last snapshot",
            (false, Some(_)) => "no append-only file and no snapshots: a restart loses everything",
            (false, None) => "no append-only file: a restart loses at least all since the last snapshot",
        };
        return Finding::warning("persistence", says, advice);
    }
    match about.setting("appendfsync") {
        Some("always") if about.setting("no-appendfsync-on-rewrite") == Some("yes") => Finding::warning(
            "persistence",
            "append-only file, appendfsync always, but not while the file is rewritten: a crash then loses what was answered",
            "CONFIG SET no-appendfsync-on-rewrite no; CONFIG REWRITE",
        ),
        Some("always") => Finding::ok(
            "persistence",
            "append-only file, appendfsync always: a crash loses nothing that was answered",
        ),
        Some("everysec") => Finding::warning(
            "persistence",
            "append-only file, appendfsync everysec: a crash may lose about the last second of what was answered, a busy \
             disk more",
            "where that is too much: CONFIG SET appendfsync always; CONFIG REWRITE",
        ),
        Some(other) => Finding::warning(
            "persistence",
            format!(
                "append-only file, appendfsync {other}: a power cut may lose what the system had not written, about half a \
                 minute"
            ),
            "CONFIG SET appendfsync always; CONFIG REWRITE",
        ),
        None => Finding::warning(
            "persistence",
            "append-only file; how often it is synced is not told (CONFIG GET is refused)",
            "ask whoever runs it for appendfsync: always loses nothing, everysec about a second",
        ),
    }
}

fn eviction(about: &About) -> Finding {
    let policy = about.said("maxmemory_policy");
    if policy == "noeviction" {
        return Finding::ok("eviction", "maxmemory-policy noeviction");
    }
    Finding::trouble(
        "eviction",
        format!("maxmemory-policy {policy}: when memory runs short, channels vanish without a word"),
        "CONFIG SET maxmemory-policy noeviction; CONFIG REWRITE",
    )
}

fn memory(about: &About) -> Finding {
    let (used, limit) = (about.number("used_memory"), about.number("maxmemory"));
    let figures = [("used_bytes", used as f64), ("maximum_bytes", limit as f64)];
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let finding = if limit == 0 {
        Finding::warning(
            "memory",
            format!("{} used, no maxmemory: the system may kill the server when memory runs out", mib(used)),
            "CONFIG SET maxmemory to at most three quarters of the machine's memory; publishes are then refused in time",
        )
    } else if used as f64 >= limit as f64 * NEARLY_FULL {
        Finding::warning(
            "memory",
            format!("{} of {} used: once it is full, publishes are refused", mib(used), mib(limit)),
            "raise maxmemory, or keep less (inkwire serve --retain)",
        )
    } else {
        Finding::ok("memory", format!("{} of {} used", mib(used), mib(limit)))
    };
    finding.with(figures)
}

fn replicas(about: &About, kind: Kind) -> Finding {
    let replicas = about.replicas();
    let away: Vec<_> = replicas.iter().filter(|replica| replica.state != "online").collect();
    let asked: usize = about.setting("min-replicas-to-write").and_then(|text| text.parse().ok()).unwrap_or(0);
    let lag = about.setting("min-replicas-max-lag").unwrap_or("10");
    let figures =
        [("replicas", replicas.len() as f64), ("replicas_online", (replicas.len() - away.len()) as f64)];
    let finding = if replicas.len() - away.len() < asked {
        let online = replicas.len() - away.len();
        Finding::trouble(
            "replicas",
            format!(
                "{online} of the {asked} that min-replicas-to-write asks for: every write is refused (NOREPLICAS)"
            ),
            "bring the replicas back, or ask for fewer",
        )
    } else if let Some(replica) = away.first() {
        Finding::warning(
            "replicas",
            format!("{} is not in step: {}", replica.name, replica.state),
            "look into that replica's log; until it is in step it cannot take over",
        )
    } else if replicas.is_empty() && kind == Kind::Cluster {
        Finding::warning(
            "replicas",
            "none: while this node is away, so are its channels",
            "give each master of the cluster a replica",
        )
    } else if replicas.is_empty() {
        Finding::ok("replicas", "none: while the server is away, nodes are alive and not ready")
    } else if asked == 0 {
        Finding::warning(
            "replicas",
            format!(
                "{}, and min-replicas-to-write 0: a failover may lose what a cut-off master went on answering",
                replicas.len()
            ),
            "CONFIG SET min-replicas-to-write 1 bounds that to min-replicas-max-lag seconds (and refuses writes without a replica)",
        )
    } else {
        let count = replicas.len();
        Finding::ok(
            "replicas",
            format!("{count} in step; a write needs {asked} that answered within {lag} s"),
        )
    };
    finding.with(figures)
}

/// What makes Redis refuse every write until somebody looks.
fn failing_writes(about: &About) -> Option<Finding> {
    let advice = "look into the server's log, mostly the disk is full or forbidden";
    if about.number("aof_enabled") == 1 && about.said("aof_last_write_status") == "err" {
        let says = "the append-only file could not be written: every write is refused (MISCONF)";
        return Some(Finding::trouble("disk", says, advice));
    }
    let stops = about.setting("stop-writes-on-bgsave-error") != Some("no");
    let snapshots = about.setting("save") != Some("");
    if about.said("rdb_last_bgsave_status") == "err" && stops && snapshots {
        let says = "the last snapshot failed: every write is refused until one succeeds (MISCONF)";
        return Some(Finding::trouble("disk", says, advice));
    }
    None
}

/// Round trips, at least one.
pub(crate) fn round_trips(mut times: Vec<Duration>) -> Finding {
    times.sort();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let (min, median, max) = (at(0), at(times.len() / 2), at(times.len().saturating_sub(1)));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let says = format!("{:.2} ms (median of {}; {:.2} to {:.2})", ms(median), times.len(), ms(min), ms(max));
    let finding = if median > SLOW {
        Finding::warning("round trip", says, "every publish waits for this: run the nodes near their Redis")
    } else {
        Finding::ok("round trip", says)
    };
    finding.with([("min_ms", ms(min)), ("median_ms", ms(median)), ("max_ms", ms(max))])
}

/// How far the server's clock is ahead of ours, in seconds, measured within a round trip of this length.
pub(crate) fn clock(ahead: f64, round_trip: Duration) -> Finding {
    let uncertain = round_trip.as_secs_f64() / 2.0;
    let direction = if ahead < 0.0 { "behind" } else { "ahead of" };
    let says = format!("{:.3} s {direction} this machine's, give or take {uncertain:.3} s", ahead.abs());
    let finding = if ahead.abs() > CLOCK.as_secs_f64() + uncertain {
        let advice = "run a time service (chrony, systemd-timesyncd) on both: tokens expire by the nodes' clocks, messages by Redis's";
        Finding::warning("clock", says, advice)
    } else {
        Finding::ok("clock", says)
    };
    finding.with([("ahead_seconds", ahead)])
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// On this machine: nobody listens in.
    Local,
    /// Encrypted; whether the server's certificate is looked at.
    Tls {
        checked: bool,
    },
    Clear,
}

pub(crate) fn connection(way: Way, has_password: bool) -> Finding {
    let who = if has_password { "with a password" } else { "without a password" };
    match (way, has_password) {
        (Way::Clear, _) => Finding::warning(
            "connection",
            format!("in clear text, {who}: whoever is on the way reads everything"),
            "rediss:// where the network is not your own",
        ),
        (Way::Tls { checked: false }, _) => Finding::warning(
            "connection",
            format!("TLS, {who}, but the server's certificate is not looked at"),
            "--redis-ca with the certificate of who issued it, and no #insecure in the address",
        ),
        (Way::Tls { checked: true }, false) => Finding::warning(
            "connection",
            "TLS, without a password: whoever reaches the server may do anything",
            "a user for the nodes: see \"Redis keys\" in PROTOCOL.md",
        ),
        (Way::Tls { checked: true }, true) => Finding::ok("connection", format!("TLS, {who}")),
        (Way::Local, _) => Finding::ok("connection", format!("on this machine, {who}")),
    }
}

/// What Sentinels say of the server they watch: how many were named and how many answer, where each says it is, and
/// whether they could agree on another.
pub(crate) struct Watched {
    pub(crate) master: String,
    pub(crate) named: usize,
    pub(crate) silent: Vec<String>,
    /// Why the first of those does not answer.
    pub(crate) why: Option<String>,
    pub(crate) places: Vec<String>,
    /// All there are, those that were not named included.
    pub(crate) sentinels: usize,
    pub(crate) replicas: usize,
    /// Why they could not; `None` where they could.
    pub(crate) no_quorum: Option<String>,
}

pub(crate) fn watched(watched: &Watched) -> Finding {
    let Watched { master, named, silent, why, places, sentinels, replicas, no_quorum } = watched;
    let place = places.first().map_or("nowhere", String::as_str);
    let says = format!("{master} is at {place}; {sentinels} Sentinels, {replicas} replicas");
    let figures = [("sentinels", *sentinels as f64), ("replicas", *replicas as f64)];
    let finding = if places.is_empty() {
        let why = why.as_deref().unwrap_or("no answer");
        let says = format!("none of {named} Sentinels tells where {master} is: {why}");
        let advice =
            "start the Sentinels, or correct their addresses, the master's name, or ?sentinel-password=";
        Finding::trouble("topology", says, advice)
    } else if places.iter().any(|other| other != place) {
        let places = places.join(", ");
        let advice = "a failover is under way, or a network is split: look again in a moment";
        Finding::warning("topology", format!("the Sentinels disagree where {master} is: {places}"), advice)
    } else if let Some(why) = no_quorum {
        let advice = "nobody would take over: bring the missing Sentinels back";
        Finding::warning("topology", format!("{says}; they could not agree on a new master: {why}"), advice)
    } else if !silent.is_empty() {
        let silent = silent.join(", ");
        Finding::warning(
            "topology",
            format!("{says}; no answer from {silent}"),
            "bring it back, or correct the address",
        )
    } else if *replicas == 0 {
        Finding::warning("topology", says, "without a replica there is nobody to take over")
    } else if *sentinels < 3 {
        Finding::warning("topology", says, "at least three Sentinels, so that one may be missing")
    } else {
        Finding::ok("topology", says)
    };
    finding.with(figures)
}

/// How many slots of a cluster have a master, of all there are.
pub(crate) fn coverage(masters: usize, covered: usize, all: usize) -> Finding {
    let says = format!("a cluster of {masters} masters, {covered} of {all} slots");
    let finding = if covered < all {
        let advice = "channels in the other slots are refused: redis-cli --cluster check HOST:PORT, then --cluster fix";
        Finding::trouble("topology", says, advice)
    } else {
        Finding::ok("topology", says)
    };
    finding.with([("masters", masters as f64), ("slots", covered as f64)])
}

#[cfg(test)]
mod tests {
    use inkwire_core::Level::{self, Ok, Trouble, Warning};

    use super::*;

    /// A master that is as it should be, but for these lines and settings.
    fn about(lines: &str, settings: &[(&str, &str)]) -> About {
        let sound = "redis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\naof_enabled:1\r\nused_memory:1048576\r\n\
                     maxmemory:1073741824\r\nmaxmemory_policy:noeviction\r\naof_last_write_status:ok\r\n";
        let usual = [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no"), ("save", "3600 1")];
        let settings = usual.iter().chain(settings).map(|(name, value)| ((*name).into(), (*value).into()));
        // The first line of a name counts.
        About::new(format!("{lines}{sound}"), Some(settings.collect()))
    }

    fn level(findings: &[Finding], subject: &str) -> Level {
        findings.iter().find(|finding| finding.subject == subject).unwrap().level
    }

    #[track_caller]
    fn check(lines: &str, settings: &[(&str, &str)], subject: &str, expected: Level, words: &str) {
        let findings = server(&about(lines, settings), Kind::Spread);
        assert_eq!(level(&findings, subject), expected, "{findings:?}");
        let finding = findings.iter().find(|finding| finding.subject == subject).unwrap();
        assert!(finding.says.contains(words), "{}", finding.says);
        assert_eq!(finding.advice.is_some(), expected != Ok, "what is not well says what to do");
        let others = findings.iter().filter(|finding| finding.subject != subject);
        assert!(others.clone().all(|finding| finding.level == Ok), "{findings:?}");
    }

    #[test]
    fn a_sound_server_is_sound() {
        let findings = server(&about("", &[]), Kind::Spread);
        assert!(
            findings.iter().all(|finding| finding.level == Ok && finding.advice.is_none()),
            "{findings:?}"
        );
    }

    #[test]
    fn classes_of_persistence() {
        check("aof_enabled:0\r\n", &[], "persistence", Warning, "since the last snapshot");
        check("aof_enabled:0\r\n", &[("save", "")], "persistence", Warning, "loses everything");
        check("", &[("appendfsync", "everysec")], "persistence", Warning, "last second");
        check("", &[("appendfsync", "no")], "persistence", Warning, "power cut");
        check("", &[("no-appendfsync-on-rewrite", "yes")], "persistence", Warning, "rewritten");
        let silent = About::new(about("", &[]).info().to_owned(), None);
        assert!(persistence(&silent).says.contains("not told"));
    }

    #[test]
    fn what_evicts_is_trouble_and_what_grows_a_warning() {
        check("maxmemory_policy:allkeys-lru\r\n", &[], "eviction", Trouble, "allkeys-lru");
        check("maxmemory_policy:volatile-ttl\r\n", &[], "eviction", Trouble, "vanish");
        check("maxmemory:0\r\n", &[], "memory", Warning, "no maxmemory");
        check("used_memory:1000000000\r\n", &[], "memory", Warning, "publishes are refused");
    }

    #[test]
    fn replicas_and_what_writes_ask_of_them() {
        let online = "slave0:ip=a,port=1,state=online,offset=1,lag=0\r\n";
        let away = "slave0:ip=a,port=1,state=wait_bgsave,offset=1,lag=0\r\n";
        let one = ("min-replicas-to-write", "1");
        check("", &[], "replicas", Ok, "none");
        check(online, &[], "replicas", Warning, "failover may lose");
        check(online, &[one], "replicas", Ok, "a write needs 1");
        check(away, &[], "replicas", Warning, "a:1 is not in step");
        check(away, &[one], "replicas", Trouble, "NOREPLICAS");
        check("", &[one], "replicas", Trouble, "0 of the 1");
        let alone = server(&about("redis_mode:cluster\r\n", &[]), Kind::Cluster);
        assert_eq!(level(&alone, "replicas"), Warning);
    }

    #[test]
    fn writes_that_are_refused_are_trouble() {
        let refused = |lines: &str, settings: &[_]| {
            failing_writes(&about(lines, settings)).map(|finding| finding.level)
        };
        assert_eq!(refused("", &[]), None);
        assert_eq!(refused("aof_last_write_status:err\r\n", &[]), Some(Trouble));
        let failed = "rdb_last_bgsave_status:err\r\n";
        assert_eq!(refused(failed, &[]), Some(Trouble));
        assert_eq!(refused(failed, &[("stop-writes-on-bgsave-error", "no")]), None);
        assert_eq!(refused(failed, &[("save", "")]), None);
    }

    #[test]
    fn servers_that_cannot_be_used_are_trouble_and_nothing_else_is_said() {
        for (lines, kind, words) in [
            ("loading:1\r\nloading_eta_seconds:7\r\n", Kind::Spread, "7 s left"),
            ("role:slave\r\nmaster_host:m\r\nmaster_port:1\r\n", Kind::Spread, "replica of m:1"),
            ("redis_version:6.2.0\r\n", Kind::Spread, "6.2.0"),
            ("redis_mode:cluster\r\n", Kind::Spread, "redis+cluster://"),
            ("", Kind::Cluster, "no cluster"),
        ] {
            let findings = server(&about(lines, &[]), kind);
            let [finding] = findings.as_slice() else { panic!("{findings:?}") };
            assert!(finding.level == Trouble && finding.says.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn times() {
        let ms = Duration::from_millis;
        let found = round_trips(vec![ms(30), ms(1), ms(2)]);
        assert_eq!((found.level, &*found.says), (Ok, "2.00 ms (median of 3; 1.00 to 30.00)"));
        assert_eq!(round_trips(vec![ms(11)]).level, Warning);
        assert_eq!(clock(-1.9, ms(0)).level, Ok);
        assert_eq!(clock(-2.1, ms(0)).level, Warning);
        assert_eq!(clock(2.1, ms(400)).level, Ok, "it may be the way that took so long");
    }

    #[test]
    fn ways() {
        assert_eq!(connection(Way::Local, false).level, Ok);
        assert_eq!(connection(Way::Tls { checked: true }, true).level, Ok);
        for (way, password) in [
            (Way::Tls { checked: true }, false),
            (Way::Tls { checked: false }, true),
            (Way::Clear, true),
            (Way::Clear, false),
        ] {
            assert_eq!(connection(way, password).level, Warning, "{way:?}");
        }
    }

    #[test]
    fn what_sentinels_say() {
        let sound = || Watched {
            master: "m".into(),
            named: 3,
            silent: Vec::new(),
            why: None,
            places: vec!["a:1".into(); 3],
            sentinels: 3,
            replicas: 1,
            no_quorum: None,
        };
        assert_eq!(watched(&sound()).level, Ok);
        assert_eq!(watched(&Watched { places: Vec::new(), ..sound() }).level, Trouble);
        for odd in [
            Watched { places: vec!["a:1".into(), "b:1".into()], ..sound() },
            Watched { no_quorum: Some("NOQUORUM".into()), ..sound() },
            Watched { silent: vec!["c:1".into()], ..sound() },
            Watched { replicas: 0, ..sound() },
            Watched { sentinels: 2, ..sound() },
        ] {
            assert_eq!(watched(&odd).level, Warning);
        }
    }

    #[test]
    fn a_cluster_with_a_hole_is_trouble() {
        assert_eq!(coverage(3, 16_384, 16_384).level, Ok);
        assert_eq!(coverage(3, 16_383, 16_384).level, Trouble);
    }
}
