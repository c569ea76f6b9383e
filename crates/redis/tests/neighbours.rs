//! Other programs at the same Redis, with plain commands: what they find is what `PROTOCOL.md` says, and what they add
//! arrives.
//!
//! Breakages that were made on purpose, each of which fails at least one test here or in the suite: what others added is not
//! announced; the oldest of theirs claims to be the first; an age of before ignored; an expired channel that begins behind
//! nothing; nothing unsubscribed; one audience for all databases; a busy producer forgotten; numbers of producers compared
//! as doubles; a search for silent consumers that begins at the beginning each time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use inkwire_core::{
    Broker, Claim, ConsumerName, Continuity, Draft, Error, Event, GroupName, Hub, HubOptions, Key, Keyed,
    Lifetime, Message, Offset, Producer, ProducerId, Published, Retention, Start, State, UserId, Version,
};
use inkwire_redis::{OptionError, Redis, RedisOptions};
use redis::aio::MultiplexedConnection;
use support::{Server, body, channel, publish, texts};
use tokio::time::timeout;

/// What has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the hubs of these tests look for what nobody announced.
const CHECK: Duration = Duration::from_secs(1);

/// An entry as any client library shows it.
type Entry = (String, Vec<String>);

async fn ask<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, command: &str) -> T {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    for word in words {
        cmd.arg(word);
    }
    cmd.query_async(connection).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

async fn add(connection: &mut MultiplexedConnection, name: &str, text: &str) -> Offset {
    ask::<String>(connection, &format!("XADD inkwire:{{{name}}} * text {text}")).await.parse().unwrap()
}

fn keyed(key: &str, version: &str, state: State) -> Draft {
    let keyed = Keyed { key: Key::new(key).unwrap(), version: Version::new(version).unwrap(), state };
    Draft::keyed(body(format!("{key}={version}")), keyed)
}

fn assert_chain(messages: &[Arc<Message>]) {
    assert!(messages.is_sorted_by(|a, b| a.offset == b.prev && a.offset < b.offset), "{messages:?}");
}

#[tokio::test]
async fn a_stream_is_what_the_protocol_says() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let first = publish(&broker, &channel("log:a"), "one").await;
    let second = publish(&broker, &channel("log:a"), "two").await;
    let entries: Vec<Entry> = ask(&mut stranger, "XRANGE inkwire:{log:a} - +").await;
    let expected = |id: Offset, prev: Offset, text: &str| {
        (id.to_string(), ["@prev", &prev.to_string(), "text", text].map(str::to_owned).to_vec())
    };
    assert_eq!(entries, [expected(first, Offset::ZERO, "one"), expected(second, first, "two")]);

    let offset =
        broker.publish(&channel("board:a"), keyed("k", "1", State::Tombstone)).await.unwrap().offset();
    let entries: Vec<Entry> = ask(&mut stranger, "XRANGE inkwire:{board:a} - +").await;
    let texts = ["@prev", "0-0", "@key", "k", "@version", "1", "@deleted", "true", "text", "k=1"];
    assert_eq!(entries, [(offset.to_string(), texts.map(str::to_owned).to_vec())]);

    let named = keyed("k", "2", State::Live).named(UserId::new("ann").unwrap());
    let second = broker.publish(&channel("board:a"), named).await.unwrap().offset();
    let entries: Vec<Entry> = ask(&mut stranger, "XRANGE inkwire:{board:a} - +").await;
    let prev = offset.to_string();
    let texts = ["@prev", &prev, "@key", "k", "@version", "2", "@user", "ann", "text", "k=2"];
    assert_eq!(entries, [(second.to_string(), texts.map(str::to_owned).to_vec())]);

    let mut keys: Vec<String> = ask(&mut stranger, "KEYS *").await;
    keys.sort();
    let all = ["inkwire:{board:a}", "inkwire:{board:a}:state", "inkwire:{log:a}", "inkwire:{log:a}:state"];
    assert_eq!(keys, all);
}

