//! The life of one WebSocket: commands in; replies, events and messages out. One task, one loop.
//!
//! Invariants. Messages are pulled when the socket has written what it had: a socket that does not drain is given nothing
//! more, and costs no memory. Publishes are carried out side by side and answered in order; everything else is carried
//! out when all publishes before it are. A claim that waits holds up nothing. While the replies a client does not read
//! fill [`MOST_REPLIES`], it is not listened to.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use inkwire_core::{ChannelName, Claimed, Form, Message};
use inkwire_protocol::channel::{PublishReply, WireClaimed, WireMessage, WirePage};
use inkwire_protocol::command::{Auth, Claim, CommandId};
use inkwire_protocol::event::single_line;
use inkwire_protocol::reply::{self, Reply, Welcome};
use inkwire_protocol::{Asked, Code, Command, Event, Refused, Room, RoomId};
use tokio::time::timeout;
use tracing::debug;

use super::frame::{self, CloseCode, Opcode};
use super::socket::{Connection, Ended, Incoming, Listens, Socket, Transfer};
use crate::app::App;
use crate::claiming::Claiming;
use crate::metrics::Counted;
use crate::peers::stream::{PeerStream, Told as PeerTold};
use crate::pulse::{Beat, Pulse};
use crate::session::{Door, Level, RELAY_LIMIT, Session, Told};

/// The largest message that is taken, in bytes.
const LARGEST_MESSAGE: usize = 1 << 20;
/// The largest one before the client has shown who it is: a token and a little.
const LARGEST_UNKNOWN: usize = 16 << 10;
/// By when a client must have shown its token.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How many bytes may wait before no more messages are pulled.
const WRITE: usize = 64 << 10;
/// How many bytes may wait before no more commands are read.
const MOST_REPLIES: usize = 1 << 20;
/// How many publishes may be under way: enough for a store that answers a thousand times a second to be busy.
const MOST_PUBLISHES: usize = 1_024;
/// How many bytes of publishes may be under way; one more is begun below it.
const MOST_PUBLISHED_BYTES: usize = 2 << 20;
/// How many claims may wait at once.
const MOST_CLAIMS: usize = 64;
/// How long what was written to a peer may stay unanswered: as for event streams, below what a person would take for a
/// ghost. Subscribers may read as slowly as they like.
const PEER_PATIENCE: Duration = Duration::from_secs(30);

/// A WebSocket that was agreed upon.
pub(crate) struct Opened {
    pub(crate) app: Arc<App>,
    /// The client, where a token came with the request.
    pub(crate) session: Option<Session>,
    /// Where the client stood as a peer.
    pub(crate) position: Option<String>,
}

/// Serves a WebSocket to its end.
pub(crate) fn serve<C: Connection>(
    connection: C,
    read: &[u8],
    opened: Opened,
) -> impl Future<Output = ()> + Send + use<C> {
    let limit = if opened.session.is_some() { LARGEST_MESSAGE } else { LARGEST_UNKNOWN };
    let socket = Socket::new(connection, read, limit);
    async move {
        let _counted = Counted::one("inkwire_sockets");
        socket.connection().set_patience(None);
        // Boxed: how a connection begins is gone when the long silence comes.
        let Some(mut client) = Box::pin(begin(socket, opened)).await else { return };
        let end = client.run().await;
        Box::pin(client.end(end)).await;
    }
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The node ends it.
    Ours(CloseCode, &'static str),
    /// The client closed, and only what waits is still to be written.
    Theirs,
    /// There is nobody to say goodbye to.
    Lost,
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::ByClient => Self::Theirs,
            Ended::Broken(code) => Self::Ours(code, ""),
            Ended::Failed(error) => {
                debug!(%error, "a WebSocket failed");
                Self::Lost
            }
        }
    }
}

