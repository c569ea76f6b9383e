//! Channels on the wire: messages, pages, fields, and where to begin.

use std::fmt;
use std::str::FromStr;

use inkwire_core::offset::OffsetError;
use inkwire_core::{Claimed, FieldName, Fields, Key, Keyed, Message, Offset, Page, State, UserId, Version};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A message as clients see it: `{"offset":"1-0","text":"hello"}`, with `@user` where it says who published it; in a keyed
/// channel with `@key`, `@version` and, for a deletion, `"@deleted":true`.
#[derive(Debug, Clone, Copy)]
pub struct WireMessage<'a>(pub &'a Message);

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_message(&mut map, self.0)?;
        map.end()
    }
}

fn write_message<M: SerializeMap>(map: &mut M, message: &Message) -> Result<(), M::Error> {
    let Message { offset, fields, keyed, user, .. } = message;
    write_members(map, *offset, fields, user.as_ref(), keyed.as_ref())
}

fn write_members<M: SerializeMap>(
    map: &mut M,
    offset: Offset,
    fields: &Fields,
    user: Option<&UserId>,
    keyed: Option<&Keyed>,
) -> Result<(), M::Error> {
    map.serialize_entry("offset", &WireOffset(offset))?;
    for (name, value) in fields.iter() {
        map.serialize_entry(name, value)?;
    }
    if let Some(user) = user {
        map.serialize_entry("@user", user.as_str())?;
    }
    if let Some(keyed) = keyed {
        map.serialize_entry("@key", keyed.key.as_str())?;
        map.serialize_entry("@version", keyed.version.as_str())?;
        if keyed.state == State::Tombstone {
            map.serialize_entry("@deleted", &true)?;
        }
    }
    Ok(())
}

/// A message that a consumer holds: as [`WireMessage`], with the number `@deliveries`.
#[derive(Debug, Clone, Copy)]
pub struct WireClaimed<'a>(pub &'a Claimed);

impl Serialize for WireClaimed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_message(&mut map, &self.0.message)?;
        map.serialize_entry("@deliveries", &self.0.deliveries)?;
        map.end()
    }
}

/// A message as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it stands in its channel.
    pub offset: Offset,
    /// Its body.
    pub fields: Fields,
    /// Key, version and state, in a keyed channel.
    pub keyed: Option<Keyed>,
    /// Who published it, as the server knows it, where the publisher asked for that to be said.
    pub user: Option<UserId>,
    /// How often it was given to a consumer of the group, where it was claimed.
    pub deliveries: Option<u64>,
}

impl Serialize for Received {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_members(&mut map, self.offset, &self.fields, self.user.as_ref(), self.keyed.as_ref())?;
        if let Some(deliveries) = self.deliveries {
            map.serialize_entry("@deliveries", &deliveries)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Received;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Received, A::Error> {
        let (mut offset, mut key, mut version, mut deliveries) = (None, None, None, None);
        let mut user = None;
        let mut state = State::Live;
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match &*name {
                "offset" => offset = Some(map.next_value::<String>()?.parse().map_err(A::Error::custom)?),
                "@key" => key = Some(Key::new(map.next_value::<String>()?).map_err(A::Error::custom)?),
                "@version" => {
                    version = Some(Version::new(map.next_value::<String>()?).map_err(A::Error::custom)?);
                }
                "@user" => user = Some(UserId::new(map.next_value::<String>()?).map_err(A::Error::custom)?),
                "@deleted" if map.next_value()? => state = State::Tombstone,
                "@deleted" => {}
                "@deliveries" => deliveries = Some(map.next_value()?),
                // What a later server adds.
                other if other.starts_with('@') => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    fields.push((FieldName::new(name).map_err(A::Error::custom)?, map.next_value()?));
                }
            }
        }
        let keyed = match (key, version) {
            (Some(key), Some(version)) => Some(Keyed { key, version, state }),
            _ => None,
        };
        let offset = offset.ok_or_else(|| A::Error::missing_field("offset"))?;
        let fields = Fields::new(fields).map_err(A::Error::custom)?;
        Ok(Received { offset, fields, keyed, user, deliveries })
    }
}