#[tokio::test]
async fn what_another_program_adds_arrives_within_the_check_and_is_no_gap() {
    let server = Server::start();
    let hub = Hub::new(Arc::new(server.broker()), HubOptions { check: CHECK, reads: 4 });
    let mut stranger = server.stranger().await;
    let name = channel("mixed");
    let (mut reader, _) = hub.subscribe(&name, Start::Beginning, Arc::default()).await.unwrap();
    let mut seen: Vec<Arc<Message>> = Vec::new();
    let mut expected = Vec::new();
    // Theirs first, theirs after ours, ours after theirs, several at once.
    for (n, ours) in [false, true, false, false, true, true, false].into_iter().enumerate() {
        expected.push(if ours {
            hub.publish(&name, Draft::plain(body(n))).await.unwrap().offset()
        } else {
            add(&mut stranger, "mixed", &n.to_string()).await
        });
        if n == 3 {
            continue;
        }
        let began = Instant::now();
        while seen.last().map(|message| message.offset) != expected.last().copied() {
            match timeout(PATIENCE, reader.next()).await.expect("it arrives") {
                Event::Messages(messages) => {
                    seen.extend(messages.iter().map(|delivery| Arc::clone(delivery.message())));
                }
                gap => panic!("nothing is missing, but {gap:?}"),
            }
        }
        assert!(began.elapsed() < CHECK * 2, "{:?}", began.elapsed());
    }
    assert_eq!(seen.iter().map(|message| message.offset).collect::<Vec<_>>(), expected);
    assert_chain(&seen);
    assert_eq!(seen[0].prev, Offset::ZERO);
    let page = hub.read(&name, Offset::ZERO, 100).await.unwrap();
    assert_eq!(page.messages, seen, "announced and read, they are the same");
    for message in &seen {
        let page = hub.read(&name, message.prev, 0).await.unwrap();
        assert_eq!(page.continuity, Continuity::Proved, "{}", message.offset);
    }
}

#[tokio::test]
async fn whoever_looks_first_announces_what_another_program_added() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let name = channel("looked");
    let mut tail = broker.tail(&name).await.unwrap();
    let first = publish(&broker, &name, 1).await;
    let second = add(&mut stranger, "looked", "2").await;
    assert_eq!(broker.read(&name, Offset::ZERO, 0).await.unwrap().head, second);
    let third = add(&mut stranger, "looked", "3").await;
    let fourth = publish(&broker, &name, 4).await;
    let fifth = add(&mut stranger, "looked", "5").await;
    let group = GroupName::new("g").unwrap();
    broker.claim(&name, Claim::new(group, ConsumerName::new("c").unwrap(), 1)).await.unwrap();
    let mut prev = Offset::ZERO;
    for offset in [first, second, third, fourth, fifth] {
        let message = timeout(PATIENCE, tail.next()).await.expect("it is announced").unwrap();
        assert_eq!((message.offset, message.prev), (offset, prev));
        prev = offset;
    }
}

#[tokio::test]
async fn a_message_of_others_whose_predecessor_is_gone_continues_nothing() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let first = publish(&broker, &channel("cut"), 1).await;
    add(&mut stranger, "cut", "2").await;
    let page = broker.read(&channel("cut"), first, 10).await.unwrap();
    assert_eq!(page.continuity, Continuity::Proved);
    let _: i64 = ask(&mut stranger, "XTRIM inkwire:{cut} MAXLEN 1").await;
    for cursor in [Offset::ZERO, first] {
        let page = broker.read(&channel("cut"), cursor, 10).await.unwrap();
        assert_eq!((texts(&page.messages), page.continuity), (vec!["2".to_owned()], Continuity::Broken));
    }
}

#[tokio::test]
async fn a_worker_in_any_language_shares_a_group() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let name = channel("jobs");
    let group = GroupName::new("workers").unwrap();
    let claim = |count| Claim {
        min_idle: Duration::from_secs(3600),
        ..Claim::new(group.clone(), ConsumerName::new("ours").unwrap(), count)
    };
    let mut offsets = Vec::new();
    for n in 0..6 {
        offsets.push(publish(&broker, &name, n).await);
    }
    let ours = broker.claim(&name, claim(2)).await.unwrap();
    let read = "XREADGROUP GROUP workers theirs COUNT 3 STREAMS inkwire:{jobs} >";
    let theirs: Vec<(String, Vec<Entry>)> = ask(&mut stranger, read).await;
    let rest = broker.claim(&name, claim(10)).await.unwrap();
    let given = |claimed: &[inkwire_core::Claimed]| -> Vec<Offset> {
        claimed.iter().map(|claimed| claimed.message.offset).collect()
    };
    assert_eq!(given(&ours), offsets[..2]);
    let theirs: Vec<Offset> = theirs[0].1.iter().map(|(id, _)| id.parse().unwrap()).collect();
    assert_eq!(theirs, offsets[2..5]);
    assert_eq!(given(&rest), offsets[5..]);

    // Each may settle what the other holds, and take over what the other left.
    let settled: i64 = ask(&mut stranger, &format!("XACK inkwire:{{jobs}} workers {}", offsets[0])).await;
    assert_eq!(settled, 1);
    assert_eq!(broker.acknowledge(&name, &group, &offsets[..3]).await.unwrap(), 2);
    let relieved = broker.claim(&name, Claim { min_idle: Duration::ZERO, ..claim(10) }).await.unwrap();
    let counted: Vec<_> =
        relieved.iter().map(|claimed| (claimed.message.offset, claimed.deliveries)).collect();
    assert_eq!(counted, [(offsets[3], 2), (offsets[4], 2), (offsets[5], 2)]);
    let pending: (i64, String, String, Vec<(String, String)>) =
        ask(&mut stranger, "XPENDING inkwire:{jobs} workers").await;
    assert_eq!((pending.0, pending.3), (3, vec![("ours".to_owned(), "3".to_owned())]));
}

