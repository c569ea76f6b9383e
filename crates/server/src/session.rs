//! One client, blind to its transport: who it is, which channels it follows, and what it may do. WebSocket, event streams
//! and plain requests are doors to it.
//!
//! Invariant: whatever a client does to a channel passes the hooks, here and nowhere else.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use inkwire_core::{
    AtHand, ChannelName, Continuity, Delivery, Error, Event, Message, Offset, Page, Published, Start,
    Subscription, UserId, Wake,
};
use inkwire_protocol::channel::{From as Place, PublishReply, WireOffset};
use inkwire_protocol::command::{Ack, Claim as WireClaim, Publish, Read, Subscribe};
use inkwire_protocol::reply::Subscribed;
use inkwire_protocol::{Code, PeerId, Refused, RelayName, Relayed, Room, RoomId, ViewId};
use metrics::counter;
use serde_json::value::RawValue;

use crate::app::App;
use crate::channels::broadcast_channel;
use crate::claiming::Claiming;
use crate::hooks::{Client, PublishRequest, Purpose, SubscribeRequest, Verdict, board};
use crate::limits::ConnectionLimit;
use crate::peers::roster::Role;
use crate::peers::stream::PeerStream;
use crate::portion::Portion;
use crate::retention::Sort;
use crate::tokens::Identity;
use crate::views;

/// How many channels a client may follow at once. Each costs a few hundred bytes, and a look whenever any of them stirs.
const MOST_SUBSCRIPTIONS: usize = 1_000;

/// The largest data that is relayed, in bytes: session descriptions of large meshes stay far below it.
pub(crate) const RELAY_LIMIT: usize = 64 << 10;

/// A client and what it follows.
pub(crate) struct Session {
    app: Arc<App>,
    client: Client,
    /// Whether the hooks have admitted it as a connection, and are to hear of its end.
    is_connected: bool,
    wake: Arc<Wake>,
    following: Vec<Following>,
    /// Whose turn it is to be looked at first: nobody waits behind a busy channel for ever.
    turn: usize,
    /// How much it may publish over this connection, where anybody can have such a token.
    limit: Option<Box<ConnectionLimit>>,
}

/// A channel that is followed.
struct Following {
    /// What the client calls it.
    name: ChannelName,
    /// Whether that is not its real name: the frames that others share name another channel.
    is_alias: bool,
    subscription: Subscription,
}