/// Finds out who the client is.
async fn begin<C: Connection>(mut socket: Socket<C>, opened: Opened) -> Option<Box<Client<C>>> {
    let Opened { app, session, position } = opened;
    let (session, position, id) = match session {
        Some(session) => (session, position, None),
        None => match timeout(INTRODUCTION, introduce(&mut socket, &app)).await {
            Ok(Ok(Introduced { session, position: later, id })) => (session, later.or(position), id),
            Ok(Err(End::Ours(code, reason))) => {
                socket.close(code, reason).await;
                return None;
            }
            Ok(Err(End::Theirs)) => {
                socket.hang_up().await;
                return None;
            }
            Ok(Err(End::Lost)) => return None,
            Err(_) => {
                socket.close(CloseCode::Unauthorized, "no token came").await;
                return None;
            }
        },
    };
    socket.set_limit(LARGEST_MESSAGE);
    let mut client = Box::new(Client::new(app, socket, session));
    client.welcome(position, id).await;
    Some(client)
}

/// What a client has shown.
struct Introduced {
    session: Session,
    position: Option<String>,
    id: Option<CommandId>,
}

/// Waits for a token that is valid; everything else is refused.
async fn introduce<C: Connection>(socket: &mut Socket<C>, app: &Arc<App>) -> Result<Introduced, End> {
    loop {
        if socket.flush().await.is_err() {
            return Err(End::Lost);
        }
        let Incoming::Text(text) = socket.receive().await? else { continue };
        let Asked { id, command } = Asked::decode(&text);
        let refused = match command {
            Ok(Command::Auth(Auth { token, last_event_id })) => match app.tokens.verify(&token) {
                Ok(identity) => match Session::connect(Arc::clone(app), identity).await {
                    Ok(session) => return Ok(Introduced { session, position: last_event_id, id }),
                    Err(refused) => refused,
                },
                Err(invalid) => Refused::new(Code::Forbidden, invalid.to_string()),
            },
            Ok(_) => {
                let advice = "no token: send {\"op\":\"auth\",\"token\":…} first; POST /access gives one";
                Refused::new(Code::Unauthorized, advice)
            }
            Err(malformed) => malformed.into(),
        };
        if let Some(text) = answer(id.as_ref(), &Err(refused)) {
            socket.queue(frame::text(&text));
        }
    }
}

/// A client and its socket.
struct Client<C> {
    app: Arc<App>,
    outlet: Outlet<C>,
    session: Session,
    pulse: Pulse,
    /// The peer's stream, where this client is it.
    peer: Option<Box<PeerStream>>,
    /// What was told last time did not fit.
    more: bool,
    /// What the client does that takes time; most only listen.
    busy: Option<Box<Busy>>,
    /// Something was written since the last heartbeat.
    has_written: bool,
}

/// What a client has under way.
#[derive(Default)]
struct Busy {
    publishes: FuturesOrdered<BoxFuture<'static, Publication>>,
    published_bytes: usize,
    claims: FuturesUnordered<BoxFuture<'static, Taken>>,
    /// A command that is carried out when the publishes before it are.
    next: Option<(Option<CommandId>, Command)>,
}

/// A claim that is over: what it is answered under, and what became of it.
type Taken = (Option<CommandId>, Result<Vec<Claimed>, Refused>);

/// A publish that is over: what it is answered under, how large it was, and what became of it.
struct Publication {
    id: Option<CommandId>,
    bytes: usize,
    outcome: Result<PublishReply, Refused>,
}

/// The socket as a door: what is told of channels becomes frames.
struct Outlet<C>(Socket<C>);

impl<C: Connection> Door for Outlet<C> {
    fn tell(&mut self, channel: &ChannelName, told: Told<'_>) {
        let encode = |message: &Message| frame::text(&reply::message(channel, WireMessage(message)));
        self.0.queue(match told {
            Told::Message(delivery) => delivery.encoded(Form::Frame, encode).clone(),
            Told::Own(message) => encode(message),
            Told::Gap { after, oldest } => frame::text(&reply::gap(channel, after, oldest)),
        });
    }

    fn has_room(&self) -> bool {
        self.0.waiting() < WRITE
    }
}

/// What has happened.
enum Happened {
    Stirred,
    PeerStirred,
    Transferred(Transfer),
    Published(Publication),
    Claimed(Option<CommandId>, Result<Vec<Claimed>, Refused>),
    Beat(Beat),
}

