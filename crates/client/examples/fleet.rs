//! A fleet of workers on one channel: `cargo run -p inkwire-client --example fleet`.
//!
//! It starts a server of its own, hands out jobs, and lets four workers share them through a consumer group. One of them
//! dies with a job in its hands; another takes that over when it has been silent for long enough. No job is lost, and the
//! tally at the end says who did what.
//!
//! A worker is four lines: claim, work, acknowledge, again. What it does not acknowledge is not done, so a job may be given
//! out twice (`deliveries` says how often) and must bear that.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use inkwire::{Action, Grant, Options, PeerId, Server, TokenSecret, Tokens, User, Username};
use inkwire_client::{ChannelName, Claim, Client, ConsumerName, Fields, GroupName, Publish, Token};
use inkwire_embedded::Memory;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const JOBS: usize = 40;
/// A worker that is silent for so long is taken for dead. Choose it longer than the longest job.
const SILENCE: Duration = Duration::from_secs(1);

/// What a worker tells the tally.
struct Done {
    worker: &'static str,
    job: String,
    deliveries: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = TokenSecret::new(format!("{:032x}", rand::random::<u128>()))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let server = Server::new(Arc::new(Memory::default()), Options::new(secret.clone()));
    tokio::spawn(server.serve(listener, std::future::pending()));

    let jobs: ChannelName = "jobs".parse()?;
    let (tally, mut reports) = mpsc::channel(JOBS);
    for worker in ["ann", "bob", "eve"] {
        let client = connect(&url, &secret, worker)?;
        tokio::spawn(work(client, jobs.clone(), worker, tally.clone()));
    }
    // Max claims a job and is never heard of again.
    let max = connect(&url, &secret, "max")?;
    tokio::spawn(die_at_work(max, jobs.clone()));

    let boss = connect(&url, &secret, "boss")?;
    for job in 1..=JOBS {
        let fields = Fields::of([("job", &format!("job {job}"))]);
        boss.publish(Publish::plain(jobs.clone(), fields)).await?;
    }
    let mut done = BTreeMap::<String, Done>::new();
    while done.len() < JOBS {
        let report = reports.recv().await.ok_or("the workers are gone")?;
        if report.deliveries > 1 {
            println!("{} took over {}", report.worker, report.job);
        }
        done.insert(report.job.clone(), report);
    }
    for worker in ["ann", "bob", "eve"] {
        println!("{worker} did {}", done.values().filter(|report| report.worker == worker).count());
    }
    println!("all {JOBS} jobs are done");
    Ok(())
}

/// A worker: claims, works, acknowledges, for ever.
async fn work(
    client: Client,
    jobs: ChannelName,
    worker: &'static str,
    tally: mpsc::Sender<Done>,
) -> Result<(), inkwire_client::Error> {
    loop {
        for message in client.claim(claim(&jobs, worker)).await? {
            // The work itself.
            tokio::time::sleep(Duration::from_millis(20)).await;
            client.ack(jobs.clone(), group(), vec![message.offset]).await?;
            let job = message.fields.get("job").unwrap_or_default().to_owned();
            let deliveries = message.deliveries.unwrap_or(1);
            if tally.send(Done { worker, job, deliveries }).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn die_at_work(client: Client, jobs: ChannelName) -> Result<(), inkwire_client::Error> {
    let held = client.claim(claim(&jobs, "max")).await?;
    println!("max died with {} in his hands", held.len());
    Ok(())
}

/// Up to two jobs, or whatever comes within ten seconds.
fn claim(jobs: &ChannelName, worker: &str) -> Claim {
    let consumer = ConsumerName::new(worker).expect("a worker's name is a consumer's");
    let silence = u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX);
    Claim { count: 2, block_ms: 10_000, min_idle_ms: silence, ..Claim::new(jobs.clone(), group(), consumer) }
}

fn group() -> GroupName {
    GroupName::new("fleet").expect("a name by the rules")
}

fn connect(url: &str, secret: &TokenSecret, name: &str) -> Result<Client, Box<dyn Error>> {
    let user = User { id: PeerId::new(name)?, username: Username::new(name)? };
    let grant = Grant { pattern: "jobs".into(), can: vec![Action::Subscribe, Action::Publish] };
    let token = Tokens::new(secret).mint(&user, &[grant], Duration::from_secs(3600));
    Ok(Client::builder([url.parse()?], Token::fixed(token)).connect())
}
