//! A room's log, `$room/<id>`, and what one member must be told of it: pure functions of the log and a position.
//!
//! A membership is a key of its own, `<peer>/<number>`: one message when it begins, replaced by one when it ends, which
//! names where it began. So the log, compacted as it is, still tells every membership's whole time, and what a
//! member has been told up to a cursor can be worked out again on any node.
//!
//! Rules. Position decides who offers: a member offers to those who stand before it. A member is never told of those who
//! left before it came.

use std::sync::Arc;

use inkwire_core::{ChannelName, Draft, Fields, Key, Keyed, Message, Offset, State, Version};
use inkwire_protocol::{Peer, PeerId, RoomId, User, Username};

use super::KEYED;
use super::record::Standing;

/// The channel of a room.
pub(crate) fn channel(room: &RoomId) -> ChannelName {
    ChannelName::new(format!("$room/{room}")).expect("a room id is part of a channel name")
}

/// The room of a channel; `None` for other channels.
pub(crate) fn room(channel: &ChannelName) -> Option<RoomId> {
    RoomId::new(channel.as_str().strip_prefix("$room/")?).ok()
}

/// What a member may do to the room's board. It is decided when the membership begins, and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Edit it.
    Editor,
    /// Look at it: what such a member says has changed is not to be believed.
    Viewer,
}

impl Role {
    /// Adds to a draft's fields what tells the role.
    pub(crate) fn mark(self, fields: Fields) -> Fields {
        match self {
            Self::Editor => fields,
            Self::Viewer => fields.and("viewer", "true"),
        }
    }

    /// The role that a message tells.
    pub(crate) fn of(message: &Message) -> Self {
        if message.fields.get("viewer").is_some() { Self::Viewer } else { Self::Editor }
    }

    /// Somebody in this role, as others are told.
    pub(crate) fn peer(self, user: User) -> Peer {
        Peer { user, viewer: self == Self::Viewer }
    }
}

/// One time that a peer is in the room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Membership {
    pub(crate) peer: PeerId,
    pub(crate) number: u64,
}

impl Membership {
    /// The draft that begins it.
    pub(crate) fn joined(&self, user: &User, role: Role) -> Draft {
        let fields = Fields::of([("username", user.username.as_str())]);
        self.draft(role.mark(fields), "joined", State::Live)
    }

    /// The draft that ends it; the end is final. `joined` is where it began.
    pub(crate) fn left(&self, user: &User, role: Role, joined: Offset) -> Draft {
        let fields = Fields::of([("username", user.username.as_str()), ("joined", &joined.to_string())]);
        self.draft(role.mark(fields), "left", State::Tombstone)
    }

    fn draft(&self, fields: Fields, version: &str, state: State) -> Draft {
        let key =
            Key::new(format!("{}/{}", self.peer, self.number)).expect("a peer id and a number make a key");
        let version = Version::new(version).expect("the program's versions follow the rules");
        Draft::keyed(fields, Keyed { key, version, state }).retained(KEYED)
    }
}

/// A membership's time in the room, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) membership: Membership,
    pub(crate) user: User,
    pub(crate) role: Role,
    joined: Offset,
    left: Option<Offset>,
}

impl Stay {
    /// As the peer's record tells it.
    pub(crate) fn standing(&self) -> Standing {
        Standing { number: self.membership.number, role: self.role }
    }

    fn of(message: &Message) -> Option<Self> {
        let keyed = message.keyed.as_ref()?;
        let (peer, number) = keyed.key.as_str().rsplit_once('/')?;
        let peer = PeerId::new(peer).ok()?;
        let user = User { id: peer.clone(), username: Username::new(message.fields.get("username")?).ok()? };
        let (joined, left) = match keyed.state {
            State::Live => (message.offset, None),
            State::Tombstone => (message.fields.get("joined")?.parse().ok()?, Some(message.offset)),
        };
        let membership = Membership { peer, number: number.parse().ok()? };
        Some(Self { membership, user, role: Role::of(message), joined, left })
    }
}

/// The stays that go on, in the order of joining.
pub(crate) fn present(log: &[Arc<Message>]) -> impl Iterator<Item = Stay> {
    log.iter().filter_map(|message| Stay::of(message)).filter(|stay| stay.left.is_none())
}

