//! Two nodes on a store, publishers that go on whatever happens, readers on both nodes; and what can be said afterwards of what
//! was answered and what was seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use inkwire::{Action, Grant, PeerId, TokenSecret, Tokens, User, Username};
use inkwire_client::{Client, Event, Fields, From, Offset, Publish, Target, Token};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Folder, Node};

const SECRET: &str = "the tests' own secret, of more than 32 bytes";
/// Long enough for the slowest machine and the longest fault; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(150);
const PUBLISHERS: usize = 4;
/// How often each of them publishes.
const PACE: Duration = Duration::from_millis(10);
/// So many messages are delivered before the fault, and after it.
const ENOUGH: usize = 200;
/// How often somebody who does not retry asks, and how long he waits.
const PROBE: Duration = Duration::from_millis(100);
/// The channel of it all.
pub const CHANNEL: &str = "load";

/// What was seen of one fault.
#[derive(Debug, Default)]
pub struct Seen {
    /// Publishes that were answered.
    pub answered: usize,
    /// Of these, how many a reader did not see, and was not told to be missing.
    pub lost: usize,
    /// Of these, how many were before a gap that was told.
    pub told: usize,
    pub doubled: usize,
    pub reordered: usize,
    /// How often a reader was told `gap`.
    pub gaps: usize,
    /// How long the fault lasted.
    pub fault: Duration,
    /// From its end to the first new message at the slower of the two readers.
    pub recovery: Duration,
    /// The longest that somebody who does not retry waited for an answer.
    pub longest_answer: Duration,
    /// How many of his publishes were refused as `unavailable`.
    pub unavailable: usize,
}

/// Two nodes, those who publish, and those who read.
pub struct Rig {
    pub nodes: [Node; 2],
    publishing: Vec<JoinHandle<Vec<String>>>,
    reading: Vec<JoinHandle<Read>>,
    probing: JoinHandle<(Duration, usize)>,
    progress: Vec<watch::Receiver<usize>>,
    stop: watch::Sender<bool>,
    /// The offsets of all that was answered; readers go on until they have the last.
    last: watch::Sender<Option<Offset>>,
    answers: Arc<Mutex<HashMap<String, Offset>>>,
}

type Stretch = Vec<(Offset, String)>;

/// What one reader heard.
#[derive(Default)]
struct Read {
    /// Since the last gap: whoever is told of one forgets what he had, and is given what is kept.
    texts: Stretch,
    /// What came before each gap.
    forgotten: Vec<Stretch>,
}

impl Rig {
    /// Nodes on a store, with a load that has begun.
    pub async fn on(urls: [&str; 2]) -> Self {
        let node = |url| {
            let options = ["--redis-url", url, "--grace", "2", "--lease", "3"];
            Node::with_environment(Folder::new(), &options, &[("TOKEN_SECRET", SECRET)])
        };
        let nodes = urls.map(node);
        for node in &nodes {
            ready(node.port).await;
        }
        let (stop, stopping) = watch::channel(false);
        let (last, until) = watch::channel(None);
        let (mut reading, mut progress) = (Vec::new(), Vec::new());
        for first in 0..2 {
            let (seen, follows) = watch::channel(0);
            let client = client(&nodes, first);
            let subscribed = client.subscribe(CHANNEL.parse().unwrap(), From::Beginning).await.unwrap();
            reading.push(tokio::spawn(read(subscribed, seen, until.clone())));
            progress.push(follows);
        }
        let answers = Arc::<Mutex<HashMap<_, _>>>::default();
        let publishing = (0..PUBLISHERS).map(|number| {
            let client = client(&nodes, number % 2);
            tokio::spawn(publish(client, number, stopping.clone(), Arc::clone(&answers)))
        });
        let publishing = publishing.collect();
        let probing = tokio::spawn(probe(nodes[1].port, stopping));
        let rig = Self { nodes, publishing, reading, probing, progress, stop, last, answers };
        rig.hears(ENOUGH).await;
        rig
    }

    /// Waits until so many new messages have come to both readers.
    pub async fn hears(&self, count: usize) {
        let had: Vec<_> = self.progress.iter().map(|progress| *progress.borrow()).collect();
        for (progress, had) in self.progress.iter().zip(had) {
            let mut progress = progress.clone();
            let heard = progress.wait_for(|now| *now >= had + count);
            timeout(PATIENCE, heard).await.expect("messages come").unwrap();
        }
    }

    /// The fault has begun at `began` and is over: lets the load go on, ends it, and says what was seen.
    pub async fn judge(self, began: Instant) -> Seen {
        let fault = began.elapsed();
        let over = Instant::now();
        self.hears(1).await;
        let recovery = over.elapsed();
        self.hears(ENOUGH).await;
        for node in &self.nodes {
            ready(node.port).await;
        }
        self.stop.send_replace(true);
        let mut published = Vec::new();
        for publisher in self.publishing {
            published.extend(timeout(PATIENCE, publisher).await.expect("publishers end").unwrap());
        }
        let (longest_answer, unavailable) = self.probing.await.unwrap();
        let answers = self.answers.lock().unwrap().clone();
        let last = published.iter().map(|text| answers[text]).max();
        self.last.send_replace(last);
        let mut seen = Seen {
            answered: published.len(),
            fault,
            recovery,
            longest_answer,
            unavailable,
            ..Seen::default()
        };
        for reader in self.reading {
            let read = timeout(PATIENCE, reader).await.expect("readers see the last message").unwrap();
            seen.compare(&published, &read);
        }
        seen
    }
}

