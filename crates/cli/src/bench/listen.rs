//! Followers: one connection each, one task, and no more of a message than its numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use inkwire_client::{ChannelName, Ended, Error, EventStream, From, Socket, Target};
use inkwire_protocol::command::Subscribe;
use inkwire_protocol::{Command, CommandId, Heard};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tally::{Sample, Tally};
use crate::arguments::Transport;

/// How many histograms share the followers between them, so that they seldom wait for each other.
const SHARDS: usize = 16;

/// What all followers write on.
pub(super) struct Board {
    /// Numbers and times count from here.
    began: Instant,
    delivered: AtomicU64,
    dropped: AtomicU64,
    gaps: AtomicU64,
    /// Microseconds after the beginning.
    last_delivery: AtomicU64,
    latencies: Vec<Mutex<Histogram<u64>>>,
    pub(super) publishers: usize,
}

/// A histogram of microseconds, up to ten minutes, to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(600_000_000, 3).expect("three digits and ten minutes make a histogram")
}

impl Board {
    pub(super) fn new(publishers: usize) -> Self {
        Self {
            began: Instant::now(),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            last_delivery: AtomicU64::new(0),
            latencies: (0..SHARDS).map(|_| Mutex::new(histogram())).collect(),
            publishers,
        }
    }

    /// Microseconds since the measurement began.
    pub(super) fn micros(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    pub(super) fn last_delivery(&self) -> Instant {
        self.began + Duration::from_micros(self.last_delivery.load(Ordering::Relaxed))
    }

    /// All latencies together.
    pub(super) fn latencies(&self) -> Histogram<u64> {
        let mut all = histogram();
        for shard in &self.latencies {
            // The same shape, so that nothing is refused.
            let _ = all.add(&*shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
        all
    }

    fn note(&self, number: usize, Batch { samples, gaps }: &Batch) {
        self.gaps.fetch_add(*gaps, Ordering::Relaxed);
        if samples.is_empty() {
            return;
        }
        let now = self.micros(Instant::now());
        self.delivered.fetch_add(samples.len() as u64, Ordering::Relaxed);
        self.last_delivery.fetch_max(now, Ordering::Relaxed);
        let Some(latencies) = self.latencies.get(number % SHARDS) else { return };
        let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
        for sample in samples {
            latencies.saturating_record(now.saturating_sub(sample.due));
        }
    }
}

/// What was heard at once.
#[derive(Default)]
struct Batch {
    samples: Vec<Sample>,
    /// How often the server has said that something is missing.
    gaps: u64,
}

/// A connection that follows a channel.
pub(super) struct Follower {
    connection: Connection,
    tally: Tally,
}

enum Connection {
    Socket(Box<Socket>),
    Stream { stream: Box<EventStream>, rest: Vec<u8> },
}

impl Follower {
    /// Connects and subscribes: what is published from then on is heard.
    pub(super) async fn open(
        over: Transport,
        target: &Target,
        token: &str,
        channel: &ChannelName,
        tally: Tally,
    ) -> Result<Self, Error> {
        let connection = match over {
            Transport::Ws => Connection::Socket(Box::new(subscribe(target, token, channel).await?)),
            Transport::Sse => {
                let stream = EventStream::open(target, token, channel, From::New).await?;
                Connection::Stream { stream: Box::new(stream), rest: Vec::new() }
            }
        };
        Ok(Self { connection, tally })
    }

    /// Follows until told to stop; what it has seen. Followers differ by their numbers.
    pub(super) async fn listen(mut self, number: usize, board: Arc<Board>, stop: CancellationToken) -> Tally {
        let mut batch = Batch::default();
        loop {
            tokio::select! {
                heard = self.connection.hear(&mut batch) => if heard.is_err() {
                    board.dropped.fetch_add(1, Ordering::Relaxed);
                    return self.tally;
                },
                () = stop.cancelled() => return self.tally,
            }
            board.note(number, &batch);
            batch.gaps = 0;
            batch.samples.drain(..).for_each(|sample| self.tally.see(sample));
        }
    }
}

async fn subscribe(target: &Target, token: &str, channel: &ChannelName) -> Result<Socket, Error> {
    let lost = |ended: Ended| Error::Unreachable(format!("{target}: {}", ended.reason));
    let mut socket = Socket::open(target, token).await?;
    let command = Command::Subscribe(Subscribe { channel: channel.clone(), offset: From::New });
    socket.queue(command.encode(Some(&CommandId::from(1)))).map_err(lost)?;
    loop {
        let text = socket.hear().await.map_err(lost)?;
        if let Ok(Heard::Reply { outcome, .. }) = Heard::decode(&text) {
            outcome.map_err(Error::Refused)?;
            return Ok(socket);
        }
    }
}

impl Connection {
    /// Waits for what comes next, and takes the samples out of it.
    async fn hear(&mut self, batch: &mut Batch) -> Result<(), Ended> {
        match self {
            Self::Socket(socket) => take_frame(&socket.hear().await?, batch),
            Self::Stream { stream, rest } => {
                let chunk = stream.chunk().await?;
                take_chunk(&chunk, rest, batch);
            }
        }
        Ok(())
    }
}

/// A text of the WebSocket.
fn take_frame(text: &str, batch: &mut Batch) {
    #[derive(Deserialize)]
    struct Frame<'a> {
        event: &'a str,
        #[serde(default)]
        messages: Vec<Sample>,
    }
    // What is no message has none; a message of somebody else is none of ours.
    if let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) {
        batch.samples.extend(frame.messages);
        batch.gaps += u64::from(frame.event == "gap");
    }
}

/// A piece of an event stream, which may end anywhere; what is left over is completed by the next.
fn take_chunk(chunk: &[u8], rest: &mut Vec<u8>, batch: &mut Batch) {
    rest.extend_from_slice(chunk);
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n').peekable();
    let mut taken = 0;
    while let Some(line) = lines.next_if(|line| line.ends_with(b"\n")) {
        taken += line.len();
        if let Some(data) = line.strip_prefix(b"data: ") {
            batch.samples.extend(serde_json::from_slice::<Sample>(data).ok());
        }
        batch.gaps += u64::from(line == b"event: gap\n");
    }
    rest.drain(..taken);
    if rest.is_empty() {
        // Most of the time nothing is left over, and followers are many.
        *rest = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_wherever_the_stream_is_broken() {
        let stream = b"id: 1-0\nevent: message\ndata: {\"offset\":\"1-0\",\"p\":\"1\",\"n\":\"2\",\"t\":\"3\"}\n\n: \n\n\
            event: gap\ndata: {\"after\":\"1-0\",\"oldest\":\"2-0\"}\n\n";
        for at in 0..stream.len() {
            let (mut rest, mut batch) = (Vec::new(), Batch::default());
            take_chunk(&stream[..at], &mut rest, &mut batch);
            take_chunk(&stream[at..], &mut rest, &mut batch);
            assert_eq!(batch.samples, [Sample { publisher: 1, number: 2, due: 3 }], "{at}");
            assert_eq!(batch.gaps, 1, "{at}");
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn samples_are_found_in_frames() {
        let mut batch = Batch::default();
        take_frame(r#"{"event":"connected","user":{"id":"a","username":"b"},"node":"n"}"#, &mut batch);
        take_frame(r#"{"event":"gap","channel":"c","after":"1-0","oldest":"2-0"}"#, &mut batch);
        take_frame(
            r#"{"event":"messages","channel":"c","messages":[{"offset":"1-0","p":"1","n":"2","t":"3","x":""}]}"#,
            &mut batch,
        );
        assert_eq!((batch.samples, batch.gaps), (vec![Sample { publisher: 1, number: 2, due: 3 }], 1));
    }
}