impl<C: Connection> Client<C> {
    fn new(app: Arc<App>, socket: Socket<C>, session: Session) -> Self {
        let pulse = Pulse::new(app.drain.clone(), session.client().identity().expires);
        let outlet = Outlet(socket);
        Self { app, outlet, session, pulse, peer: None, more: false, busy: None, has_written: true }
    }

    /// Says who the client is; continues the peer's stream if it shows a position.
    async fn welcome(&mut self, position: Option<String>, id: Option<CommandId>) {
        self.answer(id.as_ref(), &Ok(Reply::Done {}));
        let outcome = match &position {
            Some(position) => self.become_peer(Some(position)).await,
            None => Ok(()),
        };
        let resumed = position.is_some().then(|| self.peer.as_ref().is_some_and(|peer| peer.resumed()));
        let user = self.session.client().user().clone();
        self.say(&reply::connected(&Welcome { user, node: self.app.node.clone(), resumed }));
        for refused in [outcome.err(), self.session.hear_broadcasts().await.err()].into_iter().flatten() {
            self.say(&reply::error(&refused));
        }
    }

    async fn run(&mut self) -> End {
        loop {
            let went_on = match self.happen().await {
                Happened::Transferred(Transfer::Written(Ok(()))) => {
                    self.has_written = true;
                    self.go_on_delivering().await;
                    Ok(())
                }
                Happened::Transferred(Transfer::Written(Err(error))) => Err(Ended::Failed(error).into()),
                Happened::Transferred(Transfer::Received(Ok(Incoming::Sign))) => Ok(()),
                Happened::Transferred(Transfer::Received(Ok(Incoming::Text(text)))) => {
                    Box::pin(self.hear(&text)).await;
                    Ok(())
                }
                Happened::Transferred(Transfer::Received(Err(ended))) => Err(ended.into()),
                Happened::Stirred => {
                    self.deliver().await;
                    Ok(())
                }
                Happened::PeerStirred => {
                    Box::pin(self.tell_of_peers()).await;
                    Ok(())
                }
                Happened::Published(publication) => {
                    Box::pin(self.published(publication)).await;
                    Ok(())
                }
                Happened::Claimed(id, outcome) => {
                    self.answer_claim(id.as_ref(), outcome);
                    Ok(())
                }
                Happened::Beat(beat) => self.beat(beat),
            };
            if let Err(end) = went_on {
                return end;
            }
        }
    }

    /// Waits for whatever comes first. While something waits to be written, nothing is pulled.
    async fn happen(&mut self) -> Happened {
        let Self { outlet: Outlet(socket), session, pulse, peer, busy, .. } = self;
        let waiting = socket.waiting();
        let has_room = waiting < MOST_REPLIES && busy.as_ref().is_none_or(|busy| busy.has_room());
        let listens = if has_room { Listens::Yes } else { Listens::No };
        tokio::select! {
            () = session.woken(), if waiting == 0 => Happened::Stirred,
            transfer = socket.transfer(listens) => Happened::Transferred(transfer),
            happened = Busy::happen(busy) => happened,
            () = stirred(peer), if waiting == 0 => Happened::PeerStirred,
            beat = pulse.beat() => Happened::Beat(beat),
        }
    }

    /// Pulls what the channels have. Nearly always it can be written at once, and there is nothing else to look at.
    async fn deliver(&mut self) {
        self.more = self.session.deliver(&mut self.outlet).await == Level::NotReached;
        if !self.more && self.outlet.0.waiting() > 0 {
            self.outlet.0.write_at_once().await;
            self.has_written = true;
        }
    }

    async fn go_on_delivering(&mut self) {
        if self.more {
            self.deliver().await;
        }
    }

    /// Pulls what the peer's stream has.
    async fn tell_of_peers(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        for PeerTold { event, position } in peer.take().await {
            self.outlet.0.queue(frame::text(&reply::of_peer(&event, position.as_deref())));
        }
        if peer.is_replaced() {
            self.peer = None;
            self.outlet.0.connection().set_patience(None);
        }
    }

