//! Inkwire, the server as a library.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use std::sync::Arc;
//! use inkwire::{Options, Server, TokenSecret};
//!
//! let secret = TokenSecret::new("at least thirty-two bytes of secret").expect("long enough");
//! let server = Server::new(Arc::new(inkwire_embedded::Memory::default()), Options::new(secret));
//! // Here: server.hooks(…), the application's own rules; server.channels(), to publish from the program.
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
//! server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
//! # }
//! ```
//!
//! The parts, in reading order: [`options`], what can be chosen; [`server`], its life from start to drain;
//! [`hooks`], the application's rules; [`channels`], the door for the program around it; `listener`, connections; [`tls`], the
//! certificate they are shown; `direct`, streams without HTTP machinery; `session`, one client, blind to its transport; `http`
//! and `ws`, its doors; `claiming`, consumer groups; `peers`, rooms and signalling as logs; `files`, what is put into rooms; `views`, rooms to be looked at; `tokens`, `retention`, `limits`,
//! `portion`, `pulse`, `canary`, `ice`, what the doors need.

mod app;
mod arriving;
mod canary;
pub mod channels;
mod claiming;
mod direct;
mod drain;
mod files;
mod grants;
pub mod hooks;
mod http;
mod ice;
mod limits;
mod listener;
mod metrics;
pub mod options;
pub mod page;
mod peers;
mod portion;
mod pulse;
mod refusal;
mod retention;
pub mod server;
mod session;
pub mod tls;
pub mod tokens;
mod views;
mod ws;

pub use channels::Channels;
pub use hooks::{Client, Hooks};
pub use inkwire_core::{
    Broker, ChannelName, Draft, Fields, Key, Keyed, Message, Offset, Producer, ProducerId, Published,
    Retention, Start, State, UserId, Version,
};
pub use inkwire_protocol::access::{Action, Grant};
pub use inkwire_protocol::{Code, PeerId, Refused, RoomId, User, Username};
pub use options::{Anonymous, Ice, Options, Origins, Rate, RetentionRule};
pub use page::Page;
pub use server::Server;
pub use tls::{Tls, TlsError};
pub use tokens::{TokenSecret, Tokens};