/// What a client is told of a channel.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// A message, as everybody is told it.
    Message(&'a Delivery),
    /// A message that is told to this client only.
    Own(&'a Message),
    /// What followed `after` is gone; what comes next begins at `oldest`.
    Gap { after: Offset, oldest: Offset },
}

/// Where what is told goes.
pub(crate) trait Door {
    /// Takes what is told of a channel.
    fn tell(&mut self, channel: &ChannelName, told: Told<'_>);
    /// Whether it takes more now.
    fn has_room(&self) -> bool;
}

/// How far a session has come with telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Everything there is was told.
    Reached,
    /// The door is full; there may be more.
    NotReached,
}

impl Session {
    /// A client that asks for one thing.
    pub(crate) fn new(app: Arc<App>, identity: Identity) -> Self {
        let client = Client::new(identity, app.clients.fetch_add(1, Ordering::Relaxed));
        let wake = Arc::default();
        Self { app, client, is_connected: false, wake, following: Vec::new(), turn: 0, limit: None }
    }

    /// A client that stays, if the hooks admit it.
    pub(crate) async fn connect(app: Arc<App>, identity: Identity) -> Result<Self, Refused> {
        let mut session = Self::new(app, identity);
        session.app.hooks.connect(&session.client).await?;
        let is_anybody = session.client.identity().anonymous;
        session.limit = is_anybody.then(|| Box::new(ConnectionLimit::new(session.app.options.publishes)));
        session.is_connected = true;
        Ok(session)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Takes a newer token of the same identity.
    pub(crate) fn show(&mut self, identity: Identity) -> Result<(), Refused> {
        if identity.user.id != self.client.user().id {
            let advice = "the token is somebody else's; open another connection for them";
            return Err(Refused::new(Code::Conflict, advice));
        }
        self.client.show(identity);
        Ok(())
    }

    /// Waits until there may be something to tell of a channel. Safe to cancel.
    pub(crate) async fn woken(&self) {
        self.wake.woken().await;
    }

    /// Follows a channel.
    pub(crate) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<Subscribed, Refused> {
        let Subscribe { channel: name, offset } = subscribe;
        if self.following.iter().any(|following| following.name == name) {
            return Err(Refused::new(Code::Conflict, "this connection follows the channel already"));
        }
        if self.following.len() >= MOST_SUBSCRIPTIONS {
            let advice = format!("a connection follows at most {MOST_SUBSCRIPTIONS} channels");
            return Err(Refused::new(Code::Conflict, advice));
        }
        let request = self.may_be_told(Purpose::Subscribe, name.clone(), offset).await?;
        let start = match request.from {
            Place::New => Start::New,
            Place::Beginning => Start::Beginning,
            Place::After(offset) => Start::After(offset),
        };
        let (subscription, started) =
            self.app.hub.subscribe(&request.channel, start, Arc::clone(&self.wake)).await?;
        // Most clients follow one channel.
        self.following.reserve_exact(1);
        let is_alias = name != request.channel;
        self.following.push(Following { name, is_alias, subscription });
        Ok(Subscribed { offset: started.cursor, gap: started.gap })
    }

    /// Hears what the program says to everybody, where it may say anything.
    pub(crate) async fn hear_broadcasts(&mut self) -> Result<(), Refused> {
        if self.app.channels.has_broadcasts() {
            let name = broadcast_channel();
            let (subscription, _) = self.app.hub.subscribe(&name, Start::New, Arc::clone(&self.wake)).await?;
            self.following.push(Following { name, is_alias: false, subscription });
        }
        Ok(())
    }

    /// Follows a channel no more; nothing happens to one that is not followed.
    pub(crate) fn unsubscribe(&mut self, name: &ChannelName) -> Result<(), Refused> {
        not_reserved(name)?;
        self.following.retain(|following| following.name != *name);
        Ok(())
    }

    /// Tells what there is to tell, until everything is told or the door is full.
    pub(crate) async fn deliver(&mut self, door: &mut impl Door) -> Level {
        let (mut looked, mut told) = (0, 0);
        while looked < self.following.len() {
            if !door.has_room() {
                self.app.deliveries.increment(told);
                return Level::NotReached;
            }
            self.turn = if self.turn + 1 < self.following.len() { self.turn + 1 } else { 0 };
            let Some(following) = self.following.get_mut(self.turn) else { break };
            let event = match following.subscription.at_hand() {
                AtHand::Event(event) => Some(event),
                AtHand::Nothing => None,
                // Boxed: what it takes to read the log is gone when it has been read.
                AtHand::InLog => Box::pin(following.subscription.ready()).await,
            };
            match event {
                None => looked += 1,
                Some(Event::Gap { after, oldest }) => {
                    looked = 0;
                    counter!("inkwire_gaps_total").increment(1);
                    door.tell(&following.name, Told::Gap { after, oldest });
                }
                Some(Event::Messages(messages)) => {
                    looked = 0;
                    told += messages.len() as u64;
                    messages.iter().for_each(|message| self.app.tell(&self.client, following, message, door));
                }
            }
        }
        if told > 0 {
            self.app.deliveries.increment(told);
        }
        Level::Reached
    }

    /// Reads a page; says whether the log does not continue the place asked for.
    pub(crate) async fn read(&self, read: Read) -> Result<(Page, bool), Refused> {
        let Read { channel, after, limit } = read;
        let request = self.may_be_told(Purpose::Read, channel.clone(), after).await?;
        let (after, is_beginning) = match request.from {
            Place::After(offset) => (offset, false),
            Place::Beginning | Place::New => (Offset::ZERO, true),
        };
        let mut page = self.app.read(&request.channel, after, limit).await?;
        let told = page.messages.into_iter();
        let told = told.filter_map(|message| self.app.as_told(&self.client, &channel, message));
        page.messages = told.collect();
        let gap = !is_beginning && page.continuity == Continuity::Broken;
        Ok((page, gap))
    }

    /// Takes messages for a consumer of a group, or begins to wait for some.
    pub(crate) async fn claim(&self, claim: WireClaim) -> Result<Claiming, Refused> {
        let request = self.may_be_told(Purpose::Claim, claim.channel.clone(), claim.from).await?;
        Claiming::begin(&self.app, &self.client, request, claim).await
    }

    /// Settles messages of a group.
    pub(crate) async fn acknowledge(&self, ack: Ack) -> Result<usize, Refused> {
        let request = self.may_be_told(Purpose::Acknowledge, ack.channel, Place::Beginning).await?;
        Ok(self.app.hub.acknowledge(&request.channel, &ack.group, &ack.offsets).await?)
    }

    /// Asks whether a message may be published, and how.
    async fn admit(&self, publish: Publish) -> Result<PublishRequest, Refused> {
        if let Some(limit) = &self.limit {
            limit.admit()?;
        }
        not_reserved(&publish.channel)?;
        if views::of(&publish.channel).is_some() {
            return Err(for_looking_only());
        }
        let (channel, maxlen, named) = (publish.channel.clone(), publish.maxlen, publish.named);
        let mut draft = publish.into_draft()?;
        let sort = if draft.keyed.is_some() { Sort::Keyed } else { Sort::Plain };
        draft.retention = self.app.channels.retention(&channel, sort, maxlen);
        draft.user = named.then(|| self.own_name());
        let mut admitted = self.app.hooks.publish(&self.client, PublishRequest { channel, draft }).await?;
        // Whatever became of the draft: a hook may add the name, but nobody's else, and not lose it.
        let is_named = named || admitted.draft.user.is_some();
        admitted.draft.user = is_named.then(|| self.own_name());
        Ok(admitted)
    }

    fn own_name(&self) -> UserId {
        UserId::from(&self.client.user().id)
    }

    /// Publishes what a client asks, and is allowed, to publish: takes it in, in the order of asking; what it answers with
    /// answers when the message is durable.
    pub(crate) async fn publish(
        &self,
        publish: Publish,
    ) -> Result<impl Future<Output = Result<PublishReply, Refused>> + Send + use<>, Refused> {
        let PublishRequest { channel, draft } = self.admit(publish).await?;
        let receipt = self.app.hub.submit(&channel, draft).await.inspect_err(failed)?;
        Ok(async move { Ok(published(receipt.await.inspect_err(failed)?)) })
    }

    /// Asks whether the client may be told of a channel, and how. The rules know a view by its own name; what it shows is
    /// found here, behind them, and is told under that name.
    pub(crate) async fn may_be_told(
        &self,
        purpose: Purpose,
        channel: ChannelName,
        from: Place,
    ) -> Result<SubscribeRequest, Refused> {
        not_reserved(&channel)?;
        let request = SubscribeRequest { purpose, channel, from };
        let request = self.app.hooks.subscribe(&self.client, request).await?;
        match (views::of(&request.channel), purpose) {
            (None, _) => Ok(request),
            (Some(_), Purpose::Claim | Purpose::Acknowledge) => Err(for_looking_only()),
            (Some(view), Purpose::Subscribe | Purpose::Read) => {
                Ok(SubscribeRequest { channel: board(&self.app.views.open(&view)?), ..request })
            }
        }
    }

    /// Makes this client the peer's stream, continuing a position where there is one.
    pub(crate) async fn open_peer(&self, position: Option<&str>) -> Result<PeerStream, Refused> {
        let (signalling, user) = (&self.app.signalling, self.client.user().clone());
        Ok(match position {
            Some(position) => signalling.resume(user, position).await?,
            None => signalling.open(user).await?,
        })
    }

    /// Joins a room.
    pub(crate) async fn join(&self, room: &str) -> Result<Room, Refused> {
        let room = RoomId::new(room)?;
        self.app.joins.admit(&self.client.user().id)?;
        let role = self.role(&room).await?;
        Ok(self.app.signalling.join(self.client.user(), &room, role).await?)
    }

    /// As which the client joins a room.
    async fn role(&self, room: &RoomId) -> Result<Role, Refused> {
        match self.app.hooks.edit(&self.client, room).await {
            Ok(()) => Ok(Role::Editor),
            Err(refused) if refused.code == Code::Forbidden => Ok(Role::Viewer),
            Err(refused) => Err(refused),
        }
    }

    /// Leaves a room.
    pub(crate) async fn leave(&self, room: &str) -> Result<(), Refused> {
        Ok(self.app.signalling.leave(self.client.user(), &RoomId::new(room)?).await?)
    }

    /// The room that the client may put a file into.
    pub(crate) async fn admit_upload(&self, room: &str) -> Result<RoomId, Refused> {
        let room = self.may_edit(room).await?;
        self.app.uploads.admit(&self.client.user().id)?;
        Ok(room)
    }

    /// The room whose files the client may get under this name: its own, or a view's. They are for whoever may read the
    /// board.
    pub(crate) async fn room_of_files(&self, name: &str) -> Result<RoomId, Refused> {
        let view = ViewId::new(name).ok();
        let (channel, room) = match &view {
            Some(view) => (views::channel(view), self.app.views.open(view)),
            None => RoomId::new(name).map(|room| (board(&room), Ok(room)))?,
        };
        // Whoever may not look is not told whether there is anything to see.
        self.may_be_told(Purpose::Read, channel, Place::Beginning).await?;
        room
    }

    /// The view of a room, for those who may edit it.
    pub(crate) async fn view(&self, room: &str) -> Result<ViewId, Refused> {
        Ok(self.app.views.of(&self.may_edit(room).await?))
    }

    async fn may_edit(&self, room: &str) -> Result<RoomId, Refused> {
        if ViewId::new(room).is_ok() {
            return Err(for_looking_only());
        }
        let room = RoomId::new(room)?;
        self.app.hooks.edit(&self.client, &room).await?;
        Ok(room)
    }

    /// The oldest message of a channel that is followed; [`Offset::ZERO`] if there is none.
    pub(crate) async fn oldest(&self, name: &ChannelName) -> Result<Offset, Refused> {
        let Some(following) = self.following.iter().find(|following| following.name == *name) else {
            return Ok(Offset::ZERO);
        };
        let page = self.app.hub.read(following.subscription.channel(), Offset::ZERO, 1).await?;
        Ok(page.messages.first().map_or(Offset::ZERO, |message| message.offset))
    }

    /// Asks whether something may be relayed to a peer.
    pub(crate) fn admit_relay(&self, to: &str, event: &str) -> Result<(PeerId, RelayName), Refused> {
        let name = RelayName::new(event)?;
        if name.is_servers_own() {
            return Err(Refused::new(Code::Forbidden, "only the server says this event"));
        }
        let to = PeerId::new(to).map_err(|_| Refused::new(Code::NotFound, "there is no such peer"))?;
        self.app.relays.admit(&self.client.user().id)?;
        Ok((to, name))
    }

    /// Relays what was admitted.
    pub(crate) async fn relay(
        &self,
        (to, name): (PeerId, RelayName),
        data: Box<RawValue>,
    ) -> Result<(), Refused> {
        let event = Relayed { name, peer: self.client.user().clone(), data };
        Ok(self.app.signalling.relay(&event, &to).await?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_connected {
            self.app.hooks.disconnect(&self.client);
        }
    }
}

impl App {
    /// A page of at most `limit` messages, or fewer large ones.
    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page, Refused> {
        let mut portion = Portion::new(limit);
        let mut whole = Page { messages: Vec::new(), head: after, continuity: Continuity::Proved };
        let mut cursor = after;
        while let Some(count) = portion.next() {
            let page = self.hub.read(channel, cursor, count).await?;
            if cursor == after {
                whole.continuity = page.continuity;
            } else if page.continuity == Continuity::Broken {
                // What was trimmed meanwhile is for the next read to notice.
                break;
            }
            let is_last = page.messages.len() < count;
            portion.take(page.messages.len(), weight(&page.messages));
            cursor = page.end(count);
            whole.messages.extend(page.messages);
            whole.head = page.head;
            if is_last {
                break;
            }
        }
        Ok(whole)
    }

    /// A message as a client is told it; `None` if it is not.
    pub(crate) fn as_told(
        &self,
        client: &Client,
        channel: &ChannelName,
        message: Arc<Message>,
    ) -> Option<Arc<Message>> {
        match self.hooks.deliver(client, channel, &message) {
            Verdict::Tell => Some(message),
            Verdict::TellInstead(fields) => Some(Arc::new(Message { fields, ..Message::clone(&message) })),
            Verdict::Withhold => None,
        }
    }

    fn tell(&self, client: &Client, following: &Following, message: &Delivery, door: &mut impl Door) {
        let Following { name, is_alias, .. } = following;
        match self.hooks.deliver(client, name, message) {
            Verdict::Tell if *is_alias => door.tell(name, Told::Own(message)),
            Verdict::Tell => door.tell(name, Told::Message(message)),
            Verdict::TellInstead(fields) => {
                door.tell(name, Told::Own(&Message { fields, ..Message::clone(message) }));
            }
            Verdict::Withhold => {}
        }
    }
}

fn weight(messages: &[Arc<Message>]) -> usize {
    messages.iter().map(|message| message.weight()).sum()
}

/// Names that begin with `$` are the server's own, whatever a hook says of them.
fn not_reserved(channel: &ChannelName) -> Result<(), Refused> {
    if channel.is_reserved() {
        return Err(Refused::new(Code::Forbidden, "names that begin with $ are the server's own"));
    }
    Ok(())
}

/// Whatever the grants and the hooks say of a view: nothing can be done to a room through it.
fn for_looking_only() -> Refused {
    Refused::new(Code::Forbidden, "a view is for looking only")
}

/// Counts what a broker did not carry out, or may not have.
fn failed(_: &Error) {
    counter!("inkwire_publishes_total", "outcome" => "failed").increment(1);
}

/// What a publisher is answered.
fn published(published: Published) -> PublishReply {
    let (outcome, duplicate, superseded) = match published {
        Published::Appended(_) => ("appended", false, false),
        Published::Duplicate(_) => ("duplicate", true, false),
        Published::Superseded(_) => ("superseded", false, true),
    };
    counter!("inkwire_publishes_total", "outcome" => outcome).increment(1);
    PublishReply { offset: WireOffset(published.offset()), duplicate, superseded }
}