    async fn become_peer(&mut self, position: Option<&str>) -> Result<(), Refused> {
        self.peer = Some(Box::new(self.session.open_peer(position).await?));
        self.outlet.0.connection().set_patience(Some(PEER_PATIENCE));
        Ok(())
    }

    fn beat(&mut self, beat: Beat) -> Result<(), End> {
        match beat {
            Beat::Ping if self.has_written => self.has_written = false,
            Beat::Ping => self.outlet.0.queue(frame::control(Opcode::Ping, &[])),
            Beat::Draining => self.say(&reply::of_peer(&Event::Draining, None)),
            Beat::Expired => return Err(End::Ours(CloseCode::Unauthorized, "the token has expired")),
            Beat::Drained => return Err(End::Ours(CloseCode::Restart, "the node goes down")),
        }
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.outlet.0.queue(frame::text(text));
    }

    fn answer(&mut self, id: Option<&CommandId>, outcome: &Result<Reply<'_>, Refused>) {
        if let Some(text) = answer(id, outcome) {
            self.say(&text);
        }
    }

    fn answer_claim(&mut self, id: Option<&CommandId>, outcome: Result<Vec<Claimed>, Refused>) {
        match outcome {
            Ok(claimed) => {
                let messages = claimed.iter().map(WireClaimed).collect();
                self.answer(id, &Ok(Reply::Claimed { messages }));
            }
            Err(refused) => self.answer(id, &Err(refused)),
        }
    }

    /// Takes a command: carries it out, or leaves it until the publishes before it are done.
    async fn hear(&mut self, text: &str) {
        let Asked { id, command } = Asked::decode(text);
        match command {
            Err(malformed) => self.answer(id.as_ref(), &Err(malformed.into())),
            Ok(Command::Ping) => self.answer(id.as_ref(), &Ok(Reply::Done {})),
            Ok(Command::Publish(publish)) => {
                let receipt = self.session.publish(*publish).await;
                self.busy().publish(id, text.len(), receipt);
            }
            Ok(command) if self.busy.as_ref().is_some_and(|busy| busy.is_publishing()) => {
                self.busy().next = Some((id, command));
            }
            Ok(command) => self.carry_out(id, command).await,
        }
    }

    async fn published(&mut self, Publication { id, outcome, .. }: Publication) {
        self.answer(id.as_ref(), &outcome.map(Reply::Published));
        if let Some(busy) = &mut self.busy
            && !busy.is_publishing()
            && let Some((id, command)) = busy.next.take()
        {
            self.carry_out(id, command).await;
        }
    }

    async fn carry_out(&mut self, id: Option<CommandId>, command: Command) {
        let outcome = match command {
            Command::Claim(claim) => return self.claim(id, *claim).await,
            Command::Read(read) => match self.session.read(read).await {
                Ok((page, gap)) => {
                    return self.answer(id.as_ref(), &Ok(Reply::Page(WirePage::new(&page, gap))));
                }
                Err(refused) => Err(refused),
            },
            command => self.do_simply(command).await,
        };
        self.answer(id.as_ref(), &outcome);
    }

