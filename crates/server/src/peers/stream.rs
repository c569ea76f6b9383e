//! One peer's stream, blind to its transport: it follows the peer's inbox, its record and its rooms, and turns what it
//! reads into events, each with the position after it.
//!
//! Invariants. The inbox is read before the rooms, so what a peer said before it left is told before it left. A
//! peer's first relayed event never comes before its `add-peer`: if the rooms read so far do not know the sender, they
//! are read on. Dropping it begins the grace time, whatever the reason, unless the stream belongs to
//! somebody else by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{Delivery, Event as Read, Message, Offset, Start, Subscription, Wake};
use inkwire_protocol::event::{AddPeer, RemovePeer};
use inkwire_protocol::{Event, PeerId, RoomId, User};
use metrics::counter;
use rand::RngExt as _;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::position::{Owner, Position, RoomPosition};
use super::record::{Claim, Record, Standing, Status};
use super::roster::{Change, Membership, Opening, Roster};
use super::signalling::{Refusal, Signalling};
use super::{RENEWAL, inbox, record, roster};

/// How many bytes of relayed events are taken at once; what follows waits in the log until these are written.
const BATCH_BYTES: usize = 64 << 10;

/// An event on its way to the client.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    /// Where the client stands after it; `None` for control events.
    pub(crate) position: Option<String>,
}

/// A peer's open stream.
#[derive(Debug)]
pub(crate) struct PeerStream {
    signalling: Arc<Signalling>,
    user: User,
    owner: Owner,
    generation: u64,
    resumed: bool,
    wake: Arc<Wake>,
    inbox: Subscription,
    /// Read from the inbox and not yet told: the rest of one batch.
    unread: VecDeque<Arc<Delivery>>,
    /// What the client has been told of its inbox.
    told: Offset,
    record: Subscription,
    rooms: Vec<Following>,
    out: Vec<Told>,
    renewal: Instant,
    state: State,
}

/// What is to become of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It goes on.
    Running,
    /// The client's position is lost: it must begin anew.
    Lost,
    /// The stream belongs to another claim.
    Replaced,
}

/// A room that the stream follows.
#[derive(Debug)]
struct Following {
    room: RoomId,
    membership: Standing,
    /// Where the client stands in it; `None` when it has been told nothing.
    cursor: Option<Offset>,
    stage: Stage,
}

/// How far the stream has come with a room.
#[derive(Debug)]
enum Stage {
    /// The room's log has not been read, or the membership does not stand in it yet; then the subscription tells when
    /// to look again.
    Waiting(Option<Subscription>),
    /// The room is followed.
    Entered(Subscription, Roster),
    /// The membership has ended.
    Over,
}

impl PeerStream {
    /// Starts reading for a stream that has been claimed under `generation`.
    pub(crate) async fn start(
        signalling: Arc<Signalling>,
        user: User,
        generation: u64,
        position: Option<Position>,
    ) -> Result<Self, Refusal> {
        // Whatever fails from here on, the claim must not outlive it.
        let claim = ClaimGuard { signalling: Some(Arc::clone(&signalling)), user: user.clone(), generation };
        let wake = Arc::<Wake>::default();
        let hub = signalling.hub();
        let mark = hub.publish(&inbox::channel(&user.id), inbox::opened(generation)).await?;
        let told = position.as_ref().map_or(mark.offset(), |position| position.inbox);
        let (inbox, began) =
            hub.subscribe(&inbox::channel(&user.id), Start::After(told), Arc::clone(&wake)).await?;
        let log = signalling.whole(&record::channel(&user.id)).await?;
        let standing = Record::of(log.messages.iter().map(|message| &**message));
        let after = Start::After(log.head);
        let (record, _) = hub.subscribe(&record::channel(&user.id), after, Arc::clone(&wake)).await?;
        let rooms = standing.rooms.into_iter().map(|(room, membership)| {
            let cursor = position.as_ref().and_then(|position| position.in_room(&room, membership.number));
            Following { room, membership, cursor, stage: Stage::Waiting(None) }
        });
        let mut stream = Self {
            resumed: position.is_some(),
            rooms: rooms.collect(),
            signalling: claim.disarm(),
            owner: Owner::of(&user.id),
            user,
            generation,
            wake,
            inbox,
            unread: VecDeque::new(),
            told,
            record,
            out: Vec::new(),
            renewal: next_renewal(),
            state: if began.gap { State::Lost } else { State::Running },
        };
        stream.judge_claim(standing.stream.as_ref());
        Ok(stream)
    }

