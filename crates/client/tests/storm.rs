//! Publishers and subscribers, connections that are cut at random, and a server that is killed and started again: nothing
//! lost, nothing doubled, nothing out of order, and one order for everyone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use inkwire_client::{Client, From};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{House, Road, channel, client, say, soon, take, text};
use tokio::task::JoinSet;

const PUBLISHERS: usize = 8;
const SUBSCRIBERS: usize = 40;
/// Of each publisher.
const MESSAGES: usize = 400;
const SEED: u64 = 7;

/// Publishes with some always in flight, whenever something breaks.
async fn publish(client: Client, publisher: usize) {
    let mut in_flight = FuturesOrdered::new();
    for number in 0..MESSAGES {
        in_flight.push_back(client.publish(say("storm", &format!("{publisher} {number}"))));
        if in_flight.len() == 8 {
            in_flight.next().await.unwrap().unwrap();
        }
    }
    while let Some(reply) = in_flight.next().await {
        reply.unwrap();
    }
}

/// Seen to fail: when `Outstanding::lost` forgets the numbers (doubled), and when `Followers::lost` forgets the cursors (lost).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_reordered() {
    let mut house = House::open();
    let road = Road::long(house.address, Duration::from_millis(20)).await;
    let mut subscribers = JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let client = client(road.target());
        let mut subscription = soon(client.subscribe(channel("storm"), From::New)).await.unwrap();
        subscribers.spawn(async move {
            let all = take(&mut subscription, PUBLISHERS * MESSAGES).await;
            all.iter().map(|message| (message.offset, text(message))).collect::<Vec<_>>()
        });
    }
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        publishers.spawn(publish(client(road.target()), publisher));
    }
    let mut chance = StdRng::seed_from_u64(SEED);
    let mut cuts = 0;
    for round in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cuts += road.cut(|| chance.random_bool(0.2));
        if round % 4 == 3 {
            house = house.kill().await;
        }
    }
    assert!(cuts > 20, "{cuts} cuts are no storm");
    soon(async {
        while let Some(done) = publishers.join_next().await {
            done.unwrap();
        }
    })
    .await;

    let order = soon(subscribers.join_next()).await.unwrap().unwrap();
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher} ");
        let own = order.iter().filter_map(|(_, text)| text.strip_prefix(&prefix));
        let numbers: Vec<usize> = own.map(|number| number.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..MESSAGES), "publisher {publisher}: {numbers:?}");
    }
    while let Some(other) = soon(subscribers.join_next()).await {
        assert!(other.unwrap() == order, "one order for everyone");
    }
    let page = inkwire_client::Read { channel: channel("storm"), after: From::Beginning, limit: 1_000 };
    let kept = client(house.target()).read(page).await.unwrap();
    assert!(kept.messages.iter().zip(&order).all(|(kept, (offset, _))| kept.offset == *offset));
}
