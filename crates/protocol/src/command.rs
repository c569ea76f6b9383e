//! What a client asks on the WebSocket: one JSON object in one text frame.
//!
//! A command is read in two steps, so that the `id` of a command that is wrong in any other way is known, and the
//! refusal can name it. Members that no command has are ignored: the wire grows by addition.

use std::fmt;
use std::time::Duration;

use inkwire_core::{
    ChannelName, ConsumerName, Draft, GroupName, Key, Keyed, Offset, Producer, ProducerId, State, Version,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::channel::{From, WireFields};
use crate::text;

/// How many messages a read gives unless told otherwise.
pub const READ_LIMIT: usize = 100;
/// How many messages a read gives at most, and a claim.
pub const LARGEST_LIMIT: usize = 1_000;
/// How many messages a claim gives unless told otherwise.
pub const CLAIM_COUNT: usize = 10;
/// How long a claim may wait for messages. Long enough for every worker; a claim costs the server a subscription.
pub const LONGEST_BLOCK: Duration = Duration::from_secs(60 * 60);

/// What a command is called by its client: a number, repeated exactly as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandId(Box<str>);

impl CommandId {
    /// The number as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::convert::From<u64> for CommandId {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// A text frame as it was understood.
#[derive(Debug)]
pub struct Asked {
    /// The command's id. Without one, nothing is answered, and errors come as events.
    pub id: Option<CommandId>,
    /// What is asked.
    pub command: Result<Command, Malformed>,
}

/// A text that is no command; says why, for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// What can be asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// Shows a token.
    Auth(Auth),
    /// Follows a channel.
    Subscribe(Subscribe),
    /// Follows it no more.
    Unsubscribe(ChannelName),
    /// Publishes a message.
    Publish(Box<Publish>),
    /// Reads a page of a channel.
    Read(Read),
    /// Takes messages for a consumer of a group.
    Claim(Box<Claim>),
    /// Settles messages of a group.
    Ack(Ack),
    /// Joins a room. The text is checked where it is used: what is wrong with it is answered as over HTTP.
    Join(Box<str>),
    /// Leaves a room.
    Leave(Box<str>),
    /// Puts an event into a peer's inbox.
    Relay(Box<Relay>),
    /// Asks for an answer.
    Ping,
}

/// `{"op":"auth","token","lastEventId"}`
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// A JWT.
    pub token: String,
    /// Where the client stood as a peer, if it is one that comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(…)")
    }
}

/// `{"op":"subscribe","channel","offset"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Which channel.
    #[serde(with = "text")]
    pub channel: ChannelName,
    /// From where; new messages only unless told otherwise.
    #[serde(default = "only_new", with = "text")]
    pub offset: From,
}

/// `{"op":"publish","channel","fields",…}`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Publish {
    /// Which channel.
    #[serde(with = "text")]
    pub channel: ChannelName,
    /// The message's body.
    pub fields: WireFields,
    /// So many messages are kept from now on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maxlen")]
    pub maxlen: Option<usize>,
    /// What the message is about, in a keyed channel.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub key: Option<Key>,
    /// Decides which message of a key is kept.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub version: Option<Version>,
    /// Whether the message deletes its key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tombstone: bool,
    /// Makes a repeated publish recognisable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<WireProducer>,
    /// Whether the message is to say who published it: the server adds the `id` of the token, as `@user`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
}

impl Publish {
    /// A message for a plain channel.
    pub fn plain(channel: ChannelName, fields: inkwire_core::Fields) -> Self {
        Self {
            channel,
            fields: WireFields(fields),
            maxlen: None,
            key: None,
            version: None,
            tombstone: false,
            producer: None,
            named: false,
        }
    }

    /// The key, version and state, which stand together.
    ///
    /// # Errors
    /// [`Malformed`] when one stands without the other.
    pub fn keyed(&self) -> Result<Option<Keyed>, Malformed> {
        let state = if self.tombstone { State::Tombstone } else { State::Live };
        match (self.key.clone(), self.version.clone()) {
            (Some(key), Some(version)) => Ok(Some(Keyed { key, version, state })),
            (None, None) if !self.tombstone => Ok(None),
            (None, None) => Err(Malformed("a tombstone needs a key and a version".into())),
            _ => Err(Malformed("key and version stand together".into())),
        }
    }