#[tokio::test]
async fn many_held_messages_are_found_over_several_claims() {
    let server = Server::start();
    let broker = server.broker();
    let name = channel("held");
    let claim = |count, idle| Claim {
        min_idle: idle,
        ..Claim::new(GroupName::new("g").unwrap(), ConsumerName::new("c").unwrap(), count)
    };
    join_all((0..450).map(|n| broker.publish(&name, Draft::plain(body(n))))).await;
    let hour = Duration::from_secs(3600);
    assert_eq!(broker.claim(&name, claim(450, hour)).await.unwrap().len(), 450);
    // Of these only the last is silent for long.
    let mut stranger = server.stranger().await;
    let page = broker.read(&name, Offset::ZERO, 1_000).await.unwrap();
    let last = page.head;
    let _: Vec<String> =
        ask(&mut stranger, &format!("XCLAIM inkwire:{{held}} g c 0 {last} IDLE 7200000 JUSTID")).await;
    let mut found = Vec::new();
    for _ in 0..10 {
        found.extend(broker.claim(&name, claim(1, hour)).await.unwrap());
    }
    assert_eq!(found.iter().map(|claimed| claimed.message.offset).collect::<Vec<_>>(), [last]);
}

#[tokio::test]
async fn publishers_on_two_nodes_make_one_chain() {
    let server = Server::start();
    let (one, two) = (Arc::new(server.broker()), Arc::new(server.broker()));
    let name = channel("chain");
    let mut tail = one.tail(&name).await.unwrap();
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..8 {
        let broker = Arc::clone(if publisher % 2 == 0 { &one } else { &two });
        let name = name.clone();
        publishers.spawn(async move {
            for n in 0..100 {
                publish(&*broker, &name, format!("{publisher}.{n}")).await;
            }
        });
    }
    let mut heard = Vec::new();
    while heard.len() < 800 {
        heard.push(tail.next().await.expect("the tail goes on"));
    }
    publishers.join_all().await;
    assert_chain(&heard);
    assert_eq!(two.read(&name, Offset::ZERO, 1_000).await.unwrap().messages, heard);
}

#[tokio::test]
async fn publishes_are_carried_out_in_the_order_in_which_they_are_begun() {
    let server = Server::start();
    let broker = server.broker();
    let name = channel("pipelined");
    let large = "x".repeat(10_000);
    let drafts = (0..2_000).map(|n| {
        let text = if n % 7 == 0 { format!("{n} {large}") } else { n.to_string() };
        broker.publish(&name, Draft::plain(body(text)))
    });
    let answers = join_all(drafts).await;
    let offsets: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().offset()).collect();
    assert!(offsets.is_sorted());
    assert_chain(&broker.read(&name, Offset::ZERO, 10_000).await.unwrap().messages);
}