/// An offset as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireOffset(#[serde(with = "text")] pub Offset);

/// The answer to a read.
#[derive(Debug, Serialize)]
pub struct WirePage<'a> {
    /// The messages, in order.
    pub messages: Vec<WireMessage<'a>>,
    /// The channel's newest offset; `"0-0"` in an unused channel.
    pub head: WireOffset,
    /// Whether something after the cursor is missing.
    pub gap: bool,
}

impl<'a> WirePage<'a> {
    /// A page as it is answered.
    pub fn new(page: &'a Page, gap: bool) -> Self {
        let messages = page.messages.iter().map(|message| WireMessage(message)).collect();
        Self { messages, head: WireOffset(page.head), gap }
    }
}

/// The data of a channel's `gap` event.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChannelGap {
    /// The last offset that was delivered.
    pub after: WireOffset,
    /// The oldest message kept; what follows begins there.
    pub oldest: WireOffset,
}

/// The answer to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReply {
    /// Where the message stands, or the one that stands in its stead.
    pub offset: WireOffset,
    /// The message was there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// A message of the key with a higher version is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
}

/// Fields as they are sent: an object of texts, in order, each name once.
#[derive(Debug, Clone)]
pub struct WireFields(pub Fields);

impl Serialize for WireFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for WireFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = WireFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireFields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<str>>()? {
                    fields.push((FieldName::new(name).map_err(A::Error::custom)?, value));
                }
                Fields::new(fields).map(WireFields).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Where a subscription is to begin: `$` with what is new, `0` with all there is, or after an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// New messages only.
    New,
    /// All that is kept; never a gap.
    Beginning,
    /// After this one.
    After(Offset),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("$"),
            Self::Beginning => f.write_str("0"),
            Self::After(offset) => write!(f, "{offset}"),
        }
    }
}

impl FromStr for From {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, OffsetError> {
        Ok(match text {
            "$" => Self::New,
            "0" => Self::Beginning,
            _ => Self::After(text.parse()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_the_order_of_their_fields() {
        let fields: WireFields = serde_json::from_str(r#"{"b":"1","a":"é","c":""}"#).unwrap();
        let offset = Offset { ms: 5, seq: 1 };
        let mut message = Message { offset, prev: Offset::ZERO, fields: fields.0, keyed: None, user: None };
        let json = |message: &Message| serde_json::to_string(&WireMessage(message)).unwrap();
        assert_eq!(json(&message), r#"{"offset":"5-1","b":"1","a":"é","c":""}"#);
        message.user = Some(UserId::new("u1").unwrap());
        assert_eq!(json(&message), r#"{"offset":"5-1","b":"1","a":"é","c":"","@user":"u1"}"#);
        message.keyed = Some(Keyed {
            key: Key::new("k").unwrap(),
            version: Version::new("2").unwrap(),
            state: State::Tombstone,
        });
        assert!(json(&message).ends_with(r#""@user":"u1","@key":"k","@version":"2","@deleted":true}"#));
        let received: Received = serde_json::from_str(&json(&message)).unwrap();
        assert_eq!(
            (received.offset, &received.fields, &received.keyed, &received.user),
            (offset, &message.fields, &message.keyed, &message.user)
        );
        assert_eq!(serde_json::to_string(&received).unwrap(), json(&message));
    }

    #[test]
    fn only_objects_of_texts_are_fields() {
        for bad in [
            "{}",
            "[]",
            "null",
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"{"a":{"b":"c"}}"#,
            r#"{"":"x"}"#,
            r#"{"offset":"1"}"#,
            r#"{"@key":"x"}"#,
            r#"{"@user":"x"}"#,
            r#"{"a":"1","a":"2"}"#,
        ] {
            assert!(serde_json::from_str::<WireFields>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn beginnings() {
        assert_eq!("$".parse(), Ok(From::New));
        assert_eq!("0".parse(), Ok(From::Beginning));
        assert_eq!("5-1".parse(), Ok(From::After(Offset { ms: 5, seq: 1 })));
        assert!("".parse::<From>().is_err() && "last".parse::<From>().is_err());
    }
}
