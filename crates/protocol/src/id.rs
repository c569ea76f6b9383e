//! Who and where: ids as they stand in paths and JSON, checked once.

use inkwire_core::{NameError, UserId, name};
use serde::{Deserialize, Serialize};

/// First path segments that are routes of the server, and so no rooms.
const ROUTES: &[&str] = &[
    "access", "connect", "relay", "rooms", "ice", "static", "ws", "channels", "healthz", "readyz", "metrics",
    "doctor",
];

/// Event names that only the server says.
const SERVER_EVENTS: &[&str] =
    &["connected", "ping", "add-peer", "remove-peer", "messages", "gap", "replaced", "draining", "error"];

name! {
    /// A room: `[A-Za-z0-9_-]{1,64}`, and not the name of a fixed route.
    ///
    /// ```
    /// use inkwire_protocol::RoomId;
    /// assert!(RoomId::new("lobby").is_ok());
    /// assert!(RoomId::new("metrics").is_err());
    /// ```
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "Box<str>", into = "Box<str>")]
    RoomId, |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(NameError("a room id is 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        if ROUTES.contains(&text) {
            return Err(NameError("this is the name of a route of the server, and cannot be a room"));
        }
        Ok(())
    }
}

name! {
    /// A peer, which is a token's identity: `[A-Za-z0-9_.:-]{1,128}`, not only dots.
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "Box<str>", into = "Box<str>")]
    PeerId, |text| {
        let rule = NameError("a peer id is 1 to 128 of A-Z a-z 0-9 _ . : - and not only dots");
        UserId::new(text).map(drop).map_err(|_| rule)
    }
}

impl From<&PeerId> for UserId {
    fn from(peer: &PeerId) -> Self {
        Self::new(peer.as_str()).expect("a peer id was checked by the rule of user ids")
    }
}

name! {
    /// The name of an event that peers relay to each other: `[a-z][a-z0-9-]{0,63}`. Whether it is one of the
    /// server's own is asked separately ([`RelayName::is_servers_own`]), because the answer is another.
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "Box<str>", into = "Box<str>")]
    RelayName, |text| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !begins || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(NameError("an event is named by a-z, then up to 63 of a-z 0-9 -"));
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

name! {
    /// A file of a room: what it holds is its name, the SHA-256 of its bytes as 64 of `0-9a-f`.
    ///
    /// ```
    /// use inkwire_protocol::FileId;
    /// assert!(FileId::new("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").is_ok());
    /// assert!(FileId::new("photo.png").is_err());
    /// ```
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "Box<str>", into = "Box<str>")]
    FileId, |text| {
        let allowed = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(allowed) {
            return Err(NameError("a file id is the SHA-256 of its bytes: 64 of 0-9 a-f"));
        }
        Ok(())
    }
}

name! {
    /// A view: a room for those who may look at it and not edit it. `v.` and 39–123 of `[A-Za-z0-9_-]`; the dot keeps it from
    /// being a room id, which it does not tell.
    ///
    /// ```
    /// use inkwire_protocol::{RoomId, ViewId};
    /// let view = format!("v.{}", "x".repeat(39));
    /// assert!(ViewId::new(&view).is_ok() && RoomId::new(&view).is_err());
    /// ```
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "Box<str>", into = "Box<str>")]
    ViewId, |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        match text.strip_prefix("v.") {
            Some(sealed) if (39..=123).contains(&sealed.len()) && sealed.bytes().all(allowed) => Ok(()),
            _ => Err(NameError("a view id is v. and 39 to 123 of A-Z a-z 0-9 _ -")),
        }
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
    fn files() {
        assert!(FileId::new("0123456789abcdef".repeat(4)).is_ok());
        for bad in ["", &"a".repeat(63), &"a".repeat(65), &"A".repeat(64), &"g".repeat(64), &"../".repeat(32)]
        {
            assert!(FileId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn views() {
        for (length, good) in [(38, false), (39, true), (123, true), (124, false)] {
            assert_eq!(ViewId::new(format!("v.{}", "A".repeat(length))).is_ok(), good, "{length}");
        }
        for bad in ["", "v.", "w.", "v.a b", "v.."] {
            assert!(
                ViewId::new(format!("{bad}{}", "A".repeat(if bad.len() > 2 { 39 } else { 0 }))).is_err(),
                "{bad}"
            );
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