    async fn do_simply(&mut self, command: Command) -> Result<Reply<'static>, Refused> {
        match command {
            Command::Auth(auth) => self.show(&auth)?,
            Command::Subscribe(subscribe) => {
                return Ok(Reply::Subscribed(self.session.subscribe(subscribe).await?));
            }
            Command::Unsubscribe(channel) => self.session.unsubscribe(&channel),
            Command::Ack(ack) => {
                return Ok(Reply::Acknowledged { acknowledged: self.session.acknowledge(ack).await? });
            }
            Command::Join(room) => return Ok(Reply::Joined(self.join(&room).await?)),
            Command::Leave(room) => self.session.leave(&room).await?,
            Command::Relay(relay) => {
                let admitted = self.session.admit_relay(&relay.to, &relay.event)?;
                let data = relay.data.get();
                if data.len() > RELAY_LIMIT {
                    let advice = format!("relayed data is larger than {RELAY_LIMIT} bytes");
                    return Err(Refused::new(Code::TooLarge, advice));
                }
                let data =
                    single_line(data).map_err(|error| Refused::new(Code::Invalid, error.to_string()))?;
                self.session.relay(admitted, data).await?;
            }
            // Answered where they are heard.
            Command::Ping | Command::Publish(_) | Command::Claim(_) | Command::Read(_) => {}
        }
        Ok(Reply::Done {})
    }

    /// Takes a newer token.
    fn show(&mut self, auth: &Auth) -> Result<(), Refused> {
        let identity = self.app.tokens.verify(&auth.token);
        let identity = identity.map_err(|invalid| Refused::new(Code::Forbidden, invalid.to_string()))?;
        let expires = identity.expires;
        self.session.show(identity)?;
        self.pulse.renew(expires);
        Ok(())
    }

    /// Joins a room; with the first one, this socket becomes the peer's stream.
    async fn join(&mut self, room: &str) -> Result<Room, Refused> {
        RoomId::new(room)?;
        if self.peer.is_none() {
            self.become_peer(None).await?;
        }
        self.session.join(room).await
    }

    async fn claim(&mut self, id: Option<CommandId>, claim: Claim) {
        if self.busy.as_ref().is_some_and(|busy| busy.claims.len() >= MOST_CLAIMS) {
            let advice = format!("at most {MOST_CLAIMS} claims of a connection wait at once");
            return self.answer(id.as_ref(), &Err(Refused::new(Code::Conflict, advice)));
        }
        match self.session.claim(claim).await {
            Ok(Claiming::Done(claimed)) => self.answer_claim(id.as_ref(), Ok(claimed)),
            Ok(Claiming::Waiting(waiting)) => {
                self.busy().claims.push(Box::pin(async move { (id, waiting.await) }));
            }
            Err(refused) => self.answer(id.as_ref(), &Err(refused)),
        }
    }

    fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// Says goodbye. What was taken in is carried out, whether anybody hears of it or not.
    async fn end(self, end: End) {
        let Outlet(socket) = self.outlet;
        match end {
            End::Ours(code, reason) => socket.close(code, reason).await,
            End::Theirs => socket.hang_up().await,
            End::Lost => {}
        }
    }
}

/// The answer to a command; one without an id hears of failures only.
fn answer(id: Option<&CommandId>, outcome: &Result<Reply<'_>, Refused>) -> Option<String> {
    match (id, outcome) {
        (Some(id), outcome) => Some(reply::reply(id, outcome)),
        (None, Err(refused)) => Some(reply::error(refused)),
        (None, Ok(_)) => None,
    }
}

async fn stirred(peer: &mut Option<Box<PeerStream>>) {
    match peer {
        Some(peer) => peer.woken().await,
        None => pending().await,
    }
}

impl Busy {
    /// What is done first. Safe to cancel.
    async fn happen(busy: &mut Option<Box<Self>>) -> Happened {
        let Some(busy) = busy else { return pending().await };
        let Self { publishes, published_bytes, claims, .. } = &mut **busy;
        tokio::select! {
            Some(publication) = publishes.next(), if !publishes.is_empty() => {
                *published_bytes -= publication.bytes;
                Happened::Published(publication)
            }
            Some((id, outcome)) = claims.next(), if !claims.is_empty() => Happened::Claimed(id, outcome),
            else => pending().await,
        }
    }

    /// Waits for a publish; one that was refused is answered in its turn too.
    fn publish(
        &mut self,
        id: Option<CommandId>,
        bytes: usize,
        receipt: Result<impl Future<Output = Result<PublishReply, Refused>> + Send + 'static, Refused>,
    ) {
        self.published_bytes += bytes;
        self.publishes.push_back(Box::pin(async move {
            let outcome = match receipt {
                Ok(receipt) => receipt.await,
                Err(refused) => Err(refused),
            };
            Publication { id, bytes, outcome }
        }));
    }

    fn is_publishing(&self) -> bool {
        !self.publishes.is_empty()
    }

    fn has_room(&self) -> bool {
        self.next.is_none()
            && self.publishes.len() < MOST_PUBLISHES
            && self.published_bytes < MOST_PUBLISHED_BYTES
    }
}
