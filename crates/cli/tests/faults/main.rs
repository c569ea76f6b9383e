//! What happens to messages when a node or its Redis fails under load: what is promised, and what was seen.
//!
//! Each fault is a test. `make chaos` lets them last longer, and writes what was seen to `docs/faults.md`. How long a fault lasts is a
//! part of the fault, and slept; what is to come of it is awaited.

#![allow(unreachable_pub, reason = "the modules of a test belong together")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod proxy;
mod rig;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::time::Duration;

use proxy::{Line, Proxy};
use rig::{CHANNEL, Rig, Seen};
use support::redis::Server;
use support::redis::cluster::Cluster;
use support::redis::watched::Watched;
use tokio::time::{Instant, sleep};

/// A Redis that loses nothing that it has answered, whatever happens to its process.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// How much is made of a fault.
#[derive(Debug, Clone, Copy)]
struct Length {
    /// How long something is away.
    away: Duration,
    /// How often something happens that is over at once.
    times: usize,
}

const SHORT: Length = Length { away: Duration::from_secs(2), times: 3 };
const LONG: Length = Length { away: Duration::from_secs(10), times: 20 };

/// Nothing answered is missing at any reader, told or not.
fn nothing_is_lost(seen: &Seen) {
    assert_eq!((seen.lost, seen.told, seen.doubled, seen.reordered), (0, 0, 0, 0), "{seen:?}");
}

/// What is missing was told.
fn losses_are_told(seen: &Seen) {
    assert_eq!((seen.lost, seen.doubled, seen.reordered), (0, 0, 0), "{seen:?}");
}

async fn on(redis: &Server) -> Rig {
    Rig::on([&redis.url(), &redis.url()]).await
}

async fn ask(redis: &Server, command: &[&str]) -> redis::Value {
    let mut asked = redis::cmd(command[0]);
    asked.arg(&command[1..]).query_async(&mut redis.stranger().await).await.unwrap()
}

async fn node_killed(length: Length) -> Seen {
    let redis = Server::start();
    let mut rig = on(&redis).await;
    let began = Instant::now();
    for round in 0..length.times {
        let node = &mut rig.nodes[round % 2];
        node.kill();
        sleep(length.away / 10).await;
        node.again();
        rig::ready(node.port).await;
    }
    rig.judge(began).await
}

async fn redis_killed(length: Length) -> Seen {
    let mut redis = Server::with(&DURABLE);
    let rig = on(&redis).await;
    let began = Instant::now();
    for _ in 0..length.times {
        redis.kill();
        sleep(length.away / 10).await;
        redis.run();
        // It is killed while it works, each time.
        rig.hears(1).await;
    }
    rig.judge(began).await
}

async fn redis_back_empty(length: Length) -> Seen {
    let mut redis = Server::start();
    let rig = on(&redis).await;
    let began = Instant::now();
    redis.kill();
    sleep(length.away / 10).await;
    redis.run();
    rig.judge(began).await
}

async fn redis_stopped(away: Duration) -> Seen {
    let redis = Server::start();
    let rig = on(&redis).await;
    let began = Instant::now();
    redis.signal("-STOP");
    sleep(away).await;
    redis.signal("-CONT");
    rig.judge(began).await
}

