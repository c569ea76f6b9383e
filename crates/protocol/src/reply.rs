//! What the server says on the WebSocket: replies to commands, and events. Each is one JSON object in one text frame.

use inkwire_core::{ChannelName, Error, NameError, Offset};
use serde::{Deserialize, Serialize};

use crate::access::User;
use crate::channel::{ChannelGap, PublishReply, Received, WireClaimed, WireMessage, WireOffset, WirePage};
use crate::command::{CommandId, Malformed};
use crate::event::Event;
use crate::problem::Code;
use crate::room::Room;
use crate::text;

/// The subprotocol of [`Command`](crate::Command)s and replies.
pub const SUBPROTOCOL: &str = "inkwire.v1";

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// For programs.
    pub code: Code,
    /// For people: what happened here, and what to do about it.
    pub message: String,
    /// When trying again makes sense, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Kind(_) => Code::Conflict,
            Error::Unavailable(_) => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NameError> for Refused {
    fn from(error: NameError) -> Self {
        Self::new(Code::Invalid, error.0)
    }
}

impl From<Malformed> for Refused {
    fn from(error: Malformed) -> Self {
        Self::new(Code::Invalid, error.0)
    }
}

/// What a command that was carried out is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply<'a> {
    /// To `auth`, `unsubscribe`, `leave`, `relay` and `ping`.
    Done {},
    /// To `subscribe`.
    Subscribed(Subscribed),
    /// To `publish`.
    Published(PublishReply),
    /// To `read`.
    Page(WirePage<'a>),
    /// To `claim`.
    Claimed {
        /// What the consumer holds now.
        messages: Vec<WireClaimed<'a>>,
    },
    /// To `ack`.
    Acknowledged {
        /// How many of the offsets were held and are settled now.
        acknowledged: usize,
    },
    /// To `join`.
    Joined(Room),
}

/// The answer to a subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The cursor it starts from.
    #[serde(with = "text")]
    pub offset: Offset,
    /// The log could not prove that it continues the offset asked for; it starts at the oldest message kept.
    pub gap: bool,
}

/// The answer to a read, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReceivedPage {
    /// The messages, in order.
    pub messages: Vec<Received>,
    /// The channel's newest offset; `0-0` in an unused channel.
    #[serde(with = "text")]
    pub head: Offset,
    /// Whether something after the cursor is missing.
    pub gap: bool,
}

/// The answer to a claim, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReceivedClaim {
    /// What the consumer holds now; each says how often it was given to one of the group.
    pub messages: Vec<Received>,
}

/// The answer to an ack, as a client reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Acknowledged {
    /// How many of the offsets were held and are settled now.
    pub acknowledged: usize,
}

/// The text of a reply.
pub fn reply(id: &CommandId, outcome: &Result<Reply<'_>, Refused>) -> String {
    #[derive(Serialize)]
    struct Done<'a> {
        id: &'a CommandId,
        ok: bool,
        #[serde(flatten)]
        reply: &'a Reply<'a>,
    }
    #[derive(Serialize)]
    struct Failed<'a> {
        id: &'a CommandId,
        ok: bool,
        error: &'a Refused,
    }
    match outcome {
        Ok(reply) => serde_json::to_string(&Done { id, ok: true, reply }),
        Err(error) => serde_json::to_string(&Failed { id, ok: false, error }),
    }
    .expect("texts and numbers can be written as JSON")
}

/// The first event: who the token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Whom the token stands for.
    pub user: User,
    /// Which node this is.
    pub node: Box<str>,
    /// Where a position was shown: whether the peer's stream continues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
}

/// The text of `connected`.
pub fn connected(welcome: &Welcome) -> String {
    event("connected", welcome)
}

/// The text of `messages` with one message.
pub fn message(channel: &ChannelName, message: WireMessage<'_>) -> String {
    #[derive(Serialize)]
    struct Messages<'a> {
        channel: &'a str,
        messages: [WireMessage<'a>; 1],
    }
    event("messages", Messages { channel: channel.as_str(), messages: [message] })
}

/// The text of a channel's `gap`.
pub fn gap(channel: &ChannelName, after: Offset, oldest: Offset) -> String {
    #[derive(Serialize)]
    struct Gap<'a> {
        channel: &'a str,
        #[serde(flatten)]
        gap: ChannelGap,
    }
    let gap = ChannelGap { after: WireOffset(after), oldest: WireOffset(oldest) };
    event("gap", Gap { channel: channel.as_str(), gap })
}

/// The text of `error`.
pub fn error(error: &Refused) -> String {
    #[derive(Serialize)]
    struct Error<'a> {
        error: &'a Refused,
    }
    event("error", Error { error })
}

/// The text of an event of the peer's stream.
pub fn of_peer(told: &Event, position: Option<&str>) -> String {
    #[derive(Serialize)]
    struct AtPosition<'a> {
        event: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<&'a str>,
    }
    let head = AtPosition { event: told.name(), position };
    let mut text = serde_json::to_string(&head).expect("texts can be written as JSON");
    // The data is an object too: the two become one.
    let data = told.data();
    let members = data.trim_start_matches('{');
    text.pop();
    text.push_str(if members == "}" { "" } else { "," });
    text.push_str(members);
    text
}

fn event<T: Serialize>(event: &str, members: T) -> String {
    #[derive(Serialize)]
    struct Whole<'a, T> {
        event: &'a str,
        #[serde(flatten)]
        members: T,
    }
    serde_json::to_string(&Whole { event, members }).expect("texts and numbers can be written as JSON")
}

