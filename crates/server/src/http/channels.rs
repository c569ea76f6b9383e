//! Channels over HTTP: publish, read, and follow as Server-Sent Events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use inkwire_core::{ChannelName, Form, Key, Keyed, Message, Offset, ProducerId, Version};
use inkwire_protocol::channel::{
    ChannelGap, From as Place, PublishReply, WireFields, WireMessage, WireOffset, WirePage,
};
use inkwire_protocol::command::{LARGEST_LIMIT, Publish, READ_LIMIT, Read, Subscribe, WireProducer};

use super::body::json_text;
use super::failure::Failure;
use super::identity::Caller;
use super::path::{Segments, query_value};
use super::sse;
use crate::app::App;
use crate::metrics::Counted;
use crate::pulse::{Beat, Pulse};
use crate::session::{Door, Session, Told};
use crate::tokens::Identity;

/// The largest body of a publish.
const PUBLISH_LIMIT: usize = 1 << 20;
/// How many bytes of events are written at once.
const WRITE: usize = 64 << 10;

/// `POST /channels/{channel}`
pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(channel): Segments<String>,
    request: Request,
) -> Result<Response, Failure> {
    let channel = ChannelName::new(&channel)?;
    if caller.anonymous {
        app.publishes.admit(&caller.user.id)?;
    }
    let session = Session::new(app, caller);
    let (parts, body) = request.into_parts();
    let terms = Terms::read(&parts)?;
    let body = json_text(Request::from_parts(parts, body), PUBLISH_LIMIT).await?;
    let fields = serde_json::from_str(&body)
        .map_err(|error| Failure::invalid(format!("expected the fields, an object of texts: {error}")))?;
    let was_idempotent = terms.producer.is_some();
    let receipt = session.publish(terms.publish(channel, fields)).await?;
    Ok(answer(receipt.await?, was_idempotent))
}

/// A repeated request is given the first answer again; what a version decided is said.
fn answer(reply: PublishReply, was_idempotent: bool) -> Response {
    let is_new = !reply.duplicate && !reply.superseded;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let duplicate = reply.duplicate && !was_idempotent;
    (status, Json(PublishReply { duplicate, ..reply })).into_response()
}

/// What stands beside the fields: in the query and the headers.
struct Terms {
    maxlen: Option<usize>,
    keyed: Option<Keyed>,
    producer: Option<WireProducer>,
    named: bool,
}

impl Terms {
    fn read(parts: &Parts) -> Result<Self, Failure> {
        let maxlen = match query_value(parts, "maxlen").map(|text| text.parse()) {
            None => None,
            Some(Ok(maxlen)) if maxlen >= 1 => Some(maxlen),
            Some(_) => return Err(Failure::invalid("maxlen is a whole number of at least 1")),
        };
        let named = is_said(parts, "named")?;
        Ok(Self { maxlen, keyed: keyed(parts)?, producer: idempotency(&parts.headers)?, named })
    }

    fn publish(self, channel: ChannelName, WireFields(fields): WireFields) -> Publish {
        let mut publish = Publish::plain(channel, fields);
        if let Some(Keyed { key, version, state }) = self.keyed {
            publish.tombstone = state == inkwire_core::State::Tombstone;
            (publish.key, publish.version) = (Some(key), Some(version));
        }
        Publish { maxlen: self.maxlen, producer: self.producer, named: self.named, ..publish }
    }
}

/// Whether a part of the query says `true`.
fn is_said(parts: &Parts, name: &str) -> Result<bool, Failure> {
    match query_value(parts, name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::invalid(format!("{name} is true or false"))),
    }
}

fn keyed(parts: &Parts) -> Result<Option<Keyed>, Failure> {
    let state = match is_said(parts, "tombstone")? {
        false => inkwire_core::State::Live,
        true => inkwire_core::State::Tombstone,
    };
    match (query_value(parts, "key"), query_value(parts, "version")) {
        (Some(key), Some(version)) => {
            Ok(Some(Keyed { key: Key::new(key)?, version: Version::new(version)?, state }))
        }
        (None, None) if state == inkwire_core::State::Live => Ok(None),
        (None, None) => Err(Failure::invalid("a tombstone needs a key and a version")),
        _ => Err(Failure::invalid("key and version stand together")),
    }
}

/// A key makes its bearer a producer of one message.
fn idempotency(headers: &HeaderMap) -> Result<Option<WireProducer>, Failure> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().map_err(|_| Failure::invalid("an Idempotency-Key is visible ASCII"))?;
    let id = ProducerId::new(format!("key:{key}"))
        .map_err(|_| Failure::invalid("an Idempotency-Key has at most 124 characters"))?;
    Ok(Some(WireProducer { id, seq: 1 }))
}

