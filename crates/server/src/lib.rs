//! Inkwire, the server as a library.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use std::sync::Arc;
//! use inkwire::{Options, Server, TokenSecret};
//!
//! let secret = TokenSecret::new("at least thirty-two bytes of secret").expect("long enough");
//! let server = Server::new(Arc::new(inkwire_embedded::Memory::default()), Options::new(secret));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
//! server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
//! # }
//! ```
//!
//! The parts, in reading order: [`options`], what can be chosen; [`server`], its life from start to drain;
//! `listener`, connections; [`tls`], the certificate they are shown; `direct`, event streams without HTTP machinery; `http`, the doors (one file per route); `peers`, rooms and signalling as logs; `tokens`,
//! `retention`, `limits`, `canary`, `ice`, what the doors need.

mod app;
mod canary;
mod claiming;
mod direct;
mod drain;
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
mod pulse;
mod refusal;
mod retention;
pub mod server;
mod session;
pub mod tls;
pub mod tokens;
mod ws;

pub use hooks::{Client, Hooks};
pub use inkwire_protocol::access::{Action, Grant};
pub use inkwire_protocol::{Code, PeerId, Refused, User, Username};
pub use options::{Anonymous, Ice, Options, Origins, Rate, RetentionRule};
pub use page::Page;
pub use server::Server;
pub use tls::{Tls, TlsError};
pub use tokens::{TokenSecret, Tokens};
