//! What is said about real servers: sound ones, ones that lose something, and ones that nodes cannot use.
//!
//! Seen to fail: with the trial left out, with `noeviction` not asked for, with the greeting of nodes (which refuses replicas)
//! in place of the look at whoever is there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::time::Duration;

use inkwire_core::{Finding, Level};
use inkwire_redis::{RedisOptions, inspect};
use support::Server;
use support::cluster::Cluster;
use support::watched::Watched;
use tokio::time::timeout;

/// Whatever the servers do, somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server as it should be.
const SOUND: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb"];

async fn found(options: RedisOptions) -> Vec<Finding> {
    timeout(PATIENCE, inspect(options)).await.expect("it ends, whatever the servers do").unwrap()
}

async fn at(url: &str) -> Vec<Finding> {
    found(RedisOptions::new(url.parse().unwrap())).await
}

#[track_caller]
fn has(findings: &[Finding], level: Level, subject: &str, words: &str) {
    let found = findings
        .iter()
        .any(|finding| finding.level == level && finding.subject == subject && finding.says.contains(words));
    assert!(found, "no {level} of {subject} that says {words:?}: {findings:#?}");
}

#[track_caller]
fn all_is_well(findings: &[Finding]) {
    let odd: Vec<_> = findings.iter().filter(|finding| finding.level != Level::Ok).collect();
    assert!(odd.is_empty() && !findings.is_empty(), "{odd:#?}");
}

#[tokio::test]
async fn a_sound_server_is_sound_and_stays_as_it_was() {
    let server = Server::with(&SOUND);
    let findings = found(server.options()).await;
    all_is_well(&findings);
    has(&findings, Level::Ok, "trial", "published in");
    let times = findings.iter().find(|finding| finding.subject == "round trip").unwrap();
    assert!(times.figures.iter().all(|(_, ms)| *ms > 0.0), "{times:?}");
    let mut stranger = server.stranger().await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut stranger).await.unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        let left: i64 = redis::cmd("TTL").arg(&key).query_async(&mut stranger).await.unwrap();
        assert!((1..=90).contains(&left), "{key} lives for {left} s");
    }
}

#[tokio::test]
async fn settings_that_lose_something() {
    let server = Server::with(&SOUND);
    let mut stranger = server.stranger().await;
    let mut set = async |name: &str, value: &str| {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(&mut stranger).await.unwrap();
    };
    set("appendfsync", "everysec").await;
    has(&found(server.options()).await, Level::Warning, "persistence", "last second");
    set("appendonly", "no").await;
    set("maxmemory", "0").await;
    let findings = found(server.options()).await;
    has(&findings, Level::Warning, "persistence", "loses everything");
    has(&findings, Level::Warning, "memory", "no maxmemory");
    set("maxmemory-policy", "allkeys-lru").await;
    let findings = found(server.options()).await;
    has(&findings, Level::Trouble, "eviction", "allkeys-lru");
    has(&findings, Level::Ok, "trial", "published");
}

#[tokio::test]
async fn a_full_server_is_tried_in_vain() {
    let server = Server::with(&["--maxmemory", "100kb"]);
    let findings = found(server.options()).await;
    has(&findings, Level::Warning, "memory", "publishes are refused");
    has(&findings, Level::Trouble, "trial", "cannot publish: Redis refused: OOM");
}

#[tokio::test]
async fn servers_that_do_not_answer() {
    let mut server = Server::start();
    server.signal("-STOP");
    has(&found(server.options()).await, Level::Trouble, "connection", "no answer");
    server.kill();
    has(&found(server.options()).await, Level::Trouble, "connection", "refused");
}

#[tokio::test]
async fn a_replica_takes_no_writes() {
    let master = Server::start();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let findings = found(replica.options()).await;
    has(&findings, Level::Trouble, "product", "READONLY");
    has(&findings, Level::Trouble, "product", &format!("127.0.0.1:{}", master.port));
    assert!(findings.iter().all(|finding| finding.subject != "trial"), "there is nothing to try");
}

