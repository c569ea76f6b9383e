//! What peers do: open a stream, close it, join, leave, relay. Each is a few publishes to the logs of [`super`];
//! nothing is remembered here, so it does not matter on which node it happens.
//!
//! A join announces the membership in the peer's record first and lets it begin in the room second: whoever holds the
//! peer's stream then follows the room in time, and a request that is cut short between the two harms nobody.

use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{ChannelName, Error, Hub, Message, Offset, Page, Published};
use inkwire_protocol::{Peer, PeerId, Relayed, Room, RoomId, User};
use metrics::counter;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::position::{Owner, Position};
use super::record::{Claim, Record, Standing, Status};
use super::roster::{Membership, Role, Stay};
use super::stream::PeerStream;
use super::watch::Watch;
use super::{LONGEST_GRACE, inbox, lease, record, roster};

/// How many rooms a peer may be in at once. Keeps positions short enough for a header.
pub(crate) const MAXIMUM_ROOMS: usize = 32;

/// How many messages are read at once when a whole log is wanted.
const PAGE: usize = 1_000;

/// How often an operation starts over because somebody else changed the same logs meanwhile. Each round lost means
/// that another request of the same peer won, so this many in a row is no coincidence.
const ATTEMPTS: usize = 16;

/// Pauses between attempts to close a stream while the broker cannot be reached.
const CLOSE_RETRY: Duration = Duration::from_secs(2);
/// How many such attempts; after that the logs expire by themselves.
const CLOSE_ATTEMPTS: usize = 100;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The peer has no open event stream.
    #[error("open an event stream first (GET /connect): joining needs one")]
    NoStream,
    /// The peer is in as many rooms as it may be.
    #[error("a peer may be in {MAXIMUM_ROOMS} rooms at once; leave one first")]
    TooManyRooms,
    /// There is no such peer, or no longer.
    #[error("there is no such peer, or it has gone")]
    NoPeer,
    /// The two peers share no room.
    #[error("the two peers share no room")]
    NoSharedRoom,
    /// The logs cannot be written or read now, or too many others write them.
    #[error(transparent)]
    Broker(#[from] Error),
}

/// How long others wait for somebody who has fallen silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// For a peer whose stream has dropped.
    pub(crate) grace: Duration,
    /// For a node.
    pub(crate) lease: Duration,
}

/// The peers of all nodes, acted on from this one.
#[derive(Debug)]
pub(crate) struct Signalling {
    hub: Hub,
    node: Box<str>,
    grace: Duration,
    watch: Watch,
    /// Runs what happens after a stream has dropped.
    tasks: TaskTracker,
}

impl Signalling {
    pub(crate) fn new(hub: Hub, node: &str, times: Times, tasks: TaskTracker) -> Arc<Self> {
        let grace = times.grace.min(LONGEST_GRACE);
        let watch = Watch::new(node, lease::at_least(times.lease, grace));
        Arc::new(Self { hub, node: node.into(), grace, watch, tasks })
    }

    /// Says for ever that this node lives, and lets the peers of those leave who have ceased to say so.
    pub(crate) async fn watch(self: Arc<Self>) {
        self.watch.keep(&self).await;
    }

    /// Says that this node goes, when [`watch`](Self::watch) has ended: its peers are judged by the grace time from then on.
    pub(crate) async fn say_farewell(&self) {
        self.watch.say_farewell(&self.hub, self.grace).await;
    }

