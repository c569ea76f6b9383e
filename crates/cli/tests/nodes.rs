//! Several nodes on one Redis, as processes: killed, paused, and replaced in daylight, while people are in rooms.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

#[path = "../../server/tests/support/mod.rs"]
mod signalling;
mod support;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use signalling::{Client, Events, eventually};
use support::redis::Server as Redis;
use support::{Folder, Node};
use tokio::time::Instant;

const SECRET: &str = "the tests' own secret, of more than 32 bytes";
/// As the protocol says.
const GRACE: Duration = Duration::from_secs(5);
/// Shorter times, for what does not depend on them.
const SHORT: [&str; 4] = ["--grace", "2", "--lease", "3"];
/// So long after its node died without a word a peer may still be there.
const LONGEST_GHOST: Duration = Duration::from_secs(15);

fn node_on(redis: &Redis, more: &[&str]) -> Node {
    let url = redis.url();
    let options = [&["--redis-url", url.as_str()], more].concat();
    Node::with_environment(Folder::new(), &options, &[("TOKEN_SECRET", SECRET)])
}

fn url(node: &Node) -> String {
    format!("http://127.0.0.1:{}", node.port)
}

fn at(client: &Client, node: &Node) -> Client {
    Client { url: url(node), ..client.clone() }
}

async fn ready(node: &Node) {
    let ready = format!("{}/readyz", url(node));
    eventually("the node is ready", || async { reqwest::get(&ready).await.unwrap().status() == 200 }).await;
}

/// Two nodes that are ready and have heard each other.
async fn two_nodes(redis: &Redis, more: &[&str]) -> (Node, Node) {
    let (one, two) = (node_on(redis, more), node_on(redis, more));
    ready(&one).await;
    ready(&two).await;
    both_live(&one, &two).await;
    (one, two)
}

async fn both_live(one: &Node, two: &Node) {
    eventually("both nodes live", || async { nodes(one).await == 2 && nodes(two).await == 2 }).await;
}

/// How many nodes live, as one of them hears.
async fn nodes(node: &Node) -> u64 {
    metric(node, "inkwire_nodes").await
}

/// Waits until a node has heard its own message, which it sends each second, for longer than a short lease.
async fn hears_itself_through_a_lease(node: &Node) {
    let heard = async || metric(node, "inkwire_canary_heard_seconds_count").await;
    let before = heard().await;
    eventually("it hears itself", || async { heard().await >= before + 4 }).await;
}

