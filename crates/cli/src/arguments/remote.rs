//! What every verb that talks to a server takes.

use clap::Args;
use inkwire_client::{Target, TargetError};

/// Where `inkwire serve` serves unless told otherwise.
pub(crate) const LOCAL: &str = "ws://127.0.0.1:8081";

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct RemoteArguments {
    /// A server; repeat or separate by commas for several, which are tried in turn
    #[arg(
        long = "url",
        env = "INKWIRE_URL",
        default_value = LOCAL,
        value_name = "URL",
        value_delimiter = ',',
        value_parser = url
    )]
    pub(crate) urls: Vec<Option<Target>>,

    /// The token to show; without one, the server is asked for one, which opens the channels board:*
    #[arg(long, env = "INKWIRE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// A variable that is set to nothing says nothing.
fn url(text: &str) -> Result<Option<Target>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: TargetError| error.to_string())
}
