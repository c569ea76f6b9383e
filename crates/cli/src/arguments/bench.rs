//! What is typed after `inkwire bench`.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use super::remote::RemoteArguments;

/// Loads a server, and says what it delivered, what it lost, and how long that took.
///
/// Every connection follows one of the channels; the publishers publish to all of them in turn. Latency counts from when
/// a message was due, so a publisher that falls behind is seen. Ends with 1 when anything was lost, doubled or out of
/// order. Tokens of the server's own publish at most 500 messages a second each: for more, bring --token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire bench
  inkwire bench --connections 10000 --channels 100 --rate 1000 --seconds 60
  inkwire bench --over sse --connections 1000 --json > sse.json
  inkwire bench --rate 20000 --publishers 32 --token \"$(inkwire token --id bench)\"")]
pub(crate) struct BenchArguments {
    /// How the channels are followed
    #[arg(long, value_name = "TRANSPORT", default_value = "ws")]
    pub(crate) over: Transport,

    /// How many connections follow
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    pub(crate) connections: NonZeroUsize,

    /// How many channels they follow
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    pub(crate) channels: NonZeroUsize,

    /// How many messages are published in a second, all publishers together
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    pub(crate) rate: NonZeroUsize,

    /// How many bytes a message carries besides what the measurement needs
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub(crate) payload: usize,

    /// For how many seconds is published
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub(crate) seconds: NonZeroUsize,

    /// How many connections publish
    #[arg(long, value_name = "NUMBER", default_value = "4")]
    pub(crate) publishers: NonZeroUsize,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
}

/// How a channel is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// WebSocket
    Ws,
    /// Server-Sent Events
    Sse,
}