    /// Whose stream it is.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// Whether it continues a position.
    pub(crate) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Where the client stands.
    pub(crate) fn position(&self) -> String {
        let rooms = self.rooms.iter().filter_map(|following| {
            Some(RoomPosition {
                room: following.room.clone(),
                membership: following.membership.number,
                cursor: following.cursor?,
            })
        });
        Position { owner: self.owner, inbox: self.told, rooms: rooms.collect() }.to_string()
    }

    /// Tells the client that what followed its position is gone.
    pub(crate) fn tell_gap(&mut self) {
        counter!("inkwire_gaps_total").increment(1);
        self.tell(Event::Gap);
    }

    /// Whether the stream belongs to another claim: nothing more will come.
    pub(crate) fn is_replaced(&self) -> bool {
        self.state == State::Replaced
    }

    /// What there is to tell now: a batch, or nothing when there is nothing. Not to be cancelled, except by dropping the
    /// stream.
    pub(crate) async fn take(&mut self) -> Vec<Told> {
        if self.state == State::Running
            && let Err(refusal) = self.read().await
        {
            warn!(peer = %self.user.id, %refusal, "cannot read the peer's logs; trying again");
        }
        if self.state == State::Lost
            && let Err(refusal) = self.begin_anew().await
        {
            warn!(peer = %self.user.id, %refusal, "cannot begin anew; trying again");
        }
        std::mem::take(&mut self.out)
    }

    /// Waits until there may be something to tell. Safe to cancel.
    pub(crate) async fn woken(&self) {
        self.wake.woken().await;
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        if Instant::now() >= self.renewal {
            self.renew().await?;
        }
        // The record first: it names the rooms in which the senders of the inbox may be.
        self.read_record().await;
        if !self.read_inbox().await {
            // The rooms come after what was said in them.
            self.wake.wake();
            return Ok(());
        }
        for at in 0..self.rooms.len() {
            self.read_room(at).await?;
        }
        self.drop_left_rooms().await
    }

    async fn renew(&mut self) -> Result<(), Refusal> {
        self.renewal = next_renewal();
        let entered = self.rooms.iter().filter(|following| matches!(following.stage, Stage::Entered(..)));
        let memberships: Vec<_> =
            entered.map(|following| (following.room.clone(), following.membership)).collect();
        if !self.signalling.renew(&self.user, self.generation, &memberships).await? {
            let record = self.signalling.record(&self.user.id).await?;
            self.judge_claim(record.stream.as_ref());
        }
        Ok(())
    }

    async fn read_record(&mut self) {
        while let Some(read) = self.record.ready().await {
            match read {
                Read::Gap { .. } => self.state = State::Lost,
                Read::Messages(messages) => messages.iter().for_each(|message| self.take_record(message)),
            }
        }
    }

    fn take_record(&mut self, message: &Message) {
        let news = Record::of([message]);
        self.judge_claim(news.stream.as_ref());
        for (room, membership) in news.rooms {
            if !self.rooms.iter().any(|own| own.room == room && own.membership.number == membership.number) {
                // Most peers are in one room for good.
                self.rooms.reserve_exact(1);
                self.rooms.push(Following { room, membership, cursor: None, stage: Stage::Waiting(None) });
            }
        }
    }

    /// Somebody else's later claim ends this stream; a closing by others (who took this node for dead) means that
    /// the peer has left its rooms.
    fn judge_claim(&mut self, claim: Option<&Claim>) {
        match claim {
            Some(claim) if claim.generation > self.generation => {
                self.state = match claim.status {
                    Status::Open => State::Replaced,
                    Status::Closed => State::Lost,
                }
            }
            _ => {}
        }
        if self.state == State::Replaced {
            debug!(peer = %self.user.id, "replaced");
            self.out.clear();
            self.tell(Event::Replaced);
        }
    }

    /// Takes a batch; `false` if more is waiting.
    async fn read_inbox(&mut self) -> bool {
        let mut bytes = 0;
        while self.state == State::Running {
            if let Some(message) = self.unread.pop_front() {
                bytes += message.weight();
                self.take_relayed(&message).await;
                if bytes >= BATCH_BYTES {
                    return false;
                }
                continue;
            }
            match self.inbox.ready().await {
                None => return true,
                Some(Read::Gap { .. }) => self.state = State::Lost,
                Some(Read::Messages(messages)) => self.unread = messages.into(),
            }
        }
        true
    }

