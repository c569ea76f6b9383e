//! A server as the verbs meet it: a client for it, a token where none was given, and errors that say what to do.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use inkwire_client::{Client, Code, Error, State, Target, Token, access};
use inkwire_protocol::Username;

use crate::arguments::{LOCAL, RemoteArguments};

/// How long a verb that ends by itself waits for a server that does not answer: a restart takes a second or two.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many of the last failures of a connection are passed over in silence: a restart is not worth a word.
const UNREMARKABLE: u32 = 2;

/// Runs a verb to its end, and leaves what cannot be interrupted (reading standard input) behind.
pub(crate) fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// Which servers, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    targets: Vec<Target>,
    token: Token,
    was_given: bool,
}

impl Remote {
    pub(crate) fn new(arguments: RemoteArguments) -> Self {
        let RemoteArguments { urls, token } = arguments;
        let mut urls: Vec<Target> = urls.into_iter().flatten().collect();
        if urls.is_empty() {
            urls.push(LOCAL.parse().expect("the default is a URL"));
        }
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Self { targets: urls, token: Token::fixed(token), was_given: true },
            None => Self { token: ask(urls.clone()), targets: urls, was_given: false },
        }
    }

    /// A client that gives up after a while.
    pub(crate) fn client(&self) -> Client {
        Client::builder(self.targets.clone(), self.token.clone()).patience(PATIENCE).connect()
    }

    /// A client that waits for its server for as long as it takes.
    pub(crate) fn patient_client(&self) -> Client {
        Client::builder(self.targets.clone(), self.token.clone()).connect()
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The token itself, for connections that are made without the client.
    pub(crate) async fn token(&self, given: Option<String>) -> Result<String> {
        match given.filter(|token| !token.is_empty()) {
            Some(token) => Ok(token),
            None => first_access(&self.targets, None).await.map_err(|error| self.explain(error)),
        }
    }

    /// What to do about an error.
    pub(crate) fn explain(&self, error: Error) -> anyhow::Error {
        let advice = match error.code() {
            Some(Code::Forbidden) if self.was_given => {
                "the token does not open this channel, or is not of this server (`inkwire token` makes one)"
            }
            Some(Code::Forbidden) => {
                "without --token only the channels board:* are open (`inkwire token` makes one for others)"
            }
            Some(Code::Unauthorized) => "the token is valid no longer (`inkwire token` makes one)",
            _ => return anyhow!(error),
        };
        anyhow!(error).context(advice)
    }
}

/// A token from `POST /access`, renewed with the one before, so that the identity stays.
fn ask(targets: Vec<Target>) -> Token {
    let last = Arc::new(Mutex::new(None::<String>));
    Token::ask(move || {
        let (targets, last) = (targets.clone(), Arc::clone(&last));
        async move {
            let old = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let token = match first_access(&targets, old.as_deref()).await {
                // The old one may be of a server that is no more.
                Err(error) if old.is_some() && error.code().is_some() => first_access(&targets, None).await?,
                other => other?,
            };
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
            Ok(token)
        }
    })
}

/// From the first server that answers.
async fn first_access(targets: &[Target], old: Option<&str>) -> Result<String, Error> {
    let mut outcome = Err(Error::Unreachable("no server was named".into()));
    for target in targets {
        outcome = access(target, &username(), old).await.map(|reply| reply.token);
        if !matches!(outcome, Err(Error::Unreachable(_))) {
            break;
        }
    }
    outcome
}

/// Who is at the keyboard, as far as is known.
fn username() -> Username {
    let named = std::env::var("USER").ok().and_then(|name| Username::new(name).ok());
    named.unwrap_or_else(|| Username::new("inkwire").expect("a word is a username"))
}

/// Says on standard error when the server is lost for more than a moment, and when it is back. Never ends: what ends the
/// client is told by whoever uses it.
pub(crate) async fn tell(client: &Client) -> Infallible {
    let mut states = client.states();
    let mut is_told = false;
    while states.changed().await.is_ok() {
        match &*states.borrow_and_update() {
            State::Connecting { failures, reason } if *failures > UNREMARKABLE && !is_told => {
                eprintln!("inkwire: no server answers, trying again: {reason}");
                is_told = true;
            }
            State::Connected { target } if is_told => {
                eprintln!("inkwire: connected to {target}");
                is_told = false;
            }
            State::Connecting { .. } | State::Connected { .. } | State::Ended(_) => {}
        }
    }
    pending().await
}
