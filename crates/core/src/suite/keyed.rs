//! Keyed logs: state as a log.

use std::time::Duration;

use super::{UnderTest, body, channel, read, texts};
use crate::{
    ChannelName, Continuity, Draft, Key, Keyed, Lifetime, Offset, Published, Retention, State, Version,
};

/// A draft for a key.
pub(super) fn draft(key: &str, version: &str, state: State) -> Draft {
    let keyed = Keyed {
        key: Key::new(key).expect("a key"),
        version: Version::new(version).expect("a version"),
        state,
    };
    Draft::keyed(body(format!("{key}={version}")), keyed)
}

async fn put(broker: &UnderTest, channel: &ChannelName, key: &str, version: &str) -> Published {
    broker.publish(channel, draft(key, version, State::Live)).await.expect("the broker takes it")
}

async fn all(broker: &UnderTest, channel: &ChannelName) -> Vec<String> {
    texts(&read(broker, channel, Offset::ZERO, 1_000).await.messages)
}

/// The higher version wins, whatever the order; what does not win is told so and changes nothing.
pub async fn the_higher_version_wins(broker: UnderTest) {
    let channel = channel("versions");
    let Published::Appended(first) = put(&broker, &channel, "a", "2").await else {
        panic!("the first is appended")
    };
    assert_eq!(put(&broker, &channel, "a", "2").await, Published::Duplicate(first));
    assert_eq!(
        put(&broker, &channel, "a", "10").await,
        Published::Superseded(first),
        "versions compare as bytes"
    );
    assert_eq!(put(&broker, &channel, "a", "1").await, Published::Superseded(first));
    let Published::Appended(second) = put(&broker, &channel, "a", "20").await else {
        panic!("a higher one wins")
    };
    assert!(second > first);
    assert_eq!(put(&broker, &channel, "a", "2").await, Published::Superseded(second));
    assert_eq!(all(&broker, &channel).await, ["a=20"]);
}

/// From zero: the state. From a cursor: what has changed since. Replacing a key is no gap.
pub async fn state_and_changes(broker: UnderTest) {
    let channel = channel("state");
    for (key, version) in [("a", "1"), ("b", "1"), ("c", "1")] {
        put(&broker, &channel, key, version).await;
    }
    let then = read(&broker, &channel, Offset::ZERO, 10).await.head;
    for (key, version) in [("a", "2"), ("d", "1"), ("a", "3")] {
        put(&broker, &channel, key, version).await;
    }
    assert_eq!(all(&broker, &channel).await, ["b=1", "c=1", "d=1", "a=3"]);
    let page = read(&broker, &channel, then, 10).await;
    assert_eq!(
        (texts(&page.messages), page.continuity),
        (vec!["d=1".into(), "a=3".into()], Continuity::Proved)
    );
    let level = read(&broker, &channel, page.head, 10).await;
    assert_eq!((level.messages.len(), level.continuity), (0, Continuity::Proved));
}

/// A deletion is a message like any other, kept, and beaten only by a higher version.
pub async fn tombstones(broker: UnderTest) {
    let channel = channel("tombstones");
    put(&broker, &channel, "a", "1").await;
    put(&broker, &channel, "b", "1").await;
    let deleted =
        broker.publish(&channel, draft("a", "2", State::Tombstone)).await.expect("the broker takes it");
    assert_eq!(put(&broker, &channel, "a", "1").await, Published::Superseded(deleted.offset()));
    let page = read(&broker, &channel, Offset::ZERO, 10).await;
    assert_eq!(texts(&page.messages), ["b=1", "a=2"]);
    assert_eq!(page.messages[1].keyed.as_ref().map(|keyed| keyed.state), Some(State::Tombstone));
    assert!(matches!(put(&broker, &channel, "a", "3").await, Published::Appended(_)));
    assert_eq!(all(&broker, &channel).await, ["b=1", "a=3"]);
}

