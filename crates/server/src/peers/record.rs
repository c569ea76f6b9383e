//! A peer's record, `$peer/<id>`: where its stream is open, and which rooms it is in.
//!
//! Keys: `stream`, whose version is the generation; `in/<room>/<number>`, a membership, which is live or ended.

use std::collections::BTreeMap;

use inkwire_core::{ChannelName, Draft, Fields, Key, Keyed, Message, State, Version};
use inkwire_protocol::{PeerId, RoomId};

use super::KEYED;
use super::roster::Role;

/// A membership's version while it lasts, and after; the latter is higher, so an end is final.
const JOINED: &str = "joined";
const LEFT: &str = "left";

/// The channel of a peer's record.
pub(crate) fn channel(peer: &PeerId) -> ChannelName {
    ChannelName::new(format!("$peer/{peer}")).expect("a peer id is part of a channel name")
}

/// What a record says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// The newest claim to the peer's stream.
    pub(crate) stream: Option<Claim>,
    /// The rooms the peer is in.
    pub(crate) rooms: BTreeMap<RoomId, Standing>,
    /// The highest number of any membership that has ended, by room.
    ended: BTreeMap<RoomId, u64>,
}

/// A membership of a room, as its peer's record tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Counts the peer's memberships of the room.
    pub(crate) number: u64,
    /// As which it began.
    pub(crate) role: Role,
}

/// A claim to a peer's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Counts the claims.
    pub(crate) generation: u64,
    /// Which node made it.
    pub(crate) node: Box<str>,
    /// What it says.
    pub(crate) status: Status,
}

/// What a claim says of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is open on the claiming node (or dropped there not longer ago than the grace time).
    Open,
    /// The peer has gone.
    Closed,
}

impl Record {
    /// Reads a record from its log.
    pub(crate) fn of<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Self {
        let mut record = Self::default();
        messages.into_iter().for_each(|message| record.apply(message));
        record
    }

    /// Takes one more message of the log.
    pub(crate) fn apply(&mut self, message: &Message) {
        let Some(keyed) = &message.keyed else { return };
        if keyed.key.as_str() == "stream" {
            self.stream = Claim::of(message).or_else(|| self.stream.take());
        } else if let Some((room, number)) = membership_of(&keyed.key) {
            match keyed.state {
                State::Live => drop(self.rooms.insert(room, Standing { number, role: Role::of(message) })),
                State::Tombstone => {
                    if self.rooms.get(&room).is_some_and(|standing| standing.number == number) {
                        self.rooms.remove(&room);
                    }
                    let ended = self.ended.entry(room).or_default();
                    *ended = number.max(*ended);
                }
            }
        }
    }

    /// The claim, if the stream is open.
    pub(crate) fn open(&self) -> Option<&Claim> {
        self.stream.as_ref().filter(|claim| claim.status == Status::Open)
    }

    /// The generation that the next claim must have.
    pub(crate) fn next_generation(&self) -> u64 {
        self.stream.as_ref().map_or(1, |claim| claim.generation + 1)
    }

    /// How the peer is in the room, or would join it as `role`.
    pub(crate) fn standing(&self, room: &RoomId, role: Role) -> Standing {
        let number = self.ended.get(room).map_or(1, |ended| ended + 1);
        self.rooms.get(room).copied().unwrap_or(Standing { number, role })
    }

    /// A room that both are in.
    pub(crate) fn shares_a_room_with(&self, other: &Self) -> bool {
        self.rooms.keys().any(|room| other.rooms.contains_key(room))
    }
}

impl Claim {
    /// The draft that makes the claim. Of two claims of one generation the first wins; the other is a duplicate.
    pub(crate) fn draft(&self) -> Draft {
        let status = match self.status {
            Status::Open => "open",
            Status::Closed => "closed",
        };
        let fields = Fields::of([
            ("generation", &self.generation.to_string()),
            ("node", &self.node),
            ("status", status),
        ]);
        keyed(fields, "stream", &format!("{:020}", self.generation), State::Live)
    }

    fn of(message: &Message) -> Option<Self> {
        let status = match message.fields.get("status")? {
            "open" => Status::Open,
            "closed" => Status::Closed,
            _ => return None,
        };
        let generation = message.fields.get("generation")?.parse().ok()?;
        Some(Self { generation, node: Box::from(message.fields.get("node")?), status })
    }
}

/// The draft that begins a membership.
pub(crate) fn joined(room: &RoomId, Standing { number, role }: Standing) -> Draft {
    let fields = role.mark(Fields::of([("room", room.as_str())]));
    keyed(fields, &format!("in/{room}/{number}"), JOINED, State::Live)
}

/// The draft that ends a membership.
pub(crate) fn left(room: &RoomId, number: u64) -> Draft {
    keyed(Fields::of([("room", room.as_str())]), &format!("in/{room}/{number}"), LEFT, State::Tombstone)
}

fn membership_of(key: &Key) -> Option<(RoomId, u64)> {
    let (room, number) = key.as_str().strip_prefix("in/")?.rsplit_once('/')?;
    Some((RoomId::new(room).ok()?, number.parse().ok()?))
}

fn keyed(fields: Fields, key: &str, version: &str, state: State) -> Draft {
    let key = Key::new(key).expect("ids and numbers make a key");
    let version = Version::new(version).expect("the program's versions follow the rules");
    Draft::keyed(fields, Keyed { key, version, state }).retained(KEYED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inkwire_core::Offset;

    fn stored(draft: Draft) -> Message {
        Message {
            offset: Offset::ZERO,
            prev: Offset::ZERO,
            fields: draft.fields,
            keyed: draft.keyed,
            user: draft.user,
        }
    }

    fn room(id: &str) -> RoomId {
        RoomId::new(id).unwrap()
    }

    #[test]
    fn a_record_reads_what_was_drafted() {
        let open = Claim { generation: 3, node: "n1".into(), status: Status::Open };
        let [first, second] =
            [(1, Role::Editor), (4, Role::Viewer)].map(|(number, role)| Standing { number, role });
        let log = [joined(&room("a"), first), left(&room("a"), 1), joined(&room("b"), second), open.draft()];
        let log = log.map(stored);
        let record = Record::of(&log);
        assert_eq!(record.open(), Some(&open));
        assert_eq!(record.next_generation(), 4);
        assert_eq!(record.rooms, BTreeMap::from([(room("b"), second)]));
        let next = Standing { number: 2, role: Role::Editor };
        assert_eq!(record.standing(&room("a"), Role::Editor), next);
        assert_eq!(record.standing(&room("b"), Role::Editor), second, "what stands, stays");
        assert_eq!(record.standing(&room("c"), Role::Editor), first);
    }

    #[test]
    fn a_closed_stream_is_not_open_but_counts() {
        let closed = Claim { generation: 7, node: "n1".into(), status: Status::Closed };
        let record = Record::of(&[stored(closed.draft())]);
        assert_eq!((record.open(), record.next_generation()), (None, 8));
    }

    #[test]
    fn versions_of_generations_and_memberships_order_as_they_must() {
        let version = |generation| {
            let claim = Claim { generation, node: "n".into(), status: Status::Open };
            claim.draft().keyed.unwrap().version
        };
        assert!(version(9) < version(10));
        assert!(version(u64::MAX - 1) < version(u64::MAX));
        let standing = Standing { number: 1, role: Role::Editor };
        assert!(
            joined(&room("a"), standing).keyed.unwrap().version < left(&room("a"), 1).keyed.unwrap().version
        );
    }
}
