//! What happens when Redis is killed, comes back, comes back empty, stands still, or forgets; and what is promised then:
//! an answer within the broker's patience, no answered message lost that Redis itself kept, every loss told.
//!
//! Breakages that were made on purpose, each of which fails at least one test here: a connection that is not asked whether it is
//! there; calls that are sent after their callers gave up; a read that must write.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use inkwire_core::{
    Broker, Continuity, Draft, Error, Event, Hub, HubOptions, Offset, Published, Start, Subscription,
};
use inkwire_redis::{Redis, RedisOptions};
use support::{Server, body, channel, free_port, publish, texts};
use tokio::time::{sleep, timeout};

/// What has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
/// The broker's own patience, where a test waits for its end.
const SHORT: Duration = Duration::from_secs(1);
/// What a busy machine may add to a bound.
const LEEWAY: Duration = Duration::from_secs(1);

fn impatient(server: &Server) -> Redis {
    Redis::new(RedisOptions { patience: SHORT, ..server.options() }).unwrap()
}

fn hub(broker: Redis) -> Hub {
    Hub::new(Arc::new(broker), HubOptions { check: Duration::from_secs(1), reads: 4 })
}

/// Publishes until Redis takes it.
async fn publish_at_last(broker: &dyn Broker, name: &str) -> Offset {
    timeout(PATIENCE, async {
        loop {
            match broker.publish(&channel(name), Draft::plain(body("at last"))).await {
                Ok(published) => return published.offset(),
                Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("Redis is used again")
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(PATIENCE, subscription.next()).await.expect("the reader is told something")
}

async fn next_texts(subscription: &mut Subscription) -> Vec<String> {
    match next(subscription).await {
        Event::Messages(messages) => texts(messages.iter().map(|delivery| delivery.message())),
        gap => panic!("expected messages, got {gap:?}"),
    }
}

#[tokio::test]
async fn killed_and_back_with_what_it_kept() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = server.broker();
    let name = channel("kept");
    let first = publish(&broker, &name, 1).await;
    let mut tail = broker.tail(&name).await.unwrap();
    server.kill();
    assert_eq!(timeout(PATIENCE, tail.next()).await.unwrap(), None, "a tail of a broken connection ends");
    server.run();
    let second = publish_at_last(&broker, "kept").await;
    let page = broker.read(&name, first, 10).await.unwrap();
    assert_eq!((page.messages[0].prev, page.head, page.continuity), (first, second, Continuity::Proved));
    let mut tail = timeout(PATIENCE, broker.tail(&name)).await.unwrap().unwrap();
    let third = publish(&broker, &name, 3).await;
    assert_eq!(tail.next().await.unwrap().offset, third);
}

#[tokio::test]
async fn a_short_absence_is_waited_for() {
    let mut server = Server::start();
    let broker = Arc::new(server.broker());
    publish(&*broker, &channel("a"), 1).await;
    server.kill();
    // The connection is seen to be closed before the next call needs it.
    sleep(Duration::from_millis(100)).await;
    let waiting = tokio::spawn({
        let broker = Arc::clone(&broker);
        async move { broker.publish(&channel("a"), Draft::plain(body(2))).await }
    });
    sleep(Duration::from_millis(300)).await;
    server.run();
    assert!(matches!(waiting.await.unwrap(), Ok(Published::Appended(_))));
}

#[tokio::test]
async fn back_empty_is_told_as_a_gap() {
    let mut server = Server::start();
    let broker = server.broker();
    let name = channel("empty");
    let hub = hub(broker);
    let publish = async |text: u32| hub.publish(&name, Draft::plain(body(text))).await.unwrap().offset();
    let last = publish(1).await;
    let (mut reader, _) = hub.subscribe(&name, Start::After(last), Arc::default()).await.unwrap();
    server.kill();
    server.run();
    assert_eq!(next(&mut reader).await, Event::Gap { after: last, oldest: Offset::ZERO });
    let again = publish(2).await;
    assert!(again > last);
    assert_eq!(next_texts(&mut reader).await, ["2"]);
}

#[tokio::test]
async fn the_subscriber_connection_is_killed() {
    let server = Server::start();
    let broker = server.broker();
    let name = channel("cut");
    let mut tail = broker.tail(&name).await.unwrap();
    let mut stranger = server.stranger().await;
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("pubsub");
    assert_eq!(kill.query_async::<i64>(&mut stranger).await.unwrap(), 1, "one connection for all tails");
    assert_eq!(timeout(PATIENCE, tail.next()).await.unwrap(), None);

    let hub = hub(broker);
    let (mut reader, _) = hub.subscribe(&name, Start::Beginning, Arc::default()).await.unwrap();
    for n in 0..200 {
        hub.publish(&name, Draft::plain(body(n))).await.unwrap();
        if n % 20 == 0 {
            kill.query_async::<i64>(&mut stranger).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    while seen.len() < 200 {
        seen.extend(next_texts(&mut reader).await);
    }
    assert_eq!(seen, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn standing_still_is_answered_within_the_patience() {
    let server = Server::start();
    let broker = impatient(&server);
    let name = channel("still");
    let first = publish(&broker, &name, 1).await;
    let mut tail = broker.tail(&name).await.unwrap();
    server.signal("-STOP");
    let began = Instant::now();
    // The second and the third are not sent yet when they are given up.
    let late = async |name| {
        sleep(SHORT / 4).await;
        broker.publish(&name, Draft::plain(body("given up"))).await
    };
    let (first_answer, answers) = tokio::join!(
        broker.publish(&name, Draft::plain(body(2))),
        join_all([late(name.clone()), late(channel("other"))])
    );
    assert!(matches!(first_answer, Err(Error::Unavailable(_))), "{first_answer:?}");
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unavailable(_)))), "{answers:?}");
    assert!(matches!(broker.read(&name, Offset::ZERO, 1).await, Err(Error::Unavailable(_))));
    assert!(began.elapsed() < 2 * SHORT + LEEWAY, "{:?}", began.elapsed());
    assert_eq!(timeout(PATIENCE, tail.next()).await.unwrap(), None, "silence is found out");
    server.signal("-CONT");
    publish_at_last(&broker, "still").await;
    let page = broker.read(&name, Offset::ZERO, 10).await.unwrap();
    assert!(page.messages.is_sorted_by(|a, b| a.offset == b.prev), "whatever was carried out is whole");
    assert_eq!(page.messages[0].offset, first);
    assert!(!texts(&page.messages).contains(&"given up".to_owned()), "what was not begun is left undone");
    assert_eq!(broker.read(&channel("other"), Offset::ZERO, 1).await.unwrap().head, Offset::ZERO);
}

#[tokio::test]
async fn a_node_may_start_before_its_redis() {
    let port = free_port();
    let address = format!("redis://127.0.0.1:{port}").parse().unwrap();
    let broker = Redis::new(RedisOptions { patience: SHORT, ..RedisOptions::new(address) }).unwrap();
    let began = Instant::now();
    let error = broker.publish(&channel("a"), Draft::plain(body(1))).await.unwrap_err();
    assert!(began.elapsed() < SHORT + LEEWAY);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(error.to_string().contains("refused"), "it says why: {error}");
    assert!(broker.tail(&channel("a")).await.is_err());
    let _server = Server::at(port);
    publish_at_last(&broker, "a").await;
    assert!(timeout(PATIENCE, broker.tail(&channel("a"))).await.unwrap().is_ok());
}

#[tokio::test]
async fn forgotten_scripts_cost_neither_messages_nor_order() {
    let server = Server::start();
    let broker = server.broker();
    let name = channel("forgotten");
    let mut stranger = server.stranger().await;
    for _ in 0..10 {
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut stranger).await.unwrap();
        let publishes = (0..300).map(|n| broker.publish(&name, Draft::plain(body(n))));
        let answers = join_all(publishes).await;
        let offsets: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().offset()).collect();
        assert!(offsets.is_sorted(), "carried out in the order in which they were begun");
    }
    assert_eq!(broker.read(&name, Offset::ZERO, 10_000).await.unwrap().messages.len(), 3_000);
}

#[tokio::test]
async fn out_of_memory_nothing_happens_and_reading_goes_on() {
    let server = Server::with(&["--maxmemory-policy", "noeviction"]);
    let broker = server.broker();
    let name = channel("full");
    let first = publish(&broker, &name, 1).await;
    let mut stranger = server.stranger().await;
    let mut limit = async |limit: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(limit).exec_async(&mut stranger).await.unwrap();
    };
    let mut another = server.stranger().await;
    let add = redis::cmd("XADD").arg("inkwire:{full}").arg("*").arg("text").arg("theirs").to_owned();
    let theirs: String = add.query_async(&mut another).await.unwrap();
    limit("1").await;
    let error = broker.publish(&name, Draft::plain(body(2))).await.unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
    assert_eq!(broker.read(&name, first, 10).await.unwrap().head.to_string(), theirs);
    limit("0").await;
    let second = publish(&broker, &name, 3).await;
    let page = broker.read(&name, Offset::ZERO, 10).await.unwrap();
    assert_eq!(texts(&page.messages), ["1", "theirs", "3"]);
    assert_eq!((page.messages[2].prev.to_string(), page.head), (theirs, second));
}

#[tokio::test]
async fn a_replica_is_not_taken_for_a_server() {
    let master = Server::start();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let broker = impatient(&replica);
    let error = broker.publish(&channel("a"), Draft::plain(body(1))).await.unwrap_err();
    assert!(error.to_string().contains("replica"), "{error}");
    let mut stranger = replica.stranger().await;
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec_async(&mut stranger).await.unwrap();
    publish_at_last(&broker, "a").await;

    // And one that becomes a replica is left at once: what it refuses has not happened, and is tried again.
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(master.port).exec_async(&mut stranger).await.unwrap();
    let error = broker.publish(&channel("a"), Draft::plain(body(2))).await.unwrap_err();
    assert!(error.to_string().contains("replica"), "{error}");
}