async fn metric(node: &Node, name: &str) -> u64 {
    let metrics = reqwest::get(format!("{}/metrics", url(node))).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn person(node: &Node, name: &str) -> (Client, Events) {
    let client = Client::of(&url(node), name).await;
    let events = client.connect().await;
    (client, events)
}

#[tokio::test]
async fn the_peers_of_a_killed_node_leave_once_and_not_before_the_grace_time() {
    let redis = Redis::start();
    let (mut dies, stays) = two_nodes(&redis, &[]).await;
    let (bob, mut bobs) = person(&stays, "bob").await;
    let (carl, mut carls) = person(&stays, "carl").await;
    let (ann, mut anns) = person(&dies, "ann").await;
    for (client, room) in [(&bob, "one"), (&carl, "one"), (&ann, "one"), (&carl, "two"), (&ann, "two")] {
        client.join(room).await;
    }
    assert_eq!(bobs.shorts(2).await, ["+carl?", "+ann?"]);
    assert_eq!(carls.shorts(3).await, ["+bob", "+ann?", "+ann?"]);
    assert_eq!(anns.shorts(3).await, ["+bob", "+carl", "+carl"]);

    dies.kill();
    let died = Instant::now();
    assert_eq!(bobs.short().await, "-ann");
    let ghost = died.elapsed();
    assert_eq!(carls.shorts(2).await, ["-ann", "-ann"], "once in each room");
    println!("a ghost for {ghost:?}");
    assert!(GRACE <= ghost && died.elapsed() <= LONGEST_GHOST, "{ghost:?}");

    assert_eq!(bob.present("one").await, ["bob", "carl"]);
    // Whoever comes next is the next thing they are told.
    let (dora, mut doras) = person(&stays, "dora").await;
    dora.join("one").await;
    assert_eq!(doras.shorts(2).await, ["+bob", "+carl"]);
    assert_eq!((bobs.short().await, carls.short().await), ("+dora?".into(), "+dora?".into()));
    // And she who was taken for dead comes back as anybody would.
    let ann = at(&ann, &stays);
    let mut anns = ann.open(anns.position.as_deref(), false).await;
    assert_eq!(anns.next().await.unwrap().name, "gap");
    ann.join("one").await;
    assert_eq!(bobs.short().await, "+ann?");
}

/// A node that is stopped says so with its last word; its lease here is longer than any ghost may be. Seen to fail when the
/// word is left out, and when it leaves no grace time.
#[tokio::test]
async fn the_peers_of_a_stopped_node_leave_once_when_the_grace_time_is_over() {
    let redis = Redis::start();
    let (mut stops, stays) = two_nodes(&redis, &["--lease", "40", "--drain", "1"]).await;
    let (bob, mut bobs) = person(&stays, "bob").await;
    let (ann, mut anns) = person(&stops, "ann").await;
    let (carl, mut carls) = person(&stops, "carl").await;
    for client in [&bob, &ann, &carl] {
        client.join("room").await;
    }
    assert_eq!(bobs.shorts(2).await, ["+ann?", "+carl?"]);
    stops.signal("-TERM");
    let ends = async |events: &mut Events| {
        while let Some(event) = events.next().await {
            assert!(["add-peer", "draining"].contains(&event.name.as_str()), "{event:?}");
        }
        Instant::now()
    };
    // One of them goes on elsewhere, the other nowhere.
    let (dropped, _) = tokio::join!(ends(&mut anns), ends(&mut carls));
    let mut carls = at(&carl, &stays).resume(carls.position.as_deref().unwrap()).await;
    assert!(stops.wait_until_gone().await.success());
    eventually("it counts no more", || async { nodes(&stays).await == 1 }).await;

    assert_eq!((bobs.short().await, carls.short().await), ("-ann".into(), "-ann".into()));
    let ghost = dropped.elapsed();
    println!("a ghost for {ghost:?}");
    assert!(GRACE <= ghost && ghost <= LONGEST_GHOST, "{ghost:?}");
    assert_eq!(bob.present("room").await, ["bob", "carl"]);
    // Whoever comes next is the next thing they are told.
    let (dora, _doras) = person(&stays, "dora").await;
    dora.join("room").await;
    assert_eq!((bobs.short().await, carls.short().await), ("+dora?".into(), "+dora?".into()));
}

#[tokio::test]
async fn another_node_takes_over_within_the_grace_time_and_nobody_sees_it() {
    let redis = Redis::start();
    let (mut dies, stays) = two_nodes(&redis, &SHORT).await;
    let (bob, mut bobs) = person(&stays, "bob").await;
    let (ann, mut anns) = person(&dies, "ann").await;
    bob.join("room").await;
    ann.join("room").await;
    assert_eq!((bobs.short().await, anns.short().await), ("+ann?".into(), "+bob".into()));
    for number in 0..50 {
        bob.relayed(&ann.id, "stroke", json!(number)).await;
        if number == 20 {
            dies.kill();
        }
    }
    // What had arrived before the kill was perhaps read, perhaps not: the position knows.
    let mut got = Vec::new();
    while let Some(event) = anns.next().await {
        got.push(event.data["data"].as_u64().unwrap());
    }
    let mut anns = at(&ann, &stays).resume(anns.position.as_deref().unwrap()).await;
    while got.len() < 50 {
        got.push(anns.next().await.unwrap().data["data"].as_u64().unwrap());
    }
    assert_eq!(got, (0..50).collect::<Vec<u64>>());
    // The lease of the dead node runs out, and that changes nothing for ann.
    eventually("the dead node is struck off", || async { nodes(&stays).await == 1 }).await;
    let (carl, mut carls) = person(&stays, "carl").await;
    carl.join("room").await;
    assert_eq!(carls.shorts(2).await, ["+bob", "+ann"]);
    assert_eq!((bobs.short().await, anns.short().await), ("+carl?".into(), "+carl?".into()));
}

#[tokio::test]
async fn a_node_that_was_paused_and_wakes_does_no_harm() {
    let redis = Redis::start();
    let (paused, stays) = two_nodes(&redis, &SHORT).await;
    let (bob, mut bobs) = person(&stays, "bob").await;
    let (ann, mut anns) = person(&paused, "ann").await;
    let (gone, mut gones) = person(&paused, "gone").await;
    for client in [&bob, &ann, &gone] {
        client.join("room").await;
    }
    assert_eq!(bobs.shorts(2).await, ["+ann?", "+gone?"]);
    assert_eq!(anns.shorts(2).await, ["+bob", "+gone?"]);
    assert_eq!(gones.shorts(2).await, ["+bob", "+ann"]);

    paused.signal("-STOP");
    let mut left = bobs.shorts(2).await;
    left.sort();
    assert_eq!(left, ["-ann", "-gone"]);
    // One of them goes on elsewhere, the other waits for the node that sleeps.
    let gone = at(&gone, &stays);
    let mut gones = gone.open(gones.position.as_deref(), false).await;
    assert_eq!(gones.next().await.unwrap().name, "gap");
    gone.join("room").await;
    assert_eq!((gones.short().await, bobs.short().await), ("+bob".into(), "+gone?".into()));

    paused.signal("-CONT");
    assert_eq!(anns.next().await.unwrap().name, "gap", "she is told that she has left her rooms");
    ann.join("room").await;
    assert_eq!(anns.shorts(2).await, ["+bob", "+gone"]);
    assert_eq!((bobs.short().await, gones.short().await), ("+ann?".into(), "+ann?".into()));
    both_live(&stays, &paused).await;
    assert_eq!(bob.present("room").await, ["bob", "gone", "ann"]);
    // Nothing follows: the next that is told is what happens next.
    ann.leave("room").await;
    assert_eq!((bobs.short().await, gones.short().await), ("-ann".into(), "-ann".into()));
}

#[tokio::test]
async fn a_room_that_nobody_held_is_cleaned_when_somebody_enters() {
    let redis = Redis::start();
    let (mut dies, stays) = two_nodes(&redis, &SHORT).await;
    let (ann, _anns) = person(&dies, "ann").await;
    ann.join("room").await;
    dies.kill();
    eventually("the dead node is struck off", || async { nodes(&stays).await == 1 }).await;
    let (bob, mut bobs) = person(&stays, "bob").await;
    assert_eq!(bob.join("room").await["peers"], json!([ann.user()]), "nobody has looked yet");
    assert_eq!(bobs.shorts(2).await, ["+ann", "-ann"]);
    assert_eq!(bob.present("room").await, ["bob"]);
}

/// A Redis that sleeps makes every node deaf and none dead.
#[tokio::test]
async fn nobody_dies_of_a_redis_that_was_away() {
    let redis = Redis::start();
    let (one, two) = two_nodes(&redis, &SHORT).await;
    let (bob, mut bobs) = person(&one, "bob").await;
    let (ann, mut anns) = person(&two, "ann").await;
    bob.join("room").await;
    ann.join("room").await;
    assert_eq!((bobs.short().await, anns.short().await), ("+ann?".into(), "+bob".into()));
    redis.signal("-STOP");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let unready = reqwest::get(format!("{}/readyz", url(&one))).await.unwrap();
    assert_eq!(unready.status(), 503);
    redis.signal("-CONT");
    ready(&one).await;
    ready(&two).await;
    // The next thing they hear, more than a lease later, is what is said next.
    both_live(&one, &two).await;
    hears_itself_through_a_lease(&one).await;
    hears_itself_through_a_lease(&two).await;
    bob.relayed(&ann.id, "stroke", json!(1)).await;
    ann.relayed(&bob.id, "stroke", json!(2)).await;
    assert_eq!(anns.next().await.unwrap().data["data"], 1);
    assert_eq!(bobs.next().await.unwrap().data["data"], 2);
    assert_eq!(bob.present("room").await, ["bob", "ann"]);
}

#[tokio::test]
async fn of_two_hundred_pairs_that_join_at_once_on_two_nodes_one_offers_in_each() {
    let redis = Redis::start();
    let (one, two) = two_nodes(&redis, &[]).await;
    let pairs = join_all((0..200).map(|pair| {
        let (one, two) = (&one, &two);
        async move {
            let names = (format!("left{pair}"), format!("right{pair}"));
            let (left, right) = tokio::join!(person(one, &names.0), person(two, &names.1));
            (pair, left, right)
        }
    }))
    .await;
    let offers =
        join_all(pairs.into_iter().map(|(pair, (left, mut lefts), (right, mut rights))| async move {
            let room = format!("pair{pair}");
            tokio::join!(left.join(&room), right.join(&room));
            let (to_left, to_right) = tokio::join!(lefts.next(), rights.next());
            // Whoever was missed, or told twice, shows in what comes next.
            left.relayed(&right.id, "last", Value::Null).await;
            right.relayed(&left.id, "last", Value::Null).await;
            let (left_end, right_end) = tokio::join!(lefts.next(), rights.next());
            assert_eq!((left_end.unwrap().name, right_end.unwrap().name), ("last".into(), "last".into()));
            let offer = |event: Option<signalling::Event>, other: &Client| {
                let event = event.unwrap();
                assert_eq!((event.name.as_str(), &event.data["peer"]), ("add-peer", &other.user()));
                event.data["offer"].as_bool().unwrap()
            };
            (offer(to_left, &right), offer(to_right, &left))
        }))
        .await;
    assert!(offers.iter().all(|(left, right)| left != right), "exactly one offers: {offers:?}");
}

/// Half of the channels lie on each of two servers, and a node that cannot reach one of them says so, whichever it is.
#[tokio::test]
async fn a_node_is_ready_only_while_all_its_servers_are() {
    let servers = [Redis::start(), Redis::start()];
    let both = format!("{},{}", servers[0].url(), servers[1].url());
    let node = Node::with_environment(Folder::new(), &["--redis-url", &both], &[("TOKEN_SECRET", SECRET)]);
    ready(&node).await;
    let readyz = format!("{}/readyz", url(&node));
    for server in &servers {
        server.signal("-STOP");
        eventually("not ready", || async { reqwest::get(&readyz).await.unwrap().status() == 503 }).await;
        server.signal("-CONT");
        ready(&node).await;
    }
}

/// How many people draw while both nodes are replaced, one after the other. `make chaos`: 500.
fn drawing() -> usize {
    std::env::var("INKWIRE_CLIENTS").map_or(60, |count| count.parse().unwrap())
}

/// So many share a room; each relays to the next of them.
const IN_A_ROOM: usize = 5;

#[tokio::test]
async fn a_rolling_restart_of_both_nodes_is_seen_by_nobody_who_draws() {
    let redis = Redis::start();
    let drain = if drawing() < 500 { "3" } else { "10" };
    let (mut one, mut two) = two_nodes(&redis, &["--drain", drain]).await;
    let urls = [url(&one), url(&two)];
    let people = join_all((0..drawing()).map(|number| Drawer::enter(urls.clone(), number))).await;
    let friends: Vec<Client> = people.iter().map(|person| person.client.clone()).collect();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let drawn: Vec<_> = people
        .into_iter()
        .enumerate()
        .map(|(number, person)| {
            let room = number / IN_A_ROOM * IN_A_ROOM;
            let next = friends[room + (number + 1) % IN_A_ROOM].id.clone();
            tokio::spawn(person.draw_until(next, stopped.clone()))
        })
        .collect();
    for node in [&mut one, &mut two] {
        node.signal("-TERM");
        let left = node.wait_until_gone().await;
        assert!(left.success(), "{left:?}");
        node.again();
        ready(node).await;
    }
    stop.send(true).unwrap();
    let (mut strokes, mut uncertain, mut resumes) = (0, 0, 0);
    for drawn in drawn {
        let drawn = drawn.await.unwrap();
        strokes += drawn.strokes;
        uncertain += drawn.uncertain;
        resumes += drawn.resumes;
    }
    println!("{} people, {strokes} strokes, {uncertain} uncertain, {resumes} resumes", friends.len());
    assert!(resumes >= friends.len(), "everybody was on one of the two nodes");
    assert_eq!(uncertain, 0, "a node that goes says so before");
}

/// Somebody in a room of five, who draws and looks.
struct Drawer {
    client: Client,
    urls: [String; 2],
    events: Events,
}

/// What became of it.
struct Drawn {
    strokes: usize,
    /// Sent, and no answer came: perhaps relayed, perhaps not.
    uncertain: usize,
    resumes: usize,
}

impl Drawer {
    async fn enter(urls: [String; 2], number: usize) -> Self {
        let client = Client::of(&urls[number % 2], &format!("p{number}")).await;
        let mut events = client.connect().await;
        client.join(&format!("room{}", number / IN_A_ROOM)).await;
        for event in events.shorts(IN_A_ROOM - 1).await {
            assert!(event.starts_with('+'), "{event}");
        }
        Self { client, urls, events }
    }

    async fn draw_until(self, next: String, stop: tokio::sync::watch::Receiver<bool>) -> Drawn {
        let Self { client, urls, events } = self;
        let drawing = draw(client.clone(), urls.clone(), next, stop);
        let looking = look(client, urls, events);
        let ((strokes, uncertain), resumes) = tokio::join!(drawing, looking);
        Drawn { strokes, uncertain, resumes }
    }
}

/// Relays numbers until told to stop, and then that it was the last.
async fn draw(
    client: Client,
    urls: [String; 2],
    next: String,
    stop: tokio::sync::watch::Receiver<bool>,
) -> (usize, usize) {
    let (mut sure, mut uncertain, mut at) = (0_usize, Vec::new(), 0);
    for number in 0_usize.. {
        let last = *stop.borrow();
        let body = if last { json!({ "last": number, "uncertain": uncertain }) } else { json!(number) };
        loop {
            let url = format!("{}/relay/{next}/stroke", urls[at % 2]);
            match client.http.post(url).bearer_auth(&client.token).json(&body).send().await {
                Ok(reply) if reply.status() == 200 => {
                    sure += 1;
                    // What a balancer does with a node that says farewell.
                    at += usize::from(reply.headers().get("connection").is_some_and(|word| word == "close"));
                }
                Ok(reply) if reply.status() == 503 => {
                    at += 1;
                    continue;
                }
                Ok(reply) => panic!("{}: {}", reply.status(), reply.text().await.unwrap()),
                Err(error) if error.is_connect() => {
                    at += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
                Err(error) => {
                    println!("no answer: {error:?}");
                    uncertain.push(number);
                }
            }
            break;
        }
        if last {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (sure, uncertain.len())
}

/// Reads numbers up to the last, through every drop of the stream; how often it resumed.
async fn look(client: Client, urls: [String; 2], mut events: Events) -> usize {
    let (mut got, mut resumes, mut at) = (Vec::new(), 0, 0);
    loop {
        let Some(event) = events.next().await else {
            let position = events.position.clone().unwrap();
            loop {
                let elsewhere = Client { url: urls[at % 2].clone(), ..client.clone() };
                match elsewhere.request_stream(Some(&position)).await {
                    Ok(reply) if reply.status() == 200 => {
                        events = Events::of(reply);
                        break;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                at += 1;
            }
            let connected = events.next().await.unwrap();
            assert_eq!(connected.data["resumed"], true, "{connected:?}");
            resumes += 1;
            continue;
        };
        match event.name.as_str() {
            "draining" => {}
            "stroke" => match event.data["data"].as_u64() {
                Some(number) => got.push(number),
                None => break check(&got, &event.data["data"]),
            },
            _ => panic!("{} was told {event:?}", client.username),
        }
    }
    resumes
}

/// Every number that was answered came, once and in order.
fn check(got: &[u64], last: &Value) {
    let uncertain: Vec<u64> = serde_json::from_value(last["uncertain"].clone()).unwrap();
    let sure = |number: &u64| !uncertain.contains(number);
    let expected: Vec<u64> = (0..last["last"].as_u64().unwrap()).filter(sure).collect();
    assert_eq!(got.iter().copied().filter(sure).collect::<Vec<_>>(), expected);
    assert!(got.is_sorted_by(|one, other| one < other), "each once, in order: {got:?}");
}