    /// The draft that says the same; how much of the channel is kept, and who publishes, is for the server to add.
    ///
    /// # Errors
    /// [`Malformed`] when a key stands without a version, or a version without a key.
    pub fn into_draft(self) -> Result<Draft, Malformed> {
        let keyed = self.keyed()?;
        let draft = match keyed {
            Some(keyed) => Draft::keyed(self.fields.0, keyed),
            None => Draft::plain(self.fields.0),
        };
        let producer = self.producer.map(|WireProducer { id, seq }| Producer { id, seq });
        Ok(Draft { producer, ..draft })
    }
}

/// `{"id","seq"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireProducer {
    /// Who publishes.
    #[serde(with = "text")]
    pub id: ProducerId,
    /// Grows with every message of this producer in this channel.
    pub seq: u64,
}

/// `{"op":"read","channel","after","limit"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Which channel.
    #[serde(with = "text")]
    pub channel: ChannelName,
    /// After which offset, or from the beginning (the default).
    #[serde(default = "beginning", serialize_with = "text::serialize", deserialize_with = "place")]
    pub after: From,
    /// At most so many messages.
    #[serde(default = "read_limit", deserialize_with = "limit")]
    pub limit: usize,
}

/// `{"op":"claim","channel","group","consumer","count","blockMs","minIdleMs","from"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Which channel.
    #[serde(with = "text")]
    pub channel: ChannelName,
    /// Which group.
    #[serde(with = "text")]
    pub group: GroupName,
    /// Who asks.
    #[serde(with = "text")]
    pub consumer: ConsumerName,
    /// At most so many messages.
    #[serde(default = "claim_count", deserialize_with = "limit")]
    pub count: usize,
    /// How long to wait for the first one, in milliseconds.
    #[serde(default, deserialize_with = "block")]
    pub block_ms: u64,
    /// How long the holder of a message must have been silent for it to be taken over, in milliseconds.
    #[serde(default = "min_idle")]
    pub min_idle_ms: u64,
    /// Where a new group begins.
    #[serde(default = "beginning", with = "text")]
    pub from: From,
}

impl Claim {
    /// A claim that does not wait, under the defaults.
    pub fn new(channel: ChannelName, group: GroupName, consumer: ConsumerName) -> Self {
        let (count, min_idle_ms, from) = (CLAIM_COUNT, min_idle(), From::Beginning);
        Self { channel, group, consumer, count, block_ms: 0, min_idle_ms, from }
    }
}

/// `{"op":"ack","channel","group","offsets"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Which channel.
    #[serde(with = "text")]
    pub channel: ChannelName,
    /// Which group.
    #[serde(with = "text")]
    pub group: GroupName,
    /// What is done.
    #[serde(with = "text::list")]
    pub offsets: Vec<Offset>,
}

/// `{"op":"relay","to","event","data"}`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Relay {
    /// Which peer.
    pub to: Box<str>,
    /// What the event is called.
    pub event: Box<str>,
    /// What it says: any JSON.
    pub data: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct OfChannel {
    #[serde(with = "text")]
    channel: ChannelName,
}

#[derive(Serialize, Deserialize)]
struct OfRoom {
    room: Box<str>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    op: Option<&'a RawValue>,
}

impl Asked {
    /// Understands a text, or says what is wrong with it.
    pub fn decode(text: &str) -> Self {
        let head: Head<'_> = match serde_json::from_str(text) {
            Ok(head) if text.trim_start().starts_with('{') => head,
            Ok(_) => return Self { id: None, command: Err(Malformed("a command is a JSON object".into())) },
            Err(error) => {
                return Self { id: None, command: Err(Malformed(format!("not a JSON object: {error}"))) };
            }
        };
        let is_number = |id: &&RawValue| id.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let id = match head.id {
            // As if it were not there; `null` is what some encoders write for nothing.
            Some(id) if id.get() == "null" => None,
            Some(id) if !is_number(&id) => {
                return Self { id: None, command: Err(Malformed("an id is a number".into())) };
            }
            id => id.map(|id| CommandId(id.get().into())),
        };
        let op: Result<String, _> = serde_json::from_str(head.op.map_or("null", RawValue::get));
        let command = match op {
            Ok(op) => Command::decode(&op, text),
            Err(_) => Err(Malformed("\"op\" says what is asked, as a text".into())),
        };
        Self { id, command }
    }
}

