//! The client as its user holds it: a handle, cheap to clone, to a task that keeps a connection.

use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{ChannelName, GroupName, Offset, ProducerId};
use inkwire_protocol::Command;
use inkwire_protocol::channel::{From, PublishReply, Received};
use inkwire_protocol::command::{Ack, Claim, Publish, Read};
use inkwire_protocol::reply::{Acknowledged, ReceivedClaim, ReceivedPage};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::unconstrained;
use tokio_util::task::AbortOnDropHandle;

use crate::connector::Connector;
use crate::driver::{Ask, Desk, Driver};
use crate::error::Error;
use crate::followers::Followers;
use crate::outstanding::Outstanding;
use crate::subscription::{Inbox, Subscription};
use crate::target::Target;
use crate::token::Token;

/// How much may be on its way to the server, in KiB; every command counts as one at least. Enough to fill any connection
/// with small messages, and four of the largest. Who comes later waits.
const ROOM: u32 = 4_096;
/// How many commands wait for the task to take them in. It takes all it can at each turn; they hold their room already.
const ASKS: usize = 64;

/// A client of a server's channels, through every drop of the connection. Clones share the connection, which ends with
/// the last of them and of their subscriptions.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use inkwire_client::{Client, Fields, Publish, Token};
/// let client = Client::builder(["ws://127.0.0.1:8081".parse()?], Token::fixed("eyJ…")).connect();
/// let message = Publish::plain("board:lobby".parse()?, Fields::of([("text", "hello")]));
/// println!("published at {}", client.publish(message).await?.offset.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    asks: mpsc::Sender<Ask>,
    /// Held by whoever asks next: a place in a queue for room is not yet one before those who come later and find some.
    turns: Mutex<()>,
    room: Arc<Semaphore>,
    attention: Arc<Notify>,
    states: watch::Receiver<State>,
    _driver: AbortOnDropHandle<()>,
}

/// How a client stands with its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It looks for a server.
    Connecting {
        /// How many attempts have failed since the last good connection.
        failures: u32,
        /// Why the last one did, or why the connection was lost; empty at first.
        reason: String,
    },
    /// It is connected.
    Connected {
        /// To which.
        target: Target,
    },
    /// Trying again cannot help: everything that is asked of it fails with this.
    Ended(Error),
}

/// What a client is made of.
#[derive(Debug)]
pub struct Builder {
    targets: Box<[Target]>,
    token: Token,
    patience: Option<Duration>,
}

impl Builder {
    /// How long a command may wait for a server that does not answer, before it fails with [`Error::Unreachable`]. Without
    /// it, commands wait for as long as it takes.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Starts the client, which connects in the background. Must be called within a Tokio runtime.
    pub fn connect(self) -> Client {
        let (asks, asked) = mpsc::channel(ASKS);
        let attention = Arc::new(Notify::new());
        let (sender, states) = watch::channel(State::Connecting { failures: 0, reason: String::new() });
        let sender = Arc::new(sender);
        let driver = Driver {
            connector: Connector::new(self.targets, self.token, Arc::clone(&sender)),
            desk: Desk {
                asks: asked,
                attention: Arc::clone(&attention),
                patience: self.patience,
                outstanding: Outstanding::new(producer()),
                followers: Followers::default(),
                last_id: 0,
            },
            states: sender,
        };
        Client(Arc::new(Handle {
            asks,
            turns: Mutex::new(()),
            room: Arc::new(Semaphore::new(ROOM as usize)),
            attention,
            states,
            _driver: AbortOnDropHandle::new(tokio::spawn(driver.run())),
        }))
    }
}

/// A name that no other client has: 128 random bits.
fn producer() -> ProducerId {
    ProducerId::new(format!("{:032x}", rand::random::<u128>())).expect("32 hexadecimal digits are an id")
}

impl Client {
    /// A client of one of these servers, tried in turn.
    pub fn builder(targets: impl IntoIterator<Item = Target>, token: Token) -> Builder {
        Builder { targets: targets.into_iter().collect(), token, patience: None }
    }