    async fn take_relayed(&mut self, message: &Message) {
        let relayed = inbox::read(message);
        let known = match &relayed {
            Some(relayed) => self.knows(&relayed.peer.id).await,
            None => false,
        };
        self.told = message.offset;
        match relayed {
            Some(relayed) if known => self.tell(Event::Relayed(relayed)),
            // The two met in no room since the client's position: it does not know whom this would be from.
            Some(_) => counter!("inkwire_relays_of_strangers_total").increment(1),
            None => {}
        }
    }

    /// Whether the client has been told of a peer; reads on in the rooms to find out.
    async fn knows(&mut self, peer: &PeerId) -> bool {
        let told = |stream: &Self| stream.rooms.iter().any(|own| own.has(peer));
        if told(self) {
            return true;
        }
        self.read_record_from_log().await;
        for at in 0..self.rooms.len() {
            if let Err(refusal) = self.read_room_from_log(at).await {
                warn!(peer = %self.user.id, %refusal, "cannot read a room");
            }
        }
        told(self) || self.has_met(peer).await
    }

    /// Whether a peer that is here no more was in a room with this one.
    async fn has_met(&self, peer: &PeerId) -> bool {
        for own in &self.rooms {
            let membership = Membership { peer: self.user.id.clone(), number: own.membership.number };
            let log = self.signalling.whole(&roster::channel(&own.room)).await;
            if log.is_ok_and(|log| roster::met(&log.messages, &membership, peer)) {
                return true;
            }
        }
        false
    }

    async fn read_record_from_log(&mut self) {
        if let Ok(Some(Read::Messages(messages))) = self.record.catch_up().await {
            messages.iter().for_each(|message| self.take_record(message));
        }
    }

    async fn read_room_from_log(&mut self, at: usize) -> Result<(), Refusal> {
        self.read_room(at).await?;
        let Some(Following { stage: Stage::Entered(subscription, _), .. }) = self.rooms.get_mut(at) else {
            return Ok(());
        };
        match subscription.catch_up().await? {
            Some(Read::Messages(news)) => self.take_room(at, &messages(&news)),
            Some(Read::Gap { .. }) => self.state = State::Lost,
            None => {}
        }
        Ok(())
    }

    async fn read_room(&mut self, at: usize) -> Result<(), Refusal> {
        while self.state == State::Running {
            let Some(following) = self.rooms.get_mut(at) else { return Ok(()) };
            match &mut following.stage {
                Stage::Over => return Ok(()),
                Stage::Waiting(None) => self.enter_room(at).await?,
                Stage::Waiting(Some(subscription)) => match subscription.ready().await {
                    None => return Ok(()),
                    Some(_) => following.stage = Stage::Waiting(None),
                },
                Stage::Entered(subscription, _) => match subscription.ready().await {
                    None => return Ok(()),
                    Some(Read::Gap { .. }) => self.state = State::Lost,
                    Some(Read::Messages(news)) => self.take_room(at, &messages(&news)),
                },
            }
        }
        Ok(())
    }

    /// Reads a room's whole log and begins to follow it where the client stands.
    async fn enter_room(&mut self, at: usize) -> Result<(), Refusal> {
        let Some(following) = self.rooms.get_mut(at) else { return Ok(()) };
        let channel = roster::channel(&following.room);
        let log = self.signalling.whole(&channel).await?;
        let after = Start::After(log.head);
        let (subscription, began) =
            self.signalling.hub().subscribe(&channel, after, Arc::clone(&self.wake)).await?;
        let own = Membership { peer: self.user.id.clone(), number: following.membership.number };
        match Roster::open(&log.messages, own, following.cursor) {
            _ if began.gap => self.state = State::Lost,
            Opening::NotYet => following.stage = Stage::Waiting(Some(subscription)),
            Opening::Over => following.stage = Stage::Over,
            Opening::Open(roster) => {
                let cursor = roster.cursor();
                self.signalling.entered(&following.room);
                following.stage = Stage::Entered(subscription, roster);
                let news: Vec<_> =
                    log.messages.into_iter().filter(|message| message.offset > cursor).collect();
                self.take_room(at, &news);
                self.settle_room(at, log.head);
            }
        }
        Ok(())
    }