/// `GET /channels/{channel}`: a page, or a stream where events are asked for.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(channel): Segments<String>,
    request: Request,
) -> Result<Response, Failure> {
    let channel = ChannelName::new(&channel)?;
    let (parts, _) = request.into_parts();
    if sse::is_asked_for(&parts.headers) {
        return follow(app, caller, channel, &parts).await;
    }
    let after = match query_value(&parts, "after").as_deref().unwrap_or("0").parse() {
        Ok(Place::New) | Err(_) => return Err(Failure::invalid("after is 0 or an offset, <ms>-<seq>")),
        Ok(place) => place,
    };
    let limit = match query_value(&parts, "limit").map(|text| text.parse()) {
        None => READ_LIMIT,
        Some(Ok(limit)) if (1..=LARGEST_LIMIT).contains(&limit) => limit,
        Some(_) => {
            return Err(Failure::invalid(format!("limit is a whole number from 1 to {LARGEST_LIMIT}")));
        }
    };
    let (page, gap) = Session::new(app, caller).read(Read { channel, after, limit }).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(WirePage::new(&page, gap))).into_response())
}

async fn follow(
    app: Arc<App>,
    caller: Identity,
    channel: ChannelName,
    parts: &Parts,
) -> Result<Response, Failure> {
    sse::admit(&app, parts)?;
    let asked = sse::position(parts, "offset").unwrap_or_else(|| "$".into());
    let offset: Place =
        asked.parse().map_err(|_| Failure::invalid("a position is $, 0 or an offset, <ms>-<seq>"))?;
    let pulse = Pulse::new(app.drain.clone(), caller.expires);
    let mut session = Session::connect(Arc::clone(&app), caller).await?;
    let started = session.subscribe(Subscribe { channel: channel.clone(), offset }).await?;
    let mut first = Vec::new();
    match offset {
        Place::After(after) if started.gap => {
            first.push(gap(after, session.oldest(&channel).await?));
        }
        Place::Beginning => first.push(Bytes::from_static(b": open\n\n")),
        // Whoever has heard nothing yet when the stream drops must be able to continue all the same.
        Place::After(_) | Place::New => first.push(format!("id: {}\n\n", started.offset).into()),
    }
    let events = Events { waiting: first.into(), bytes: 0 };
    let stream = ChannelStream { session, pulse, events, _counted: Counted::one("inkwire_streams") };
    Ok(sse::response(unfold(Box::new(stream), ChannelStream::step)))
}

/// A channel on its way to one reader.
struct ChannelStream {
    session: Session,
    pulse: Pulse,
    events: Events,
    _counted: Counted,
}

/// Events that wait to be written.
struct Events {
    waiting: VecDeque<Bytes>,
    bytes: usize,
}

impl ChannelStream {
    async fn step(mut self: Box<Self>) -> Option<(Result<Bytes, Infallible>, Box<Self>)> {
        let bytes = match self.events.take() {
            Some(bytes) => bytes,
            None => self.go_on().await?,
        };
        Some((Ok(bytes), self))
    }

    async fn go_on(&mut self) -> Option<Bytes> {
        loop {
            self.session.deliver(&mut self.events).await;
            if let Some(bytes) = self.events.take() {
                return Some(bytes);
            }
            tokio::select! {
                () = self.session.woken() => {}
                beat = self.pulse.beat() => return match beat {
                    Beat::Ping => Some(Bytes::from_static(b": ping\n\n")),
                    Beat::Draining => Some(Bytes::from_static(b"event: draining\ndata: {}\n\n")),
                    Beat::Expired | Beat::Drained => None,
                },
            }
        }
    }
}

impl Events {
    /// All that waits, in one piece: one write costs less than several.
    fn take(&mut self) -> Option<Bytes> {
        self.bytes = 0;
        if self.waiting.len() <= 1 {
            return self.waiting.pop_front();
        }
        let all: Vec<u8> = self.waiting.drain(..).flatten().collect();
        Some(all.into())
    }
}

impl Door for Events {
    fn tell(&mut self, _: &ChannelName, told: Told<'_>) {
        let event = match told {
            Told::Message(delivery) => delivery.encoded(Form::Event, encode).clone(),
            Told::Own(message) => encode(message),
            Told::Gap { after, oldest } => gap(after, oldest),
        };
        self.bytes += event.len();
        self.waiting.push_back(event);
    }

    fn has_room(&self) -> bool {
        self.bytes < WRITE
    }
}

fn encode(message: &Message) -> Bytes {
    let data = serde_json::to_string(&WireMessage(message)).expect("texts can be written as JSON");
    format!("event: message\nid: {}\ndata: {data}\n\n", message.offset).into()
}

fn gap(after: Offset, oldest: Offset) -> Bytes {
    let gap = ChannelGap { after: WireOffset(after), oldest: WireOffset(oldest) };
    let data = serde_json::to_string(&gap).expect("offsets can be written as JSON");
    format!("event: gap\ndata: {data}\n\n").into()
}