#[tokio::test]
async fn what_was_submitted_is_carried_out_though_nobody_waits() {
    let server = Server::start();
    let broker = server.broker();
    let name = channel("submitted");
    for n in 0..100 {
        drop(broker.submit(&name, Draft::plain(body(n))).await.unwrap());
    }
    publish(&broker, &name, 100).await;
    let page = broker.read(&name, Offset::ZERO, 1_000).await.unwrap();
    assert_eq!(texts(&page.messages), (0..=100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn offsets_never_go_back_even_behind_a_clock_that_ran_ahead() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let future = "9000000000000-7";
    let _: String = ask(&mut stranger, &format!("XADD inkwire:{{ahead}} {future} text x")).await;
    let offset = publish(&broker, &channel("ahead"), 1).await;
    assert_eq!(offset.to_string(), "9000000000000-8");
    let page = broker.read(&channel("ahead"), future.parse().unwrap(), 10).await.unwrap();
    assert_eq!((texts(&page.messages), page.continuity), (vec!["1".to_owned()], Continuity::Proved));
    let end = Offset { ms: u64::MAX, seq: u64::MAX };
    assert_eq!(broker.read(&channel("ahead"), end, 10).await.unwrap().continuity, Continuity::Broken);
}

#[tokio::test]
async fn an_expired_channel_begins_behind_its_earlier_life_and_leaves_nothing_for_ever() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let name = channel("brief");
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_millis(50)), ..Retention::PLAIN };
    let draft = || Draft::plain(body(1)).retained(brief);
    let first = broker.publish(&name, draft()).await.unwrap().offset();
    for key in ["inkwire:{brief}", "inkwire:{brief}:state"] {
        let ttl: i64 = ask(&mut stranger, &format!("PTTL {key}")).await;
        assert!((1..=60_050).contains(&ttl), "{key} {ttl}");
    }
    while broker.read(&name, Offset::ZERO, 0).await.unwrap().head != Offset::ZERO {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A clock that went back would give the new life the old one's offsets.
    let ahead = format!("{}-5", first.ms + 3_600_000);
    let _: i64 = ask(&mut stranger, &format!("HSET inkwire:{{brief}}:state head {ahead}")).await;
    let second = broker.publish(&name, draft()).await.unwrap().offset();
    assert!(second > ahead.parse().unwrap());
    let page = broker.read(&name, Offset::ZERO, 10).await.unwrap();
    assert_eq!((page.messages.len(), page.messages[0].prev), (1, Offset::ZERO));
    assert_eq!(broker.read(&name, first, 10).await.unwrap().continuity, Continuity::Broken);

    let kept = Draft::plain(body(2));
    broker.publish(&name, kept).await.unwrap();
    let ttl: i64 = ask(&mut stranger, "PTTL inkwire:{brief}").await;
    assert_eq!(ttl, -1, "a channel that is kept from now on");
}

#[tokio::test]
async fn producers_are_forgotten_after_five_minutes_of_silence_only() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let name = channel("producers");
    let publish = async |id: &str, seq: u64| {
        let producer = Producer { id: ProducerId::new(id).unwrap(), seq };
        broker.publish(&name, Draft::plain(body(seq)).by(producer)).await.unwrap()
    };
    let known = async |stranger: &mut MultiplexedConnection| {
        let fields: Vec<String> = ask(stranger, "HKEYS inkwire:{producers}:state").await;
        let mut ids: Vec<_> =
            fields.iter().filter_map(|field| field.strip_prefix("p:")).map(String::from).collect();
        ids.sort();
        (ids, fields.iter().filter(|field| field.starts_with('q') && !field.contains(':')).count())
    };
    publish("silent", u64::MAX - 1).await;
    assert!(matches!(publish("silent", u64::MAX).await, Published::Appended(_)), "seq has 64 bits");
    publish("busy", 9).await;
    assert!(matches!(publish("silent", u64::MAX - 1).await, Published::Duplicate(_)));
    // Six minutes go by for both; only one of them has said something since.
    let state: HashMap<String, String> = ask(&mut stranger, "HGETALL inkwire:{producers}:state").await;
    for (field, value) in state {
        let aged = |ms: &str| (ms.parse::<u64>().unwrap() - 360_000).to_string();
        if field == "p:silent" {
            let (rest, ms) = value.rsplit_once(' ').unwrap();
            let mut set = redis::cmd("HSET");
            set.arg("inkwire:{producers}:state").arg(&field).arg(format!("{rest} {}", aged(ms)));
            set.exec_async(&mut stranger).await.unwrap();
        } else if field.starts_with('q') && !field.contains(':') {
            let (ms, id) = value.split_once(' ').unwrap();
            let mut set = redis::cmd("HSET");
            set.arg("inkwire:{producers}:state").arg(&field).arg(format!("{} {id}", aged(ms)));
            set.exec_async(&mut stranger).await.unwrap();
        }
    }
    publish("third", 1).await;
    assert_eq!(known(&mut stranger).await, (vec!["busy".to_owned(), "third".to_owned()], 2));
    assert!(matches!(publish("busy", 9).await, Published::Duplicate(_)));
    assert!(matches!(publish("silent", 1).await, Published::Appended(_)));
}