/// Whether a peer was in the room at a time when `own` was.
pub(crate) fn met(log: &[Arc<Message>], own: &Membership, peer: &PeerId) -> bool {
    let stays: Vec<Stay> = log.iter().filter_map(|message| Stay::of(message)).collect();
    let Some(own) = stays.iter().find(|stay| stay.membership == *own) else { return false };
    let after = |left: Option<Offset>, joined: Offset| left.is_none_or(|left| left > joined);
    stays.iter().any(|stay| {
        stay.membership.peer == *peer && after(stay.left, own.joined) && after(own.left, stay.joined)
    })
}

/// Something a member is told about its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Somebody is here; `offer` if it is for this member to call.
    Add { user: User, role: Role, offer: bool },
    /// Somebody has gone.
    Remove { user: User },
}

/// A change and its place in the room's log.
pub(crate) type Placed = (Offset, Change);

/// Those a member has been told of, sorted: rooms are small and there are many, so what an empty one weighs counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told(Vec<(Membership, User)>);

impl Told {
    fn place(&self, membership: &Membership) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.cmp(membership))
    }

    fn has(&self, peer: &PeerId) -> bool {
        let first = self.0.partition_point(|(own, _)| own.peer < *peer);
        self.0.get(first).is_some_and(|(own, _)| own.peer == *peer)
    }

    /// `false` if it was there.
    fn insert(&mut self, membership: Membership, user: User) -> bool {
        match self.place(&membership) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, (membership, user));
                true
            }
        }
    }

    /// `false` if it was not there.
    fn remove(&mut self, membership: &Membership) -> bool {
        self.place(membership).map(|place| self.0.remove(place)).is_ok()
    }
}

/// What one member has been told of its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roster {
    own: Membership,
    joined: Offset,
    /// Up to here.
    cursor: Offset,
    /// Those it believes to be here.
    told: Told,
}

/// What a room's log says to somebody who enters with a membership.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The membership is announced in the peer's record but does not stand in the room yet.
    NotYet,
    /// The membership has ended.
    Over,
    /// This is what the member knows at its cursor.
    Open(Roster),
}

impl Roster {
    /// What a member knows who was told everything up to `cursor` (`None`: nothing yet), by the room's whole log.
    pub(crate) fn open(log: &[Arc<Message>], own: Membership, cursor: Option<Offset>) -> Opening {
        let stays: Vec<Stay> = log.iter().filter_map(|message| Stay::of(message)).collect();
        let joined = match stays.iter().find(|stay| stay.membership == own) {
            None => return Opening::NotYet,
            Some(Stay { left: Some(_), .. }) => return Opening::Over,
            Some(Stay { joined, left: None, .. }) => *joined,
        };
        let cursor = cursor.unwrap_or(Offset::ZERO);
        let mut told = Told::default();
        let here = stays
            .into_iter()
            .filter(|stay| stay.membership != own && stay.joined <= cursor)
            .filter(|stay| stay.left.is_none_or(|left| left > cursor && left > joined))
            .map(|stay| (stay.membership, stay.user));
        told.0.extend(here);
        told.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        Opening::Open(Self { own, joined, cursor, told })
    }

    /// Where the member stands.
    pub(crate) fn cursor(&self) -> Offset {
        self.cursor
    }

    /// Whether the member has been told that this peer is here.
    pub(crate) fn has(&self, peer: &PeerId) -> bool {
        self.told.has(peer)
    }

    /// Takes messages of the log, all that follow the cursor up to the last of them, and says what is to be told,
    /// in order. `Err` when the member's own membership has ended.
    pub(crate) fn take(&mut self, messages: &[Arc<Message>]) -> Result<Vec<Placed>, Ended> {
        let mut changes = Vec::new();
        for stay in messages.iter().filter_map(|message| Stay::of(message)) {
            if stay.membership == self.own {
                if stay.left.is_some() {
                    return Err(Ended);
                }
                continue;
            }
            self.judge(stay, &mut changes);
        }
        // A compacted log shows a short stay only by its end: its beginning belongs where it was.
        changes.sort_by_key(|(offset, _)| *offset);
        if let Some(last) = messages.last() {
            self.cursor = self.cursor.max(last.offset);
        }
        Ok(changes)
    }

