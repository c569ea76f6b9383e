//! `GET /connect`: a peer's session as Server-Sent Events. This file knows the transport and nothing of rooms.
//!
//! What a client has waiting goes out in one write. Control events carry no `id`. A comment-free heartbeat (`ping`)
//! within 15 s keeps proxies from cutting the stream.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use inkwire_protocol::event::Connected;
use inkwire_protocol::{Code, Event};
use tokio::time::Instant;

use super::failure::Failure;
use super::identity::Caller;
use super::path::query_value;
use crate::app::App;
use crate::drain::{Drain, moment_before};
use crate::metrics::Counted;
use crate::peers::session::{Session, Told};

/// How often the stream says that it lives.
const PING: Duration = Duration::from_secs(10);
/// What the stream asks of browsers: to wait this long, in ms, before they reconnect.
const RETRY_MS: u32 = 1000;
/// When a refused client should come back: by then a balancer has noticed that this node drains.
const DRAINING_RETRY: Duration = Duration::from_secs(1);

/// Opens or resumes the caller's stream.
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    if parts.method != Method::GET {
        return Err(Failure::new(Code::MethodNotAllowed, "an event stream is opened with GET"));
    }
    if !accepts_events(&parts.headers) {
        return Err(Failure::new(Code::NotAcceptable, "send the header: Accept: text/event-stream"));
    }
    if app.drain.has_begun() {
        return Err(Failure::unavailable("the node is draining; connect to another", DRAINING_RETRY));
    }
    let session = match position(&parts) {
        Some(position) => app.signalling.resume(caller.user, &position).await?,
        None => app.signalling.open(caller.user).await?,
    };
    let stream = EventStream::new(session, app.drain.clone(), monotonic(caller.expires));
    let body = Body::from_stream(unfold(Box::new(stream), EventStream::step));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

/// The position to continue after. One that is not text is a position all the same: an unknown one.
fn position(parts: &Parts) -> Option<String> {
    let header = parts.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").to_owned());
    header.or_else(|| query_value(parts, "lastEventId")).filter(|position| !position.is_empty())
}

/// A moment of the wall clock on the clock that does not jump.
fn monotonic(moment: SystemTime) -> Instant {
    // Further away than that is for ever; the clock cannot count to everything a token may claim.
    const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Instant::now() + moment.duration_since(SystemTime::now()).unwrap_or_default().min(FOR_EVER)
}

/// A stream on its way through time.
struct EventStream {
    session: Session,
    drain: Drain,
    /// The last position that the client was given.
    given: String,
    ping: Instant,
    /// When it ends, if by nothing else: the token expires, or the drain has reached it.
    ends: Instant,
    stage: Stage,
    _counted: Counted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Beginning,
    Running,
    Draining,
}

impl EventStream {
    fn new(session: Session, drain: Drain, expires: Instant) -> Self {
        let _counted = Counted::one("inkwire_streams");
        let given = session.position();
        Self {
            session,
            drain,
            given,
            ping: Instant::now() + PING,
            ends: expires,
            stage: Stage::Beginning,
            _counted,
        }
    }

    /// The next bytes to write; `None` ends the stream. Only ever dropped as a whole, so [`Session::take`] is safe here.
    async fn step(mut self: Box<Self>) -> Option<(Result<Bytes, Infallible>, Box<Self>)> {
        let text = match self.stage {
            Stage::Beginning => self.begin(),
            Stage::Running | Stage::Draining => self.go_on().await?,
        };
        Some((Ok(Bytes::from(text)), self))
    }

    fn begin(&mut self) -> String {
        self.stage = Stage::Running;
        let mut out = format!("retry: {RETRY_MS}\n\nid: {}\n\n", self.given);
        let connected = Connected { user: self.session.user().clone(), resumed: self.session.resumed() };
        write_control(&mut out, &Event::Connected(connected));
        out
    }

    async fn go_on(&mut self) -> Option<String> {
        loop {
            // Boxed: what it takes to read the logs is gone while the stream is silent.
            let told = Box::pin(self.session.take()).await;
            if !told.is_empty() {
                return Some(self.write(&told));
            }
            if self.session.is_replaced() {
                return None;
            }
            tokio::select! {
                () = self.session.woken() => {}
                ends = self.drain.begun(), if self.stage == Stage::Running => {
                    self.stage = Stage::Draining;
                    self.ends = self.ends.min(moment_before(ends));
                    return Some(control(&Event::Draining));
                }
                () = tokio::time::sleep_until(self.ping.min(self.ends)) => {
                    if Instant::now() >= self.ends {
                        return None;
                    }
                    return Some(self.ping());
                }
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
        self.ping = Instant::now() + PING;
        let mut out = String::new();
        let position = self.session.position();
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
