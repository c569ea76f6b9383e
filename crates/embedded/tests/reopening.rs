//! What was answered is there when the store is opened again: messages, order, chain, keyed state, floors, producers; and
//! offsets only grow, whatever the clock does.
//!
//! Breakages that were made on purpose, each of which fails at least one case: the floor, the creation, or the due time
//! of tombstones forgotten by a restart; the head taken from what is kept; offsets from the clock alone; ages from the
//! time of day alone; producers forgotten by a restart, or never; no offsets reserved for short-lived channels; what is
//! known of channels trusted after a transaction was undone; no lock; any format accepted; no checksum; offsets written
//! as plain signed numbers; the age of a channel forgotten by a restart, or never written to a store of format 1; old
//! messages that are removed and still counted, or never removed beyond the first share.

#![allow(clippy::indexing_slicing, reason = "these are tests: a panic is a finding")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use inkwire_core::{
    Broker as _, Claim, Claimed, ConsumerName, Continuity, Draft, Error, GroupName, Lifetime, Offset,
    Producer, ProducerId, Published, Retention, State, UserId,
};
use inkwire_embedded::{Embedded, EmbeddedOptions, OpenError, WallClock};
use support::{Scratch, assert_chain, body, channel, keyed, plain, publish, read, texts};

/// A time of day that a test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    /// Some time in 2026.
    const START_MS: u64 = 1_780_000_000_000;

    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(Self::START_MS)))
    }

    fn shift(&self, by: i64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.saturating_add_signed(by), Ordering::Relaxed);
    }

    fn open(&self, directory: &Scratch) -> Embedded {
        let time = Arc::clone(&self.0);
        let wall = WallClock::new(move || UNIX_EPOCH + Duration::from_millis(time.load(Ordering::Relaxed)));
        Embedded::open(EmbeddedOptions { wall, ..directory.options() }).expect("the store opens")
    }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY_MS: i64 = 24 * HOUR;

fn producer(id: &str, seq: u64) -> Producer {
    Producer { id: ProducerId::new(id).expect("a producer id"), seq }
}

#[tokio::test]
async fn everything_answered_is_there_and_goes_on() {
    let directory = Scratch::new();
    let (log, mut expected) = (channel("log"), Vec::new());
    let mut offsets = Vec::new();
    for life in 0..4 {
        let broker = directory.open();
        let page = read(&broker, &log, Offset::ZERO).await;
        assert_eq!(texts(&page.messages), expected);
        assert_eq!(page.messages.iter().map(|message| message.offset).collect::<Vec<_>>(), offsets);
        for n in 0..25 {
            expected.push(format!("{life}.{n}"));
            offsets.push(publish(&broker, &log, plain(format!("{life}.{n}"))).await);
        }
    }
    let broker = directory.open();
    let page = read(&broker, &log, Offset::ZERO).await;
    assert_eq!(texts(&page.messages), expected);
    assert_chain(&page.messages);
    assert_eq!((page.messages[0].prev, page.continuity), (Offset::ZERO, Continuity::Proved));
    assert_eq!(read(&broker, &log, offsets[30]).await.continuity, Continuity::Proved);
}

#[tokio::test]
async fn a_keyed_channel_keeps_its_state_and_its_rule() {
    let directory = Scratch::new();
    let board = channel("board");
    let broker = directory.open();
    let a = publish(&broker, &board, keyed("a", "5", State::Live)).await;
    publish(&broker, &board, keyed("b", "1", State::Live)).await;
    let b = publish(&broker, &board, keyed("b", "2", State::Tombstone)).await;
    drop(broker);

    let broker = directory.open();
    let again = |key, version| broker.publish(&board, keyed(key, version, State::Live));
    assert_eq!(again("a", "5").await, Ok(Published::Duplicate(a)));
    assert_eq!(again("a", "4").await, Ok(Published::Superseded(a)));
    assert_eq!(again("b", "1").await, Ok(Published::Superseded(b)));
    assert!(matches!(again("a", "6").await, Ok(Published::Appended(_))));
    let page = read(&broker, &board, Offset::ZERO).await;
    assert_eq!(texts(&page.messages), ["b=2", "a=6"]);
    assert_eq!(page.messages[0].keyed.as_ref().map(|keyed| keyed.state), Some(State::Tombstone));
    assert!(matches!(broker.publish(&board, plain("x")).await, Err(Error::Kind("keyed"))));
}

