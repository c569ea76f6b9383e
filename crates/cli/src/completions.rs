//! `inkwire completions`: what a shell needs to complete the commands.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::CommandFactory as _;

use crate::arguments::{Arguments, CompletionsArguments};

/// Prints the completions of a shell.
pub(crate) fn run(arguments: &CompletionsArguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "inkwire", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