    fn judge(&mut self, stay: Stay, changes: &mut Vec<Placed>) {
        let Stay { membership, user, role, joined, left } = stay;
        let news = joined > self.cursor && left.is_none_or(|left| left > self.joined);
        if news && self.told.insert(membership.clone(), user.clone()) {
            changes.push((joined, Change::Add { user: user.clone(), role, offer: joined < self.joined }));
        }
        if let Some(left) = left
            && self.told.remove(&membership)
        {
            changes.push((left, Change::Remove { user }));
        }
    }
}

/// The member's own membership has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom as _;
    use rand::{RngExt as _, SeedableRng as _};

    fn user(name: &str) -> User {
        User { id: PeerId::new(name).unwrap(), username: Username::new(name).unwrap() }
    }

    fn membership(name: &str, number: u64) -> Membership {
        Membership { peer: PeerId::new(name).unwrap(), number }
    }

    /// A room's log as it grows: nothing is forgotten here, [`compacted`] forgets.
    #[derive(Default)]
    struct Room(Vec<Arc<Message>>);

    impl Room {
        fn append(&mut self, draft: Draft) -> Offset {
            let prev = self.0.last().map_or(Offset::ZERO, |last| last.offset);
            let offset = Offset { ms: prev.ms + 1, seq: 0 };
            self.0.push(Arc::new(Message {
                offset,
                prev,
                fields: draft.fields,
                keyed: draft.keyed,
                user: draft.user,
            }));
            offset
        }
    }

    fn compacted(log: &[Arc<Message>]) -> Vec<Arc<Message>> {
        let key = |message: &Arc<Message>| message.keyed.as_ref().unwrap().key.clone();
        let replaced = |at: usize| log[at + 1..].iter().any(|later| key(later) == key(&log[at]));
        (0..log.len()).filter(|at| !replaced(*at)).map(|at| Arc::clone(&log[at])).collect()
    }

    fn after(log: &[Arc<Message>], cursor: Offset) -> Vec<Arc<Message>> {
        log.iter().filter(|message| message.offset > cursor).cloned().collect()
    }

    /// What a member is told who enters, at `cursor`, when the log is as given.
    fn enter(log: &[Arc<Message>], own: &Membership, cursor: Option<Offset>) -> (Roster, Vec<Placed>) {
        let Opening::Open(mut roster) = Roster::open(log, own.clone(), cursor) else {
            panic!("the member is in")
        };
        let changes = roster.take(&after(log, cursor.unwrap_or(Offset::ZERO))).unwrap();
        (roster, changes)
    }

    #[test]
    fn the_newcomer_offers_to_those_before_it_and_only_to_them() {
        let mut room = Room::default();
        room.append(membership("ann", 1).joined(&user("ann"), Role::Editor));
        room.append(membership("own", 1).joined(&user("own"), Role::Editor));
        room.append(membership("bob", 1).joined(&user("bob"), Role::Editor));
        let (_, changes) = enter(&room.0, &membership("own", 1), None);
        let told: Vec<Change> = changes.into_iter().map(|(_, change)| change).collect();
        let expected = [
            Change::Add { user: user("ann"), role: Role::Editor, offer: true },
            Change::Add { user: user("bob"), role: Role::Editor, offer: false },
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_announced_membership_waits_and_an_ended_one_is_over() {
        let mut room = Room::default();
        assert_eq!(Roster::open(&room.0, membership("own", 1), None), Opening::NotYet);
        let joined = room.append(membership("own", 1).joined(&user("own"), Role::Editor));
        let (mut roster, _) = enter(&room.0, &membership("own", 1), None);
        room.append(membership("own", 1).left(&user("own"), Role::Editor, joined));
        assert_eq!(Roster::open(&compacted(&room.0), membership("own", 1), None), Opening::Over);
        assert_eq!(roster.take(&after(&room.0, joined)), Err(Ended));
    }

    /// Also of a stay of which the log tells the end only.
    #[test]
    fn a_viewer_is_told_as_one_from_the_first_word_to_the_last() {
        let mut room = Room::default();
        room.append(membership("own", 1).joined(&user("own"), Role::Editor));
        let cursor = room.0.last().unwrap().offset;
        let joined = room.append(membership("eve", 1).joined(&user("eve"), Role::Viewer));
        assert!(present(&room.0).map(|stay| stay.role).eq([Role::Editor, Role::Viewer]));
        let here = Change::Add { user: user("eve"), role: Role::Viewer, offer: false };
        let (_, changes) = enter(&room.0, &membership("own", 1), Some(cursor));
        assert_eq!(changes, [(joined, here.clone())]);
        let left = room.append(membership("eve", 1).left(&user("eve"), Role::Viewer, joined));
        let (_, changes) = enter(&compacted(&room.0), &membership("own", 1), Some(cursor));
        assert_eq!(changes, [(joined, here), (left, Change::Remove { user: user("eve") })]);
    }

    #[test]
    fn those_who_met_are_known_and_no_others() {
        let mut room = Room::default();
        let early = room.append(membership("early", 1).joined(&user("early"), Role::Editor));
        room.append(membership("early", 1).left(&user("early"), Role::Editor, early));
        let brief = room.append(membership("brief", 1).joined(&user("brief"), Role::Editor));
        room.append(membership("own", 1).joined(&user("own"), Role::Editor));
        room.append(membership("brief", 1).left(&user("brief"), Role::Editor, brief));
        let log = compacted(&room.0);
        let own = membership("own", 1);
        assert!(met(&log, &own, &user("brief").id));
        assert!(!met(&log, &own, &user("early").id));
        assert!(!met(&log, &own, &user("nobody").id));
    }

    /// Whoever resumes, from any event and however late, is told what somebody is told who never left.
    #[test]
    fn what_is_told_depends_on_the_log_and_the_cursor_only() {
        for seed in 0..300 {
            let mut dice = StdRng::seed_from_u64(seed);
            let mut room = Room::default();
            let names = ["a", "b", "c", "d"];
            let mut here: BTreeMap<&str, (u64, Offset)> = BTreeMap::new();
            let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
            let enters_at = dice.random_range(0..12);
            for step in 0..30 {
                if step == enters_at {
                    room.append(membership("own", 1).joined(&user("own"), Role::Editor));
                }
                let name = *names.choose(&mut dice).unwrap();
                match here.remove(name) {
                    Some((number, joined)) => {
                        room.append(membership(name, number).left(&user(name), Role::Editor, joined));
                    }
                    None => {
                        let number = *numbers.entry(name).and_modify(|number| *number += 1).or_insert(1);
                        here.insert(
                            name,
                            (number, room.append(membership(name, number).joined(&user(name), Role::Editor))),
                        );
                    }
                }
            }
            let own = membership("own", 1);
            // Somebody who reads the log as it grows, one message at a time after entering.
            let entered =
                room.0.iter().position(|message| Stay::of(message).unwrap().membership == own).unwrap();
            let (mut live, mut all) = enter(&compacted(&room.0[..=entered]), &own, None);
            for message in &room.0[entered + 1..] {
                all.extend(live.take(std::slice::from_ref(message)).unwrap());
            }
            // A resume after any of its events, with the log compacted to what it is at the end.
            let log = compacted(&room.0);
            for (at, (cursor, _)) in all.iter().enumerate() {
                let (roster, rest) = enter(&log, &own, Some(*cursor));
                let after_end = room.0.last().unwrap().offset;
                assert_eq!(roster.told, live.told, "seed {seed}, cursor {cursor}");
                assert_eq!(roster.cursor(), after_end);
                // Whoever came and went in between is told of, or not, but then as a pair.
                let (seen, gone) = (net(&all[at + 1..]), net(&rest));
                assert_eq!(seen, gone, "seed {seed}, cursor {cursor}");
                let lost: Vec<_> = all[at + 1..].iter().filter(|change| !rest.contains(change)).collect();
                assert!(lost.is_empty(), "seed {seed}, cursor {cursor}: {lost:?}");
            }
        }
    }

    /// Additions less removals, by user.
    fn net(changes: &[Placed]) -> BTreeMap<String, i32> {
        let mut net = BTreeMap::new();
        for (_, change) in changes {
            match change {
                Change::Add { user, .. } => *net.entry(user.id.to_string()).or_default() += 1,
                Change::Remove { user } => *net.entry(user.id.to_string()).or_default() -= 1,
            }
        }
        net
    }
}