#[tokio::test]
async fn who_published_is_still_said() {
    let directory = Scratch::new();
    let (log, board) = (channel("log"), channel("board"));
    let ann = UserId::new("ann").expect("an id");
    let broker = directory.open();
    publish(&broker, &log, plain(1).named(ann.clone())).await;
    publish(&broker, &log, plain(2)).await;
    publish(&broker, &board, keyed("a", "1", State::Tombstone).named(ann.clone())).await;
    drop(broker);
    let broker = directory.open();
    for (channel, expected) in [(log, vec![Some(&ann), None]), (board, vec![Some(&ann)])] {
        let page = read(&broker, &channel, Offset::ZERO).await;
        assert_eq!(page.messages.iter().map(|message| message.user.as_ref()).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn the_floor_and_the_creation_stay() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let board = channel("board");
    let few = Retention { maximum: 2, ..Retention::KEYED };
    let broker = hands.open(&directory);
    let mut offsets = Vec::new();
    for key in ["a", "b", "c", "d"] {
        hands.shift(5);
        offsets.push(publish(&broker, &board, keyed(key, "1", State::Live).retained(few)).await);
    }
    drop(broker);
    let broker = hands.open(&directory);
    for (at, continuity) in [(0, Continuity::Broken), (1, Continuity::Proved), (3, Continuity::Proved)] {
        assert_eq!(read(&broker, &board, offsets[at]).await.continuity, continuity, "{at}");
    }
    let future = Offset { ms: offsets[3].ms + 1, seq: 0 };
    assert_eq!(read(&broker, &board, future).await.continuity, Continuity::Broken);
}

#[tokio::test]
async fn a_cursor_before_the_creation_belongs_to_another_life() {
    let directory = Scratch::new();
    let board = channel("board");
    let broker = directory.open();
    let first = publish(&broker, &board, keyed("a", "1", State::Live)).await;
    drop(broker);
    let broker = directory.open();
    let before = Offset { ms: first.ms - 1, seq: 0 };
    assert_eq!(read(&broker, &board, before).await.continuity, Continuity::Broken);
    assert_eq!(read(&broker, &board, first).await.continuity, Continuity::Proved);
}

#[tokio::test]
async fn tombstones_are_collected_in_a_later_life() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let board = channel("board");
    let broker = hands.open(&directory);
    let first = publish(&broker, &board, keyed("a", "1", State::Live)).await;
    publish(&broker, &board, keyed("a", "2", State::Tombstone)).await;
    drop(broker);

    hands.shift(23 * HOUR);
    let broker = hands.open(&directory);
    publish(&broker, &board, keyed("b", "1", State::Live)).await;
    assert_eq!(texts(&read(&broker, &board, Offset::ZERO).await.messages), ["a=2", "b=1"]);
    drop(broker);

    hands.shift(2 * HOUR);
    let broker = hands.open(&directory);
    publish(&broker, &board, keyed("c", "1", State::Live)).await;
    assert_eq!(texts(&read(&broker, &board, Offset::ZERO).await.messages), ["b=1", "c=1"]);
    assert_eq!(read(&broker, &board, first).await.continuity, Continuity::Broken);
    drop(broker);

    let broker = hands.open(&directory);
    assert_eq!(read(&broker, &board, first).await.continuity, Continuity::Broken, "the floor stays");
}

#[tokio::test]
async fn producers_are_remembered_five_minutes_over_restarts_and_clock_jumps() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let log = channel("log");
    let by = |seq| plain(seq).by(producer("p", seq));
    let broker = hands.open(&directory);
    let first = publish(&broker, &log, by(7)).await;
    // Within a life the time of day does not matter.
    hands.shift(HOUR);
    assert_eq!(broker.publish(&log, by(7)).await, Ok(Published::Duplicate(first)));
    hands.shift(-HOUR);
    drop(broker);
    for jump in [4 * MINUTE, -2 * HOUR, 2 * HOUR] {
        hands.shift(jump);
        let broker = hands.open(&directory);
        assert_eq!(broker.publish(&log, by(7)).await, Ok(Published::Duplicate(first)), "{jump}");
        assert_eq!(broker.publish(&log, by(3)).await, Ok(Published::Duplicate(first)), "{jump}");
    }
    // What is written under a clock that is two hours late is not two hours old when the clock is put right.
    hands.shift(-2 * HOUR);
    let broker = hands.open(&directory);
    let late = publish(&broker, &log, plain("late").by(producer("q", 1))).await;
    drop(broker);
    hands.shift(2 * HOUR);
    let broker = hands.open(&directory);
    assert_eq!(
        broker.publish(&log, plain("late").by(producer("q", 1))).await,
        Ok(Published::Duplicate(late))
    );
    drop(broker);

    hands.shift(2 * MINUTE);
    let broker = hands.open(&directory);
    assert!(matches!(broker.publish(&log, by(3)).await, Ok(Published::Appended(_))), "forgotten");
}

