//! The client's one task: it holds the connection, and everything that outlives it.
//!
//! Invariant: nothing that was taken in is forgotten. It is answered by a server, or with an error.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use inkwire_core::ChannelName;
use inkwire_protocol::channel::From;
use inkwire_protocol::command::Auth;
use inkwire_protocol::{Code, Command, CommandId, Heard};
use serde::Deserialize;
use tokio::select;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use crate::client::State;
use crate::connector::{Connector, Open, Tokens};
use crate::error::Error;
use crate::followers::{Begun, Followers};
use crate::outstanding::{Answer, Outstanding};
use crate::socket::{Ended, Socket, Sound, Text};
use crate::subscription::Inbox;

/// How often the server is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A server that gave no sign for so long is gone: two pings and the way there and back.
const SILENCE: Duration = Duration::from_secs(25);
/// How often a client without a connection looks whose patience is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why the server closes with 4401.
const EXPIRED: &str = "the token has expired";

/// What is asked of the task.
#[derive(Debug)]
pub(crate) enum Ask {
    Command { command: Command, answer: Answer, room: OwnedSemaphorePermit },
    Follow { channel: ChannelName, from: From, inbox: Arc<Inbox>, begun: Begun },
}

impl Ask {
    fn refuse(self, error: Error) {
        match self {
            Self::Command { answer, .. } => drop(answer.send(Err(error))),
            Self::Follow { begun, .. } => drop(begun.send(Err(error))),
        }
    }
}

/// The task, before it runs.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) connector: Connector,
    pub(crate) desk: Desk,
    pub(crate) states: Arc<watch::Sender<State>>,
}

/// What outlives a connection.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) attention: Arc<Notify>,
    pub(crate) patience: Option<Duration>,
    pub(crate) outstanding: Outstanding,
    pub(crate) followers: Followers,
    pub(crate) last_id: u64,
}

/// Why a connection is used no more.
#[derive(Debug)]
enum End {
    /// Another is wanted.
    Lost(String),
    /// Another is wanted, with another token.
    Expired,
    /// Trying again cannot help.
    Final(Error),
}

impl Driver {
    /// Works until it cannot go on.
    pub(crate) async fn run(mut self) {
        let error = self.work().await;
        debug!(%error, "the client has ended");
        self.states.send_replace(State::Ended(error.clone()));
        self.desk.end(&error).await;
    }

    async fn work(&mut self) -> Error {
        loop {
            let open = select! {
                open = self.connector.connect() => open,
                never = self.desk.without_connection(&self.states) => match never {},
            };
            let Open { socket, since, mut tokens } = match open {
                Ok(open) => open,
                Err(error) => return error,
            };
            match self.desk.with_connection(socket, &mut tokens).await {
                End::Lost(reason) => self.connector.lost(since, tokens, reason),
                End::Expired => {
                    self.connector.lost(since, tokens, EXPIRED.into());
                    if !self.connector.forget_token() {
                        return Error::refused(Code::Unauthorized, EXPIRED);
                    }
                }
                End::Final(error) => return error,
            }
            self.desk.lost();
        }
    }
}

