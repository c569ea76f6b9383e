//! Where the Redis of the nodes is: the same words for every verb that uses it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

/// A Redis, if there is one.
#[derive(Debug, Args)]
pub(crate) struct RedisArguments {
    /// Share the channels with other nodes in this Redis (7 or later) or Valkey, as redis://[USER:PASSWORD@]HOST[:PORT],
    /// rediss:// with TLS, or unix:///PATH; separate independent servers by commas; a cluster is
    /// redis+cluster://HOST[:PORT],HOST…, and one watched by Sentinels redis+sentinel://HOST[:PORT],HOST…/MASTER (and
    /// ?sentinel-user=…&sentinel-password=… where the Sentinels ask for their own)
    /// [default: REDIS_URL, or none]
    #[arg(long, env = "INKWIRE_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,

    /// What the names of all keys in Redis begin with
    #[arg(long, env = "INKWIRE_REDIS_PREFIX", default_value = "inkwire:", value_name = "TEXT")]
    pub(crate) redis_prefix: String,

    /// Check a Redis behind rediss:// against these certificates (PEM) instead of the system's
    #[arg(long, env = "INKWIRE_REDIS_CA", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) redis_ca: Option<PathBuf>,
}