/// A collected deletion is gone, and whoever might have missed it is told.
pub async fn collected_tombstones_break_older_cursors(broker: UnderTest) {
    let channel = channel("collected");
    let Published::Appended(before) = put(&broker, &channel, "a", "1").await else { panic!("appended") };
    let soon = Retention { tombstones: Duration::from_secs(1), ..Retention::KEYED };
    let deletion = draft("a", "2", State::Tombstone).retained(soon);
    let deleted = broker.publish(&channel, deletion).await.expect("the broker takes it").offset();
    assert_eq!(read(&broker, &channel, before, 10).await.continuity, Continuity::Proved);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let Ok(after) = broker.publish(&channel, draft("b", "1", State::Live).retained(soon)).await else {
        panic!("the broker takes it")
    };
    assert_eq!(all(&broker, &channel).await, ["b=1"]);
    assert_eq!(read(&broker, &channel, before, 10).await.continuity, Continuity::Broken);
    assert_eq!(read(&broker, &channel, deleted, 10).await.continuity, Continuity::Proved);
    assert_eq!(read(&broker, &channel, after.offset(), 10).await.continuity, Continuity::Proved);
    assert_eq!(
        read(&broker, &channel, Offset::ZERO, 10).await.continuity,
        Continuity::Proved,
        "the state is whole"
    );
}

/// Over the maximum the oldest keys go, and older cursors are told.
pub async fn evicted_keys_break_older_cursors(broker: UnderTest) {
    let channel = channel("evicted");
    let few = Retention { maximum: 3, ..Retention::KEYED };
    let mut offsets = Vec::new();
    for n in 0..6 {
        let draft = draft(&format!("k{n}"), "1", State::Live).retained(few);
        offsets.push(broker.publish(&channel, draft).await.expect("the broker takes it").offset());
    }
    assert_eq!(all(&broker, &channel).await, ["k3=1", "k4=1", "k5=1"]);
    assert_eq!(read(&broker, &channel, offsets[1], 10).await.continuity, Continuity::Broken);
    assert_eq!(read(&broker, &channel, offsets[2], 10).await.continuity, Continuity::Proved);
}

/// A channel that was forgotten and made anew does not continue cursors of its earlier life.
pub async fn cursors_of_an_earlier_life_are_broken(broker: UnderTest) {
    let channel = channel("lives");
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_secs(1)), ..Retention::KEYED };
    let old =
        broker.publish(&channel, draft("a", "1", State::Live).retained(brief)).await.expect("taken").offset();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let new =
        broker.publish(&channel, draft("b", "1", State::Live).retained(brief)).await.expect("taken").offset();
    assert_eq!(read(&broker, &channel, old, 10).await.continuity, Continuity::Broken);
    assert_eq!(read(&broker, &channel, new, 10).await.continuity, Continuity::Proved);
    let future = Offset { ms: new.ms + 60_000, seq: 0 };
    assert_eq!(read(&broker, &channel, future, 10).await.continuity, Continuity::Broken);
}

/// Saying again what stands changes nothing, and keeps a channel that would expire.
pub async fn a_duplicate_renews(broker: UnderTest) {
    let channel = channel("renewed");
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_secs(2)), ..Retention::KEYED };
    let standing = || draft("a", "1", State::Live).retained(brief);
    let first = broker.publish(&channel, standing()).await.expect("taken").offset();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(broker.publish(&channel, standing()).await, Ok(Published::Duplicate(first)));
    }
    assert_eq!(read(&broker, &channel, first, 10).await.continuity, Continuity::Proved);
    assert_eq!(all(&broker, &channel).await, ["a=1"]);
}

/// Of many publishes of one key and version, exactly one is appended; everybody learns its offset.
pub async fn one_winner(broker: UnderTest) {
    let channel = channel("winner");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (broker, channel) = (broker.clone(), channel.clone());
        tasks.spawn(async move { put(&broker, &channel, "a", "1").await });
    }
    let answers = tasks.join_all().await;
    let winners: Vec<_> = answers.iter().filter(|answer| matches!(answer, Published::Appended(_))).collect();
    assert_eq!(winners.len(), 1);
    let offset = winners[0].offset();
    assert!(answers.iter().all(|answer| answer.offset() == offset));
}