    /// Publishes a message, once, however often the connection drops: it is sent again until the server says that it is
    /// durable. Messages published one after the other stand in that order, also when the answers are awaited
    /// together; only a message that was refused for a while (`rate-limited`, `unavailable`) may be overtaken by others that
    /// were on their way with it. Waits while too much is on its way (4 MiB, or 4,096 messages).
    ///
    /// A message that was sent again may be answered with the offset of a later one of this client, as a `duplicate`.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server refuses for good; [`Error::Uncertain`] when nobody can know any more whether the
    /// message was published; those of every command.
    pub async fn publish(&self, publish: Publish) -> Result<PublishReply, Error> {
        let weight = publish.fields.0.weight();
        self.ask(Command::Publish(Box::new(publish)), weight).await
    }

    /// Reads a page of a channel.
    ///
    /// # Errors
    /// Those of every command: [`Error::Refused`], [`Error::Unreachable`], [`Error::Closed`].
    pub async fn read(&self, read: Read) -> Result<ReceivedPage, Error> {
        self.ask(Command::Read(read), 0).await
    }

    /// Takes messages for a consumer of a group, and waits for the first one for as long as the claim says. If the connection
    /// drops, what was claimed and not heard of is given again after its idle time.
    ///
    /// # Errors
    /// Those of every command.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<Received>, Error> {
        let claimed: ReceivedClaim = self.ask(Command::Claim(Box::new(claim)), 0).await?;
        Ok(claimed.messages)
    }

    /// Settles messages of a group for good. Answers how many of them were held, which is fewer when an acknowledgement is
    /// sent again.
    ///
    /// # Errors
    /// Those of every command.
    pub async fn ack(
        &self,
        channel: ChannelName,
        group: GroupName,
        offsets: Vec<Offset>,
    ) -> Result<usize, Error> {
        let ack = Command::Ack(Ack { channel, group, offsets });
        let Acknowledged { acknowledged } = self.ask(ack, 0).await?;
        Ok(acknowledged)
    }

    /// Follows a channel. Ready when the server has said where it begins: what is published from then on is heard.
    ///
    /// # Errors
    /// [`Error::Refused`], with `conflict` when this client follows the channel already; those of every command.
    pub async fn subscribe(&self, channel: ChannelName, from: From) -> Result<Subscription, Error> {
        let inbox = Arc::new(Inbox::new(Arc::clone(&self.0.attention)));
        let (begun, begins) = oneshot::channel();
        // Before anything is awaited: whoever gives up waiting gives up the subscription.
        let subscription = Subscription::new(channel.clone(), Arc::clone(&inbox), self.clone());
        self.send(Ask::Follow { channel, from, inbox, begun }).await?;
        begins.await.map_err(|_| self.end())??;
        Ok(subscription)
    }

    /// How the client stands, now and whenever that changes.
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.states.clone()
    }

    async fn ask<T: DeserializeOwned>(&self, command: Command, weight: usize) -> Result<T, Error> {
        let share = u32::try_from(weight / 1_024).unwrap_or(u32::MAX).saturating_add(1).min(ROOM);
        let (answer, answered) = oneshot::channel();
        let asking = async {
            let _turn = self.0.turns.lock().await;
            let room = Arc::clone(&self.0.room).acquire_many_owned(share).await;
            let room = room.map_err(|_| Error::Closed)?;
            self.send(Ask::Command { command, answer, room }).await
        };
        // Commands keep the order in which they came. A task that has used up its share of the thread would be put off in
        // another.
        unconstrained(asking).await?;
        let text = answered.await.map_err(|_| self.end())??;
        serde_json::from_str(&text).map_err(|error| Error::Misheard(error.to_string()))
    }

    async fn send(&self, ask: Ask) -> Result<(), Error> {
        self.0.asks.send(ask).await.map_err(|_| self.end())
    }

    /// Why there is no answer any more.
    fn end(&self) -> Error {
        match &*self.0.states.borrow() {
            State::Ended(error) => error.clone(),
            State::Connecting { .. } | State::Connected { .. } => Error::Closed,
        }
    }
}
