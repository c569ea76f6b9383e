//! What a client shows to resume: the SSE `id:` and the WebSocket `position`. Opaque to clients.
//!
//! Written as `<owner>.<inbox cursor>` and, for each room, `;<room>:<membership>:<cursor>`. It names positions in the
//! peer's own logs only, and is checked against them, so there is nothing to gain from making one up. The owner is
//! there because logs of two peers may well have an offset in common: a position of somebody else is an unknown one.

use std::fmt;
use std::str::FromStr;

use inkwire_core::Offset;
use inkwire_protocol::{PeerId, RoomId};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, digest};

/// Whose position it is: the first bytes of a digest of the peer's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn of(peer: &PeerId) -> Self {
        let digest = digest(&SHA1, peer.as_str().as_bytes());
        Self(u32::from_be_bytes(*digest.as_ref().first_chunk().expect("a digest has twenty bytes")))
    }
}

/// Where a client stands in the logs it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) owner: Owner,
    /// In its inbox.
    pub(crate) inbox: Offset,
    /// In the rooms it has heard of.
    pub(crate) rooms: Vec<RoomPosition>,
}

/// Where a client stands in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomPosition {
    pub(crate) room: RoomId,
    /// The number of its membership.
    pub(crate) membership: u64,
    /// The last change it was told of.
    pub(crate) cursor: Offset,
}

impl Position {
    /// Where the client stands in a room, if it was in it by this membership.
    pub(crate) fn in_room(&self, room: &RoomId, membership: u64) -> Option<Offset> {
        self.rooms.iter().find(|own| own.room == *room && own.membership == membership).map(|own| own.cursor)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}", self.owner.0, self.inbox)?;
        self.rooms.iter().try_for_each(|own| write!(f, ";{}:{}:{}", own.room, own.membership, own.cursor))
    }
}

/// A text that is no position of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown;

impl FromStr for Position {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let (owner, rest) = text.split_once('.').ok_or(Unknown)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if owner.len() != 8 || !owner.bytes().all(is_hex) {
            return Err(Unknown);
        }
        let mut parts = rest.split(';');
        let inbox = parts.next().and_then(|part| part.parse().ok()).ok_or(Unknown)?;
        let rooms = parts.map(room_position).collect::<Option<_>>().ok_or(Unknown)?;
        Ok(Self { owner: Owner(u32::from_str_radix(owner, 16).map_err(|_| Unknown)?), inbox, rooms })
    }
}

fn room_position(part: &str) -> Option<RoomPosition> {
    let mut parts = part.split(':');
    let position = RoomPosition {
        room: RoomId::new(parts.next()?).ok()?,
        membership: parts.next()?.parse().ok()?,
        cursor: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for text in
            ["0000002a.5-0", "0000002a.5-1;lobby:2:7-0", "ffffffff.0-0;a:1:0-0;b_-C:18446744073709551615:9-9"]
        {
            assert_eq!(text.parse::<Position>().map(|position| position.to_string()), Ok(text.to_owned()));
        }
        for rest in [
            "",
            "x",
            "5",
            "5-0;",
            "5-0;a",
            "5-0;a:1",
            "5-0;a:x:1-0",
            "5-0;a:1:1-0:1",
            "5-0;a b:1:1-0",
            "5-0\n",
        ] {
            assert_eq!(format!("0000002a.{rest}").parse::<Position>(), Err(Unknown), "{rest:?}");
        }
        for text in ["", "5-0", ".5-0", "x.5-0", "100000000.5-0", "+000002a.5-0", "0000002A.5-0"] {
            assert_eq!(text.parse::<Position>(), Err(Unknown), "{text:?}");
        }
    }
}
