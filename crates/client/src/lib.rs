//! Inkwire's channels from Rust: publish, subscribe, read, claim. A client keeps one WebSocket to one of several servers,
//! and whoever uses it need not know when that breaks: nothing is lost, nothing comes twice, and what cannot be mended
//! is said.
//!
//! The parts, in reading order: [`Target`] and [`Token`], where and as whom; [`Client`], what can be asked;
//! [`Subscription`], a channel being followed; [`Error`], what can go wrong. Within: `outstanding` and `followers`, which
//! are the rules as values; `driver`, the one task; `connector`, which finds a server; [`backoff`], how long it waits.
//! [`Socket`] and [`EventStream`] are one connection and no more, for load generators.
//!
//! Absent on purpose: rooms and signalling, which are for browsers (`packages/client`).

mod access;
pub mod backoff;
mod client;
mod connection;
mod connector;
mod driver;
mod error;
mod event_stream;
mod followers;
mod http;
mod outstanding;
mod socket;
mod subscription;
mod target;
mod token;

pub use access::access;
pub use client::{Builder, Client, State};
pub use error::Error;
pub use event_stream::EventStream;
pub use socket::{Ended, LARGEST_FRAME, Socket, Text};
pub use subscription::{Event, Subscription};
pub use target::{Target, TargetError};
pub use token::Token;

pub use inkwire_core::{
    ChannelName, ConsumerName, FieldName, Fields, GroupName, Key, Keyed, Offset, State as KeyState, UserId,
    Version,
};
pub use inkwire_protocol::channel::{From, PublishReply, Received};
pub use inkwire_protocol::command::{Claim, Publish, Read};
pub use inkwire_protocol::reply::ReceivedPage;
pub use inkwire_protocol::{Code, Refused};
