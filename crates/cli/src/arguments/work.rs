//! What is typed after `inkwire work`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use inkwire_client::{ChannelName, ConsumerName, From, GroupName};

use super::remote::RemoteArguments;
use super::values;
use crate::retain::time;

/// Runs a command for every message of a channel, each for one worker of the group.
///
/// The command reads the message as JSON on its standard input, and finds it in its environment: INKWIRE_OFFSET,
/// INKWIRE_DELIVERIES (1 at first), INKWIRE_CHANNEL, INKWIRE_KEY, INKWIRE_USER, and INKWIRE_FIELD_<NAME> for each field (in capitals,
/// other characters as _; not those over 64 KiB). If it exits with 0 the message is done. Otherwise, or if the worker dies,
/// the message is given to a worker of the group again after the time of --take-over.
///
/// SIGTERM and Ctrl-C let the commands that run finish; a second one ends the worker at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire work board:mail --group mailers -- ./send-mail.sh
  inkwire work board:jobs --group g --concurrency 8 --take-over 10m -- python3 job.py
  inkwire work board:jobs --group g -- sh -c 'echo \"$INKWIRE_OFFSET: $INKWIRE_FIELD_TEXT\"'")]
pub(crate) struct WorkArguments {
    /// The channel
    pub(crate) channel: ChannelName,

    /// The group that shares the channel's messages
    #[arg(long)]
    pub(crate) group: GroupName,

    /// What this worker is called in its group [default: the machine's name]
    #[arg(long)]
    pub(crate) consumer: Option<ConsumerName>,

    /// How many commands run at once; at most 1000
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = concurrency)]
    pub(crate) concurrency: NonZeroUsize,

    /// How long a command may take before its message is given to another worker
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) take_over: Duration,

    /// Where a new group begins: 0 (all there is), $ (new ones), or after an offset
    #[arg(long, value_name = "PLACE", default_value = "0", value_parser = values::from)]
    pub(crate) from: From,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
}

fn concurrency(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= 1_000).ok_or_else(|| "expected 1 to 1000".into())
}
