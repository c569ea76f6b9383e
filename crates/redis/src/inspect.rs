//! [`inspect()`]: looks at the servers of an address as a node would, for whoever runs them.
//!
//! Invariant: it changes nothing, leaves no key for longer than a minute and a half, and ends, whatever the servers do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use inkwire_core::{ChannelName, Finding, Level};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo};
use tokio::time::Instant;

use crate::about::{About, SETTINGS};
use crate::address::{Kind, OptionError, Watch};
use crate::broker::{Redis, RedisOptions};
use crate::endpoint::{Endpoint, Trouble};
use crate::judge::{self, Watched, Way};
use crate::slots::{self, SLOTS, Share};
use crate::spread::Spread;
use crate::{topology, trial};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the trial waits for a server that has just answered.
const PATIENCE: Duration = Duration::from_secs(3);
/// So many round trips are measured.
const PINGS: usize = 20;

/// What there is to say about the servers that these options name, the most general first. Takes seconds at most.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use inkwire_redis::{RedisOptions, inspect};
/// for finding in inspect(RedisOptions::new("redis://localhost".parse()?)).await? {
///     println!("{:8}{}: {}", finding.level, finding.subject, finding.says);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`OptionError`] when an option cannot be used.
pub async fn inspect(options: RedisOptions) -> Result<Vec<Finding>, OptionError> {
    let endpoints = Endpoint::all(&options.address, options.certificates.as_deref())?;
    let kind = options.address.kind;
    let broker = Redis::new(RedisOptions { patience: PATIENCE, ..options })?;
    Ok(match kind {
        Kind::Spread => independent(&endpoints, &broker).await,
        Kind::Cluster => cluster(&endpoints, &broker).await,
    })
}

async fn independent(endpoints: &[Endpoint], broker: &Redis) -> Vec<Finding> {
    let mut findings = Vec::new();
    if endpoints.len() > 1 {
        let says = format!("{} independent servers share the channels out", endpoints.len());
        findings.push(Finding::ok("topology", says).with([("servers", endpoints.len() as f64)]));
    }
    let spread = Spread::over(endpoints.iter().map(|endpoint| endpoint.name.as_str()));
    let inspected = join_all(endpoints.iter().enumerate().map(async |(at, endpoint)| {
        let mut findings = Vec::new();
        if let Some(watch) = endpoint.watch() {
            findings.push(judge::watched(&sentinels(endpoint, watch).await));
        }
        let channel = trial::channel(|channel| spread.place(channel) == at);
        findings.extend(server(endpoint, Kind::Spread, broker, channel).await);
        findings.into_iter().map(|finding| finding.at(&endpoint.name)).collect::<Vec<_>>()
    }))
    .await;
    findings.extend(inspected.into_iter().flatten());
    findings
}

async fn cluster(seeds: &[Endpoint], broker: &Redis) -> Vec<Finding> {
    let asked = join_all(seeds.iter().map(topology::ask)).await;
    let mut findings = Vec::new();
    for (seed, said) in seeds.iter().zip(&asked) {
        if let Err(Trouble(why)) = said {
            let advice = "start it, or leave it out of the address: one node that answers is enough";
            findings.push(Finding::warning("node", why, advice).at(&seed.name));
        }
    }
    let Some((seed, shares)) = seeds.iter().zip(asked).find_map(|(seed, said)| Some((seed, said.ok()?)))
    else {
        // Nobody answered: then the reasons are no mere warnings.
        findings.iter_mut().for_each(|finding| finding.level = Level::Trouble);
        return findings;
    };
    let masters: BTreeSet<_> = shares.iter().map(|share| (share.host.clone(), share.port)).collect();
    findings.insert(0, judge::coverage(masters.len(), covered(&shares), usize::from(SLOTS)));
    let shares = &shares;
    let inspected = join_all(masters.iter().map(async |(host, port)| {
        let endpoint = seed.sibling(host, *port);
        let channel = trial::channel(|channel| has(shares, host, *port, channel));
        let findings = server(&endpoint, Kind::Cluster, broker, channel).await;
        findings.into_iter().map(|finding| finding.at(&endpoint.name)).collect::<Vec<_>>()
    }))
    .await;
    findings.extend(inspected.into_iter().flatten());
    findings
}

fn covered(shares: &[Share]) -> usize {
    shares.iter().map(|share| usize::from(share.last) + 1 - usize::from(share.first)).sum()
}

fn has(shares: &[Share], host: &str, port: u16, channel: &ChannelName) -> bool {
    let slot = slots::slot(channel);
    let mut own = shares.iter().filter(|share| share.host == host && share.port == port);
    own.any(|share| (share.first..=share.last).contains(&slot))
}

