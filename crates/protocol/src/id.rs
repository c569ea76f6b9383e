//! Who and where: ids as they stand in paths and JSON, checked once.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that is not such an id; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub &'static str);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "Box<str>", into = "Box<str>")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// [`InvalidId`] with the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let check: fn(&str) -> Result<(), InvalidId> = $check;
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Box<str>> for $name {
            type Error = InvalidId;
            fn try_from(text: Box<str>) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for Box<str> {
            fn from(id: $name) -> Self {
                Box::from(id.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

/// First path segments that are routes of the server, and so no rooms.
const ROUTES: &[&str] = &[
    "access", "connect", "relay", "rooms", "ice", "static", "ws", "channels", "healthz", "readyz", "metrics",
    "doctor",
];

/// Event names that only the server says.
const SERVER_EVENTS: &[&str] =
    &["connected", "ping", "add-peer", "remove-peer", "messages", "gap", "replaced", "draining", "error"];

id! {
    /// A room: `[A-Za-z0-9_-]{1,64}`, and not the name of a fixed route.
    ///
    /// ```
    /// use inkwire_protocol::RoomId;
    /// assert!(RoomId::new("lobby").is_ok());
    /// assert!(RoomId::new("metrics").is_err());
    /// ```
    RoomId, |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(InvalidId("a room id is 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        if ROUTES.contains(&text) {
            return Err(InvalidId("this is the name of a route of the server, and cannot be a room"));
        }
        Ok(())
    }
}

id! {
    /// A peer, which is a token's identity: `[A-Za-z0-9_.:-]{1,128}`, not only dots.
    PeerId, |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) || text.bytes().all(|b| b == b'.') {
            return Err(InvalidId("a peer id is 1 to 128 of A-Z a-z 0-9 _ . : - and not only dots"));
        }
        Ok(())
    }
}

id! {
    /// The name of an event that peers relay to each other: `[a-z][a-z0-9-]{0,63}`. Whether it is one of the
    /// server's own is asked separately ([`RelayName::is_servers_own`]), because the answer is another.
    RelayName, |text| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !begins || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(InvalidId("an event is named by a-z, then up to 63 of a-z 0-9 -"));
        }
        Ok(())
    }
}

impl RelayName {
    /// Whether only the server may say this event.
    pub fn is_servers_own(&self) -> bool {
        SERVER_EVENTS.contains(&self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms() {
        let (long, longer) = ("r".repeat(64), "r".repeat(65));
        for good in ["a", "Lobby_1-x", long.as_str()] {
            assert!(RoomId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "é", "a/b", "a\r", "access", "ws", longer.as_str()] {
            assert!(RoomId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn peers() {
        for good in ["a", "ann:1", "0b9c.x-y_z"] {
            assert!(PeerId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a\n"] {
            assert!(PeerId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn relayed_events() {
        for good in ["ice-candidate", "a", "a1-"] {
            assert!(RelayName::new(good).is_ok_and(|name| !name.is_servers_own()), "{good}");
        }
        for bad in ["", "A", "1a", "-a", "a_b", "a\nb", "a b"] {
            assert!(RelayName::new(bad).is_err(), "{bad}");
        }
        assert!(RelayName::new("add-peer").is_ok_and(|name| name.is_servers_own()));
    }
}
