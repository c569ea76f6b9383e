//! A real master with a replica, watched by Sentinels, of a test's own.

use std::time::Duration;

use inkwire_redis::{Redis, RedisOptions};

use super::Server;

/// A master, its replicas, and who watches them.
pub struct Watched {
    pub servers: Vec<Server>,
    pub sentinels: Vec<Server>,
}

impl Watched {
    pub async fn by(sentinels: usize, replicas: usize) -> Self {
        let master = Server::start();
        let (port, following) = (master.port, format!("127.0.0.1 {}", master.port));
        let mut servers = vec![master];
        servers.extend((0..replicas).map(|_| Server::with(&["--replicaof", &following])));
        let sentinels = (0..sentinels).map(|_| Server::with(&["--sentinel"])).collect();
        let watched = Self { servers, sentinels };
        watched.begin(port).await;
        watched
    }

    async fn begin(&self, master: u16) {
        let quorum = self.sentinels.len() / 2 + 1;
        for sentinel in &self.sentinels {
            let mut connection = sentinel.stranger().await;
            let mut monitor = redis::cmd("SENTINEL");
            monitor.arg("MONITOR").arg("mymaster").arg("127.0.0.1").arg(master).arg(quorum);
            monitor.exec_async(&mut connection).await.expect("it watches");
            for (setting, value) in [("down-after-milliseconds", 1_000), ("failover-timeout", 3_000)] {
                let mut set = redis::cmd("SENTINEL");
                set.arg("SET").arg("mymaster").arg(setting).arg(value);
                set.exec_async(&mut connection).await.expect("a setting");
            }
        }
        for sentinel in &self.sentinels {
            self.wait_until_known(sentinel).await;
        }
    }

    async fn wait_until_known(&self, sentinel: &Server) {
        let mut connection = sentinel.stranger().await;
        let expected = format!("slaves={},sentinels={}", self.servers.len() - 1, self.sentinels.len());
        loop {
            let info: String =
                redis::cmd("INFO").arg("sentinel").query_async(&mut connection).await.expect("it says");
            if info.contains(&expected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn options(&self) -> RedisOptions {
        let hosts: Vec<_> = self.sentinels.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let address = format!("redis+sentinel://{}/mymaster", hosts.join(","));
        RedisOptions::new(address.parse().expect("an address"))
    }

    pub fn broker(&self) -> Redis {
        Redis::new(self.options()).expect("the options fit")
    }
}
