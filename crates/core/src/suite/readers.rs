//! Subscriptions: every kept message once and in order, for a fast, a slow, a late and a stale reader, on a broker
//! that works and on one that fails in every way it may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::faulty::Faulty;
use super::{UnderTest, body, channel, keyed, publish, read};
use crate::{
    ChannelName, Draft, Event, Hub, HubOptions, Lifetime, Message, Offset, Retention, Start, State,
    Subscription,
};

/// A reader that has not arrived by then never will.
const PATIENCE: Duration = Duration::from_secs(600);
/// Messages per round; more than a ring and a tail hold.
const MESSAGES: usize = 1_500;
/// Rounds with different faults.
const SEEDS: std::ops::Range<u64> = 0..6;

/// How a reader reads.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// From the beginning, at once.
    Fast,
    /// From the beginning, pausing after every event.
    Slow,
    /// From the beginning, but begins in the middle of the flow.
    Late,
    /// Drops its subscription again and again and goes on from its last offset.
    Stale,
}

const HABITS: [Habit; 4] = [Habit::Fast, Habit::Slow, Habit::Late, Habit::Stale];

fn hub(broker: UnderTest) -> Hub {
    Hub::new(broker, HubOptions { check: Duration::from_secs(1), reads: 4 })
}

/// On a broker that works.
pub async fn faultless(broker: UnderTest) {
    let hub = hub(broker.clone());
    plain_round(&broker, &hub, channel("faultless"), 0).await;
    keyed_round(&broker, &hub, channel("faultless-keyed"), 0).await;
}

/// Plain channels on a broker that fails.
pub async fn faulty_plain(broker: UnderTest) {
    for seed in SEEDS {
        let hub = hub(Arc::new(Faulty::new(broker.clone(), seed)));
        plain_round(&broker, &hub, channel(&format!("faulty-{seed}")), seed).await;
    }
}

/// Keyed channels on a broker that fails.
pub async fn faulty_keyed(broker: UnderTest) {
    for seed in SEEDS {
        let hub = hub(Arc::new(Faulty::new(broker.clone(), seed)));
        keyed_round(&broker, &hub, channel(&format!("faulty-keyed-{seed}")), seed).await;
    }
}

async fn plain_round(broker: &UnderTest, hub: &Hub, channel: ChannelName, seed: u64) {
    let (sender, last) = tokio::sync::watch::channel(None);
    let readers = start_readers(hub, &channel, &last, seed);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut published = Vec::new();
    for n in 0..MESSAGES {
        let draft = Draft::plain(body(n)).retained(Retention { maximum: MESSAGES, ..Retention::PLAIN });
        published.push(broker.publish(&channel, draft).await.expect("the broker takes it").offset());
        rest(&mut dice).await;
    }
    sender.send_replace(published.last().copied());
    for (habit, seen) in finish(readers).await {
        let offsets: Vec<Offset> = seen.iter().map(|message| message.offset).collect();
        assert_eq!(offsets.len(), published.len(), "seed {seed}, {habit:?}: lost or doubled");
        assert_eq!(offsets, published, "seed {seed}, {habit:?}: order");
    }
}

async fn keyed_round(broker: &UnderTest, hub: &Hub, channel: ChannelName, seed: u64) {
    let (sender, last) = tokio::sync::watch::channel(None);
    let readers = start_readers(hub, &channel, &last, seed);
    let mut dice = StdRng::seed_from_u64(seed);
    for n in 0..MESSAGES {
        let key = format!("k{}", dice.random_range(0..40));
        let state = if dice.random_ratio(1, 5) { State::Tombstone } else { State::Live };
        let draft = keyed::draft(&key, &format!("{n:08}"), state);
        broker.publish(&channel, draft).await.expect("the broker takes it");
        rest(&mut dice).await;
    }
    let log = read(broker, &channel, Offset::ZERO, 1_000).await;
    sender.send_replace(Some(log.head));
    let state = final_state(&log.messages);
    for (habit, seen) in finish(readers).await {
        assert!(seen.is_sorted_by(|a, b| a.offset < b.offset), "seed {seed}, {habit:?}: order");
        assert_eq!(final_state(&seen), state, "seed {seed}, {habit:?}: the state differs");
    }
}

fn final_state(messages: &[Arc<Message>]) -> BTreeMap<String, Offset> {
    let place = |message: &Arc<Message>| Some((message.keyed.as_ref()?.key.to_string(), message.offset));
    messages.iter().filter_map(place).collect()
}

/// Publishers come in bursts, with pauses.
async fn rest(dice: &mut StdRng) {
    match dice.random_range(0..100) {
        0..60 => {}
        60..97 => tokio::task::yield_now().await,
        _ => sleep(Duration::from_millis(dice.random_range(1..50))).await,
    }
}

type Readers = JoinSet<(Habit, Vec<Arc<Message>>)>;
type Last = tokio::sync::watch::Receiver<Option<Offset>>;

fn start_readers(hub: &Hub, channel: &ChannelName, last: &Last, seed: u64) -> Readers {
    let mut readers = JoinSet::new();
    for habit in HABITS {
        readers.spawn(follow(habit, hub.clone(), channel.clone(), last.clone(), seed));
    }
    readers
}

async fn finish(readers: Readers) -> Vec<(Habit, Vec<Arc<Message>>)> {
    timeout(PATIENCE, readers.join_all()).await.expect("every reader arrives at the head")
}

