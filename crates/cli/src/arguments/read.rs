//! What is typed after `inkwire read`.

use clap::Args;
use inkwire_client::{ChannelName, From};

use super::remote::RemoteArguments;
use super::values;

/// Reads what a channel holds, and ends: one JSON object a line.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire read board:lobby/log
  inkwire read board:lobby/log --limit 100000 > lobby.jsonl
  inkwire read board:lobby/log --after 1518951480106-0 --limit 10")]
pub(crate) struct ReadArguments {
    /// The channel
    pub(crate) channel: ChannelName,

    /// After which offset; 0 is the beginning
    #[arg(long, value_name = "OFFSET", default_value = "0", value_parser = values::after)]
    pub(crate) after: From,

    /// At most so many messages
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
}
