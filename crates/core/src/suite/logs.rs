//! Plain logs.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{UnderTest, body, channel, keyed, publish, read, texts};
use crate::{
    Claim, ConsumerName, Continuity, Draft, Error, Fields, GroupName, Key, Keyed, Lifetime, Message, Offset,
    Producer, ProducerId, Published, Retention, State, UserId, Version,
};

/// Messages come back in the order published, each naming the one before it.
pub async fn order_and_chain(broker: UnderTest) {
    let channel = channel("order");
    let mut expected = Offset::ZERO;
    for n in 0..20 {
        let offset = publish(&broker, &channel, n).await;
        assert!(offset > expected, "offsets grow");
        let page = read(&broker, &channel, expected, 10).await;
        assert_eq!(page.messages.len(), 1);
        assert_eq!((page.messages[0].offset, page.messages[0].prev), (offset, expected));
        assert_eq!((page.head, page.continuity), (offset, Continuity::Proved));
        expected = offset;
    }
    let all = read(&broker, &channel, Offset::ZERO, 100).await;
    assert_eq!(texts(&all.messages), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// A channel nobody published to: empty, and it continues nothing but its own beginning.
pub async fn unused_channel(broker: UnderTest) {
    let channel = channel("unused");
    let page = read(&broker, &channel, Offset::ZERO, 10).await;
    assert_eq!((page.messages.len(), page.head, page.continuity), (0, Offset::ZERO, Continuity::Proved));
    let page = read(&broker, &channel, Offset { ms: 5, seq: 0 }, 10).await;
    assert_eq!((page.messages.len(), page.continuity), (0, Continuity::Broken));
}

/// Reading in pieces gives the same as reading at once; a limit of zero asks for the head and the proof alone.
pub async fn pages(broker: UnderTest) {
    let channel = channel("pages");
    for n in 0..25 {
        publish(&broker, &channel, n).await;
    }
    let (mut cursor, mut seen) = (Offset::ZERO, Vec::new());
    let limit = NonZeroUsize::new(7).expect("seven is not zero").get();
    for expected in [7, 7, 7, 4, 0] {
        let page = read(&broker, &channel, cursor, limit).await;
        assert_eq!((page.messages.len(), page.continuity), (expected, Continuity::Proved));
        cursor = page.end(limit);
        seen.extend(texts(&page.messages));
    }
    assert_eq!(seen, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    let page = read(&broker, &channel, Offset::ZERO, 0).await;
    assert_eq!((page.messages.len(), page.head, page.continuity), (0, cursor, Continuity::Proved));
}

/// Only the offsets of this log, and its beginning, are continued by it.
pub async fn offsets_of_others_prove_nothing(broker: UnderTest) {
    let channel = channel("proof");
    let mut offsets = Vec::new();
    for n in 0..5 {
        offsets.push(publish(&broker, &channel, n).await);
    }
    for offset in &offsets {
        assert_eq!(read(&broker, &channel, *offset, 0).await.continuity, Continuity::Proved, "{offset}");
    }
    let head = offsets[4];
    let strangers = [
        Offset { ms: 1, seq: 1 },
        Offset { seq: head.seq + 1, ..head },
        Offset { ms: head.ms + 60_000, seq: 0 },
    ];
    for stranger in strangers {
        assert_eq!(read(&broker, &channel, stranger, 10).await.continuity, Continuity::Broken, "{stranger}");
    }
}

/// At least the maximum is kept and at most the slack more; an older cursor is not continued.
pub async fn trims_within_the_slack(broker: UnderTest) {
    let channel = channel("trim");
    let retention = Retention { maximum: 10, ..Retention::PLAIN };
    let mut offsets = Vec::new();
    for n in 0..400 {
        let draft = Draft::plain(body(n)).retained(retention);
        offsets.push(broker.publish(&channel, draft).await.expect("the broker takes it").offset());
        let kept = read(&broker, &channel, Offset::ZERO, 1000).await.messages.len();
        assert!(kept > n.min(9) && kept <= 10 + Retention::SLACK, "{kept} kept after {}", n + 1);
    }
    assert_eq!(read(&broker, &channel, offsets[5], 10).await.continuity, Continuity::Broken);
    assert_eq!(read(&broker, &channel, Offset::ZERO, 10).await.continuity, Continuity::Broken);
    let page = read(&broker, &channel, offsets[390], 10).await;
    assert_eq!((page.messages.len(), page.continuity), (9, Continuity::Proved));
}

/// What is older than the channel's age is gone, whether anything is published or not; cursors are judged as by any
/// other trimming.
pub async fn the_old_leave(broker: UnderTest) {
    let channel = channel("age");
    let retention = Retention { age: Some(Duration::from_secs(2)), ..Retention::PLAIN };
    let add = async |n: u32| {
        let draft = Draft::plain(body(n)).retained(retention);
        broker.publish(&channel, draft).await.expect("the broker takes it").offset()
    };
    let (first, second) = (add(1).await, add(2).await);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let third = add(3).await;
    assert_eq!(read(&broker, &channel, Offset::ZERO, 10).await.continuity, Continuity::Proved);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let from = async |cursor| {
        let page = read(&broker, &channel, cursor, 10).await;
        (texts(&page.messages).join(" "), page.head, page.continuity)
    };
    assert_eq!(from(Offset::ZERO).await, ("3".into(), third, Continuity::Broken));
    assert_eq!(from(first).await, ("3".into(), third, Continuity::Broken));
    assert_eq!(from(second).await, ("3".into(), third, Continuity::Proved), "nothing after it is missing");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(from(second).await, (String::new(), third, Continuity::Broken));
    assert_eq!(from(third).await, (String::new(), third, Continuity::Proved));
    let fourth = add(4).await;
    assert_eq!(from(third).await, ("4".into(), fourth, Continuity::Proved));
    assert_eq!(from(Offset::ZERO).await, ("4".into(), fourth, Continuity::Broken));
}

/// The age that a channel had decides what is gone; a later publish may ask for less, and not for more of the past.
pub async fn what_has_left_stays_out(broker: UnderTest) {
    let (longer, shorter) = (channel("longer"), channel("shorter"));
    let add = async |channel, n: u32, seconds: Option<u64>| {
        let retention = Retention { age: seconds.map(Duration::from_secs), ..Retention::PLAIN };
        let draft = Draft::plain(body(n)).retained(retention);
        broker.publish(channel, draft).await.expect("the broker takes it").offset()
    };
    let old = add(&longer, 1, Some(1)).await;
    add(&shorter, 1, None).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    add(&longer, 2, None).await;
    add(&shorter, 2, Some(1)).await;
    for channel in [&longer, &shorter] {
        assert_eq!(texts(&read(&broker, channel, Offset::ZERO, 10).await.messages), ["2"], "{channel}");
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let page = read(&broker, &longer, old, 10).await;
    assert_eq!((texts(&page.messages), page.continuity), (vec!["2".to_owned()], Continuity::Proved));
    assert_eq!(read(&broker, &shorter, Offset::ZERO, 10).await.messages.len(), 0);
}

/// A plain channel takes no keyed message, and a keyed channel no plain one.
pub async fn one_kind_for_ever(broker: UnderTest) {
    let (plain, keyed) = (channel("plain"), channel("keyed"));
    let draft = Draft::keyed(
        body(1),
        Keyed {
            key: Key::new("k").expect("a key"),
            version: Version::new("1").expect("a version"),
            state: State::Live,
        },
    );
    publish(&broker, &plain, 1).await;
    assert!(matches!(broker.publish(&plain, draft.clone()).await, Err(Error::Kind(_))));
    assert!(matches!(broker.publish(&keyed, draft).await, Ok(Published::Appended(_))));
    assert!(matches!(broker.publish(&keyed, Draft::plain(body(2))).await, Err(Error::Kind(_))));
    assert_eq!(read(&broker, &plain, Offset::ZERO, 10).await.messages.len(), 1);
    assert_eq!(read(&broker, &keyed, Offset::ZERO, 10).await.messages.len(), 1);
}

/// A channel that expires is forgotten when nothing renews it, and never uses an offset twice.
pub async fn expiry(broker: UnderTest) {
    let channel = channel("expiry");
    let retention = Retention { lifetime: Lifetime::Expires(Duration::from_secs(2)), ..Retention::PLAIN };
    let draft = |n: u32| Draft::plain(body(n)).retained(retention);
    let first = broker.publish(&channel, draft(1)).await.expect("the broker takes it").offset();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let second = broker.publish(&channel, draft(2)).await.expect("the broker takes it").offset();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(
        texts(&read(&broker, &channel, Offset::ZERO, 10).await.messages),
        ["1", "2"],
        "it was renewed"
    );
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let page = read(&broker, &channel, first, 10).await;
    assert_eq!((page.messages.len(), page.continuity), (0, Continuity::Broken));
    let third = broker.publish(&channel, draft(3)).await.expect("the broker takes it").offset();
    assert!(third > second);
    let page = read(&broker, &channel, second, 10).await;
    assert_eq!((texts(&page.messages), page.continuity), (vec!["3".to_owned()], Continuity::Broken));
}

/// A repeated publish changes nothing and is answered with the offset it had.
pub async fn producers(broker: UnderTest) {
    let channel = channel("producers");
    let draft = |id: &str, seq: u64, n: u32| {
        Draft::plain(body(n)).by(Producer { id: ProducerId::new(id).expect("a producer id"), seq })
    };
    let first = broker.publish(&channel, draft("a", 1, 1)).await;
    let Ok(Published::Appended(first)) = first else { panic!("expected an appended message, got {first:?}") };
    assert_eq!(broker.publish(&channel, draft("a", 1, 1)).await, Ok(Published::Duplicate(first)));
    let Ok(Published::Appended(other)) = broker.publish(&channel, draft("b", 1, 2)).await else {
        panic!("another producer counts for itself")
    };
    let Ok(Published::Appended(third)) = broker.publish(&channel, draft("a", 7, 3)).await else {
        panic!("gaps in the sequence are allowed")
    };
    assert!(first < other && other < third);
    assert_eq!(broker.publish(&channel, draft("a", 7, 3)).await, Ok(Published::Duplicate(third)));
    assert!(matches!(broker.publish(&channel, draft("a", 3, 9)).await, Ok(Published::Duplicate(_))));
    assert_eq!(texts(&read(&broker, &channel, Offset::ZERO, 10).await.messages), ["1", "2", "3"]);
}

/// Text and publisher, where the message says it.
fn signed(message: &Message) -> (&str, Option<&str>) {
    (message.fields.get("text").unwrap_or_default(), message.user.as_ref().map(UserId::as_str))
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("ids in the suite follow the rules")
}

/// A message says who published it where that was asked for, whichever way it comes; and no other does.
pub async fn who_published(broker: UnderTest) {
    let (log, board) = (channel("signed"), channel("signed-keys"));
    let upsert = |key: &str, state| keyed::draft(key, "1", state);
    let drafts = [
        (&log, Draft::plain(body("a")).named(user("ann"))),
        (&log, Draft::plain(body("b"))),
        (&board, upsert("a", State::Live).named(user("bob:2"))),
        (&board, upsert("b", State::Live)),
        (&board, upsert("c", State::Tombstone).named(user("ann"))),
    ];
    let mut tails = Vec::new();
    for channel in [&log, &board] {
        tails.push(broker.tail(channel).await.expect("the channel can be followed"));
    }
    for (channel, draft) in drafts {
        broker.publish(channel, draft).await.expect("the broker takes it");
    }
    let expected = [
        vec![("a", Some("ann")), ("b", None)],
        vec![("a=1", Some("bob:2")), ("b=1", None), ("c=1", Some("ann"))],
    ];
    for ((channel, mut tail), expected) in [log, board].into_iter().zip(tails).zip(expected) {
        let page = read(&broker, &channel, Offset::ZERO, 10).await;
        assert_eq!(page.messages.iter().map(|message| signed(message)).collect::<Vec<_>>(), expected);
        for expected in &expected {
            assert_eq!(signed(&tail.next().await.expect("the tail goes on")), *expected);
        }
        let group = GroupName::new("g").expect("a group name");
        let consumer = ConsumerName::new("c").expect("a consumer name");
        let claimed = broker.claim(&channel, Claim::new(group, consumer, 10)).await.expect("taken");
        let claimed: Vec<_> = claimed.iter().map(|claimed| signed(&claimed.message)).collect();
        assert_eq!(claimed, expected);
    }
}

/// What changes nothing changes no name: a duplicate and what is superseded leave it as it was.
pub async fn the_first_name_stays(broker: UnderTest) {
    let (log, board) = (channel("first"), channel("first-keys"));
    let repeated = |id: &str| {
        let producer = Producer { id: ProducerId::new("p").expect("a producer id"), seq: 1 };
        Draft::plain(body(1)).by(producer).named(user(id))
    };
    let vote = |version: &str, id: &str| keyed::draft("k", version, State::Live).named(user(id));
    broker.publish(&log, repeated("ann")).await.expect("taken");
    broker.publish(&board, vote("2", "ann")).await.expect("taken");
    for draft in [repeated("bob"), repeated("joe")] {
        assert!(matches!(broker.publish(&log, draft).await, Ok(Published::Duplicate(_))));
    }
    assert!(matches!(broker.publish(&board, vote("2", "bob")).await, Ok(Published::Duplicate(_))));
    assert!(matches!(broker.publish(&board, vote("1", "joe")).await, Ok(Published::Superseded(_))));
    for channel in [&log, &board] {
        let page = read(&broker, channel, Offset::ZERO, 10).await;
        assert_eq!(page.messages.iter().map(|message| signed(message).1).collect::<Vec<_>>(), [Some("ann")]);
    }
    broker.publish(&board, vote("3", "bob")).await.expect("taken");
    let page = read(&broker, &board, Offset::ZERO, 10).await;
    assert_eq!(page.messages.iter().map(|message| signed(message).1).collect::<Vec<_>>(), [Some("bob")]);
}

/// Many publishers at once: one order, no offset twice, no answered message missing, the chain unbroken.
pub async fn concurrent_publishers(broker: UnderTest) {
    let channel = channel("concurrent");
    let mut tasks = tokio::task::JoinSet::new();
    for publisher in 0..8 {
        let (broker, channel) = (broker.clone(), channel.clone());
        tasks.spawn(async move {
            let mut answered = Vec::new();
            for n in 0..50 {
                answered.push(publish(&broker, &channel, format!("{publisher}.{n}")).await);
                tokio::task::yield_now().await;
            }
            answered
        });
    }
    let answered: Vec<Vec<Offset>> = tasks.join_all().await;
    assert!(answered.iter().all(|own| own.is_sorted()), "each publisher's messages keep its order");
    let answered: BTreeSet<Offset> = answered.into_iter().flatten().collect();
    let page = read(&broker, &channel, Offset::ZERO, 1_000).await;
    assert_eq!(
        page.messages.iter().map(|message| message.offset).collect::<Vec<_>>(),
        Vec::from_iter(answered)
    );
    let mut prev = Offset::ZERO;
    for message in &page.messages {
        assert_eq!(message.prev, prev);
        prev = message.offset;
    }
    assert_eq!(page.messages.len(), 400);
}

/// However much is published meanwhile: messages, head and proof of a page belong together.
pub async fn pages_are_of_one_piece(broker: UnderTest) {
    const MESSAGES: usize = 600;
    let channel = channel("piece");
    let publisher = tokio::spawn({
        let (broker, channel) = (broker.clone(), channel.clone());
        let few = Retention { maximum: 200, ..Retention::PLAIN };
        async move {
            for n in 0..MESSAGES {
                broker
                    .publish(&channel, Draft::plain(body(n)).retained(few))
                    .await
                    .expect("the broker takes it");
                tokio::task::yield_now().await;
            }
        }
    });
    let mut level = Offset::ZERO;
    while !publisher.is_finished() {
        let page = read(&broker, &channel, Offset::ZERO, 1_000).await;
        let last = page.messages.last().map_or(Offset::ZERO, |message| message.offset);
        assert_eq!(last, page.head, "the head is the last of a page that ends there");
        assert!(page.messages.is_sorted_by(|a, b| a.offset == b.prev), "no hole");
        let since = read(&broker, &channel, level, 1_000).await;
        assert_eq!(since.continuity, Continuity::Proved, "what was just read is continued");
        level = since.head;
        tokio::task::yield_now().await;
    }
    publisher.await.expect("the publisher comes to an end");
}

/// Drafts that were taken in one after the other stand in that order, whoever waits for which receipt when, and however
/// large they are.
pub async fn submitted_in_order(broker: UnderTest) {
    let channel = channel("submitted");
    let mut receipts = Vec::new();
    for n in 0..1_000_usize {
        // Large and small ones side by side: whatever makes room for them must keep their order.
        let size = if n.is_multiple_of(7) { 60_000 } else { 10 };
        let fields = Fields::of([("text", &n.to_string()), ("rest", &"x".repeat(size))]);
        receipts.push(broker.submit(&channel, Draft::plain(fields)).await.expect("the broker takes it in"));
    }
    // The last one first: no receipt waits for another to be asked for.
    let mut offsets = Vec::new();
    for receipt in receipts.into_iter().rev() {
        offsets.push(receipt.await.expect("it is published").offset());
    }
    assert!(offsets.is_sorted_by(|later, earlier| later > earlier));
    let page = read(&broker, &channel, Offset::ZERO, 1_000).await;
    let expected: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(texts(&page.messages), expected);
}