#[tokio::test]
async fn a_group_goes_on_where_it_was() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let log = channel("log");
    let group = GroupName::new("workers").expect("a group name");
    let claim = |consumer: &str, count, min_idle| Claim {
        min_idle,
        ..Claim::new(group.clone(), ConsumerName::new(consumer).expect("a consumer name"), count)
    };
    let given = |claimed: Vec<Claimed>| -> Vec<(Offset, u64)> {
        claimed.iter().map(|claimed| (claimed.message.offset, claimed.deliveries)).collect()
    };
    let broker = hands.open(&directory);
    let mut offsets = Vec::new();
    for n in 0..6 {
        offsets.push(publish(&broker, &log, plain(n)).await);
    }
    broker.claim(&log, claim("a", 3, Duration::ZERO)).await.expect("claimed");
    broker.acknowledge(&log, &group, &offsets[..1]).await.expect("acknowledged");
    drop(broker);

    hands.shift(MINUTE);
    let broker = hands.open(&directory);
    let half_an_hour = Duration::from_secs(1800);
    let fresh = broker.claim(&log, claim("b", 1, half_an_hour)).await.expect("claimed");
    assert_eq!(given(fresh), [(offsets[3], 1)], "a has half an hour");
    let second_try = broker.claim(&log, claim("b", 10, Duration::from_secs(59))).await.expect("claimed");
    let expected = [(offsets[1], 2), (offsets[2], 2), (offsets[4], 1), (offsets[5], 1)];
    assert_eq!(given(second_try), expected, "time went on while the store was closed");
    drop(broker);

    let broker = hands.open(&directory);
    assert_eq!(broker.acknowledge(&log, &group, &offsets).await, Ok(5), "the first was settled before");
    drop(broker);
    let broker = hands.open(&directory);
    assert_eq!(broker.claim(&log, claim("c", 10, Duration::ZERO)).await, Ok(Vec::new()));
}

/// What a plain channel keeps for a day, and no longer.
const DAY: Retention = Retention { age: Some(Duration::from_secs(24 * 60 * 60)), ..Retention::PLAIN };

#[tokio::test]
async fn the_age_stays_and_what_it_took_stays_out() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let log = channel("log");
    let broker = hands.open(&directory);
    let first = publish(&broker, &log, plain(1).retained(DAY)).await;
    hands.shift(12 * HOUR);
    let second = publish(&broker, &log, plain(2).retained(DAY)).await;
    drop(broker);
    hands.shift(12 * HOUR);
    let broker = hands.open(&directory);
    assert_eq!(texts(&read(&broker, &log, Offset::ZERO).await.messages), ["1", "2"], "exactly a day old");
    hands.shift(1);
    let page = read(&broker, &log, Offset::ZERO).await;
    assert_eq!((texts(&page.messages), page.continuity), (vec!["2"], Continuity::Broken));
    assert_eq!(read(&broker, &log, first).await.continuity, Continuity::Proved);
    hands.shift(DAY_MS);
    let third = publish(&broker, &log, plain(3)).await;
    drop(broker);
    // The day is no rule any more, but what it took does not come back; not even under a clock that went back.
    hands.shift(-2 * DAY_MS);
    let broker = hands.open(&directory);
    for _ in 0..2 {
        let page = read(&broker, &log, second).await;
        assert_eq!((texts(&page.messages), page.continuity), (vec!["3"], Continuity::Proved));
        assert_eq!(read(&broker, &log, first).await.continuity, Continuity::Broken);
        hands.shift(10 * DAY_MS);
    }
    assert_eq!(read(&broker, &log, third).await.continuity, Continuity::Proved);
}

