//! Channels over HTTP: publish, read, and follow as Server-Sent Events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use inkwire_core::{
    ChannelName, Continuity, Draft, Event, Key, Keyed, Offset, Page, Producer, ProducerId, Published,
    Retention, Start, Subscription, Version, Wake,
};
use inkwire_protocol::Code;
use inkwire_protocol::access::Action;
use inkwire_protocol::channel::{
    ChannelGap, From as Beginning, PublishReply, WireFields, WireMessage, WireOffset, WirePage,
};

use super::body::json_text;
use super::failure::Failure;
use super::identity::Caller;
use super::path::{Segments, query_value};
use super::sse::{self, Beat, Pulse};
use crate::app::App;
use crate::grants;
use crate::metrics::Counted;
use crate::tokens::Identity;

/// The largest body of a publish.
const PUBLISH_LIMIT: usize = 1 << 20;
/// How many messages a read gives unless told otherwise, and at most.
const READ_LIMIT: usize = 100;
const LARGEST_READ_LIMIT: usize = 1_000;

/// `POST /channels/{channel}`
pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(channel): Segments<String>,
    request: Request,
) -> Result<Response, Failure> {
    let channel = allowed(&caller, Action::Publish, &channel)?;
    if caller.anonymous {
        app.publishes.admit(&caller.user.id)?;
    }
    let (parts, body) = request.into_parts();
    let terms = Terms::read(&parts)?;
    let body = json_text(Request::from_parts(parts, body), PUBLISH_LIMIT).await?;
    let WireFields(fields) = serde_json::from_str(&body)
        .map_err(|error| Failure::invalid(format!("expected the fields, an object of texts: {error}")))?;
    let was_idempotent = terms.producer.is_some();
    let published = app.hub.publish(&channel, terms.draft(fields)).await?;
    Ok(answer(published, was_idempotent))
}

/// A repeated request is given the first answer again; what a version decided is said.
fn answer(published: Published, was_idempotent: bool) -> Response {
    let (status, duplicate, superseded) = match published {
        Published::Appended(_) => (StatusCode::CREATED, false, false),
        Published::Duplicate(_) => (StatusCode::OK, !was_idempotent, false),
        Published::Superseded(_) => (StatusCode::OK, false, true),
    };
    let reply = PublishReply { offset: WireOffset(published.offset()), duplicate, superseded };
    (status, Json(reply)).into_response()
}

/// What stands beside the fields: in the query and the headers.
struct Terms {
    maxlen: Option<usize>,
    keyed: Option<Keyed>,
    producer: Option<Producer>,
}

impl Terms {
    fn read(parts: &Parts) -> Result<Self, Failure> {
        let maxlen = match query_value(parts, "maxlen").map(|text| text.parse()) {
            None => None,
            Some(Ok(maxlen)) if maxlen >= 1 => Some(maxlen),
            Some(_) => return Err(Failure::invalid("maxlen is a whole number of at least 1")),
        };
        Ok(Self { maxlen, keyed: keyed(parts)?, producer: idempotency(&parts.headers)? })
    }

    fn draft(self, fields: inkwire_core::Fields) -> Draft {
        let draft = match self.keyed {
            Some(keyed) => Draft::keyed(fields, keyed),
            None => Draft::plain(fields),
        };
        let maximum = self.maxlen.unwrap_or(draft.retention.maximum);
        let retention = Retention { maximum, ..draft.retention };
        Draft { producer: self.producer, ..draft }.retained(retention)
    }
}

fn keyed(parts: &Parts) -> Result<Option<Keyed>, Failure> {
    let state = match query_value(parts, "tombstone").as_deref() {
        None | Some("false") => inkwire_core::State::Live,
        Some("true") => inkwire_core::State::Tombstone,
        Some(_) => return Err(Failure::invalid("tombstone is true or false")),
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
fn idempotency(headers: &HeaderMap) -> Result<Option<Producer>, Failure> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().map_err(|_| Failure::invalid("an Idempotency-Key is visible ASCII"))?;
    let id = ProducerId::new(format!("key:{key}"))
        .map_err(|_| Failure::invalid("an Idempotency-Key has at most 124 characters"))?;
    Ok(Some(Producer { id, seq: 1 }))
}

/// `GET /channels/{channel}`: a page, or a stream where events are asked for.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(channel): Segments<String>,
    request: Request,
) -> Result<Response, Failure> {
    let channel = allowed(&caller, Action::Subscribe, &channel)?;
    let (parts, _) = request.into_parts();
    if sse::is_asked_for(&parts.headers) {
        return follow(&app, &caller, channel, &parts).await;
    }
    let after = query_value(&parts, "after").unwrap_or_else(|| "0".into());
    let (after, is_beginning) = match after.parse() {
        Ok(Beginning::Beginning) => (Offset::ZERO, true),
        Ok(Beginning::After(offset)) => (offset, false),
        _ => return Err(Failure::invalid("after is 0 or an offset, <ms>-<seq>")),
    };
    let limit = match query_value(&parts, "limit").map(|text| text.parse()) {
        None => READ_LIMIT,
        Some(Ok(limit)) if (1..=LARGEST_READ_LIMIT).contains(&limit) => limit,
        Some(_) => {
            return Err(Failure::invalid(format!("limit is a whole number from 1 to {LARGEST_READ_LIMIT}")));
        }
    };
    let page = app.hub.read(&channel, after, limit).await?;
    let gap = !is_beginning && page.continuity == Continuity::Broken;
    Ok(([(CACHE_CONTROL, "no-store")], Json(wire_page(&page, gap))).into_response())
}

