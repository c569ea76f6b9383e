//! The broker on a cluster keeps the contract that every broker keeps, also while slots move and masters die.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inkwire_core::{
    Broker, ChannelName, Continuity, Draft, Error, Event, Hub, HubOptions, Offset, Producer, ProducerId,
    Published, Retention, Start,
};
use inkwire_redis::{Redis, RedisOptions};
use redis::aio::MultiplexedConnection;
use support::cluster::Cluster;
use support::{On, body, channel, publish, replicated, texts};
use tokio::time::{sleep, timeout};

/// What has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

async fn clustered() -> Arc<On<Cluster>> {
    let cluster = Cluster::of(3, false).await;
    Arc::new(On { broker: cluster.broker(), ground: cluster })
}

inkwire_core::broker_suite!(start_paused = false, clustered().await);

/// Names of channels, as many as there are parts: one of each.
async fn one_of_each(node: &mut MultiplexedConnection) -> Vec<(ChannelName, u64)> {
    let mut names = Vec::new();
    for part in 0..3_u64 {
        for n in 0.. {
            let name = format!("part:{n}");
            let slot: u64 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(&name).query_async(node).await.unwrap();
            if slot / 16_384_u64.div_ceil(3) == part {
                names.push((channel(&name), slot));
                break;
            }
        }
    }
    names
}

#[tokio::test]
async fn one_node_is_enough_to_find_all() {
    let cluster = Cluster::of(3, false).await;
    let address = format!("redis+cluster://127.0.0.1:{}", cluster.nodes[1].port).parse().unwrap();
    let broker = Redis::new(RedisOptions::new(address)).unwrap();
    let mut strangers = cluster.strangers().await;
    for (name, _) in one_of_each(&mut strangers[0]).await {
        let mut tail = broker.tail(&name).await.unwrap();
        let offset = publish(&broker, &name, "hello").await;
        assert_eq!(tail.next().await.unwrap().offset, offset);
    }
    for stranger in &mut strangers {
        assert_eq!(redis::cmd("DBSIZE").query_async::<usize>(stranger).await.unwrap(), 2);
        let listeners: Vec<String> =
            redis::cmd("PUBSUB").arg("SHARDCHANNELS").query_async(stranger).await.unwrap();
        assert_eq!(listeners.len(), 1, "each node announces its own");
    }
}

#[tokio::test]
async fn a_plain_address_of_a_cluster_is_refused_with_advice() {
    let cluster = Cluster::of(1, false).await;
    let options = RedisOptions { patience: Duration::from_secs(1), ..cluster.nodes[0].options() };
    let error = Redis::new(options).unwrap().publish(&channel("a"), Draft::plain(body(1))).await.unwrap_err();
    assert!(error.to_string().contains("redis+cluster://"), "{error}");
}

#[tokio::test]
async fn resharding_under_load_loses_and_doubles_nothing() {
    let cluster = Cluster::of(3, false).await;
    let broker = Arc::new(cluster.broker());
    let mut strangers = cluster.strangers().await;
    let (name, slot) = one_of_each(&mut strangers[0]).await.remove(0);
    let hub = Hub::new(Arc::clone(&broker) as Arc<dyn Broker>, HubOptions::default());
    let all = Retention { maximum: 1_000_000, ..Retention::PLAIN };
    let (mut reader, _) = hub.subscribe(&name, Start::Beginning, Arc::default()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let (broker, name, done) = (Arc::clone(&broker), name.clone(), Arc::clone(&done));
        async move {
            let mut offsets = Vec::new();
            while !done.load(Ordering::Relaxed) {
                // Many at once, so that they meet every state of the move in one batch.
                let drafts = (0..20).map(|n| broker.publish(&name, Draft::plain(body(n)).retained(all)));
                for answer in futures_util::future::join_all(drafts).await {
                    offsets.push(answer.expect("resharding is nothing that a publisher notices").offset());
                }
            }
            offsets
        }
    });
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2)] {
        sleep(Duration::from_millis(100)).await;
        cluster.move_slot(slot, from, to).await;
    }
    sleep(Duration::from_millis(100)).await;
    done.store(true, Ordering::Relaxed);
    let offsets = publisher.await.unwrap();
    assert!(offsets.is_sorted(), "in the order in which they were begun");
    let page = broker.read(&name, Offset::ZERO, usize::MAX).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.offset).collect::<Vec<_>>(), offsets);
    assert!(page.messages.is_sorted_by(|a, b| a.offset == b.prev));
    let mut seen = Offset::ZERO;
    while seen < page.head {
        match timeout(PATIENCE, reader.next()).await.expect("the reader goes on") {
            Event::Messages(messages) => {
                for delivery in messages {
                    assert!(delivery.message().prev == seen, "no hole");
                    seen = delivery.message().offset;
                }
            }
            gap => panic!("nothing is missing, but {gap:?}"),
        }
    }
}

#[tokio::test]
async fn a_masters_replica_takes_over() {
    let mut cluster = Cluster::of(3, true).await;
    let options = RedisOptions { patience: Duration::from_secs(1), ..cluster.options() };
    let broker = Arc::new(Redis::new(options).unwrap());
    let mut strangers = cluster.strangers().await;
    let names = one_of_each(&mut strangers[0]).await;
    let name = &names[0].0;
    let hub = Hub::new(
        Arc::clone(&broker) as Arc<dyn Broker>,
        HubOptions { check: Duration::from_secs(1), reads: 4 },
    );
    let first = publish(&*broker, name, 1).await;
    replicated(&mut strangers[0], &format!("{{{name}}}mark")).await;
    let (mut reader, _) = hub.subscribe(name, Start::After(first), Arc::default()).await.unwrap();
    cluster.nodes[0].kill();
    for (other, _) in &names[1..] {
        assert!(matches!(
            broker.publish(other, Draft::plain(body(1))).await,
            Ok(Published::Appended(_)) | Err(_)
        ));
    }
    let second = timeout(PATIENCE, async {
        loop {
            // A call that was given up may have been carried out: only under a producer may it be tried again.
            let producer = Producer { id: ProducerId::new("p").unwrap(), seq: 1 };
            match broker.publish(name, Draft::plain(body(2)).by(producer)).await {
                Ok(published) => return published.offset(),
                Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
            }
        }
    })
    .await
    .expect("the replica takes over");
    let page = broker.read(name, first, 10).await.unwrap();
    assert_eq!((page.messages.last().unwrap().offset, page.continuity), (second, Continuity::Proved));
    match timeout(PATIENCE, reader.next()).await.expect("the reader goes on") {
        Event::Messages(messages) => {
            assert_eq!(texts(messages.iter().map(|delivery| delivery.message())), ["2"]);
        }
        gap => panic!("nothing is missing, but {gap:?}"),
    }
}