impl Command {
    fn decode(op: &str, text: &str) -> Result<Self, Malformed> {
        fn of<'a, T: Deserialize<'a>>(op: &str, text: &'a str) -> Result<T, Malformed> {
            serde_json::from_str(text).map_err(|error| Malformed(format!("{op}: {error}")))
        }
        Ok(match op {
            "auth" => Self::Auth(of(op, text)?),
            "subscribe" => Self::Subscribe(of(op, text)?),
            "unsubscribe" => Self::Unsubscribe(of::<OfChannel>(op, text)?.channel),
            "publish" => Self::Publish(of(op, text)?),
            "read" => Self::Read(of(op, text)?),
            "claim" => Self::Claim(of(op, text)?),
            "ack" => Self::Ack(of(op, text)?),
            "join" => Self::Join(of::<OfRoom>(op, text)?.room),
            "leave" => Self::Leave(of::<OfRoom>(op, text)?.room),
            "relay" => Self::Relay(of(op, text)?),
            "ping" => Self::Ping,
            _ => return Err(Malformed("\"op\" is none that this server knows".into())),
        })
    }

    /// What it is called on the wire.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Auth(_) => "auth",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Publish(_) => "publish",
            Self::Read(_) => "read",
            Self::Claim(_) => "claim",
            Self::Ack(_) => "ack",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Relay(_) => "relay",
            Self::Ping => "ping",
        }
    }

    /// The text that says it.
    pub fn encode(&self, id: Option<&CommandId>) -> String {
        #[derive(Serialize)]
        struct Whole<'a, T> {
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a CommandId>,
            op: &'static str,
            #[serde(flatten)]
            members: T,
        }
        #[derive(Serialize)]
        struct Nothing {}
        fn text<T: Serialize>(id: Option<&CommandId>, op: &'static str, members: T) -> String {
            serde_json::to_string(&Whole { id, op, members })
                .expect("texts and numbers can be written as JSON")
        }
        let op = self.op();
        match self {
            Self::Auth(auth) => text(id, op, auth),
            Self::Subscribe(subscribe) => text(id, op, subscribe),
            Self::Unsubscribe(channel) => text(id, op, OfChannel { channel: channel.clone() }),
            Self::Publish(publish) => text(id, op, publish),
            Self::Read(read) => text(id, op, read),
            Self::Claim(claim) => text(id, op, claim),
            Self::Ack(ack) => text(id, op, ack),
            Self::Join(room) | Self::Leave(room) => text(id, op, OfRoom { room: room.clone() }),
            Self::Relay(relay) => text(id, op, relay),
            Self::Ping => text(id, op, Nothing {}),
        }
    }
}

fn only_new() -> From {
    From::New
}

fn beginning() -> From {
    From::Beginning
}

fn read_limit() -> usize {
    READ_LIMIT
}

fn claim_count() -> usize {
    CLAIM_COUNT
}

fn min_idle() -> u64 {
    u64::try_from(inkwire_core::Claim::MIN_IDLE.as_millis()).unwrap_or(u64::MAX)
}

fn maxlen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    match Option::<usize>::deserialize(deserializer)? {
        Some(0) => Err(D::Error::custom("maxlen is a whole number of at least 1")),
        maxlen => Ok(maxlen),
    }
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        limit if (1..=LARGEST_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(D::Error::custom("expected a whole number from 1 to 1000")),
    }
}

fn block<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        block if Duration::from_millis(block) <= LONGEST_BLOCK => Ok(block),
        _ => Err(D::Error::custom("a claim waits at most 3600000 ms")),
    }
}

fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<From, D::Error> {
    match text::deserialize(deserializer)? {
        From::New => Err(D::Error::custom("after is 0 or an offset, <ms>-<seq>")),
        place => Ok(place),
    }
}
