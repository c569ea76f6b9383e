//! `GET /connect`: a peer's stream as Server-Sent Events. This file knows the transport and nothing of rooms.
//!
//! What a client has waiting goes out in one write. Control events carry no `id`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use inkwire_protocol::event::Connected;
use inkwire_protocol::{Code, Event};

use super::failure::Failure;
use super::identity::Caller;
use super::sse;
use crate::app::App;
use crate::metrics::Counted;
use crate::peers::stream::{PeerStream, Told};
use crate::pulse::{Beat, Pulse};
use crate::session::Session;

/// What the stream asks of browsers: to wait this long, in ms, before they reconnect.
const RETRY_MS: u32 = 1000;

/// Opens or resumes the caller's stream.
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    if !sse::is_asked_for(&parts.headers) {
        return Err(Failure::new(Code::NotAcceptable, "send the header: Accept: text/event-stream"));
    }
    sse::admit(&app, &parts)?;
    let pulse = Pulse::new(app.drain.clone(), caller.expires);
    let session = Session::connect(app, caller).await?;
    let peer = session.open_peer(sse::position(&parts, "lastEventId").as_deref()).await?;
    let stream = EventStream {
        given: peer.position(),
        peer,
        pulse,
        has_begun: false,
        _session: session,
        _counted: Counted::one("inkwire_streams"),
    };
    Ok(sse::response(unfold(Box::new(stream), EventStream::step)))
}

/// A stream on its way through time.
struct EventStream {
    peer: PeerStream,
    pulse: Pulse,
    /// The last position that the client was given.
    given: String,
    has_begun: bool,
    /// Tells the hooks when the connection has ended.
    _session: Session,
    _counted: Counted,
}

impl EventStream {
    /// The next bytes to write; `None` ends the stream. Only ever dropped as a whole, so [`PeerStream::take`] is safe here.
    async fn step(mut self: Box<Self>) -> Option<(Result<Bytes, Infallible>, Box<Self>)> {
        let text = if self.has_begun { self.go_on().await? } else { self.begin() };
        Some((Ok(Bytes::from(text)), self))
    }

    fn begin(&mut self) -> String {
        self.has_begun = true;
        let mut out = format!("retry: {RETRY_MS}\n\nid: {}\n\n", self.given);
        let connected = Connected { user: self.peer.user().clone(), resumed: self.peer.resumed() };
        write_control(&mut out, &Event::Connected(connected));
        out
    }

    async fn go_on(&mut self) -> Option<String> {
        loop {
            // Boxed: what it takes to read the logs is gone while the stream is silent.
            let told = Box::pin(self.peer.take()).await;
            if !told.is_empty() {
                return Some(self.write(&told));
            }
            if self.peer.is_replaced() {
                return None;
            }
            tokio::select! {
                () = self.peer.woken() => {}
                beat = self.pulse.beat() => return match beat {
                    Beat::Ping => Some(self.ping()),
                    Beat::Draining => Some(control(&Event::Draining)),
                    Beat::Expired | Beat::Drained => None,
                },
            }
        }
    }

    fn write(&mut self, told: &[Told]) -> String {
        let mut out = String::new();
        for Told { event, position } in told {
            match position {
                None => write_control(&mut out, event),
                Some(position) => {
                    let _ =
                        write!(out, "event: {}\nid: {position}\ndata: {}\n\n", event.name(), event.data());
                    self.given.clone_from(position);
                }
            }
        }
        out
    }

    /// The heartbeat, with the client's position if that has moved by something it need not be told of.
    fn ping(&mut self) -> String {
        let mut out = String::new();
        let position = self.peer.position();
        if position != self.given {
            let _ = write!(out, "id: {position}\n\n");
            self.given = position;
        }
        write_control(&mut out, &Event::Ping);
        out
    }
}

fn control(event: &Event) -> String {
    let mut out = String::new();
    write_control(&mut out, event);
    out
}

fn write_control(out: &mut String, event: &Event) {
    let _ = write!(out, "event: {}\ndata: {}\n\n", event.name(), event.data());
}