    /// A stream of this node has entered a room.
    pub(crate) fn entered(&self, room: &RoomId) {
        self.watch.entered(room);
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Opens a stream that starts anew: the peer leaves the rooms it was in.
    pub(crate) async fn open(self: &Arc<Self>, user: User) -> Result<PeerStream, Refusal> {
        let generation = self.claim_anew(&user).await?;
        PeerStream::start(Arc::clone(self), user, generation, None).await
    }

    /// Opens a stream that continues after a position, if the logs can prove that they do; else anew, with a gap.
    pub(crate) async fn resume(self: &Arc<Self>, user: User, position: &str) -> Result<PeerStream, Refusal> {
        let known = position.parse().ok().filter(|position: &Position| position.owner == Owner::of(&user.id));
        let resumed = match known {
            Some(position) => {
                self.claim_resumed(&user, &position).await?.map(|generation| (generation, position))
            }
            None => None,
        };
        counter!("inkwire_resumes_total", "outcome" => if resumed.is_some() { "resumed" } else { "gap" })
            .increment(1);
        match resumed {
            Some((generation, position)) => {
                PeerStream::start(Arc::clone(self), user, generation, Some(position)).await
            }
            None => {
                let mut stream = self.open(user).await?;
                stream.tell_gap();
                Ok(stream)
            }
        }
    }

    /// Claims the stream and ends every membership that stood before.
    pub(crate) async fn claim_anew(&self, user: &User) -> Result<u64, Refusal> {
        for _ in 0..ATTEMPTS {
            let record = self.record(&user.id).await?;
            if let Some(generation) = self.claim(user, &record, Status::Open).await? {
                self.depart(user).await?;
                return Ok(generation);
            }
        }
        Err(contended())
    }

    /// Claims the stream if everything after the position is still there; `None` if it is not.
    async fn claim_resumed(&self, user: &User, position: &Position) -> Result<Option<u64>, Refusal> {
        for _ in 0..ATTEMPTS {
            let record = self.record(&user.id).await?;
            let lives = record.open().is_some_and(|claim| !self.watch.has_lapsed(&claim.node));
            if !lives || !self.continues(&user.id, &record, position).await? {
                return Ok(None);
            }
            if let Some(generation) = self.claim(user, &record, Status::Open).await? {
                return Ok(Some(generation));
            }
        }
        Err(contended())
    }

    async fn continues(&self, peer: &PeerId, record: &Record, position: &Position) -> Result<bool, Refusal> {
        if !self.reaches_back(&inbox::channel(peer), position.inbox).await? {
            return Ok(false);
        }
        for (room, membership) in &record.rooms {
            if let Some(cursor) = position.in_room(room, membership.number)
                && !self.reaches_back(&roster::channel(room), cursor).await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reaches_back(&self, channel: &ChannelName, cursor: Offset) -> Result<bool, Refusal> {
        Ok(self.hub.read(channel, cursor, 0).await?.continuity == inkwire_core::Continuity::Proved)
    }

    /// Makes the next claim to a stream; `None` if somebody else made it first.
    async fn claim(&self, user: &User, record: &Record, status: Status) -> Result<Option<u64>, Refusal> {
        let generation = record.next_generation();
        let claim = Claim { generation, node: self.node.clone(), status };
        let published = self.hub.publish(&record::channel(&user.id), claim.draft()).await?;
        Ok(matches!(published, Published::Appended(_)).then_some(generation))
    }

    /// Says again what stands in the logs, so that they do not expire. `false` if the stream is no longer ours.
    pub(crate) async fn renew(
        &self,
        user: &User,
        generation: u64,
        memberships: &[(RoomId, Standing)],
    ) -> Result<bool, Refusal> {
        let claim = Claim { generation, node: self.node.clone(), status: Status::Open };
        let published = self.hub.publish(&record::channel(&user.id), claim.draft()).await?;
        if matches!(published, Published::Superseded(_)) {
            return Ok(false);
        }
        self.hub.publish(&inbox::channel(&user.id), inbox::opened(generation)).await?;
        for (room, Standing { number, role }) in memberships {
            let membership = Membership { peer: user.id.clone(), number: *number };
            self.hub.publish(&roster::channel(room), membership.joined(user, *role)).await?;
        }
        Ok(true)
    }

    /// When the grace time has passed and nobody has continued the stream, the peer leaves.
    pub(crate) fn close_after_grace(self: &Arc<Self>, user: User, generation: u64) {
        let signalling = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::time::sleep(signalling.grace).await;
            for _ in 0..CLOSE_ATTEMPTS {
                match signalling.close(&user, generation).await {
                    Ok(()) => return,
                    Err(error) => warn!(peer = %user.id, %error, "cannot close the stream yet; trying again"),
                }
                tokio::time::sleep(CLOSE_RETRY).await;
            }
        });
    }

    /// Closes a stream, unless it has been claimed since, and ends the peer's memberships.
    async fn close(&self, user: &User, generation: u64) -> Result<(), Refusal> {
        let record = self.record(&user.id).await?;
        let ours = record.stream.as_ref().is_some_and(|claim| claim.generation == generation);
        // Having closed it before and failed to depart, depart now.
        let closed = record.stream.as_ref().is_some_and(|claim| {
            claim.generation == generation + 1 && claim.status == Status::Closed && claim.node == self.node
        });
        if closed || (ours && self.claim(user, &record, Status::Closed).await?.is_some()) {
            self.depart(user).await?;
            // Nobody will read it: let it go soon, not when its time is over.
            self.hub.publish(&inbox::channel(&user.id), inbox::closed(generation)).await?;
            debug!(peer = %user.id, "left");
        }
        Ok(())
    }

    /// Ends every membership that stands in the peer's record.
    pub(crate) async fn depart(&self, user: &User) -> Result<(), Refusal> {
        for (room, standing) in self.record(&user.id).await?.rooms {
            self.end(user, &room, standing).await?;
        }
        Ok(())
    }

    /// Joins a room; answers with the others in it. Whoever is in it already stays there in the role that they came in.
    pub(crate) async fn join(&self, user: &User, room: &RoomId, role: Role) -> Result<Room, Refusal> {
        for _ in 0..ATTEMPTS {
            let record = self.record(&user.id).await?;
            if record.open().is_none() {
                return Err(Refusal::NoStream);
            }
            if record.rooms.len() >= MAXIMUM_ROOMS && !record.rooms.contains_key(room) {
                return Err(Refusal::TooManyRooms);
            }
            let standing = record.standing(room, role);
            if let Some(others) = self.begin(user, room, standing).await? {
                // The stream may have been closed, and the peer's rooms left, between the look at the record and now.
                if self.record(&user.id).await?.open().is_none() {
                    self.end(user, room, standing).await?;
                    return Err(Refusal::NoStream);
                }
                return Ok(Room { room: room.clone(), peers: others });
            }
            // The membership has ended in the room: let the record say so too, and take the next number.
            self.hub.publish(&record::channel(&user.id), record::left(room, standing.number)).await?;
        }
        Err(contended())
    }

    /// Begins a membership, or finds it begun; `None` if it has ended already.
    async fn begin(
        &self,
        user: &User,
        room: &RoomId,
        standing: Standing,
    ) -> Result<Option<Vec<Peer>>, Refusal> {
        let announced = self.hub.publish(&record::channel(&user.id), record::joined(room, standing)).await?;
        if matches!(announced, Published::Superseded(_)) {
            return Ok(None);
        }
        let membership = Membership { peer: user.id.clone(), number: standing.number };
        match self.hub.publish(&roster::channel(room), membership.joined(user, standing.role)).await? {
            Published::Superseded(_) => return Ok(None),
            Published::Appended(_) => counter!("inkwire_joins_total").increment(1),
            Published::Duplicate(_) => {}
        }
        let mut present = self.present(room).await?;
        present.retain(|other| other.user.id != user.id);
        Ok(Some(present))
    }

    /// Leaves a room; nothing happens to one who is not in it.
    pub(crate) async fn leave(&self, user: &User, room: &RoomId) -> Result<(), Refusal> {
        match self.record(&user.id).await?.rooms.get(room) {
            Some(standing) => self.end(user, room, *standing).await,
            None => Ok(()),
        }
    }

    /// Ends a membership in the room, then in the record.
    async fn end(
        &self,
        user: &User,
        room: &RoomId,
        Standing { number, role }: Standing,
    ) -> Result<(), Refusal> {
        let channel = roster::channel(room);
        let membership = Membership { peer: user.id.clone(), number };
        // Beginning it once more tells where it began, and completes a join that was cut short.
        match self.hub.publish(&channel, membership.joined(user, role)).await? {
            Published::Appended(joined) | Published::Duplicate(joined) => {
                self.hub.publish(&channel, membership.left(user, role, joined)).await?;
            }
            Published::Superseded(_) => {}
        }
        self.forget(&user.id, room, number).await
    }

    /// Lets the record say that a membership has ended.
    pub(crate) async fn forget(&self, peer: &PeerId, room: &RoomId, number: u64) -> Result<(), Refusal> {
        self.hub.publish(&record::channel(peer), record::left(room, number)).await?;
        Ok(())
    }

    /// Puts an event into a peer's inbox.
    pub(crate) async fn relay(&self, event: &Relayed, to: &PeerId) -> Result<(), Refusal> {
        let (sender, receiver) = tokio::try_join!(self.record(&event.peer.id), self.record(to))?;
        if receiver.open().is_none() {
            return Err(Refusal::NoPeer);
        }
        if !sender.shares_a_room_with(&receiver) {
            return Err(Refusal::NoSharedRoom);
        }
        self.hub.publish(&inbox::channel(to), inbox::relayed(event)).await?;
        counter!("inkwire_relays_total").increment(1);
        Ok(())
    }

    /// Who is in a room, in the order of joining.
    pub(crate) async fn present(&self, room: &RoomId) -> Result<Vec<Peer>, Refusal> {
        Ok(self.stays(room).await?.into_iter().map(|stay| stay.role.peer(stay.user)).collect())
    }

    /// The stays in a room that go on, in the order of joining.
    pub(crate) async fn stays(&self, room: &RoomId) -> Result<Vec<Stay>, Refusal> {
        let log = self.whole(&roster::channel(room)).await?;
        Ok(roster::present(&log.messages).collect())
    }

    /// The node that claimed the stream of somebody in a room. If no such claim is known any more, the stay is over.
    pub(crate) async fn node_of(&self, room: &RoomId, stay: Stay) -> Result<Option<Box<str>>, Refusal> {
        let node = self.record(&stay.user.id).await?.stream.map(|claim| claim.node);
        if node.is_none() {
            self.end(&stay.user, room, stay.standing()).await?;
        }
        Ok(node)
    }

    /// Lets somebody leave whose node has died, from all rooms. `false` if the node lives, or somebody else was first.
    pub(crate) async fn leave_if_dead(&self, room: &RoomId, stay: Stay) -> Result<bool, Refusal> {
        let (standing, user) = (stay.standing(), stay.user);
        let record = self.record(&user.id).await?;
        let Some(claim) = record.stream.as_ref().filter(|claim| self.watch.has_lapsed(&claim.node)) else {
            return Ok(false);
        };
        // Closed by the dead node itself: it may not have come further than that.
        if claim.status == Status::Open && self.claim(&user, &record, Status::Closed).await?.is_none() {
            return Ok(false);
        }
        self.depart(&user).await?;
        self.end(&user, room, standing).await?;
        self.hub.publish(&inbox::channel(&user.id), inbox::closed(claim.generation)).await?;
        debug!(peer = %user.id, node = %claim.node, "left with its node");
        Ok(true)
    }

    /// A peer's record, as it stands.
    pub(crate) async fn record(&self, peer: &PeerId) -> Result<Record, Refusal> {
        let log = self.whole(&record::channel(peer)).await?;
        Ok(Record::of(log.messages.iter().map(|message: &Arc<Message>| &**message)))
    }

    /// A whole keyed log.
    pub(crate) async fn whole(&self, channel: &ChannelName) -> Result<Page, Refusal> {
        let mut all = self.hub.read(channel, Offset::ZERO, PAGE).await?;
        let mut taken = all.messages.len();
        while taken == PAGE {
            let cursor = all.end(all.messages.len());
            let more = self.hub.read(channel, cursor, PAGE).await?;
            taken = more.messages.len();
            all.messages.extend(more.messages);
            all.head = more.head;
        }
        Ok(all)
    }
}

fn contended() -> Refusal {
    Refusal::Broker(Error::Unavailable("too many requests of this peer change the same state at once".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inkwire_core::HubOptions;
    use inkwire_embedded::Memory;
    use inkwire_protocol::Username;

    /// What is said again changes nothing while it stands; where a log has been lost, it says what was.
    #[tokio::test]
    async fn renewing_keeps_the_role() {
        let hub = Hub::new(Arc::new(Memory::default()), HubOptions::default());
        let times = Times { grace: Duration::from_secs(5), lease: Duration::from_secs(8) };
        let signalling = Signalling::new(hub.clone(), "n", times, TaskTracker::new());
        let user = User { id: PeerId::new("eve").unwrap(), username: Username::new("eve").unwrap() };
        let rooms = [("a", Role::Viewer), ("b", Role::Editor)].map(|(room, role)| {
            let standing = Standing { number: 1, role };
            (RoomId::new(room).unwrap(), standing)
        });
        let mut heads = Vec::new();
        for _ in 0..2 {
            assert!(signalling.renew(&user, 1, &rooms).await.unwrap());
            for (room, standing) in &rooms {
                let present = signalling.present(room).await.unwrap();
                assert_eq!(present, [standing.role.peer(user.clone())]);
                heads.push(hub.head(&roster::channel(room)).await.unwrap());
            }
        }
        assert_eq!(heads[..2], heads[2..], "nothing was said anew");
    }
}
