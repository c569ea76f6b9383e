//! Finds a server: the targets in turn, with a token that is good, and pauses in between.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use inkwire_protocol::Code;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::backoff;
use crate::client::State;
use crate::error::Error;
use crate::socket::Socket;
use crate::target::Target;
use crate::token::{Shown, Token};

/// A connection that lasted so long was a good one: after it, waiting begins anew.
const GOOD: Duration = Duration::from_secs(5);

/// What finds a server.
#[derive(Debug)]
pub(crate) struct Connector {
    targets: Box<[Target]>,
    token: Token,
    shown: Option<Shown>,
    states: Arc<watch::Sender<State>>,
    /// Which target is next.
    turn: usize,
    /// Targets tried since the last good connection.
    failures: u32,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) socket: Socket,
    pub(crate) since: Instant,
    pub(crate) tokens: Tokens,
}

/// The tokens of a connection: one after the other.
pub(crate) struct Tokens {
    token: Token,
    newest: Shown,
    next: BoxFuture<'static, Shown>,
}

impl Tokens {
    pub(crate) fn new(token: Token, shown: Shown) -> Self {
        Self { next: token.after(&shown), token, newest: shown }
    }

    /// The next token, when it is to be shown.
    pub(crate) async fn next(&mut self) -> String {
        self.newest = (&mut self.next).await;
        self.next = self.token.after(&self.newest);
        self.newest.text.clone()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Connector {
    pub(crate) fn new(targets: Box<[Target]>, token: Token, states: Arc<watch::Sender<State>>) -> Self {
        Self { targets, token, shown: None, states, turn: 0, failures: 0 }
    }

    /// Tries until a server answers.
    ///
    /// # Errors
    /// When trying again cannot help.
    pub(crate) async fn connect(&mut self) -> Result<Open, Error> {
        loop {
            self.pause().await;
            let target = self.next_target()?;
            let error = match self.attempt(&target).await {
                Ok(open) => {
                    self.states.send_replace(State::Connected { target });
                    return Ok(open);
                }
                Err(error) => error,
            };
            debug!(%target, %error, "cannot connect");
            if error.is_final() {
                return Err(error);
            }
            self.failed(match error {
                Error::Unreachable(reason) => reason,
                error => error.to_string(),
            });
        }
    }

    /// A connection is over, and another is wanted, with the newest token.
    pub(crate) fn lost(&mut self, since: Instant, tokens: Tokens, reason: String) {
        self.shown = Some(tokens.newest);
        if since.elapsed() >= GOOD {
            self.failures = 0;
        }
        self.failed(reason);
    }

    /// The server takes the token no longer. Whether another can be had.
    pub(crate) fn forget_token(&mut self) -> bool {
        self.shown = None;
        self.token.can_be_renewed()
    }

    fn failed(&mut self, reason: String) {
        self.failures = self.failures.saturating_add(1);
        self.states.send_replace(State::Connecting { failures: self.failures, reason });
    }

    /// Waits after every round of the targets; the others of a round are tried at once.
    async fn pause(&self) {
        let round = u32::try_from(self.targets.len()).unwrap_or(u32::MAX).max(1);
        if self.failures > 0 && self.failures.is_multiple_of(round) {
            sleep(backoff::wait(self.failures / round - 1, rand::random())).await;
        }
    }

    fn next_target(&mut self) -> Result<Target, Error> {
        let target = self.targets.get(self.turn % self.targets.len().max(1)).cloned();
        self.turn = self.turn.wrapping_add(1);
        target.ok_or_else(|| Error::Unreachable("no target was given".into()))
    }

    async fn attempt(&mut self, target: &Target) -> Result<Open, Error> {
        let was_known = self.shown.is_some();
        let shown = self.token().await?;
        match Socket::open(target, &shown.text).await {
            Ok(socket) => {
                let tokens = Tokens::new(self.token.clone(), shown);
                Ok(Open { socket, since: Instant::now(), tokens })
            }
            // The token may have been a good one until now: a new one decides.
            Err(Error::Refused(refused))
                if was_known
                    && matches!(refused.code, Code::Unauthorized | Code::Forbidden)
                    && self.forget_token() =>
            {
                Err(Error::Token(refused.message))
            }
            Err(error) => Err(error),
        }
    }

    /// The token at hand, or a new one where that is about to expire.
    async fn token(&mut self) -> Result<Shown, Error> {
        let is_good = |shown: &&Shown| shown.renew.is_none_or(|renew| Instant::now() < renew);
        if let Some(shown) = self.shown.as_ref().filter(is_good) {
            return Ok(shown.clone());
        }
        let shown = self.token.get().await?;
        self.shown = Some(shown.clone());
        Ok(shown)
    }
}