/// A large number of old messages is removed by several publishes, and none of them is seen meanwhile.
#[tokio::test]
async fn the_old_are_removed_from_the_file() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let log = channel("log");
    let broker = Arc::new(hands.open(&directory));
    let mut publishes = tokio::task::JoinSet::new();
    for n in 0..1_200 {
        let (broker, log) = (Arc::clone(&broker), log.clone());
        publishes.spawn(async move { publish(&broker, &log, plain(n).retained(DAY)).await });
    }
    publishes.join_all().await;
    hands.shift(DAY_MS + 1);
    let stored = || {
        let database = rusqlite::Connection::open(directory.path().join("inkwire.db")).expect("opened");
        let kept = "SELECT (SELECT count(*) FROM messages), (SELECT kept FROM channels)";
        database.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("read")
    };
    let mut expected = Vec::new();
    for (n, left) in [(0, 701), (1, 202), (2, 3), (3, 4)] {
        publish(&broker, &log, plain(n).retained(DAY)).await;
        expected.push(n.to_string());
        assert_eq!(texts(&read(&broker, &log, Offset::ZERO).await.messages), expected);
        assert_eq!(stored(), (left, left));
    }
    hands.shift(DAY_MS + 1);
    publish(&broker, &log, plain("last").retained(DAY)).await;
    assert_eq!(stored(), (1, 1));
}

#[tokio::test]
async fn offsets_grow_after_trimming_everything_under_a_clock_that_went_back() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let log = channel("log");
    let nothing = Retention { maximum: 0, ..Retention::PLAIN };
    let broker = hands.open(&directory);
    let mut last = Offset::ZERO;
    let mut cut = 0;
    for n in 0..300 {
        last = publish(&broker, &log, plain(n).retained(nothing)).await;
        cut += usize::from(read(&broker, &log, Offset::ZERO).await.messages.is_empty());
    }
    assert!(cut >= 2, "everything is trimmed from time to time");
    // Up to the moment at which nothing is left.
    while !read(&broker, &log, Offset::ZERO).await.messages.is_empty() {
        last = publish(&broker, &log, plain("more").retained(nothing)).await;
    }
    drop(broker);

    hands.shift(-HOUR);
    let broker = hands.open(&directory);
    let page = read(&broker, &log, last).await;
    assert_eq!((page.messages.len(), page.head, page.continuity), (0, last, Continuity::Proved));
    assert_eq!(read(&broker, &log, Offset::ZERO).await.continuity, Continuity::Broken);
    let next = publish(&broker, &log, plain("next")).await;
    assert!(next > last, "{next} after {last}");
    let page = read(&broker, &log, last).await;
    assert_eq!((page.messages[0].prev, page.continuity), (last, Continuity::Proved));
}

#[tokio::test]
async fn short_lived_channels_are_gone_and_their_offsets_are_not_used_again() {
    let (directory, hands) = (Scratch::new(), Hands::new());
    let room = channel("$room/a");
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_secs(60)), ..Retention::KEYED };
    let mut last = Offset::ZERO;
    for life in 0..4 {
        let broker = hands.open(&directory);
        assert_eq!(read(&broker, &room, Offset::ZERO).await.head, Offset::ZERO, "life {life}");
        for version in ["1", "2", "3"] {
            hands.shift(7_000);
            let next = publish(&broker, &room, keyed("a", version, State::Live).retained(brief)).await;
            assert!(next > last, "life {life}: {next} after {last}");
            last = next;
        }
        assert_eq!(read(&broker, &room, Offset::ZERO).await.messages.len(), 1);
        drop(broker);
        hands.shift(-HOUR);
    }
}

