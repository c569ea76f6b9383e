//! The binary `inkwire`: the only place with environment, files and standard output.
//!
//! [`arguments`] is what was typed; each verb has a file that does what follows from it. [`remote`] is what the verbs share
//! that talk to a server, [`lines`] what they print; [`environment`] is the file `.env`, [`store`] where the logs are,
//! [`data`] the node's directory, [`certificate`] the files that TLS needs, [`retain`] the rules for what channels keep,
//! [`board`] the page that is built into the binary.

mod arguments;
mod bench;
mod board;
mod certificate;
mod check;
mod completions;
mod data;
mod environment;
mod lines;
mod logging;
mod publish;
mod read;
mod remote;
mod retain;
mod serve;
mod signals;
mod store;
mod subscribe;
mod token;
mod work;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Verb};

fn main() -> ExitCode {
    let environment = environment::load();
    let Arguments { verb } = Arguments::parse();
    let outcome = environment.and_then(|()| match verb {
        Verb::Serve(arguments) => serve::run(*arguments),
        Verb::Pub(arguments) => publish::run(arguments),
        Verb::Sub(arguments) => subscribe::run(arguments),
        Verb::Read(arguments) => read::run(arguments),
        Verb::Work(arguments) => work::run(arguments),
        Verb::Token(arguments) => token::run(&arguments),
        Verb::Check(arguments) => check::run(arguments),
        Verb::Bench(arguments) => bench::run(arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if lines::is_nobody_reading(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inkwire: {error:#}");
            ExitCode::FAILURE
        }
    }
}