    fn take_room(&mut self, at: usize, messages: &[Arc<Message>]) {
        let Some(following) = self.rooms.get_mut(at) else { return };
        let Stage::Entered(_, roster) = &mut following.stage else { return };
        let Ok(changes) = roster.take(messages) else {
            following.stage = Stage::Over;
            return;
        };
        let (room, cursor) = (following.room.clone(), roster.cursor());
        for (offset, change) in changes {
            self.settle_room(at, offset);
            self.tell(event(change, &room));
        }
        self.settle_room(at, cursor);
    }

    /// Notes how far the client has been told of a room.
    fn settle_room(&mut self, at: usize, cursor: Offset) {
        if let Some(following) = self.rooms.get_mut(at) {
            following.cursor = following.cursor.max(Some(cursor));
        }
    }

    /// Lets go of rooms in which the membership has ended, and lets the record say so.
    async fn drop_left_rooms(&mut self) -> Result<(), Refusal> {
        while let Some(at) = self.rooms.iter().position(|following| matches!(following.stage, Stage::Over)) {
            let left = self.rooms.swap_remove(at);
            self.signalling.forget(&self.user.id, &left.room, left.membership.number).await?;
        }
        Ok(())
    }

    /// The client's position is gone: the peer leaves its rooms, is told so, and begins anew on the same stream.
    async fn begin_anew(&mut self) -> Result<(), Refusal> {
        let record = self.signalling.record(&self.user.id).await?;
        if record.open().is_some_and(|claim| claim.generation > self.generation) {
            self.judge_claim(record.stream.as_ref());
            return Ok(());
        }
        let generation = self.signalling.claim_anew(&self.user).await?;
        self.generation = generation;
        let signalling = Arc::clone(&self.signalling);
        let fresh = Self::start(signalling, self.user.clone(), generation, None).await?;
        // The stream replaced here is this one: it must not close the one that goes on.
        let mut old = std::mem::replace(self, fresh);
        old.state = State::Replaced;
        self.out.splice(0..0, old.out.drain(..));
        self.wake.wake();
        self.tell_gap();
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        let position = (!event.is_control()).then(|| self.position());
        counter!("inkwire_events_total", "event" => metric_label(&event)).increment(1);
        self.out.push(Told { event, position });
    }
}

impl Drop for PeerStream {
    fn drop(&mut self) {
        if self.state != State::Replaced {
            self.signalling.close_after_grace(self.user.clone(), self.generation);
        }
    }
}

impl Following {
    fn has(&self, peer: &PeerId) -> bool {
        matches!(&self.stage, Stage::Entered(_, roster) if roster.has(peer))
    }
}

/// Closes a claimed stream that could not be started.
struct ClaimGuard {
    signalling: Option<Arc<Signalling>>,
    user: User,
    generation: u64,
}

impl ClaimGuard {
    fn disarm(mut self) -> Arc<Signalling> {
        self.signalling.take().expect("a guard is disarmed once")
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        if let Some(signalling) = self.signalling.take() {
            signalling.close_after_grace(self.user.clone(), self.generation);
        }
    }
}

fn messages(deliveries: &[Arc<Delivery>]) -> Vec<Arc<Message>> {
    deliveries.iter().map(|delivery| Arc::clone(delivery.message())).collect()
}

fn event(change: Change, room: &RoomId) -> Event {
    match change {
        Change::Add { user, role, offer } => {
            Event::AddPeer(AddPeer { peer: role.peer(user), room: room.clone(), offer })
        }
        Change::Remove { user } => Event::RemovePeer(RemovePeer { peer: user, room: room.clone() }),
    }
}

/// Relayed events share one label: their names are the clients' own, and labels must be few.
fn metric_label(event: &Event) -> &'static str {
    match event {
        Event::Connected(_) => "connected",
        Event::Ping => "ping",
        Event::AddPeer(_) => "add-peer",
        Event::RemovePeer(_) => "remove-peer",
        Event::Relayed(_) => "relayed",
        Event::Gap => "gap",
        Event::Replaced => "replaced",
        Event::Draining => "draining",
    }
}

/// When to renew next; spread, so that streams opened together do not renew together.
fn next_renewal() -> Instant {
    let spread: f64 = rand::rng().random_range(0.7..1.0);
    Instant::now() + Duration::from_secs_f64(RENEWAL.as_secs_f64() * spread)
}