#[tokio::test]
async fn a_channel_is_durable_or_short_lived() {
    let directory = Scratch::new();
    let broker = directory.open();
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_millis(50)), ..Retention::PLAIN };
    let (kept, passing) = (channel("kept"), channel("passing"));
    publish(&broker, &kept, plain(1)).await;
    let answer = broker.publish(&kept, plain(2).retained(brief)).await;
    assert_eq!(answer, Err(Error::Kind("durable")));
    let before = publish(&broker, &passing, plain(1).retained(brief)).await;
    assert_eq!(broker.publish(&passing, plain(2)).await, Err(Error::Kind("short-lived")));
    while read(&broker, &passing, Offset::ZERO).await.head != Offset::ZERO {
        tokio::task::yield_now().await;
    }
    let after = publish(&broker, &passing, plain(3)).await;
    assert!(after > before, "free again, and no offset used twice");
}

#[tokio::test]
async fn a_directory_serves_one() {
    let directory = Scratch::new();
    let broker = directory.open();
    let second = Embedded::open(directory.options());
    assert!(matches!(second, Err(OpenError::Locked(_))), "{second:?}");
    drop(broker);
    directory.open();
}

#[tokio::test]
async fn strangers_are_refused_and_left_alone() {
    let text = b"this is not a database, and long enough to look at ".repeat(100);
    let other = other_database(|database| database.execute_batch("CREATE TABLE theirs (a)"));
    let marked = other_database(|database| {
        database.execute_batch("PRAGMA application_id = 77; PRAGMA user_version = 1; CREATE TABLE theirs (a)")
    });
    for content in [text, other, marked] {
        let directory = Scratch::new();
        let file = directory.path().join("inkwire.db");
        std::fs::write(&file, &content).expect("written");
        let opened = Embedded::open(directory.options());
        assert!(matches!(opened, Err(OpenError::Foreign(_))), "{opened:?}");
        assert!(std::fs::read(&file).expect("still there") == content, "the file was touched");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = Scratch::new();
    drop(directory.open());
    let file = directory.path().join("inkwire.db");
    let database = rusqlite::Connection::open(&file).expect("opened");
    database.pragma_update(None, "user_version", 99).expect("written");
    drop(database);
    let opened = Embedded::open(directory.options());
    assert!(matches!(&opened, Err(OpenError::Newer { found: 99, known: 3, .. })), "{opened:?}");
    let said = opened.expect_err("refused").to_string();
    assert!(said.contains("format 99"), "{said}");
}

/// As a store was before channels had an age.
#[tokio::test]
async fn a_store_of_format_1_goes_on() {
    let directory = Scratch::new();
    let (log, board) = (channel("log"), channel("board"));
    let broker = directory.open();
    let first = publish(&broker, &log, plain(1)).await;
    publish(&broker, &board, keyed("a", "1", State::Live)).await;
    drop(broker);
    let database = rusqlite::Connection::open(directory.path().join("inkwire.db")).expect("opened");
    database
        .execute_batch("ALTER TABLE channels DROP COLUMN age; PRAGMA user_version = 1")
        .expect("as it was");
    drop(database);

    for version in ["2", "3"] {
        let broker = directory.open();
        publish(&broker, &log, plain(version).retained(DAY)).await;
        publish(&broker, &board, keyed("a", version, State::Live)).await;
    }
    let broker = directory.open();
    let page = read(&broker, &log, first).await;
    assert_eq!((texts(&page.messages), page.continuity), (vec!["2", "3"], Continuity::Proved));
    assert_eq!(texts(&read(&broker, &board, Offset::ZERO).await.messages), ["a=3"]);
}

/// As a store was before messages could say who published them: such messages were as they are now.
#[tokio::test]
async fn a_store_of_format_2_goes_on() {
    let directory = Scratch::new();
    let (log, file) = (channel("log"), directory.path().join("inkwire.db"));
    publish(&directory.open(), &log, plain(1)).await;
    let database = rusqlite::Connection::open(&file).expect("opened");
    database.pragma_update(None, "user_version", 2).expect("as it was");
    drop(database);

    publish(&directory.open(), &log, plain(2).named(UserId::new("ann").expect("an id"))).await;
    let database = rusqlite::Connection::open(&file).expect("opened");
    let format: i32 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("marked");
    assert_eq!(format, 3, "an older program would take a named message for damaged");
    drop(database);
    let page = read(&directory.open(), &log, Offset::ZERO).await;
    assert_eq!((texts(&page.messages), page.continuity), (vec!["1", "2"], Continuity::Proved));
}

fn other_database(fill: impl Fn(&rusqlite::Connection) -> rusqlite::Result<()>) -> Vec<u8> {
    let directory = Scratch::new();
    let file = directory.path().join("other.db");
    let database = rusqlite::Connection::open(&file).expect("opened");
    fill(&database).expect("filled");
    drop(database);
    std::fs::read(file).expect("read")
}

#[tokio::test]
async fn a_full_store_says_so_and_is_read_on() {
    let directory = Scratch::new();
    let options = EmbeddedOptions { maximum_bytes: Some(400 << 10), ..directory.options() };
    let broker = Embedded::open(options).expect("the store opens");
    let (log, text) = (channel("log"), "x".repeat(10_000));
    let mut answered = Vec::new();
    let refused = loop {
        match broker.publish(&log, plain(&text)).await {
            Ok(published) => answered.push(published.offset()),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, Error::Unavailable(said) if said.contains("full")), "{refused:?}");
    let page = read(&broker, &log, Offset::ZERO).await;
    assert_eq!(page.messages.iter().map(|message| message.offset).collect::<Vec<_>>(), answered);
    drop(broker);

    // With more room it goes on where it was.
    let broker = directory.open();
    publish(&broker, &log, Draft::plain(body("next"))).await;
    let page = read(&broker, &log, Offset::ZERO).await;
    assert_eq!(page.messages.len(), answered.len() + 1);
    assert_chain(&page.messages);
}

/// What was undone has left no trace: those that share a transaction with one that finds no room are refused with it,
/// and those that come later go on from the last that stands.
#[tokio::test]
async fn a_transaction_is_undone_as_a_whole() {
    let directory = Scratch::new();
    let options = EmbeddedOptions { maximum_bytes: Some(400 << 10), ..directory.options() };
    let broker = Arc::new(Embedded::open(options).expect("the store opens"));
    let log = channel("log");
    let mut refused = 0;
    let mut answered = Vec::new();
    for _ in 0..10 {
        let mut publishes = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (broker, log) = (Arc::clone(&broker), log.clone());
            let text = if n % 7 == 6 { "x".repeat(30_000) } else { "small".into() };
            publishes.spawn(async move { broker.publish(&log, plain(text)).await });
        }
        for answer in publishes.join_all().await {
            match answer {
                Ok(published) => answered.push(published.offset()),
                Err(_) => refused += 1,
            }
        }
    }
    answered.sort_unstable();
    assert!(refused >= 10, "{refused} refused");
    answered.push(publish(&broker, &log, plain("small")).await);
    let page = read(&broker, &log, Offset::ZERO).await;
    assert_chain(&page.messages);
    assert_eq!(page.messages.iter().map(|message| message.offset).collect::<Vec<_>>(), answered);
}

