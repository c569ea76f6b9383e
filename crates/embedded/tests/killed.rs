//! A process that is killed at any moment loses nothing that it had answered, and invents nothing.
//!
//! The child is this very test binary, started again with [`CHILD`] set. `INKWIRE_ROUNDS` says how often it is killed
//! (10), `INKWIRE_SEED` where the dice begin.
//!
//! What SIGKILL cannot show, an answer that comes shortly before its commit, is found by the broker suite: an answered
//! message can be read at once.

#![allow(clippy::indexing_slicing, reason = "these are tests: a panic is a finding")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use inkwire_core::{ChannelName, Continuity, Draft, Offset, Retention, State};
use inkwire_embedded::Embedded;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{Scratch, assert_chain, channel, keyed, plain, publish, read, texts};

/// Set for the child: the directory of the test.
const CHILD: &str = "INKWIRE_KILLED_CHILD";
/// A child that has answered nothing by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
const PUBLISHERS: u32 = 16;
/// Messages kept in the trimmed channel, whose texts are long, so that the WAL is carried over now and then.
const TRIMMED_TO: usize = 300;
const LONG: usize = 40 << 10;

/// What a child does until it is killed; as a test of its own it does nothing.
#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let directory = Path::new(&directory);
    let life = fs::read_to_string(directory.join("life")).expect("the parent says which life this is");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let answered = File::options().create(true).append(true).open(directory.join("answered"));
    let answered = Arc::new(Mutex::new(answered.expect("a file for the answers")));
    let broker = support::store(directory);
    runtime.block_on(async {
        let broker = Arc::new(broker);
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let prefix = format!("{life}.{publisher}");
            publishers.spawn(publish_for_ever(Arc::clone(&broker), Arc::clone(&answered), prefix, publisher));
        }
        publishers.join_all().await;
    });
}

async fn publish_for_ever(broker: Arc<Embedded>, answered: Arc<Mutex<File>>, prefix: String, publisher: u32) {
    for n in 0.. {
        let text = format!("{prefix}.{n}");
        let (name, draft) = match publisher % 4 {
            0 | 1 => ("plain", plain(&text).retained(Retention { maximum: usize::MAX, ..Retention::PLAIN })),
            2 => {
                let few = Retention { maximum: TRIMMED_TO, ..Retention::PLAIN };
                ("trimmed", plain(format!("{text} {}", "z".repeat(LONG))).retained(few))
            }
            _ => ("keyed", upsert(&prefix, publisher, n)),
        };
        let offset = publish(&broker, &channel(name), draft).await;
        // One write per line: a line is there as a whole or not at all.
        let line = format!("{name} {offset} {text}\n");
        answered.lock().expect("nobody panics").write_all(line.as_bytes()).expect("written");
    }
}

/// Versions that grow over all lives.
fn upsert(prefix: &str, publisher: u32, n: u64) -> Draft {
    let life: u64 =
        prefix.split('.').next().and_then(|life| life.parse().ok()).expect("the life comes first");
    keyed(&format!("{publisher}.{}", n % 10), &format!("{life:06}.{n:09}"), State::Live)
}

/// What was answered, in all lives.
#[derive(Default)]
struct Answered {
    by_channel: HashMap<String, BTreeMap<Offset, String>>,
    bytes_read: usize,
}