/// What a client hears, as far as the first look tells.
#[derive(Debug)]
pub enum Heard {
    /// A reply to the command of this id: its members are still to be read, with [`serde_json::from_str`].
    Reply {
        /// Which command.
        id: u64,
        /// How it went.
        outcome: Result<(), Refused>,
    },
    /// The connection is one of a user.
    Connected(Welcome),
    /// Messages of a channel.
    Messages {
        /// Which channel.
        channel: ChannelName,
        /// In order.
        messages: Vec<Received>,
    },
    /// A hole in a channel.
    Gap {
        /// Which channel.
        channel: ChannelName,
        /// The last offset that was delivered.
        after: Offset,
        /// The oldest message kept.
        oldest: Offset,
    },
    /// The node goes down.
    Draining,
    /// Something without an id went wrong.
    Error(Refused),
    /// An event of the peer's stream.
    Peer {
        /// What it says.
        event: Event,
        /// Where the client stands after it.
        position: Option<String>,
    },
}

/// A text that is nothing a server says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not what a server says: {0}")]
pub struct Unheard(String);

impl Heard {
    /// Understands a text.
    ///
    /// # Errors
    /// [`Unheard`] when it is none of these.
    pub fn decode(text: &str) -> Result<Self, Unheard> {
        #[derive(Deserialize)]
        struct Head {
            id: Option<u64>,
            ok: Option<bool>,
            error: Option<Refused>,
            event: Option<Box<str>>,
            position: Option<String>,
        }
        #[derive(Deserialize)]
        struct Messages {
            #[serde(with = "text")]
            channel: ChannelName,
            messages: Vec<Received>,
        }
        #[derive(Deserialize)]
        struct Gap {
            #[serde(with = "text")]
            channel: ChannelName,
            #[serde(with = "text")]
            after: Offset,
            #[serde(with = "text")]
            oldest: Offset,
        }
        #[derive(Deserialize)]
        struct MaybeChannel {
            channel: Option<Box<str>>,
        }
        fn of<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unheard> {
            serde_json::from_str(text).map_err(|error| Unheard(error.to_string()))
        }
        let head: Head = of(text)?;
        let unheard = |what: &str| Unheard(what.to_owned());
        let Some(event) = head.event else {
            let id = head.id.ok_or_else(|| unheard("neither an event nor a reply"))?;
            let outcome = match (head.ok, head.error) {
                (Some(true), _) => Ok(()),
                (_, Some(error)) => Err(error),
                (_, None) => return Err(unheard("a reply without an outcome")),
            };
            return Ok(Self::Reply { id, outcome });
        };
        Ok(match &*event {
            "connected" => Self::Connected(of(text)?),
            "messages" => {
                let Messages { channel, messages } = of(text)?;
                Self::Messages { channel, messages }
            }
            "gap" if of::<MaybeChannel>(text)?.channel.is_some() => {
                let Gap { channel, after, oldest } = of(text)?;
                Self::Gap { channel, after, oldest }
            }
            "draining" => Self::Draining,
            "error" => Self::Error(head.error.ok_or_else(|| unheard("an error that says nothing"))?),
            name => {
                let event = Event::decode(name, text).map_err(|error| Unheard(error.to_string()))?;
                Self::Peer { event, position: head.position }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Username;
    use crate::event::AddPeer;
    use crate::id::{PeerId, RoomId};
    use crate::room::Peer;

    #[test]
    fn replies_repeat_the_id() {
        let id = CommandId::from(7);
        assert_eq!(reply(&id, &Ok(Reply::Done {})), r#"{"id":7,"ok":true}"#);
        let subscribed = Subscribed { offset: Offset::ZERO, gap: false };
        assert_eq!(
            reply(&id, &Ok(Reply::Subscribed(subscribed))),
            r#"{"id":7,"ok":true,"offset":"0-0","gap":false}"#
        );
        let refused = Refused::new(Code::NotFound, "no");
        assert_eq!(
            reply(&id, &Err(refused)),
            r#"{"id":7,"ok":false,"error":{"code":"not-found","message":"no"}}"#
        );
    }

    #[test]
    fn a_page_comes_out_as_it_went_in() {
        let page = WirePage { messages: Vec::new(), head: WireOffset(Offset { ms: 5, seq: 1 }), gap: true };
        let text = reply(&CommandId::from(7), &Ok(Reply::Page(page)));
        let received: ReceivedPage = serde_json::from_str(&text).unwrap();
        let head = Offset { ms: 5, seq: 1 };
        assert_eq!(received, ReceivedPage { messages: Vec::new(), head, gap: true });
    }

    #[test]
    fn events_of_the_peers_stream_bear_their_position() {
        assert_eq!(of_peer(&Event::Replaced, None), r#"{"event":"replaced"}"#);
        assert_eq!(of_peer(&Event::Gap, Some("p")), r#"{"event":"gap","position":"p"}"#);
        let user = User { id: PeerId::new("b").unwrap(), username: Username::new("bob").unwrap() };
        let peer = Peer { user, viewer: false };
        let added = Event::AddPeer(AddPeer { peer, room: RoomId::new("r").unwrap(), offer: true });
        assert_eq!(
            of_peer(&added, Some("p")),
            r#"{"event":"add-peer","position":"p","peer":{"id":"b","username":"bob"},"roomId":"r","offer":true}"#
        );
        assert!(matches!(
            Heard::decode(&of_peer(&added, Some("p"))),
            Ok(Heard::Peer { event: Event::AddPeer(_), position: Some(_) })
        ));
        assert!(matches!(
            Heard::decode(&of_peer(&Event::Gap, Some("p"))),
            Ok(Heard::Peer { event: Event::Gap, .. })
        ));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "{}", "[]", r#"{"id":1}"#, r#"{"id":1,"ok":false}"#, r#"{"event":"Nothing"}"#] {
            assert!(Heard::decode(text).is_err(), "{text}");
        }
    }
}
