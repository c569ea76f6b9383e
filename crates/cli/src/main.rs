//! The binary `inkwire`: the only place with environment, files and standard output.
//!
//! [`arguments`] is what was typed, [`serve`] what follows from it; [`data`] is the node's directory, [`certificate`] the
//! files that TLS needs, [`retain`] the rules for what channels keep, [`board`] the page that is built into the binary.

mod arguments;
mod board;
mod certificate;
mod data;
mod logging;
mod retain;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Verb};

fn main() -> ExitCode {
    // Before anything reads the environment. A missing file is no trouble; a broken one is told below.
    let environment = dotenvy::dotenv();
    let Arguments { verb } = Arguments::parse();
    let outcome = match verb {
        Verb::Serve(arguments) => serve::run(arguments, environment),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inkwire: {error:#}");
            ExitCode::FAILURE
        }
    }
}
