//! A real cluster of a test's own, on this machine.

use std::time::{Duration, Instant};

use inkwire_redis::{Redis, RedisOptions};
use redis::aio::MultiplexedConnection;

use super::{Server, free_port};

/// How many slots there are.
const SLOTS: usize = 16_384;
/// A cluster that has not formed by then never will.
const FORMING: Duration = Duration::from_secs(60);

/// Masters first, then a replica for each of them if there are any.
pub struct Cluster {
    pub nodes: Vec<Server>,
    masters: usize,
}

impl Cluster {
    pub async fn of(masters: usize, replicas: bool) -> Self {
        let count = if replicas { masters * 2 } else { masters };
        let nodes: Vec<_> = (0..count).map(|_| node()).collect();
        let cluster = Self { nodes, masters };
        cluster.form().await;
        cluster
    }

    async fn form(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let mut connection = node.stranger().await;
            let mut epoch = redis::cmd("CLUSTER");
            epoch.arg("SET-CONFIG-EPOCH").arg(at + 1).exec_async(&mut connection).await.expect("an epoch");
            if at < self.masters {
                let share = SLOTS.div_ceil(self.masters);
                let (first, last) = (at * share, ((at + 1) * share).min(SLOTS) - 1);
                let mut add = redis::cmd("CLUSTER");
                add.arg("ADDSLOTSRANGE").arg(first).arg(last);
                add.exec_async(&mut connection).await.expect("slots");
            }
        }
        let mut first = self.nodes[0].stranger().await;
        for node in &self.nodes[1..] {
            let mut meet = redis::cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(node.port).arg(node.port - 10_000);
            meet.exec_async(&mut first).await.expect("nodes meet");
        }
        self.wait("nodes that know each other", |at, info| {
            at >= self.masters || info.contains(&format!("cluster_known_nodes:{}", self.nodes.len()))
        })
        .await;
        for at in self.masters..self.nodes.len() {
            let master = self.id(at - self.masters).await;
            let mut connection = self.nodes[at].stranger().await;
            let mut follow = redis::cmd("CLUSTER");
            follow.arg("REPLICATE").arg(master);
            // Until it has heard of its master.
            while follow.exec_async(&mut connection).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.wait("a cluster that works", |_, info| info.contains("cluster_state:ok")).await;
        for at in self.masters..self.nodes.len() {
            let mut connection = self.nodes[at].stranger().await;
            loop {
                let info: String = redis::cmd("INFO")
                    .arg("replication")
                    .query_async(&mut connection)
                    .await
                    .expect("it says");
                if info.contains("master_link_status:up") {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn wait(&self, what: &str, ready: impl Fn(usize, &str) -> bool) {
        let began = Instant::now();
        for (at, node) in self.nodes.iter().enumerate() {
            let mut connection = node.stranger().await;
            loop {
                let info: String =
                    redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.expect("it says");
                if ready(at, &info) {
                    break;
                }
                assert!(began.elapsed() < FORMING, "no {what}: {info}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    pub async fn id(&self, at: usize) -> String {
        let mut connection = self.nodes[at].stranger().await;
        redis::cmd("CLUSTER").arg("MYID").query_async(&mut connection).await.expect("it has an id")
    }

    pub async fn strangers(&self) -> Vec<MultiplexedConnection> {
        let mut connections = Vec::new();
        for node in &self.nodes {
            connections.push(node.stranger().await);
        }
        connections
    }

    /// Moves a slot with all its keys, as resharding does.
    pub async fn move_slot(&self, slot: u64, from: usize, to: usize) {
        let mut strangers = self.strangers().await;
        let (source, target) = (self.id(from).await, self.id(to).await);
        let set = async |connection: &mut MultiplexedConnection, what: &str, node: &str| {
            let mut set = redis::cmd("CLUSTER");
            set.arg("SETSLOT").arg(slot).arg(what).arg(node);
            set.exec_async(connection).await.expect("a slot's state");
        };
        set(&mut strangers[to], "IMPORTING", &source).await;
        set(&mut strangers[from], "MIGRATING", &target).await;
        loop {
            let mut get = redis::cmd("CLUSTER");
            get.arg("GETKEYSINSLOT").arg(slot).arg(1);
            let keys: Vec<String> = get.query_async(&mut strangers[from]).await.expect("keys");
            let Some(key) = keys.first() else { break };
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.nodes[to].port).arg(key).arg(0).arg(5_000);
            migrate.exec_async(&mut strangers[from]).await.expect("a key moves");
            // Between one key and the next, a channel stands in two places.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What has moved is asked for there.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for at in [to, from] {
            set(&mut strangers[at], "NODE", &target).await;
        }
    }

    pub fn options(&self) -> RedisOptions {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        RedisOptions::new(format!("redis+cluster://{}", hosts.join(",")).parse().expect("an address"))
    }

    pub fn broker(&self) -> Redis {
        Redis::new(self.options()).expect("the options fit")
    }
}

fn node() -> Server {
    // The bus listens beside, by default 10,000 ports higher; where that would be too high, lower.
    let port = loop {
        let port = free_port();
        if port > 20_000 && std::net::TcpListener::bind(("127.0.0.1", port - 10_000)).is_ok() {
            break port;
        }
    };
    let bus = (port - 10_000).to_string();
    Server::at_with(
        port,
        &["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus],
    )
}