#[tokio::test]
async fn passwords_and_rights() {
    let server = Server::with(&[&SOUND[..], &["--requirepass", "right"]].concat());
    let url = |who: &str| format!("redis://{who}@127.0.0.1:{}", server.port);
    for who in [":wrong", "nobody:right"] {
        let findings = at(&url(who)).await;
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.level, finding.subject), (Level::Trouble, "connection"));
        assert!(finding.advice.as_ref().unwrap().contains("PASSWORD"), "{finding:?}");
        assert!(!format!("{finding:?}").contains("wrong"), "{finding:?}");
    }
    let findings = at(&server.url()).await;
    has(&findings, Level::Trouble, "connection", "");
    all_is_well(&at(&url(":right")).await);

    let mut stranger =
        redis::Client::open(url(":right")).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut user = async |rights: &str| {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg("node").arg("reset").arg("on").arg(">own");
        set.arg(rights.split(' ').collect::<Vec<_>>()).exec_async(&mut stranger).await.unwrap();
        at(&url("node:own")).await
    };
    // As PROTOCOL.md says.
    let enough = "~inkwire:* &inkwire:* -@all +@stream +@hash +@pubsub +@scripting +@connection +time +info +pexpire +persist +del";
    let findings = user(enough).await;
    has(&findings, Level::Ok, "trial", "published");
    has(&findings, Level::Warning, "persistence", "not told");
    assert!(findings.iter().all(|finding| finding.level < Level::Trouble), "{findings:#?}");
    for missing in [" +@pubsub", " &inkwire:*", " +@stream", " +@scripting"] {
        let findings = user(&enough.replace(missing, "")).await;
        let tried = findings.iter().find(|finding| finding.subject == "trial").unwrap();
        assert_eq!(tried.level, Level::Trouble, "without{missing}: {tried:?}");
        assert!(tried.advice.as_ref().unwrap().contains("PROTOCOL.md"), "without{missing}: {tried:?}");
    }
}

#[tokio::test]
async fn independent_servers_are_tried_one_by_one() {
    let (one, mut other) = (Server::with(&SOUND), Server::with(&SOUND));
    let urls = format!("{},{}", one.url(), other.url());
    let findings = at(&urls).await;
    all_is_well(&findings);
    let tried = findings.iter().filter(|finding| finding.subject == "trial").count();
    assert_eq!(tried, 2);
    other.kill();
    let findings = at(&urls).await;
    let troubled: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Trouble).collect();
    let [finding] = troubled.as_slice() else { panic!("{troubled:#?}") };
    assert_eq!(finding.server, Some(format!("127.0.0.1:{}", other.port)));
}

#[tokio::test]
async fn masters_that_sentinels_watch() {
    let mut watched = Watched::by(3, 1).await;
    let mut master = watched.servers[0].stranger().await;
    let mut wait = redis::cmd("WAIT");
    wait.arg(1).arg(5_000);
    while wait.query_async::<u64>(&mut master).await.unwrap() == 0 {}
    let findings = found(watched.options()).await;
    has(&findings, Level::Ok, "topology", "3 Sentinels, 1 replicas");
    has(&findings, Level::Ok, "trial", "published");
    has(&findings, Level::Warning, "replicas", "min-replicas-to-write 0");
    let address = watched.options().address.to_string().replace("mymaster (Sentinels: ", "").replace(')', "");
    let findings = at(&format!("redis+sentinel://{address}/another")).await;
    has(&findings, Level::Trouble, "topology", "none of 3 Sentinels");
    has(&findings, Level::Trouble, "topology", "No such master");
    watched.sentinels[2].kill();
    let findings = found(watched.options()).await;
    has(
        &findings,
        Level::Warning,
        "topology",
        &format!("no answer from 127.0.0.1:{}", watched.sentinels[2].port),
    );
    has(&findings, Level::Ok, "trial", "published");
}

#[tokio::test]
async fn clusters() {
    let mut cluster = Cluster::of(3, false).await;
    let findings = found(cluster.options()).await;
    has(&findings, Level::Ok, "topology", "3 masters, 16384 of 16384 slots");
    has(&findings, Level::Warning, "replicas", "none");
    let tried = findings.iter().filter(|finding| finding.subject == "trial" && finding.level == Level::Ok);
    assert_eq!(tried.count(), 3, "{findings:#?}");
    let plain = found(cluster.nodes[0].options()).await;
    has(&plain, Level::Trouble, "product", "redis+cluster://");

    let mut stranger = cluster.nodes[0].stranger().await;
    let mut forget = redis::cmd("CLUSTER");
    forget.arg("DELSLOTS").arg(5).exec_async(&mut stranger).await.unwrap();
    let one = format!("redis+cluster://127.0.0.1:{}", cluster.nodes[0].port);
    has(&at(&one).await, Level::Trouble, "topology", "16383 of 16384 slots");
    let mut add = redis::cmd("CLUSTER");
    add.arg("ADDSLOTS").arg(5).exec_async(&mut stranger).await.unwrap();

    cluster.nodes[2].kill();
    let findings = found(cluster.options()).await;
    has(&findings, Level::Trouble, "connection", "");
    has(&findings, Level::Warning, "node", "");
    for node in &mut cluster.nodes {
        node.kill();
    }
    let findings = found(cluster.options()).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Trouble), "{findings:#?}");
}
