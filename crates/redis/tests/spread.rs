//! The broker on three independent servers keeps the contract that every broker keeps.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{Broker, Draft, Error, Offset};
use inkwire_redis::{Redis, RedisOptions};
use support::{On, Server, body, channel, publish};

fn servers() -> [Server; 3] {
    [(); 3].map(|()| Server::start())
}

fn broker<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Redis {
    let urls: Vec<_> = servers.into_iter().map(Server::url).collect();
    let options = RedisOptions::new(urls.join(",").parse().expect("addresses"));
    Redis::new(RedisOptions { patience: Duration::from_secs(1), ..options }).expect("the options fit")
}

fn spread() -> Arc<On<[Server; 3]>> {
    let servers = servers();
    Arc::new(On { broker: broker(&servers), ground: servers })
}

inkwire_core::broker_suite!(start_paused = false, spread());

#[tokio::test]
async fn every_node_agrees_and_a_dead_server_takes_only_its_own_channels() {
    let mut servers = servers();
    let (one, two) = (broker(&servers), broker(servers.iter().rev()));
    for n in 0..60 {
        let name = channel(&format!("board:{n}"));
        let offset = publish(&one, &name, n).await;
        assert_eq!(two.read(&name, Offset::ZERO, 1).await.unwrap().head, offset);
    }
    let mut shares = Vec::new();
    for server in &servers {
        let mut stranger = server.stranger().await;
        shares.push(redis::cmd("DBSIZE").query_async::<usize>(&mut stranger).await.unwrap() / 2);
    }
    assert!(shares.iter().sum::<usize>() == 60 && shares.iter().all(|share| *share > 8), "{shares:?}");

    servers[1].kill();
    let names: Vec<_> = (0..60).map(|n| channel(&format!("board:{n}"))).collect();
    let publishes = names.iter().map(|name| one.publish(name, Draft::plain(body("later"))));
    let answers = futures_util::future::join_all(publishes).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::Unavailable(_)))).count();
    assert_eq!(refused, shares[1]);
}