async fn subscribe(hub: &Hub, channel: &ChannelName, start: Start) -> Subscription {
    loop {
        match hub.subscribe(channel, start, Arc::default()).await {
            Ok((subscription, started)) => {
                assert!(!started.gap, "nothing is missing, so nothing may be called missing");
                return subscription;
            }
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn follow(
    habit: Habit,
    hub: Hub,
    channel: ChannelName,
    last: Last,
    seed: u64,
) -> (Habit, Vec<Arc<Message>>) {
    let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
    if let Habit::Late = habit {
        sleep(Duration::from_millis(200)).await;
    }
    let mut seen: Vec<Arc<Message>> = Vec::new();
    let mut subscription = subscribe(&hub, &channel, Start::Beginning).await;
    loop {
        let position = seen.last().map_or(Offset::ZERO, |message| message.offset);
        if last.borrow().is_some_and(|last| position >= last) {
            return (habit, seen);
        }
        let event = timeout(Duration::from_millis(100), subscription.next()).await;
        if let Ok(event) = event {
            seen.extend(messages(event));
        }
        match habit {
            Habit::Slow => sleep(Duration::from_millis(dice.random_range(0..60))).await,
            Habit::Stale if dice.random_ratio(1, 3) => {
                let cursor = subscription.cursor();
                drop(subscription);
                sleep(Duration::from_millis(dice.random_range(0..80))).await;
                subscription = subscribe(&hub, &channel, Start::After(cursor)).await;
            }
            _ => {}
        }
    }
}

/// A reader that fell behind what is kept is told so, and then gets everything that is kept.
pub async fn a_gap_is_told(broker: UnderTest) {
    let channel = channel("gap");
    let hub = hub(broker.clone());
    let (mut reader, started) =
        hub.subscribe(&channel, Start::New, Arc::default()).await.expect("subscribed");
    assert_eq!(started.cursor, Offset::ZERO);
    let few = Retention { maximum: 50, ..Retention::PLAIN };
    let first = broker.publish(&channel, Draft::plain(body(0)).retained(few)).await.expect("taken").offset();
    assert!(matches!(reader.next().await, Event::Messages(messages) if messages.len() == 1));
    for n in 1..3_000 {
        broker.publish(&channel, Draft::plain(body(n)).retained(few)).await.expect("the broker takes it");
    }
    let page = read(&broker, &channel, Offset::ZERO, 1_000).await;
    let stale = Start::After(first);
    let (_, started) = hub.subscribe(&channel, stale, Arc::default()).await.expect("subscribed");
    assert!(started.gap, "a subscriber with a position that is gone is told when it subscribes");

    let mut seen = Vec::new();
    let mut gaps = 0;
    while seen.last() != Some(&page.head) {
        match timeout(PATIENCE, reader.next()).await.expect("the reader goes on") {
            Event::Gap { after, .. } => {
                assert_eq!(after, seen.last().copied().unwrap_or(first));
                gaps += 1;
                assert_eq!(gaps, 1, "one hole is told once");
                seen.clear();
            }
            Event::Messages(messages) => seen.extend(messages.iter().map(|message| message.offset)),
        }
    }
    // The node's ring may still have held what the log no longer did: then nothing is missing at all.
    let expected: Vec<Offset> = page.messages.iter().map(|message| message.offset).collect();
    if gaps == 0 { assert_eq!(seen.len(), 2_999) } else { assert!(seen.ends_with(&expected)) }
}

/// A log that came back empty is noticed, without anything being published.
pub async fn a_wiped_log_is_told(broker: UnderTest) {
    let channel = channel("wiped");
    let hub = hub(broker.clone());
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_secs(3)), ..Retention::PLAIN };
    let last = broker.publish(&channel, Draft::plain(body(1)).retained(brief)).await.expect("taken").offset();
    let (mut reader, started) =
        hub.subscribe(&channel, Start::After(last), Arc::default()).await.expect("subscribed");
    assert!(!started.gap);
    let event = timeout(PATIENCE, reader.next()).await.expect("the reader is told");
    assert_eq!(event, Event::Gap { after: last, oldest: Offset::ZERO });
    let next = publish(&broker, &channel, 2).await;
    let event = timeout(PATIENCE, reader.next()).await.expect("the reader goes on");
    assert!(matches!(event, Event::Messages(messages) if messages[0].offset == next));
}

/// Waiting for the next event can be given up at any moment without losing anything.
pub async fn cancelled_readers(broker: UnderTest) {
    let channel = channel("cancelled");
    let hub = hub(Arc::new(Faulty::new(broker.clone(), 99)));
    let mut subscription = subscribe(&hub, &channel, Start::Beginning).await;
    let mut seen = Vec::new();
    let mut dice = StdRng::seed_from_u64(7);
    let mut head = Offset::ZERO;
    for n in 0..300 {
        head = publish(&broker, &channel, n).await;
        let patience = Duration::from_micros(dice.random_range(0..3_000));
        if let Ok(event) = timeout(patience, subscription.next()).await {
            seen.extend(messages(event));
        }
    }
    while subscription.cursor() < head {
        let event = timeout(PATIENCE, subscription.next()).await.expect("the reader arrives at the head");
        seen.extend(messages(event));
    }
    let page = read(&broker, &channel, Offset::ZERO, 1_000).await;
    assert_eq!(seen, page.messages);
}

/// The messages of an event where nothing can be missing.
fn messages(event: Event) -> Vec<Arc<Message>> {
    match event {
        Event::Messages(messages) => messages.iter().map(|delivery| Arc::clone(delivery.message())).collect(),
        Event::Gap { after, oldest } => {
            panic!("nothing is missing, but a gap after {after}, oldest {oldest}")
        }
    }
}
