//! What every verb that talks to a server takes.

use clap::Args;
use inkwire_client::Target;

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct RemoteArguments {
    /// A server; repeat or separate by commas for several, which are tried in turn
    #[arg(
        long = "url",
        env = "INKWIRE_URL",
        default_value = "ws://127.0.0.1:8081",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub(crate) urls: Vec<Target>,

    /// The token to show; without one, the server is asked for one, which opens the channels board:*
    #[arg(long, env = "INKWIRE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}
