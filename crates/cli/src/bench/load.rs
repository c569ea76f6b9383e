//! Publishers: each its own client, each at its own even pace, as many messages on their way as that takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use inkwire_client::{ChannelName, Client, Error, Fields, Publish};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::listen::{Board, histogram};
use crate::arguments::BenchArguments;
use crate::remote::Remote;

/// What is to be published.
pub(super) struct Load {
    channels: Arc<[ChannelName]>,
    board: Arc<Board>,
    payload: Arc<str>,
    /// Between two messages of one publisher.
    pause: Duration,
    each: u64,
}

/// What was published.
pub(super) struct Sent {
    /// How many messages, by publisher and channel.
    counts: Vec<Vec<u64>>,
    /// From when a message was due until the server had it for good, in microseconds.
    pub(super) latencies: Histogram<u64>,
}

/// One publisher's part.
struct Part {
    publisher: usize,
    counts: Vec<u64>,
    latencies: Histogram<u64>,
}

impl Load {
    pub(super) fn new(arguments: &BenchArguments, channels: Vec<ChannelName>, board: Arc<Board>) -> Self {
        let (rate, publishers) = (arguments.rate.get() as f64, arguments.publishers.get() as f64);
        let each = (rate * arguments.seconds.get() as f64 / publishers).ceil();
        Self {
            channels: channels.into(),
            board,
            payload: "x".repeat(arguments.payload).into(),
            pause: Duration::from_secs_f64(publishers / rate),
            each: each as u64,
        }
    }

    /// Publishes all of it.
    pub(super) async fn publish(&self, remote: &Remote) -> Result<Sent> {
        let mut publishing = JoinSet::new();
        for publisher in 0..self.board.publishers {
            publishing.spawn(self.part(publisher, remote.patient_client()));
        }
        let mut sent = Sent { counts: vec![Vec::new(); self.board.publishers], latencies: histogram() };
        while let Some(part) = publishing.join_next().await {
            let Part { publisher, counts, latencies } = part?.map_err(|error| remote.explain(error))?;
            *sent.counts.get_mut(publisher).context("every publisher has a place")? = counts;
            sent.latencies.add(latencies).context("the histograms are of one shape")?;
        }
        Ok(sent)
    }

    fn part(
        &self,
        publisher: usize,
        client: Client,
    ) -> impl Future<Output = Result<Part, Error>> + Send + use<> {
        let (channels, board, payload) =
            (Arc::clone(&self.channels), Arc::clone(&self.board), Arc::clone(&self.payload));
        let (pause, each) = (self.pause, self.each);
        async move {
            let mut part = Part { publisher, counts: vec![0; channels.len()], latencies: histogram() };
            // Spread, so that the publishers do not all publish at one moment.
            let began = Instant::now() + pause.mul_f64(publisher as f64 / board.publishers as f64);
            let mut on_the_way = FuturesUnordered::new();
            for step in 0..each {
                let due = began + pause.mul_f64(step as f64);
                while Instant::now() < due {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        Some(done) = on_the_way.next() => part.note(done, &board)?,
                    }
                }
                let publish = part.next(step, &channels, board.micros(due), &payload);
                if let Some(publish) = publish {
                    let client = client.clone();
                    on_the_way.push(async move { (due, client.publish(publish).await) });
                }
            }
            while let Some(done) = on_the_way.next().await {
                part.note(done, &board)?;
            }
            Ok(part)
        }
    }
}

impl Part {
    /// The next message, for the next channel.
    fn next(&mut self, step: u64, channels: &[ChannelName], due: u64, payload: &str) -> Option<Publish> {
        let at = usize::try_from(step).ok()?.wrapping_add(self.publisher) % channels.len();
        let (channel, count) = (channels.get(at)?, self.counts.get_mut(at)?);
        *count += 1;
        let (publisher, number, due) = (self.publisher.to_string(), count.to_string(), due.to_string());
        let fields = Fields::of([("p", &*publisher), ("n", &*number), ("t", &*due), ("x", payload)]);
        Some(Publish::plain(channel.clone(), fields))
    }

    fn note(
        &mut self,
        (due, outcome): (Instant, Result<inkwire_client::PublishReply, Error>),
        board: &Board,
    ) -> Result<(), Error> {
        outcome?;
        self.latencies.saturating_record(board.micros(Instant::now()).saturating_sub(board.micros(due)));
        Ok(())
    }
}

impl Sent {
    /// How many messages.
    pub(super) fn all(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// How many messages of a publisher in a channel.
    pub(super) fn of(&self, publisher: usize, channel: usize) -> u64 {
        self.counts.get(publisher).and_then(|counts| counts.get(channel)).copied().unwrap_or(0)
    }

    /// How many deliveries that makes.
    pub(super) fn expected(&self, arguments: &BenchArguments) -> u64 {
        let (connections, channels) = (arguments.connections.get(), arguments.channels.get());
        let followers =
            |channel: usize| (connections / channels + usize::from(channel < connections % channels)) as u64;
        let counted = self.counts.iter().flat_map(|counts| counts.iter().enumerate());
        counted.map(|(channel, count)| count * followers(channel)).sum()
    }
}
