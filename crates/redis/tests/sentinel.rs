//! The broker on a server watched by Sentinels keeps the contract that every broker keeps, also when the server is
//! replaced.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{Broker, Draft, Error, Event, Hub, HubOptions, Offset, Start, Subscription};
use inkwire_redis::{Redis, RedisOptions};
use support::watched::Watched;
use support::{On, body, channel, publish, replicated};
use tokio::sync::watch;
use tokio::time::timeout;

/// What has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

async fn watched() -> Arc<On<Watched>> {
    let watched = Watched::by(1, 0).await;
    Arc::new(On { broker: watched.broker(), ground: watched })
}

inkwire_core::broker_suite!(start_paused = false, watched().await);

/// Publishes until it is taken, and counts up what was answered.
async fn publish_all(broker: &dyn Broker, count: u32) -> Vec<Offset> {
    let name = channel("log");
    let mut offsets = Vec::new();
    for n in 0..count {
        let offset = timeout(PATIENCE, async {
            loop {
                match broker.publish(&name, Draft::plain(body(n))).await {
                    Ok(published) => return published.offset(),
                    Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
                }
            }
        });
        offsets.push(offset.await.expect("the new master takes it"));
    }
    offsets
}

/// Reads on until a subscription has come to an offset. Whoever is told of a gap forgets what he had.
async fn follow(mut reader: Subscription, until: watch::Receiver<Option<Offset>>) -> Vec<Offset> {
    let mut seen = Vec::new();
    while until.borrow().is_none_or(|until| seen.last() != Some(&until)) {
        match timeout(Duration::from_millis(100), reader.next()).await {
            Ok(Event::Messages(messages)) => {
                seen.extend(messages.iter().map(|delivery| delivery.message().offset));
            }
            Ok(Event::Gap { .. }) => seen.clear(),
            Err(_) => {}
        }
    }
    seen
}

#[tokio::test]
async fn after_a_failover_under_load_readers_have_what_the_log_holds() {
    let watched = Watched::by(3, 1).await;
    let options = RedisOptions { patience: Duration::from_secs(1), ..watched.options() };
    let broker = Arc::new(Redis::new(options).unwrap());
    let hub = Hub::new(
        Arc::clone(&broker) as Arc<dyn Broker>,
        HubOptions { check: Duration::from_secs(1), reads: 4 },
    );
    let name = channel("log");
    let (reader, _) = hub.subscribe(&name, Start::Beginning, Arc::default()).await.unwrap();
    let (arrived, until) = watch::channel(None);
    let following = tokio::spawn(follow(reader, until));
    let before = publish_all(&*broker, 100).await;
    let mut old = watched.servers[0].stranger().await;
    replicated(&mut old, "mark").await;
    let mut sentinel = watched.sentinels[0].stranger().await;
    redis::cmd("SENTINEL").arg("FAILOVER").arg("mymaster").exec_async(&mut sentinel).await.unwrap();
    // Sentinels cut the connections to a master that they make a replica.
    let role = async |at: usize| {
        let mut server = watched.servers[at].stranger().await;
        redis::cmd("INFO").arg("replication").query_async(&mut server).await.unwrap_or_else(|_| String::new())
    };
    while !(role(0).await.contains("role:slave") && role(1).await.contains("role:master")) {
        publish_all(&*broker, 10).await;
    }
    // From here on nothing can be lost any more: both know who is the master.
    let after = publish_all(&*broker, 100).await;
    let page = broker.read(&name, Offset::ZERO, usize::MAX).await.unwrap();
    assert!(page.messages.is_sorted_by(|a, b| a.offset == b.prev));
    let kept: Vec<_> = page.messages.iter().map(|message| message.offset).collect();
    assert!(kept.starts_with(&before) && kept.ends_with(&after));
    arrived.send_replace(Some(page.head));
    let seen = timeout(PATIENCE, following).await.expect("the reader arrives").unwrap();
    assert!(kept.ends_with(&seen) && seen.len() >= 100, "{} of {}", seen.len(), kept.len());
}

#[tokio::test]
async fn a_dead_master_is_replaced() {
    let mut watched = Watched::by(3, 1).await;
    let options = RedisOptions { patience: Duration::from_secs(1), ..watched.options() };
    let broker = Redis::new(options).unwrap();
    let offsets = publish_all(&broker, 50).await;
    replicated(&mut watched.servers[0].stranger().await, "mark").await;
    let mut tail = broker.tail(&channel("log")).await.unwrap();
    watched.servers[0].kill();
    assert_eq!(timeout(PATIENCE, tail.next()).await.unwrap(), None);
    let later = publish_all(&broker, 1).await;
    let page = broker.read(&channel("log"), Offset::ZERO, 1_000).await.unwrap();
    let kept: Vec<_> = page.messages.iter().map(|message| message.offset).collect();
    assert_eq!(kept, [offsets, later].concat());
    let mut tail = timeout(PATIENCE, broker.tail(&channel("log"))).await.unwrap().unwrap();
    let offset = publish(&broker, &channel("log"), "heard").await;
    assert_eq!(tail.next().await.unwrap().offset, offset);
}

#[tokio::test]
async fn sentinels_that_know_nothing_are_told_of() {
    let watched = Watched::by(1, 0).await;
    let address = format!("redis+sentinel://127.0.0.1:{}/another", watched.sentinels[0].port);
    let options = RedisOptions::new(address.parse().unwrap());
    let broker = Redis::new(RedisOptions { patience: Duration::from_secs(1), ..options }).unwrap();
    let error = broker.publish(&channel("a"), Draft::plain(body(1))).await.unwrap_err();
    assert!(error.to_string().contains("know of no \"another\""), "{error}");
}

#[tokio::test]
async fn sentinels_that_ask_for_a_password_of_their_own() {
    let watched = Watched::by(1, 0).await;
    let mut sentinel = watched.sentinels[0].stranger().await;
    let mut password = redis::cmd("ACL");
    password.arg("SETUSER").arg("default").arg("resetpass").arg(">own/secret");
    password.exec_async(&mut sentinel).await.unwrap();
    let broker = |query: &str| {
        let port = watched.sentinels[0].port;
        let address = format!("redis+sentinel://127.0.0.1:{port}/mymaster{query}").parse().unwrap();
        Redis::new(RedisOptions { patience: Duration::from_secs(1), ..RedisOptions::new(address) }).unwrap()
    };
    for query in ["", "?sentinel-password=another"] {
        let refused =
            broker(query).publish(&channel("a"), Draft::plain(body(1))).await.unwrap_err().to_string();
        assert!(refused.to_lowercase().contains("auth") && !refused.contains("another"), "{refused}");
    }
    // The master asks for none.
    publish(&broker("?sentinel-password=own%2Fsecret"), &channel("a"), 1).await;
    publish(&broker("?sentinel-user=default&sentinel-password=own%2Fsecret"), &channel("a"), 2).await;
}
