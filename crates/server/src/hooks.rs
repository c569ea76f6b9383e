//! The application's own rules: who may connect, who may follow and publish what, and what each subscriber is told.
//!
//! Every way in, WebSocket or HTTP, asks the same hooks. What a hook does not define follows the protocol: a token's
//! grants decide.

use async_trait::async_trait;
use inkwire_core::{ChannelName, Draft, Fields, Message};
use inkwire_protocol::access::Action;
use inkwire_protocol::channel::From;
use inkwire_protocol::{Code, Refused, RoomId, User};

use crate::grants;
use crate::tokens::Identity;

/// Somebody with a valid token, who asks for something.
#[derive(Debug, Clone)]
pub struct Client {
    identity: Identity,
    number: u64,
}

impl Client {
    pub(crate) fn new(identity: Identity, number: u64) -> Self {
        Self { identity, number }
    }

    /// Whom the token stands for.
    pub fn user(&self) -> &User {
        &self.identity.user
    }

    /// What the token says.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Tells this client's connections apart, on this node and for as long as it runs: the same number in
    /// [`Hooks::connect`] and [`Hooks::disconnect`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether the token's grants allow an action on a channel; names that begin with `$` are never granted.
    ///
    /// # Errors
    /// [`Refused`] with [`Code::Forbidden`] if they do not.
    pub fn may(&self, action: Action, channel: &ChannelName) -> Result<(), Refused> {
        grants::check(&self.identity.grants, action, channel)
            .map_err(|denied| Refused::new(Code::Forbidden, denied.to_string()))
    }

    pub(crate) fn show(&mut self, identity: Identity) {
        self.identity = identity;
    }
}

/// What somebody wants to do with a channel's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To follow it.
    Subscribe,
    /// To read a page of it.
    Read,
    /// To take messages for a consumer of a group.
    Claim,
    /// To settle messages of a group.
    Acknowledge,
}

/// A wish to be told what a channel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// What for.
    pub purpose: Purpose,
    /// Which channel. When a hook names another one, that is followed, and the client hears of it under the name it
    /// asked for.
    pub channel: ChannelName,
    /// From where. Acknowledging has no place; it is then [`From::Beginning`].
    pub from: From,
}

/// A wish to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Where.
    pub channel: ChannelName,
    /// What. Its `user` is who asks, where the message is to say so ([`Hooks::publish`]).
    pub draft: Draft,
}

/// What becomes of a message on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is told as it is. The bytes are shared with all others who are told the same.
    Tell,
    /// The client is told these fields instead. Where the message stands, its key, and who published it stay as they are.
    TellInstead(Fields),
    /// The client is not told. For a filter, or for a hook that has acted on the message itself.
    Withhold,
}

/// The channel of a room's board.
pub(crate) fn board(room: &RoomId) -> ChannelName {
    ChannelName::new(format!("board:{room}")).expect("a room id is part of a channel name")
}

/// The application's rules. Each has a default: the protocol's.
///
/// ```
/// use inkwire::hooks::{Client, Hooks, PublishRequest};
/// use inkwire::{Code, Refused};
///
/// /// Nobody shouts.
/// struct Quiet;
///
/// #[async_trait::async_trait]
/// impl Hooks for Quiet {
///     async fn publish(&self, client: &Client, request: PublishRequest) -> Result<PublishRequest, Refused> {
///         client.may(inkwire::Action::Publish, &request.channel)?;
///         match request.draft.fields.get("text") {
///             Some(text) if text.ends_with('!') => Err(Refused::new(Code::Forbidden, "quietly, please")),
///             _ => Ok(request),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Admits a connection (a WebSocket or an event stream) whose token is valid.
    ///
    /// # Errors
    /// With what the client is told instead.
    async fn connect(&self, client: &Client) -> Result<(), Refused> {
        let _ = client;
        Ok(())
    }

    /// Authorises, and may rewrite, whatever gives a client messages of a channel. The default asks the token's grants
    /// for [`Action::Subscribe`]. A room's read-only view comes by its own name, `view:<view id>`, here and in
    /// [`deliver`](Self::deliver), and never to be claimed or published to.
    ///
    /// # Errors
    /// With what the client is told instead.
    async fn subscribe(
        &self,
        client: &Client,
        request: SubscribeRequest,
    ) -> Result<SubscribeRequest, Refused> {
        client.may(Action::Subscribe, &request.channel)?;
        Ok(request)
    }

    /// Authorises, and may rewrite, a publish. The default asks the token's grants for [`Action::Publish`]. The
    /// publishes of a connection are asked for one after the other, so a slow hook slows its client.
    ///
    /// A message says who published it where the client asked for that, whatever becomes of the draft here, and where this
    /// sets `draft.user`; the name is always the client's own.
    ///
    /// # Errors
    /// With what the client is told instead.
    async fn publish(&self, client: &Client, request: PublishRequest) -> Result<PublishRequest, Refused> {
        client.may(Action::Publish, &request.channel)?;
        Ok(request)
    }

    /// Decides whether a client may edit a room's board: put files into the room, make links to it, and be believed by its
    /// peers. Whoever is refused as [`Code::Forbidden`] joins the room as a viewer. The default asks the token's grants for [`Action::Publish`] on the board's channel, `board:<room>`; whoever decides about that
    /// channel in [`publish`](Self::publish) decides alike here.
    ///
    /// # Errors
    /// With what the client is told instead.
    async fn edit(&self, client: &Client, room: &RoomId) -> Result<(), Refused> {
        client.may(Action::Publish, &board(room))
    }

    /// Decides what a client is told of a message: called for each message and client, so it must be quick. A message
    /// that a consumer of a group claims and is not told is acknowledged for it.
    fn deliver(&self, client: &Client, channel: &ChannelName, message: &Message) -> Verdict {
        let _ = (client, channel, message);
        Verdict::Tell
    }

    /// A connection that was admitted has ended, in whatever way.
    fn disconnect(&self, client: &Client) {
        let _ = client;
    }
}

/// The protocol's rules and no others.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByGrants;

impl Hooks for ByGrants {}
