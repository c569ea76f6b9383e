//! The life of one WebSocket: what comes in is obeyed, what there is to tell is pulled and written. One task, one loop.
//!
//! Invariants. Messages are pulled when the socket has written what it had: a socket that does not drain is given nothing
//! more, and costs no memory. Publishes are waited for side by side and answered in order; everything else is carried
//! out when all publishes before it are. A claim that waits holds up nothing. While the replies a client does not read
//! fill [`MOST_REPLIES`], it is not listened to.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use inkwire_core::{ChannelName, Form, Message};
use inkwire_protocol::channel::WireMessage;
use inkwire_protocol::command::CommandId;
use inkwire_protocol::reply::{self, Reply, Welcome};
use inkwire_protocol::{Event, Refused};
use tracing::debug;

use super::busy::{Busy, Done};
use super::frame::{self, CloseCode, Opcode};
use super::introduction::{LARGEST_UNKNOWN, Opened, begin};
use super::socket::{Connection, Ended, Incoming, Listens, Socket, Transfer};
use crate::app::App;
use crate::metrics::Counted;
use crate::peers::stream::{PeerStream, Told as PeerTold};
use crate::pulse::{Beat, Pulse};
use crate::session::{Door, Level, Session, Told};

/// The largest message that is taken, in bytes.
pub(super) const LARGEST_MESSAGE: usize = 1 << 20;
/// How many bytes may wait before no more messages are pulled.
const WRITE: usize = 64 << 10;
/// How often in a row messages come before everything else.
const MOST_IN_A_ROW: u8 = 8;
/// How many bytes may wait before no more commands are read.
const MOST_REPLIES: usize = 1 << 20;
/// How long what was written to a peer may stay unanswered: as for event streams, below what a person would take for a
/// ghost. Subscribers may read as slowly as they like.
const PEER_PATIENCE: Duration = Duration::from_secs(30);

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
pub(super) enum End {
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

/// A client and its socket.
pub(super) struct Client<C> {
    pub(super) app: Arc<App>,
    outlet: Outlet<C>,
    pub(super) session: Session,
    pub(super) pulse: Pulse,
    /// The peer's stream, where this client is it.
    pub(super) peer: Option<Box<PeerStream>>,
    /// What was told last time did not fit.
    more: bool,
    /// What the client does that takes time; most only listen.
    pub(super) busy: Option<Box<Busy>>,
    /// How often in a row it was messages of channels that happened.
    stirred_in_a_row: u8,
    /// Something was written since the last heartbeat.
    has_written: bool,
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
    Done(Done),
    Beat(Beat),
}

impl<C: Connection> Client<C> {
    pub(super) fn new(app: Arc<App>, socket: Socket<C>, session: Session) -> Self {
        let pulse = Pulse::new(app.drain.clone(), session.client().identity().expires);
        let outlet = Outlet(socket);
        Self {
            app,
            outlet,
            session,
            pulse,
            peer: None,
            more: false,
            busy: None,
            stirred_in_a_row: 0,
            has_written: true,
        }
    }

    /// Says who the client is; continues the peer's stream if it shows a position.
    pub(super) async fn welcome(&mut self, position: Option<String>, id: Option<CommandId>) {
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
            let happened = self.happen().await;
            self.stirred_in_a_row = match happened {
                Happened::Stirred if self.stirred_in_a_row < MOST_IN_A_ROW => self.stirred_in_a_row + 1,
                _ => 0,
            };
            let went_on = match happened {
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
                Happened::Transferred(Transfer::Received(Ok(Incoming::Binary(_)))) => {
                    Err(End::Ours(CloseCode::Unsupported, "texts only"))
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
                Happened::Done(Done::Published(publication)) => {
                    Box::pin(self.published(publication)).await;
                    Ok(())
                }
                Happened::Done(Done::Claimed((id, outcome))) => {
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
        let Self { outlet: Outlet(socket), session, pulse, peer, busy, stirred_in_a_row, .. } = self;
        let waiting = socket.waiting();
        let has_room = waiting < MOST_REPLIES && busy.as_ref().is_none_or(|busy| busy.has_room());
        let listens = if has_room { Listens::Yes } else { Listens::No };
        // Most of what happens is messages, so they are looked at first; but not for ever.
        let is_turn = *stirred_in_a_row < MOST_IN_A_ROW;
        // The rest in no order, so that nothing, the token's end least of all, waits behind a client that talks.
        let rest = async {
            tokio::select! {
                transfer = socket.transfer(listens) => Happened::Transferred(transfer),
                done = Busy::happen(busy) => Happened::Done(done),
                () = stirred(peer), if waiting == 0 => Happened::PeerStirred,
                beat = pulse.beat() => Happened::Beat(beat),
                () = session.woken(), if waiting == 0 && !is_turn => Happened::Stirred,
            }
        };
        tokio::select! {
            biased;
            () = session.woken(), if waiting == 0 && is_turn => Happened::Stirred,
            happened = rest => happened,
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

    pub(super) async fn become_peer(&mut self, position: Option<&str>) -> Result<(), Refused> {
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

    pub(super) fn answer(&mut self, id: Option<&CommandId>, outcome: &Result<Reply<'_>, Refused>) {
        if let Some(text) = answer(id, outcome) {
            self.say(&text);
        }
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
pub(super) fn answer(id: Option<&CommandId>, outcome: &Result<Reply<'_>, Refused>) -> Option<String> {
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