impl Seen {
    /// Adds what one reader missed, saw twice, or saw in another order.
    fn compare(&mut self, published: &[String], read: &Read) {
        let stretches = read.forgotten.iter().chain([&read.texts]);
        stretches.for_each(|stretch| self.judge_order(stretch));
        let all = read.forgotten.iter().flatten().chain(&read.texts);
        let seen: HashSet<_> = all.map(|(_, text)| text).collect();
        let missing = published.iter().filter(|text| !seen.contains(text)).count();
        *(if read.forgotten.is_empty() { &mut self.lost } else { &mut self.told }) += missing;
        self.gaps += read.forgotten.len();
    }

    fn judge_order(&mut self, texts: &[(Offset, String)]) {
        let mut once = HashSet::new();
        self.doubled += texts.iter().filter(|(_, text)| !once.insert(text)).count();
        let mut newest = BTreeMap::<&str, u64>::new();
        for (_, text) in texts {
            let (publisher, number) = text.split_once(' ').unwrap();
            let number = number.parse().unwrap();
            let before = newest.insert(publisher, number);
            self.reordered += usize::from(before.is_some_and(|before| before > number));
        }
        self.reordered += texts.windows(2).filter(|pair| pair[0].0 >= pair[1].0).count();
    }
}

/// Waits until a node says that it is ready.
pub async fn ready(port: u16) {
    let asked = async {
        loop {
            let reply = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await;
            if reply.is_ok_and(|reply| reply.status() == 200) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("the node is ready again");
}

fn token() -> String {
    let grant = Grant { pattern: "*".into(), can: vec![Action::Subscribe, Action::Publish] };
    let user = User { id: PeerId::new("load").unwrap(), username: Username::new("load").unwrap() };
    let tokens = Tokens::new(&TokenSecret::new(SECRET).unwrap());
    tokens.mint(&user, &[grant], Duration::from_secs(3_600))
}

/// A client of both nodes, that tries one of them first.
fn client(nodes: &[Node; 2], first: usize) -> Client {
    let target = |at: usize| -> Target { format!("ws://127.0.0.1:{}", nodes[at % 2].port).parse().unwrap() };
    Client::builder([target(first), target(first + 1)], Token::fixed(token())).connect()
}

/// Publishes numbers until told to stop; those that were answered.
async fn publish(
    client: Client,
    publisher: usize,
    stop: watch::Receiver<bool>,
    answers: Arc<Mutex<HashMap<String, Offset>>>,
) -> Vec<String> {
    let mut answered = Vec::new();
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        let text = format!("{publisher} {number}");
        let publish = Publish {
            maxlen: Some(1_000_000.try_into().unwrap()),
            ..Publish::plain(CHANNEL.parse().unwrap(), Fields::of([("text", &text)]))
        };
        let reply = client.publish(publish).await.expect("a client that goes on publishes at last");
        answers.lock().unwrap().insert(text.clone(), reply.offset.0);
        answered.push(text);
        sleep(PACE).await;
    }
    answered
}

async fn read(
    mut subscription: inkwire_client::Subscription,
    progress: watch::Sender<usize>,
    mut until: watch::Receiver<Option<Offset>>,
) -> Read {
    let mut read = Read::default();
    loop {
        let arrived = until.borrow().is_some_and(|last| read.texts.last().is_some_and(|(at, _)| *at >= last));
        if arrived {
            return read;
        }
        let event = tokio::select! {
            event = subscription.next() => event.expect("a subscription goes on").unwrap(),
            _ = until.changed() => continue,
        };
        match event {
            Event::Messages(messages) => {
                let new = messages.len();
                for message in messages {
                    read.texts.push((message.offset, message.fields.get("text").unwrap().to_owned()));
                }
                progress.send_modify(|count| *count += new);
            }
            Event::Gap { .. } => read.forgotten.push(std::mem::take(&mut read.texts)),
        }
    }
}

/// Publishes over HTTP and tries nothing again: how long the longest answer took, and how many were refused for now.
async fn probe(port: u16, stop: watch::Receiver<bool>) -> (Duration, usize) {
    let (mut longest, mut unavailable) = (Duration::ZERO, 0);
    while !*stop.borrow() {
        let asked = Instant::now();
        let request = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{port}/channels/probe"))
            .bearer_auth(token())
            .json(&serde_json::json!({ "probe": "1" }));
        match request.send().await {
            Ok(reply) if reply.status() == 503 => unavailable += 1,
            Ok(reply) => assert_eq!(reply.status(), 201),
            // A node that was killed answers nobody.
            Err(_) => {}
        }
        longest = longest.max(asked.elapsed());
        sleep(PROBE).await;
    }
    (longest, unavailable)
}
