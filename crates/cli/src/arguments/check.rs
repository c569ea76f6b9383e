//! What is typed after `inkwire check`.

use std::path::PathBuf;

use clap::Args;

use super::redis::RedisArguments;

/// Looks at the Redis, or the data directory, as a node would, and says what it promises.
///
/// Prints one line for each thing it looked at: ok, warning (it works, and promises less than one may expect) or trouble (nodes
/// do not work on it, or it will lose something), and what to do. Ends with 0 where nothing is trouble, with 1 where
/// something is, and with 2 where it was not told where to look. It changes nothing; what it tries out goes by itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire check                                         the data directory ./inkwire-data
  inkwire check --data-dir /var/lib/inkwire
  REDIS_URL=redis://:password@db.example.org inkwire check
  inkwire check --redis-url redis+sentinel://one,two,three/mymaster
  inkwire check --json | jq '.findings[] | select(.level != \"ok\")'
  inkwire check && inkwire serve                        only where it can work")]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) redis: RedisArguments,

    /// Where a node without Redis keeps what must outlive it
    #[arg(long, env = "INKWIRE_DATA_DIR", default_value = "inkwire-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Print one JSON object, for programs
    #[arg(long)]
    pub(crate) json: bool,
}