impl Desk {
    /// Takes in what is asked, and gives up what nobody can wait for any longer.
    async fn without_connection(&mut self, states: &watch::Sender<State>) -> std::convert::Infallible {
        let since = Instant::now();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => pending().await,
                },
                () = self.attention.notified() => self.followers.tidy(Instant::now()),
                _ = looks.tick(), if self.patience.is_some() => self.expire(since, states),
            }
        }
    }

    fn expire(&mut self, since: Instant, states: &watch::Sender<State>) {
        let now = Instant::now();
        let Some(before) = self.patience.and_then(|patience| now.checked_sub(patience)) else { return };
        if before < since {
            return;
        }
        let reason = match &*states.borrow() {
            State::Connecting { reason, .. } => reason.clone(),
            State::Connected { .. } | State::Ended(_) => String::new(),
        };
        let error = Error::Unreachable(reason);
        self.outstanding.expire(before, &error);
        self.followers.expire(before, &error);
    }

    async fn with_connection(&mut self, mut socket: Socket, tokens: &mut Tokens) -> End {
        let mut heard_at = Instant::now();
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(end) = self.speak(&mut socket) {
                return lost(end);
            }
            let due = self.due(&socket);
            select! {
                sound = socket.listen() => match sound {
                    Ok(Sound::Text(text)) => {
                        heard_at = Instant::now();
                        if let Err(end) = self.hear(text) { return end }
                    }
                    Ok(Sound::Pulse) => heard_at = Instant::now(),
                    Ok(Sound::Flushed) => {}
                    Err(end) => return lost(end),
                },
                // Taken in only as fast as it is written.
                ask = self.asks.recv(), if socket.is_flushed() => match ask {
                    Some(ask) => self.take(ask),
                    None => return End::Final(Error::Closed),
                },
                () = self.attention.notified() => self.followers.tidy(Instant::now()),
                () = until(due) => {}
                token = tokens.next() => if let Err(end) = self.show(&mut socket, token) { return lost(end) },
                _ = pings.tick() => {
                    if heard_at.elapsed() >= SILENCE {
                        return End::Lost(format!("no sign of life for {} s", SILENCE.as_secs()));
                    }
                    if let Err(end) = socket.ping() { return lost(end) }
                }
            }
        }
    }

    /// Says what there is to say.
    fn speak(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        if !socket.is_flushed() {
            return Ok(());
        }
        let now = Instant::now();
        let last_id = &mut self.last_id;
        for text in self.followers.next(now, || next(last_id)) {
            socket.queue(text)?;
        }
        while let Some(text) = self.outstanding.next(now) {
            socket.queue(text)?;
        }
        Ok(())
    }

    /// Shows a newer token. If the server does not take it, the old one expires, and the next connection says why.
    fn show(&mut self, socket: &mut Socket, token: String) -> Result<(), Ended> {
        let id = CommandId::from(next(&mut self.last_id));
        socket.queue(Command::Auth(Auth { token, last_event_id: None }).encode(Some(&id)))
    }

    /// When there will be something to say without anybody asking.
    fn due(&self, socket: &Socket) -> Option<Instant> {
        let due = self.followers.due().into_iter().chain(self.outstanding.due()).min();
        due.filter(|_| socket.is_flushed())
    }

    fn take(&mut self, ask: Ask) {
        let now = Instant::now();
        match ask {
            Ask::Command { command, answer, room } => {
                self.outstanding.add(next(&mut self.last_id), command, answer, room, now);
            }
            Ask::Follow { channel, from, inbox, begun } => {
                self.followers.add(channel, from, inbox, begun, now);
            }
        }
    }

    fn hear(&mut self, text: Text) -> Result<(), End> {
        let misheard = |error: &dyn fmt::Display| End::Final(Error::Misheard(error.to_string()));
        let now = Instant::now();
        let heard = match Heard::decode(&text) {
            Ok(heard) => heard,
            Err(_) if is_news(&text) => return Ok(()),
            Err(error) => return Err(misheard(&error)),
        };
        match heard {
            Heard::Reply { id, outcome } if self.followers.has_asked(id) => {
                let outcome = match outcome {
                    Ok(()) => Ok(serde_json::from_str(&text).map_err(|error| misheard(&error))?),
                    Err(refused) => Err(refused),
                };
                self.followers.answered(id, outcome, now);
            }
            Heard::Reply { id, outcome } => {
                self.outstanding.answered(id, outcome.map(|()| text), self.patience, now);
            }
            Heard::Messages { channel, messages } => self.followers.messages(&channel, messages),
            Heard::Gap { channel, after, oldest } => self.followers.gap(&channel, after, oldest),
            Heard::Error(refused) => debug!(%refused, "the server complains"),
            Heard::Connected(_) | Heard::Draining | Heard::Peer { .. } => {}
        }
        Ok(())
    }

    fn lost(&mut self) {
        self.outstanding.lost();
        self.followers.lost(Instant::now());
    }

    /// Tells everybody that it is over.
    async fn end(&mut self, error: &Error) {
        self.asks.close();
        self.outstanding.end(error);
        self.followers.end(error);
        while let Some(ask) = self.asks.recv().await {
            ask.refuse(error.clone());
        }
    }
}

fn next(last_id: &mut u64) -> u64 {
    *last_id += 1;
    *last_id
}

/// Whether a text is an event that a later server may know and this client need not.
fn is_news(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Named {
        event: Box<str>,
    }
    serde_json::from_str(text).is_ok_and(|Named { event }| !matches!(&*event, "messages" | "gap"))
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// The close codes of the protocol. A token that expired can be followed by another; a frame that the server does not take
/// would be refused again.
fn lost(Ended { code, reason }: Ended) -> End {
    match code {
        Some(4401) => End::Expired,
        Some(1002 | 1003 | 1007 | 1009) => End::Final(Error::Misheard(reason)),
        _ => End::Lost(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Shown, Token};
    use inkwire_core::ProducerId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    fn desk() -> (mpsc::Sender<Ask>, Desk) {
        let (sender, asks) = mpsc::channel(1);
        let desk = Desk {
            asks,
            attention: Arc::default(),
            patience: None,
            outstanding: Outstanding::new(ProducerId::new("p").unwrap()),
            followers: Followers::default(),
            last_id: 0,
        };
        (sender, desk)
    }

    fn tokens() -> Tokens {
        Tokens::new(Token::fixed("t"), Shown { text: "t".into(), renew: None })
    }

    /// Seen to fail: when a ping that was written counts as a sign of life.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_left_and_one_that_answers_is_not() {
        let (_client, mut desk) = desk();
        let (ours, mut theirs) = duplex(1 << 20);
        let began = Instant::now();
        let answering = async {
            for _ in 0..10 {
                // A ping without content, masked, is answered with a pong.
                theirs.read_exact(&mut [0; 6]).await.unwrap();
                theirs.write_all(&[0x8a, 0]).await.unwrap();
            }
            pending::<()>().await;
        };
        let end = select! {
            end = async { desk.with_connection(Socket::over(Box::new(ours)).await, &mut tokens()).await } => end,
            () = answering => panic!("it goes on for ever"),
        };
        assert!(matches!(end, End::Lost(reason) if reason.contains("sign of life")));
        assert_eq!(began.elapsed().as_secs(), 120, "ten pings from 0 s on, and then three without an answer");
    }
}
