//! `inkwire token`: a token from the server's secret, without asking the server.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use inkwire::{TokenSecret, Tokens};
use inkwire_protocol::{User, Username};

use crate::arguments::TokenArguments;
use crate::data;

/// Prints a token.
pub(crate) fn run(arguments: &TokenArguments) -> Result<()> {
    let secret = match std::env::var("TOKEN_SECRET") {
        Ok(secret) if !secret.is_empty() => TokenSecret::new(secret)?,
        _ => data::kept_secret(&arguments.data_dir)?,
    };
    let username = match &arguments.username {
        Some(username) => username.clone(),
        None => {
            Username::new(arguments.id.as_str()).context("the id is no username; give one with --username")?
        }
    };
    let user = User { id: arguments.id.clone(), username };
    let token = Tokens::new(&secret).mint(&user, &arguments.grants, arguments.validity);
    Ok(writeln!(io::stdout(), "{token}")?)
}