impl Answered {
    /// Takes what a life has added; an offset that was answered before must not be answered again.
    fn learn(&mut self, directory: &Path) -> usize {
        let content = fs::read_to_string(directory.join("answered")).unwrap_or_default();
        let mut lines = 0;
        for line in content[self.bytes_read..].lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            let offset = parts[1].parse().expect("an offset");
            let before = self.by_channel.entry(parts[0].into()).or_default().insert(offset, parts[2].into());
            assert_eq!(before, None, "offset {offset} of {} was used twice", parts[0]);
            lines += 1;
        }
        self.bytes_read = content.len();
        lines
    }

    fn of(&self, channel: &ChannelName) -> BTreeMap<Offset, String> {
        self.by_channel.get(channel.as_str()).cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn nothing_answered_is_lost() {
    let rounds = number_from("INKWIRE_ROUNDS").unwrap_or(10);
    let seed = number_from("INKWIRE_SEED").unwrap_or(1);
    let mut dice = StdRng::seed_from_u64(seed);
    let directory = Scratch::new();
    let mut answered = Answered::default();
    let mut total = 0;
    for round in 0..rounds {
        fs::write(directory.path().join("life"), round.to_string()).expect("written");
        let mut child = start_child(directory.path());
        let early = dice.random_ratio(1, 5);
        if !early {
            wait_for_answers(&mut child, directory.path(), answered.bytes_read);
        }
        std::thread::sleep(Duration::from_micros(dice.random_range(0..400_000)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        total += answered.learn(directory.path());
        let broker = support::store(directory.path());
        check(&broker, &answered, &format!("seed {seed}, round {round}")).await;
    }
    println!("{total} publishes answered in {rounds} lives, all of them there");
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

fn start_child(directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts")
}

fn wait_for_answers(child: &mut Child, directory: &Path, beyond: usize) {
    let started = Instant::now();
    let grown = || fs::metadata(directory.join("answered")).is_ok_and(|file| file.len() > beyond as u64);
    while !grown() {
        assert!(started.elapsed() < PATIENCE, "the child answers nothing");
        assert!(child.try_wait().expect("a child").is_none(), "the child ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn check(broker: &Embedded, answered: &Answered, when: &str) {
    let log = channel("plain");
    let page = read(broker, &log, Offset::ZERO).await;
    assert_eq!(page.continuity, Continuity::Proved, "{when}");
    assert_chain(&page.messages);
    assert_eq!(page.head, page.messages.last().map_or(Offset::ZERO, |message| message.offset), "{when}");
    let standing: BTreeMap<Offset, &str> = page
        .messages
        .iter()
        .zip(texts(&page.messages))
        .map(|(message, text)| (message.offset, text))
        .collect();
    for (offset, text) in answered.of(&log) {
        assert_eq!(standing.get(&offset), Some(&text.as_str()), "{when}: answered at {offset}");
    }
    assert_each_publishers_order(standing.values().copied(), when);

    let trimmed = channel("trimmed");
    let page = read(broker, &trimmed, Offset::ZERO).await;
    assert_chain(&page.messages);
    let answers = answered.of(&trimmed);
    assert!(page.messages.len() >= answers.len().min(TRIMMED_TO), "{when}: too few kept");
    assert!(page.messages.len() <= TRIMMED_TO + Retention::SLACK, "{when}: too many kept");
    let standing: BTreeMap<Offset, &str> = page
        .messages
        .iter()
        .zip(texts(&page.messages))
        .map(|(message, text)| (message.offset, text.split(' ').next().unwrap_or_default()))
        .collect();
    if let Some(oldest) = standing.keys().next() {
        for (offset, text) in answers.range(oldest..) {
            assert_eq!(standing.get(offset), Some(&text.as_str()), "{when}: answered at {offset}");
        }
    }

    check_keyed(broker, answered, when).await;
}

/// Each key stands at least at the version that was answered last.
async fn check_keyed(broker: &Embedded, answered: &Answered, when: &str) {
    let board = channel("keyed");
    let page = read(broker, &board, Offset::ZERO).await;
    let mut standing = HashMap::new();
    for message in &page.messages {
        let keyed = message.keyed.as_ref().expect("a keyed message");
        let twice = standing.insert(keyed.key.to_string(), (keyed.version.to_string(), message.offset));
        assert_eq!(twice, None, "{when}: one message to a key");
        assert_eq!(message.fields.get("text"), Some(&*format!("{}={}", keyed.key, keyed.version)), "{when}");
    }
    for (offset, text) in answered.of(&board) {
        let parts: Vec<u64> = text.split('.').map(|part| part.parse().expect("a number")).collect();
        let (key, version) =
            (format!("{}.{}", parts[1], parts[2] % 10), format!("{:06}.{:09}", parts[0], parts[2]));
        let (found, at) = standing.get(&key).unwrap_or_else(|| panic!("{when}: {key} is gone"));
        assert!(*found >= version && *at >= offset, "{when}: {key} fell back to {found} at {at}");
    }
}

/// Texts are `life.publisher.n`: each publisher's n grow by one in each life, so nothing is doubled or invented.
fn assert_each_publishers_order<'a>(texts: impl Iterator<Item = &'a str>, when: &str) {
    let mut next: HashMap<&str, u64> = HashMap::new();
    for text in texts {
        let (publisher, n) = text.rsplit_once('.').expect("life.publisher.n");
        let next = next.entry(publisher).or_default();
        assert_eq!(n.parse(), Ok(*next), "{when}: {text}");
        *next += 1;
    }
}

/// The WAL may lose its tail to a power cut on a disk that lies: what is left is a beginning of what was published.
#[tokio::test]
async fn a_torn_tail_leaves_a_beginning() {
    const MESSAGES: usize = 60;
    let source = Scratch::new();
    let (log, mut expected) = (channel("log"), Vec::new());
    let broker = source.open();
    for n in 0..MESSAGES {
        expected.push(format!("{n} {}", "w".repeat(100)));
        publish(&broker, &log, plain(&expected[n])).await;
    }
    let database = fs::read(source.path().join("inkwire.db")).expect("read");
    let wal = fs::read(source.path().join("inkwire.db-wal")).expect("the WAL has not been carried over yet");
    drop(broker);

    let frame = 24 + 4096;
    let mut dice = StdRng::seed_from_u64(7);
    let mut lengths = Vec::new();
    for case in 0..240 {
        // Every step of the last pages, and a few places anywhere.
        let back = if case < 200 { 1 + case * (4 * frame) / 200 } else { dice.random_range(1..wal.len()) };
        let at = wal.len() - back;
        let mut torn = wal.clone();
        match case % 4 {
            0 => torn.truncate(at),
            1 => torn[at..].fill(0),
            2 => torn[at] ^= 1 << dice.random_range(0..8),
            _ => torn[at..(at + 64).min(wal.len())].iter_mut().for_each(|byte| *byte = dice.random()),
        }
        let copy = Scratch::new();
        fs::write(copy.path().join("inkwire.db"), &database).expect("written");
        fs::write(copy.path().join("inkwire.db-wal"), &torn).expect("written");
        let broker = copy.open();
        let page = read(&broker, &log, Offset::ZERO).await;
        assert_chain(&page.messages);
        assert_eq!(
            texts(&page.messages),
            expected[..page.messages.len()],
            "case {case}, {back} from the end"
        );
        assert_eq!(page.head, page.messages.last().map_or(Offset::ZERO, |last| last.offset), "case {case}");
        let next = publish(&broker, &log, plain("next")).await;
        assert!(next > page.head);
        lengths.push(page.messages.len());
    }
    assert!(lengths[..200].iter().all(|length| *length + 6 >= MESSAGES), "only the tail may go");
    assert!(lengths.iter().any(|length| *length < MESSAGES), "the damage was felt");
}
