//! Consumer groups: each message to one consumer at a time, until one of them acknowledges it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{UnderTest, body, channel, keyed, publish};
use crate::{ChannelName, Claim, Claimed, ConsumerName, Draft, GroupName, Offset, Retention, State};

/// Longer than any case takes: nobody is relieved.
const NEVER: Duration = Duration::from_secs(3600);
/// Consumers that are not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);

fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("group names in the suite follow the rules")
}

fn claim_by(consumer: &str, count: usize, min_idle: Duration) -> Claim {
    let consumer = ConsumerName::new(consumer).expect("consumer names in the suite follow the rules");
    Claim { min_idle, ..Claim::new(group("workers"), consumer, count) }
}

async fn claim(broker: &UnderTest, channel: &ChannelName, claim: Claim) -> Vec<Claimed> {
    broker.claim(channel, claim).await.expect("the broker takes the claim")
}

async fn acknowledge(broker: &UnderTest, channel: &ChannelName, offsets: &[Offset]) -> usize {
    broker.acknowledge(channel, &group("workers"), offsets).await.expect("the broker takes it")
}

/// What was given, and how often.
fn given(claimed: &[Claimed]) -> Vec<(Offset, u64)> {
    claimed.iter().map(|claimed| (claimed.message.offset, claimed.deliveries)).collect()
}

async fn publish_many(broker: &UnderTest, channel: &ChannelName, count: usize) -> Vec<Offset> {
    let mut offsets = Vec::new();
    for n in 0..count {
        offsets.push(publish(broker, channel, n).await);
    }
    offsets
}

fn once(offsets: &[Offset]) -> Vec<(Offset, u64)> {
    offsets.iter().map(|offset| (*offset, 1)).collect()
}

/// The messages are shared out, oldest first, none twice; with their content and their chain.
pub async fn each_message_to_one_consumer(broker: UnderTest) {
    let channel = channel("shared-out");
    assert_eq!(claim(&broker, &channel, claim_by("a", 3, NEVER)).await, [], "an unused channel");
    let offsets = publish_many(&broker, &channel, 7).await;
    let first = claim(&broker, &channel, claim_by("a", 3, NEVER)).await;
    assert_eq!(given(&first), once(&offsets[..3]));
    assert_eq!(first[2].message.fields, body(2));
    assert_eq!(first[2].message.prev, offsets[1]);
    assert_eq!(given(&claim(&broker, &channel, claim_by("b", 3, NEVER)).await), once(&offsets[3..6]));
    assert_eq!(given(&claim(&broker, &channel, claim_by("a", 3, NEVER)).await), once(&offsets[6..]));
    assert_eq!(claim(&broker, &channel, claim_by("b", 3, NEVER)).await, []);
    let later = publish(&broker, &channel, "later").await;
    assert_eq!(given(&claim(&broker, &channel, claim_by("b", 3, NEVER)).await), once(&[later]));
}

/// What a silent consumer holds is taken over, and counted; before that it is left to it.
pub async fn the_silent_are_relieved(broker: UnderTest) {
    let channel = channel("relieved");
    let offsets = publish_many(&broker, &channel, 4).await;
    claim(&broker, &channel, claim_by("a", 2, NEVER)).await;
    let idle = Duration::from_millis(500);
    let fresh = claim(&broker, &channel, claim_by("b", 1, NEVER)).await;
    assert_eq!(given(&fresh), [(offsets[2], 1)]);
    sleep(Duration::from_millis(700)).await;
    let relieved = claim(&broker, &channel, claim_by("c", 10, idle)).await;
    let expected = [(offsets[0], 2), (offsets[1], 2), (offsets[2], 2), (offsets[3], 1)];
    assert_eq!(given(&relieved), expected, "the silent ones' first, then what is new");
    assert_eq!(claim(&broker, &channel, claim_by("a", 10, idle)).await, [], "they are c's now");
    let own = claim(&broker, &channel, claim_by("c", 1, Duration::ZERO)).await;
    assert_eq!(own.len(), 1, "whoever holds it");
    assert_eq!(
        own[0].deliveries,
        expected.iter().find(|(offset, _)| *offset == own[0].message.offset).expect("one of them").1 + 1
    );
}

