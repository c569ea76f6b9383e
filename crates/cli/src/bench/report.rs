//! What is said at the end, for people and for programs.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::listen::Board;
use super::load::Sent;
use super::tally::Tally;
use crate::arguments::{BenchArguments, Transport};

/// The outcome of a measurement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    over: &'static str,
    connections: usize,
    channels: usize,
    publishers: usize,
    payload_bytes: usize,
    connecting_seconds: f64,
    published: u64,
    published_per_second: f64,
    expected: u64,
    delivered: u64,
    delivered_per_second: f64,
    lost: u64,
    /// How often followers were told that something is missing: what is lost then was not kept for long enough.
    gaps: u64,
    doubled: u64,
    reordered: u64,
    connections_lost: u64,
    latency_ms: Latencies,
    publish_ms: Latencies,
}

/// Milliseconds.
#[derive(Debug, Serialize)]
struct Latencies {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Latencies {
    fn of(micros: &Histogram<u64>) -> Self {
        let ms = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            p50: ms(0.5),
            p90: ms(0.9),
            p99: ms(0.99),
            p999: ms(0.999),
            max: micros.max() as f64 / 1_000.0,
        }
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50:.1} ms, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, longest {max:.1}")
    }
}

impl Report {
    /// Puts together what was measured; the times are those of connecting, publishing and delivering.
    pub(super) fn new(
        arguments: &BenchArguments,
        board: &Board,
        sent: &Sent,
        tallies: &[Tally],
        [connecting, publishing, delivering]: [Duration; 3],
    ) -> Self {
        let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(0.001);
        let lost = |tally: &Tally| tally.lost(|publisher| sent.of(publisher, tally.channel));
        Self {
            over: match arguments.over {
                Transport::Ws => "ws",
                Transport::Sse => "sse",
            },
            connections: arguments.connections.get(),
            channels: arguments.channels.get(),
            publishers: arguments.publishers.get(),
            payload_bytes: arguments.payload,
            connecting_seconds: connecting.as_secs_f64(),
            published: sent.all(),
            published_per_second: per_second(sent.all(), publishing),
            expected: sent.expected(arguments),
            delivered: board.delivered(),
            delivered_per_second: per_second(board.delivered(), delivering),
            lost: tallies.iter().map(lost).sum(),
            gaps: board.gaps(),
            doubled: tallies.iter().map(|tally| tally.doubled).sum(),
            reordered: tallies.iter().map(|tally| tally.reordered).sum(),
            connections_lost: board.dropped(),
            latency_ms: Latencies::of(&board.latencies()),
            publish_ms: Latencies::of(&sent.latencies),
        }
    }

    /// Whether every message arrived everywhere, once and in order.
    pub(super) fn is_flawless(&self) -> bool {
        (self.lost, self.doubled, self.reordered) == (0, 0, 0)
    }

    /// One JSON object and a line's end.
    pub(super) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { over, connections, channels, publishers, payload_bytes, connecting_seconds, .. } = self;
        writeln!(
            f,
            "followed    {connections} connections over {over}, {channels} channels; opened in {connecting_seconds:.1} s"
        )?;
        let (count, rate) = (self.published, self.published_per_second);
        writeln!(
            f,
            "published   {count} messages of {payload_bytes} B by {publishers} publishers, {rate:.0}/s"
        )?;
        writeln!(f, "            durable after {}", self.publish_ms)?;
        let (delivered, expected, rate) = (self.delivered, self.expected, self.delivered_per_second);
        writeln!(f, "delivered   {delivered} of {expected}, {rate:.0}/s")?;
        writeln!(f, "            after {}", self.latency_ms)?;
        let Self { lost, gaps, doubled, reordered, connections_lost, .. } = self;
        writeln!(
            f,
            "flaws       {lost} lost, {doubled} doubled, {reordered} reordered; told of {gaps} gaps; {connections_lost} connections lost"
        )
    }
}