#[tokio::test]
async fn a_replaced_tombstone_is_not_collected_and_leaves_the_queue() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let name = channel("board");
    let at_once = Retention { tombstones: Duration::ZERO, ..Retention::KEYED };
    let later = Retention::KEYED;
    let publish = async |key: &str, version: &str, state, retention| {
        broker.publish(&name, keyed(key, version, state).retained(retention)).await.unwrap().offset()
    };
    publish("a", "1", State::Tombstone, later).await;
    publish("a", "2", State::Live, later).await;
    let cursor = publish("b", "1", State::Live, later).await;
    // Its time is over at once: it is collected by the publish that brings it.
    publish("b", "2", State::Tombstone, at_once).await;
    let page = broker.read(&name, Offset::ZERO, 10).await.unwrap();
    // The first one still stands before it in the queue, and is not due for a day.
    assert_eq!(texts(&page.messages), ["a=2", "b=2"]);
    assert_eq!(broker.read(&name, cursor, 10).await.unwrap().continuity, Continuity::Proved);
    let queue: Vec<String> = ask(&mut stranger, "HMGET inkwire:{board}:state t:next t1 t2").await;
    assert_eq!(queue[0], "2");
    assert!(queue[1].ends_with(" a") && queue[2].ends_with(" b"));
}

#[tokio::test]
async fn databases_and_prefixes_hear_nothing_of_each_other() {
    let server = Server::start();
    let options = |path: &str, prefix: &str| RedisOptions {
        prefix: prefix.to_owned(),
        ..RedisOptions::new(format!("{}{path}", server.url()).parse().unwrap())
    };
    let name = channel("a");
    let brokers = [options("", "inkwire:"), options("/1", "inkwire:"), options("", "other:")]
        .map(|options| Redis::new(options).unwrap());
    let mut tails = Vec::new();
    for broker in &brokers {
        tails.push(broker.tail(&name).await.unwrap());
    }
    for (n, broker) in brokers.iter().enumerate() {
        publish(broker, &name, n).await;
    }
    for (n, tail) in tails.iter_mut().enumerate() {
        let message = tail.next().await.unwrap();
        assert_eq!((texts([&message]), message.prev), (vec![n.to_string()], Offset::ZERO));
    }
    let braces = Redis::new(options("", "a{b}"));
    assert_eq!(braces.unwrap_err(), OptionError::Prefix("a{b}".into()));
}

#[tokio::test]
async fn somebody_elses_announcement_ends_the_tail() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let mut tail = broker.tail(&channel("a")).await.unwrap();
    let heard: i64 = ask(&mut stranger, "PUBLISH inkwire:{a} hello").await;
    assert_eq!(heard, 1);
    assert_eq!(timeout(PATIENCE, tail.next()).await.unwrap(), None);
}

#[tokio::test]
async fn nobody_listening_is_nothing_subscribed() {
    let server = Server::start();
    let broker = server.broker();
    let mut stranger = server.stranger().await;
    let tail = broker.tail(&channel("a")).await.unwrap();
    let others: Vec<_> = (0..200).map(|n| channel(&format!("silent:{n}"))).collect();
    let tails = join_all(others.iter().map(|name| broker.tail(name))).await;
    assert_eq!(ask::<Vec<String>>(&mut stranger, "PUBSUB CHANNELS *").await.len(), 201);
    drop(tail);
    publish(&broker, &channel("a"), 1).await;
    drop(tails);
    for n in 0..500 {
        drop(broker.tail(&channel(&format!("more:{n}"))).await.unwrap());
    }
    timeout(PATIENCE, async {
        while ask::<Vec<String>>(&mut stranger, "PUBSUB CHANNELS *").await.len() > 300 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("what fell silent is let go");
    let mut tail = broker.tail(&channel("a")).await.unwrap();
    let offset = publish(&broker, &channel("a"), 2).await;
    assert_eq!(tail.next().await.unwrap().offset, offset);
}

#[tokio::test]
async fn a_message_of_too_many_fields_is_refused() {
    let server = Server::start();
    let broker = server.broker();
    let fields = |count: usize| {
        let field = |n: usize| (inkwire_core::FieldName::new(format!("f{n}")).unwrap(), Box::from("x"));
        Draft::plain(inkwire_core::Fields::new((0..count).map(field)).unwrap())
    };
    let name = channel("wide");
    let mut tail = broker.tail(&name).await.unwrap();
    assert!(matches!(broker.publish(&name, fields(3_900)).await, Ok(Published::Appended(_))));
    assert_eq!(tail.next().await.unwrap().fields.iter().count(), 3_900);
    assert!(matches!(broker.publish(&name, fields(3_901)).await, Err(Error::Unavailable(_))));
}