async fn subscriber_connection_killed(length: Length) -> Seen {
    let redis = Server::start();
    let rig = on(&redis).await;
    let began = Instant::now();
    for _ in 0..length.times * 3 {
        ask(&redis, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        sleep(Duration::from_millis(50)).await;
    }
    rig.judge(began).await
}

async fn out_of_memory(length: Length) -> Seen {
    let redis = Server::start();
    let rig = on(&redis).await;
    let began = Instant::now();
    ask(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    sleep(length.away).await;
    ask(&redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    rig.judge(began).await
}

/// It comes back with much to read, and says `-LOADING` meanwhile.
async fn loading(length: Length) -> Seen {
    let options = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    let mut redis = Server::with(&[&DURABLE[..], &options[..]].concat());
    for number in 0..length.away.as_millis() / 4 {
        ask(&redis, &["SET", &format!("ballast{number}"), "x"]).await;
    }
    // Only what stands in the compact part of the file is read slowly.
    ask(&redis, &["BGREWRITEAOF"]).await;
    while ask_info(&redis).await.contains("aof_rewrite_in_progress:1") {
        sleep(Duration::from_millis(20)).await;
    }
    let rig = on(&redis).await;
    let began = Instant::now();
    redis.kill();
    let url = redis.url();
    // Returns when all is loaded; the nodes are other processes and ask all the while.
    let mut starting = tokio::task::spawn_blocking(move || {
        redis.run();
        redis
    });
    let mut said_so = false;
    let _redis = loop {
        tokio::select! {
            redis = &mut starting => break redis.unwrap(),
            () = sleep(Duration::from_millis(20)) => said_so |= says_loading(&url).await,
        }
    };
    assert!(said_so, "it did not say that it loads");
    rig.judge(began).await
}

async fn ask_info(redis: &Server) -> String {
    let mut stranger = redis.stranger().await;
    redis::cmd("INFO").arg("persistence").query_async(&mut stranger).await.unwrap()
}

async fn says_loading(url: &str) -> bool {
    let asked = async {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        redis::cmd("GET").arg("x").query_async::<redis::Value>(&mut connection).await
    };
    asked
        .await
        .is_err_and(|error| error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::BusyLoading))
}

async fn read_only(length: Length) -> Seen {
    let redis = Server::start();
    let rig = on(&redis).await;
    let began = Instant::now();
    // Of a master that is not there: it keeps what it has, and refuses to be written to.
    ask(&redis, &["REPLICAOF", "127.0.0.1", "1"]).await;
    sleep(length.away).await;
    ask(&redis, &["REPLICAOF", "NO", "ONE"]).await;
    rig.judge(began).await
}

async fn line(fault: impl AsyncFnOnce(&Proxy)) -> Seen {
    let redis = Server::start();
    let proxy = Proxy::to(redis.port).await;
    let rig = Rig::on([&redis.url(), &proxy.url()]).await;
    let began = Instant::now();
    fault(&proxy).await;
    rig.judge(began).await
}

async fn slow_line(length: Length) -> Seen {
    line(async |proxy| {
        proxy.is(Line::Slow(Duration::from_millis(300)));
        sleep(length.away).await;
        proxy.is(Line::Good);
    })
    .await
}

async fn cut_line(length: Length) -> Seen {
    line(async |proxy| {
        for _ in 0..length.times * 3 {
            proxy.cut();
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

async fn half_open_line(length: Length) -> Seen {
    line(async |proxy| {
        proxy.is(Line::Dead);
        sleep(length.away).await;
        proxy.is(Line::Good);
    })
    .await
}

async fn failover(length: Length) -> Seen {
    let mut watched = Watched::by(3, 1).await;
    let hosts: Vec<_> = watched.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
    let url = format!("redis+sentinel://{}/mymaster", hosts.join(","));
    let rig = Rig::on([&url, &url]).await;
    let began = Instant::now();
    watched.servers[0].kill();
    while !replica_rules(&watched.servers[1]).await {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(length.away / 10).await;
    rig.judge(began).await
}

async fn replica_rules(server: &Server) -> bool {
    let mut stranger = server.stranger().await;
    let info: redis::RedisResult<String> =
        redis::cmd("INFO").arg("replication").query_async(&mut stranger).await;
    info.is_ok_and(|info| info.contains("role:master"))
}

async fn resharding(length: Length) -> Seen {
    let cluster = Cluster::of(3, false).await;
    let hosts: Vec<_> = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = format!("redis+cluster://{}", hosts.join(","));
    let rig = Rig::on([&url, &url]).await;
    let mut stranger = cluster.nodes[0].stranger().await;
    let mut slot = redis::cmd("CLUSTER");
    let slot: u64 = slot.arg("KEYSLOT").arg(CHANNEL).query_async(&mut stranger).await.unwrap();
    let mut at = 3 * usize::try_from(slot).unwrap() / 16_384;
    let began = Instant::now();
    for _ in 0..length.times {
        let to = (at + 1) % 3;
        cluster.move_slot(slot, at, to).await;
        at = to;
    }
    rig.judge(began).await
}

/// One test for each fault, in its short form.
macro_rules! faults {
    ($($name:ident: $run:expr, $promise:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let seen: Seen = $run.await;
            println!("{seen:?}");
            $promise(&seen);
        }
    )*};
}

faults! {
    a_node_is_killed: node_killed(SHORT), nothing_is_lost;
    redis_is_killed: redis_killed(SHORT), nothing_is_lost;
    redis_comes_back_empty: redis_back_empty(SHORT), losses_are_told;
    redis_is_stopped: redis_stopped(Duration::from_secs(5)), nothing_is_lost;
    the_subscriber_connection_is_killed: subscriber_connection_killed(SHORT), nothing_is_lost;
    redis_is_out_of_memory: out_of_memory(SHORT), nothing_is_lost;
    redis_is_loading: loading(SHORT), nothing_is_lost;
    redis_is_read_only: read_only(SHORT), nothing_is_lost;
    the_line_is_slow: slow_line(SHORT), nothing_is_lost;
    the_line_is_cut: cut_line(SHORT), nothing_is_lost;
    the_line_is_half_open: half_open_line(SHORT), nothing_is_lost;
    sentinels_choose_another_master: failover(SHORT), losses_are_told;
    slots_move: resharding(SHORT), nothing_is_lost;
}