/// What is acknowledged is settled, once, and comes never again.
pub async fn acknowledged_for_good(broker: UnderTest) {
    let channel = channel("acknowledged");
    let offsets = publish_many(&broker, &channel, 3).await;
    assert_eq!(acknowledge(&broker, &channel, &offsets).await, 0, "there is no such group yet");
    claim(&broker, &channel, claim_by("a", 2, NEVER)).await;
    assert_eq!(acknowledge(&broker, &channel, &offsets).await, 2, "the third is held by nobody");
    assert_eq!(acknowledge(&broker, &channel, &offsets).await, 0, "once");
    assert_eq!(acknowledge(&broker, &channel, &[]).await, 0);
    let stranger = Offset { ms: 1, seq: 1 };
    assert_eq!(acknowledge(&broker, &channel, &[stranger]).await, 0);
    let rest = claim(&broker, &channel, claim_by("b", 10, Duration::ZERO)).await;
    assert_eq!(given(&rest), [(offsets[2], 1)], "acknowledging early settles nothing");
}

/// A new group begins at the channel's beginning or after an offset, and that is decided once.
pub async fn where_a_group_begins(broker: UnderTest) {
    let channel = channel("begins");
    let offsets = publish_many(&broker, &channel, 5).await;
    let late = |from| Claim { group: group("late"), from, ..claim_by("a", 2, NEVER) };
    assert_eq!(given(&claim(&broker, &channel, late(offsets[1])).await), once(&offsets[2..4]));
    assert_eq!(given(&claim(&broker, &channel, late(Offset::ZERO)).await), once(&offsets[4..]));
    assert_eq!(given(&claim(&broker, &channel, claim_by("a", 10, NEVER)).await), once(&offsets));
}

/// What one group holds or has settled is nothing to another; nor to the same name in another channel.
pub async fn groups_are_independent(broker: UnderTest) {
    let (here, elsewhere) = (channel("independent"), channel("independent-too"));
    let offsets = publish_many(&broker, &here, 3).await;
    let others = publish_many(&broker, &elsewhere, 2).await;
    let other = || Claim { group: group("others"), ..claim_by("a", 10, NEVER) };
    assert_eq!(given(&claim(&broker, &here, claim_by("a", 10, NEVER)).await), once(&offsets));
    assert_eq!(acknowledge(&broker, &here, &offsets).await, 3);
    assert_eq!(given(&claim(&broker, &here, other()).await), once(&offsets));
    assert_eq!(given(&claim(&broker, &elsewhere, claim_by("a", 10, NEVER)).await), once(&others));
    assert_eq!(acknowledge(&broker, &elsewhere, &others).await, 2);
}

/// A message that was trimmed or replaced while somebody held it is given to nobody again.
pub async fn what_leaves_the_log_is_given_to_nobody(broker: UnderTest) {
    let channel = channel("left");
    publish_many(&broker, &channel, 10).await;
    assert_eq!(claim(&broker, &channel, claim_by("a", 10, NEVER)).await.len(), 10);
    let few = Retention { maximum: 5, ..Retention::PLAIN };
    for n in 0..300 {
        broker.publish(&channel, Draft::plain(body(n)).retained(few)).await.expect("the broker takes it");
    }
    let kept = super::read(&broker, &channel, Offset::ZERO, 1_000).await.messages;
    let rest = claim(&broker, &channel, claim_by("b", 1_000, Duration::ZERO)).await;
    assert_eq!(given(&rest), kept.iter().map(|message| (message.offset, 1)).collect::<Vec<_>>());

    let board = super::channel("left-keyed");
    for (key, version) in [("a", "1"), ("b", "1")] {
        broker.publish(&board, keyed::draft(key, version, State::Live)).await.expect("the broker takes it");
    }
    assert_eq!(claim(&broker, &board, claim_by("a", 10, NEVER)).await.len(), 2);
    broker.publish(&board, keyed::draft("a", "2", State::Live)).await.expect("the broker takes it");
    let mut rest = given(&claim(&broker, &board, claim_by("b", 10, Duration::ZERO)).await);
    rest.sort_unstable();
    let kept = super::read(&broker, &board, Offset::ZERO, 10).await.messages;
    assert_eq!(rest, [(kept[0].offset, 2), (kept[1].offset, 1)]);
}