#[tokio::test]
async fn a_damaged_file_is_read_where_it_can_be() {
    let directory = Scratch::new();
    let broker = directory.open();
    let channels: Vec<_> = (0..20).map(|n| channel(&format!("c{n}"))).collect();
    for log in &channels {
        for n in 0..60 {
            publish(&broker, log, plain(format!("{n} {}", "y".repeat(200)))).await;
        }
    }
    drop(broker);
    let file = directory.path().join("inkwire.db");
    let mut content = std::fs::read(&file).expect("read");
    let at = content.len() * 3 / 4;
    content[at..at + 6].fill(0x5a);
    std::fs::write(&file, &content).expect("written");

    let broker = directory.open();
    let (mut whole, mut unreadable) = (0, 0);
    for log in &channels {
        match broker.read(log, Offset::ZERO, 1_000).await {
            Ok(page) => {
                assert_eq!(page.messages.len(), 60);
                assert_chain(&page.messages);
                whole += 1;
            }
            Err(Error::Unavailable(_)) => unreadable += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(whole >= 18 && unreadable >= 1, "{whole} whole, {unreadable} unreadable");

    drop(broker);
    content[100..4096].fill(0x5a);
    std::fs::write(&file, &content).expect("written");
    let opened = Embedded::open(directory.options());
    assert!(matches!(opened, Err(OpenError::Damaged { .. } | OpenError::Foreign(_))), "{opened:?}");
}
