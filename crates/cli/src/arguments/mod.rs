//! Exactly what was typed, or stands in the environment: one file per verb. What the program needs is made of it in the
//! file of that verb beside this folder.

mod bench;
mod check;
mod publish;
mod read;
mod redis;
mod remote;
mod serve;
mod subscribe;
mod token;
mod values;
mod work;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use bench::{BenchArguments, Transport};
pub(crate) use check::CheckArguments;
pub(crate) use publish::PublishArguments;
pub(crate) use read::ReadArguments;
pub(crate) use redis::RedisArguments;
pub(crate) use remote::{LOCAL, RemoteArguments};
pub(crate) use serve::{LogFormat, ServeArguments};
pub(crate) use subscribe::SubscribeArguments;
pub(crate) use token::TokenArguments;
pub(crate) use work::WorkArguments;

/// A real-time server: people draw together, applications publish and subscribe.
#[derive(Debug, Parser)]
#[command(name = "inkwire", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Serve(Box<ServeArguments>),
    Pub(PublishArguments),
    Sub(SubscribeArguments),
    Read(ReadArguments),
    Work(WorkArguments),
    Token(TokenArguments),
    Check(CheckArguments),
    Bench(BenchArguments),
    Completions(CompletionsArguments),
}

/// Prints what a shell needs to complete the commands.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  inkwire completions bash > ~/.local/share/bash-completion/completions/inkwire
  inkwire completions zsh > ~/.zfunc/_inkwire
  inkwire completions fish > ~/.config/fish/completions/inkwire.fish")]
pub(crate) struct CompletionsArguments {
    /// Which shell
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        for verb in Arguments::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", verb.get_name());
        }
    }
}