/// A message that has grown too old is given to nobody, whether somebody held it or not.
pub async fn what_is_too_old_is_given_to_nobody(broker: UnderTest) {
    let channel = channel("too-old");
    let retention = Retention { age: Some(Duration::from_secs(1)), ..Retention::PLAIN };
    let add = async |n: u32| {
        let draft = Draft::plain(body(n)).retained(retention);
        broker.publish(&channel, draft).await.expect("the broker takes it").offset()
    };
    for n in 0..4 {
        add(n).await;
    }
    assert_eq!(claim(&broker, &channel, claim_by("a", 2, NEVER)).await.len(), 2);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(claim(&broker, &channel, claim_by("b", 10, Duration::ZERO)).await, []);
    let fresh = add(4).await;
    assert_eq!(given(&claim(&broker, &channel, claim_by("b", 10, Duration::ZERO)).await), once(&[fresh]));
}

/// Eight consumers, some of them forgetful: every message is settled exactly once, and its deliveries are counted
/// without a hole.
pub async fn eight_consumers(broker: UnderTest) {
    const MESSAGES: usize = 200;
    let channel = channel("eight");
    let settled = Arc::new(AtomicUsize::new(0));
    let mut consumers = JoinSet::new();
    for consumer in 0..8 {
        consumers.spawn(consume(broker.clone(), channel.clone(), Arc::clone(&settled), consumer, MESSAGES));
    }
    let offsets = publish_many(&broker, &channel, MESSAGES).await;
    let seen = timeout(PATIENCE, consumers.join_all()).await.expect("the consumers come to an end");
    assert_eq!(settled.load(Ordering::Relaxed), MESSAGES, "settled exactly once");
    let mut deliveries: BTreeMap<Offset, Vec<u64>> = BTreeMap::new();
    for (offset, count) in seen.into_iter().flatten() {
        deliveries.entry(offset).or_default().push(count);
    }
    assert_eq!(deliveries.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from_iter(offsets));
    for (offset, mut counts) in deliveries {
        counts.sort_unstable();
        assert_eq!(counts, Vec::from_iter(1..=counts.len() as u64), "{offset}");
    }
    assert_eq!(claim(&broker, &channel, claim_by("last", 10, Duration::ZERO)).await, []);
}

async fn consume(
    broker: UnderTest,
    channel: ChannelName,
    settled: Arc<AtomicUsize>,
    consumer: u64,
    until: usize,
) -> Vec<(Offset, u64)> {
    let mut dice = StdRng::seed_from_u64(consumer);
    let mut seen = Vec::new();
    while settled.load(Ordering::Relaxed) < until {
        let request = claim_by(&format!("c{consumer}"), 5, Duration::from_millis(100));
        let claimed = claim(&broker, &channel, request).await;
        if claimed.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        seen.extend(given(&claimed));
        let kept_in_mind: Vec<Offset> = claimed
            .iter()
            .map(|claimed| claimed.message.offset)
            .filter(|_| dice.random_ratio(4, 5))
            .collect();
        settled.fetch_add(acknowledge(&broker, &channel, &kept_in_mind).await, Ordering::Relaxed);
    }
    seen
}
