//! What is typed after `inkwire sub`.

use clap::Args;
use inkwire_client::{ChannelName, From};

use super::remote::RemoteArguments;
use super::values;

/// Follows a channel: prints every message as it comes, one JSON object a line.
///
/// Goes on after its last message when the server is gone for a while. What is lost for good is said in its place,
/// as {"@gap":{"after":OFFSET,"oldest":OFFSET}}.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire sub board:lobby/log                               what comes from now on
  inkwire sub board:lobby/log --from 0                      all there is, and what comes
  inkwire sub board:lobby/log --from 1518951480106-0 | jq .text
  inkwire sub board:lobby/log --count 1                     waits for one message
  inkwire sub board:lobby/log --url wss://a.example.org --url wss://b.example.org")]
pub(crate) struct SubscribeArguments {
    /// The channel
    pub(crate) channel: ChannelName,

    /// From where: $ (new ones), 0 (all there is), or after an offset
    #[arg(long, value_name = "PLACE", default_value = "$", value_parser = values::from)]
    pub(crate) from: From,

    /// End after so many messages
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<usize>,

    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
}
