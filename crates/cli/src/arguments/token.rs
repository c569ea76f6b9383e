//! What is typed after `inkwire token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use inkwire_protocol::access::{Action, Grant};
use inkwire_protocol::{PeerId, Username};

use crate::retain::time;

/// Makes a token, signed with the server's secret.
///
/// The secret is TOKEN_SECRET where that is set (in the environment or in .env), or else the one that the server keeps in
/// its data directory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire token --id ann
  inkwire token --id ann --username 'Ann B' --grant 'board:*=subscribe,publish' --for 8h
  inkwire token --id meter --grant 'measure/*=publish' --grant 'command/meter=subscribe' --for 30d
  INKWIRE_TOKEN=$(inkwire token --id me --grant '*=subscribe,publish') inkwire sub jobs")]
pub(crate) struct TokenArguments {
    /// Whom the token stands for
    #[arg(long)]
    pub(crate) id: PeerId,

    /// What they are called [default: the id]
    #[arg(long, value_parser = username)]
    pub(crate) username: Option<Username>,

    /// Which channels it opens (* stands for any characters), and for what: subscribe, publish or both; repeat for more
    #[arg(long = "grant", value_name = "MATCH=ACTIONS", default_value = "board:*=subscribe,publish", value_parser = grant)]
    pub(crate) grants: Vec<Grant>,

    /// How long it is valid: 30s, 15m, 1h, 7d
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(crate) validity: Duration,

    /// Where the server keeps its secret
    #[arg(long, env = "INKWIRE_DATA_DIR", default_value = "inkwire-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

fn username(text: &str) -> Result<Username, String> {
    Username::new(text).map_err(|error| error.to_string())
}

fn grant(text: &str) -> Result<Grant, String> {
    let wrong = || "expected MATCH=subscribe,publish, such as 'board:*=subscribe,publish'".to_owned();
    let (pattern, actions) = text.rsplit_once('=').ok_or_else(wrong)?;
    let action = |action| match action {
        "subscribe" => Ok(Action::Subscribe),
        "publish" => Ok(Action::Publish),
        _ => Err(wrong()),
    };
    let can = actions.split(',').map(action).collect::<Result<_, _>>()?;
    if pattern.is_empty() { Err(wrong()) } else { Ok(Grant { pattern: pattern.into(), can }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants() {
        let Grant { pattern, can } = grant("board:*=subscribe,publish").unwrap();
        assert_eq!((&*pattern, can), ("board:*", vec![Action::Subscribe, Action::Publish]));
        for bad in ["", "board:*", "=publish", "a=", "a=write", "a=publish,"] {
            assert!(grant(bad).is_err(), "{bad}");
        }
    }
}
