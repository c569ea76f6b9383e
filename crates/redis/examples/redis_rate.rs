//! How fast this machine publishes through Redis, and how much later than a bare `PUBLISH` a message is delivered.
//!
//! ```sh
//! redis-server --port 7777 --save '' &
//! cargo run --release -p inkwire-redis --example redis_rate -- redis://127.0.0.1:7777
//! ```

#![allow(clippy::unwrap_used, reason = "an example ends with its first failure")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use inkwire_core::{Broker, ChannelName, Draft, Fields};
use inkwire_redis::{Redis, RedisOptions};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How long each measurement takes.
const DURATION: Duration = Duration::from_secs(5);
/// Publishers at once.
const PUBLISHERS: usize = 256;
/// Channels they publish to.
const CHANNELS: usize = 16;
/// Bytes in each message.
const BYTES: usize = 128;
/// Messages a second, where delays are measured.
const STEADY: u32 = 2_000;

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let broker = || Arc::new(Redis::new(RedisOptions::new(url.parse().unwrap())).unwrap());
    rate(broker()).await;
    let began = Instant::now();
    report("bare PUBLISH", bare(&url, began).await);
    report("two nodes", delivered(&broker(), &broker(), began).await);
}

async fn rate(broker: Arc<Redis>) {
    let began = Instant::now();
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let broker = Arc::clone(&broker);
        let channel = ChannelName::new(format!("rate:{}", publisher % CHANNELS)).unwrap();
        publishers.spawn(async move {
            let body = "x".repeat(BYTES);
            let mut count = 0_u64;
            while began.elapsed() < DURATION {
                broker.publish(&channel, Draft::plain(Fields::of([("text", &body)]))).await.unwrap();
                count += 1;
            }
            count
        });
    }
    let total: u64 = publishers.join_all().await.into_iter().sum();
    let seconds = began.elapsed().as_secs_f64();
    println!("{:.0} publishes/s of {BYTES} B by {PUBLISHERS} at once", total as f64 / seconds);
}

/// Calls `publish` steadily, with the time it is.
async fn steadily(began: Instant, mut publish: impl FnMut(u128)) {
    let mut ticks = interval(Duration::from_secs(1) / STEADY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let start = Instant::now();
    while start.elapsed() < DURATION {
        ticks.tick().await;
        publish(began.elapsed().as_micros());
    }
}

async fn bare(url: &str, began: Instant) -> Vec<u128> {
    let client = redis::Client::open(url).unwrap();
    let publisher = client.get_multiplexed_async_connection().await.unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe("bare").await.unwrap();
    let heard = tokio::spawn(async move {
        let mut delays = Vec::new();
        let mut messages = subscriber.into_on_message();
        while let Some(message) = messages.next().await {
            let sent: u128 = message.get_payload::<String>().unwrap().trim_end_matches('x').parse().unwrap();
            if sent == 0 {
                break;
            }
            delays.push(began.elapsed().as_micros() - sent);
        }
        delays
    });
    let padding = "x".repeat(BYTES);
    let publish = |sent: u128| {
        let (mut publisher, text) = (publisher.clone(), format!("{sent}{padding}"));
        async move { redis::cmd("PUBLISH").arg("bare").arg(text).exec_async(&mut publisher).await.unwrap() }
    };
    steadily(began, |sent| drop(tokio::spawn(publish(sent)))).await;
    publish(0).await;
    heard.await.unwrap()
}

async fn delivered(one: &Redis, other: &Redis, began: Instant) -> Vec<u128> {
    let channel = ChannelName::new("delays").unwrap();
    let mut tail = other.tail(&channel).await.unwrap();
    let heard = tokio::spawn(async move {
        let mut delays = Vec::new();
        while let Some(message) = tail.next().await {
            let sent: u128 = message.fields.get("sent").unwrap().parse().unwrap();
            if sent == 0 {
                break;
            }
            delays.push(began.elapsed().as_micros() - sent);
        }
        delays
    });
    let padding = "x".repeat(BYTES);
    let draft = |sent: u128| Draft::plain(Fields::of([("sent", &sent.to_string()), ("text", &padding)]));
    let (drafts, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let publishing = async {
        let mut under_way = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                sent = waiting.recv() => match sent {
                    Some(sent) => under_way.push(one.publish(&channel, draft(sent))),
                    None => break,
                },
                Some(published) = under_way.next() => drop(published.unwrap()),
            }
        }
        while under_way.next().await.is_some() {}
        one.publish(&channel, draft(0)).await.unwrap();
    };
    let ticking = async move {
        steadily(began, |sent| drafts.send(sent).unwrap()).await;
    };
    tokio::join!(publishing, ticking);
    heard.await.unwrap()
}

fn report(what: &str, mut delays: Vec<u128>) {
    delays.sort_unstable();
    let at =
        |share: f64| delays.get(((delays.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{what}: {} delivered at {STEADY}/s, delay p50 {} µs, p99 {} µs, longest {} µs",
        delays.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
