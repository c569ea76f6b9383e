//! `inkwire bench`: connections that follow, publishers that publish, and what became of it.
//!
//! [`load`] publishes; [`listen`] follows, as lightly as it can; [`tally`] is what one follower has seen, as values;
//! [`report`] is what is said at the end. Messages name their publisher and bear its number in their channel, so every
//! follower knows by itself what it missed.
//!
//! Invariant: what is measured is the server. Followers keep a few KiB each and mend nothing.

mod listen;
mod load;
mod report;
mod tally;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use futures_util::stream::iter;
use indicatif::{ProgressBar, ProgressStyle};
use inkwire_client::ChannelName;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::arguments::BenchArguments;
use crate::lines;
use crate::remote::{self, Remote};
use listen::{Board, Follower};
use load::Load;
use report::Report;
use tally::Tally;

/// How many connections are opened at the same time: enough to be quick, few enough for any listen queue.
const AT_ONCE: usize = 64;

/// How often is looked how far it has come.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// How many looks may find nothing new before what is missing is taken for lost: 5 seconds.
const QUIET_LOOKS: u32 = 25;

/// Loads, measures and reports.
pub(crate) fn run(arguments: BenchArguments) -> Result<()> {
    // One descriptor a connection. What the system does not allow is missed when connections fail, and said then.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    remote::run(bench(arguments))
}

async fn bench(arguments: BenchArguments) -> Result<()> {
    let remote = Remote::new(arguments.remote.clone());
    let channels = channels(arguments.channels.get())?;
    let progress = Progress::new();
    let board = Arc::new(Board::new(arguments.publishers.get()));
    let stop = CancellationToken::new();

    let began = Instant::now();
    let followers = follow(&arguments, &remote, &channels, &progress).await?;
    let connecting = began.elapsed();
    let mut listening = JoinSet::new();
    for (number, follower) in followers.into_iter().enumerate() {
        listening.spawn(follower.listen(number, Arc::clone(&board), stop.clone()));
    }

    let began = Instant::now();
    let load = Load::new(&arguments, channels, Arc::clone(&board));
    let sent = tokio::select! {
        sent = load.publish(&remote) => sent?,
        never = progress.watch(&board, began, &arguments) => match never {},
    };
    let publishing = began.elapsed();
    settle(&board, sent.expected(&arguments)).await;
    let delivering = board.last_delivery().saturating_duration_since(began);
    stop.cancel();
    progress.end();

    let mut tallies = Vec::new();
    while let Some(tally) = listening.join_next().await {
        tallies.push(tally?);
    }
    let report = Report::new(&arguments, &board, &sent, &tallies, [connecting, publishing, delivering]);
    lines::text(&if arguments.json { report.json()? } else { report.to_string() })?;
    if report.is_flawless() { Ok(()) } else { bail!("something was lost, doubled or out of order") }
}

/// Channels that nobody else uses, and that everybody may.
fn channels(count: usize) -> Result<Vec<ChannelName>> {
    let run: u32 = rand::random();
    (0..count)
        .map(|number| ChannelName::new(format!("board:bench-{run:08x}-{number}")).context("a channel's name"))
        .collect()
}

/// Opens all connections.
async fn follow(
    arguments: &BenchArguments,
    remote: &Remote,
    channels: &[ChannelName],
    progress: &Progress,
) -> Result<Vec<Follower>> {
    let token = remote.token(arguments.remote.token.clone()).await?;
    let (count, publishers) = (arguments.connections.get(), arguments.publishers.get());
    let targets = remote.targets();
    let open = |number: usize| {
        let channel = number % channels.len();
        let (name, token) = (channels.get(channel).cloned(), token.clone());
        let target = targets.get(number % targets.len()).cloned();
        async move {
            let (name, target) = name.zip(target).context("there are channels and targets")?;
            let tally = Tally::new(channel, publishers);
            Follower::open(arguments.over, &target, &token, &name, tally).await.map_err(|e| remote.explain(e))
        }
    };
    let mut followers = Vec::with_capacity(count);
    let mut opening = iter(0..count).map(open).buffer_unordered(AT_ONCE);
    while let Some(follower) = opening.next().await {
        let done = followers.len();
        followers.push(follower.with_context(|| format!("after {done} connections"))?);
        progress.connecting(done, count);
    }
    Ok(followers)
}

/// Waits until everything has arrived, or nothing arrives any more.
async fn settle(board: &Board, expected: u64) {
    loop {
        let before = board.delivered();
        if before >= expected {
            return;
        }
        for _ in 0..QUIET_LOOKS {
            sleep(SHOWN_EVERY).await;
            if board.delivered() > before {
                break;
            }
        }
        if board.delivered() == before {
            return;
        }
    }
}

/// What is shown while it runs, to somebody who watches.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(1) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn connecting(&self, done: usize, all: usize) {
        self.0.set_length(all as u64);
        self.0.set_position(done as u64);
        self.0.set_message(format!("{done} of {all} connections"));
    }

    async fn watch(
        &self,
        board: &Board,
        began: Instant,
        arguments: &BenchArguments,
    ) -> std::convert::Infallible {
        self.0.set_length(arguments.seconds.get() as u64 * 1_000);
        let mut ticks = interval(SHOWN_EVERY);
        loop {
            ticks.tick().await;
            let seconds = began.elapsed().as_secs_f64();
            self.0.set_position(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            let (delivered, dropped) = (board.delivered(), board.dropped());
            let rate = delivered as f64 / seconds.max(0.001);
            let dropped = if dropped > 0 { format!(", {dropped} connections lost") } else { String::new() };
            self.0.set_message(format!("{seconds:.0} s, {delivered} delivered, {rate:.0}/s{dropped}"));
        }
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