/// One server: what it says, how fast, and whether a node could work there.
async fn server(
    endpoint: &Endpoint,
    kind: Kind,
    broker: &Redis,
    channel: Option<ChannelName>,
) -> Vec<Finding> {
    let mut findings = match look(endpoint, kind).await {
        Ok(findings) => findings,
        Err(Trouble(why)) => {
            let advice = advice(&why);
            return vec![Finding::trouble("connection", why, advice)];
        }
    };
    let usable =
        findings.iter().all(|finding| finding.level != Level::Trouble || finding.subject == "eviction");
    if let (true, Some(channel)) = (usable, channel) {
        findings.push(trial::trial(broker, &channel).await);
    }
    findings
}

fn advice(why: &str) -> &'static str {
    let why = why.to_lowercase();
    if ["auth", "password", "wrongpass", "noauth"].iter().any(|word| why.contains(word)) {
        "redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST where there is one password for all"
    } else if why.contains("certificate") {
        "--redis-ca with the certificate of whoever issued the server's"
    } else {
        "is it running, and reachable from here? Nodes wait for it: alive, and not ready"
    }
}

async fn look(endpoint: &Endpoint, kind: Kind) -> Result<Vec<Finding>, Trouble> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
    let mut connection = endpoint.reach(config).await?;
    let info = redis::cmd("INFO").query_async(&mut connection).await?;
    let about = About::new(info, settings(&mut connection).await);
    let place = endpoint.place().await?;
    let mut findings = judge::server(&about, kind);
    findings.push(judge::connection(way(place.addr()), place.redis_settings().password().is_some()));
    findings.extend(measure(&mut connection).await?);
    Ok(findings)
}

/// `None` where the server does not tell.
async fn settings(connection: &mut MultiplexedConnection) -> Option<BTreeMap<String, String>> {
    redis::cmd("CONFIG").arg("GET").arg(&SETTINGS).query_async(connection).await.ok()
}

async fn measure(connection: &mut MultiplexedConnection) -> Result<[Finding; 2], Trouble> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let began = Instant::now();
        redis::cmd("PING").exec_async(connection).await?;
        times.push(began.elapsed());
    }
    let began = Instant::now();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
    let round_trip = began.elapsed();
    let theirs = seconds as f64 + micros as f64 / 1e6;
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ahead = theirs - (ours.as_secs_f64() - round_trip.as_secs_f64() / 2.0);
    Ok([judge::round_trips(times), judge::clock(ahead, round_trip)])
}

fn way(addr: &ConnectionAddr) -> Way {
    let is_here =
        |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match addr {
        ConnectionAddr::TcpTls { insecure, .. } => Way::Tls { checked: !insecure },
        ConnectionAddr::Tcp(host, _) if !is_here(host) => Way::Clear,
        _ => Way::Local,
    }
}

/// Asks every Sentinel that is named, at once.
async fn sentinels(endpoint: &Endpoint, watch: &Watch) -> Watched {
    let asked =
        join_all(watch.sentinels.iter().map(|sentinel| ask_sentinel(endpoint, sentinel, &watch.master)))
            .await;
    let mut watched = Watched {
        master: watch.master.clone(),
        named: watch.sentinels.len(),
        silent: Vec::new(),
        why: None,
        places: Vec::new(),
        sentinels: 0,
        replicas: 0,
        no_quorum: None,
    };
    for (sentinel, said) in watch.sentinels.iter().zip(asked) {
        let said = match said {
            Ok(said) => said,
            Err(Trouble(why)) => {
                watched.silent.push(sentinel.addr().to_string());
                watched.why.get_or_insert(why);
                continue;
            }
        };
        watched.places.push(said.place);
        watched.sentinels = watched.sentinels.max(said.sentinels);
        watched.replicas = watched.replicas.max(said.replicas);
        watched.no_quorum = watched.no_quorum.or(said.no_quorum);
    }
    watched
}

/// What one Sentinel says of a master.
struct Said {
    place: String,
    sentinels: usize,
    replicas: usize,
    no_quorum: Option<String>,
}

async fn ask_sentinel(endpoint: &Endpoint, sentinel: &ConnectionInfo, master: &str) -> Result<Said, Trouble> {
    let mut connection = endpoint.sentinel(sentinel).await?;
    let about: BTreeMap<String, String> =
        redis::cmd("SENTINEL").arg("MASTER").arg(master).query_async(&mut connection).await?;
    let word = |name: &str| about.get(name).cloned().unwrap_or_default();
    let quorum = redis::cmd("SENTINEL").arg("CKQUORUM").arg(master).exec_async(&mut connection).await;
    Ok(Said {
        place: format!("{}:{}", word("ip"), word("port")),
        sentinels: word("num-other-sentinels").parse().map_or(1, |others: usize| others + 1),
        replicas: word("num-slaves").parse().unwrap_or_default(),
        no_quorum: quorum.err().map(|error| error.to_string()),
    })
}