fn wire_page(page: &Page, gap: bool) -> WirePage<'_> {
    let messages = page.messages.iter().map(|message| WireMessage(message)).collect();
    WirePage { messages, head: WireOffset(page.head), gap }
}

async fn follow(
    app: &App,
    caller: &Identity,
    channel: ChannelName,
    parts: &Parts,
) -> Result<Response, Failure> {
    sse::admit(app, parts)?;
    let asked = sse::position(parts, "offset").unwrap_or_else(|| "$".into());
    let beginning =
        asked.parse().map_err(|_| Failure::invalid("a position is $, 0 or an offset, <ms>-<seq>"))?;
    let (start, after) = match beginning {
        Beginning::New => (Start::New, Offset::ZERO),
        Beginning::Beginning => (Start::Beginning, Offset::ZERO),
        Beginning::After(offset) => (Start::After(offset), offset),
    };
    let wake = Arc::<Wake>::default();
    let (subscription, started) = app.hub.subscribe(&channel, start, Arc::clone(&wake)).await?;
    let mut first = String::new();
    if started.gap {
        let oldest = app.hub.read(&channel, Offset::ZERO, 1).await?;
        let oldest = oldest.messages.first().map_or(Offset::ZERO, |message| message.offset);
        write_gap(&mut first, after, oldest);
    } else if start != Start::Beginning {
        // Whoever has heard nothing yet when the stream drops must be able to continue all the same.
        let _ = write!(first, "id: {}\n\n", started.cursor);
    } else {
        first.push_str(": open\n\n");
    }
    let pulse = Pulse::new(app.drain.clone(), caller.expires);
    let stream = ChannelStream {
        subscription,
        wake,
        pulse,
        first: Some(first),
        _counted: Counted::one("inkwire_streams"),
    };
    Ok(sse::response(unfold(Box::new(stream), ChannelStream::step)))
}

/// A channel on its way to one reader.
struct ChannelStream {
    subscription: Subscription,
    wake: Arc<Wake>,
    pulse: Pulse,
    first: Option<String>,
    _counted: Counted,
}

impl ChannelStream {
    async fn step(mut self: Box<Self>) -> Option<(Result<Bytes, Infallible>, Box<Self>)> {
        let text = match self.first.take() {
            Some(first) => first,
            None => self.go_on().await?,
        };
        Some((Ok(Bytes::from(text)), self))
    }

    async fn go_on(&mut self) -> Option<String> {
        loop {
            if let Some(event) = Box::pin(self.subscription.ready()).await {
                return Some(encode(&event));
            }
            tokio::select! {
                () = self.wake.woken() => {}
                beat = self.pulse.beat() => return match beat {
                    Beat::Ping => Some(": ping\n\n".to_owned()),
                    Beat::Draining => Some("event: draining\ndata: {}\n\n".to_owned()),
                    Beat::End => None,
                },
            }
        }
    }
}

fn encode(event: &Event) -> String {
    let mut out = String::new();
    match event {
        Event::Gap { after, oldest } => write_gap(&mut out, *after, *oldest),
        Event::Messages(messages) => {
            for message in messages {
                let data =
                    serde_json::to_string(&WireMessage(message)).expect("texts can be written as JSON");
                let _ = write!(out, "event: message\nid: {}\ndata: {data}\n\n", message.offset);
            }
        }
    }
    out
}

fn write_gap(out: &mut String, after: Offset, oldest: Offset) {
    let gap = ChannelGap { after: WireOffset(after), oldest: WireOffset(oldest) };
    let data = serde_json::to_string(&gap).expect("offsets can be written as JSON");
    let _ = write!(out, "event: gap\ndata: {data}\n\n");
}

/// The channel, if its name is one and the caller may do this with it.
fn allowed(caller: &Identity, action: Action, channel: &str) -> Result<ChannelName, Failure> {
    let channel = ChannelName::new(channel)?;
    match grants::check(&caller.grants, action, &channel) {
        Ok(()) => Ok(channel),
        Err(denied) => Err(Failure::new(Code::Forbidden, denied.to_string())),
    }
}
