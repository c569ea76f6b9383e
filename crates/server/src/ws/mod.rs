//! Channels, rooms and signalling over WebSocket, from after the handshake (`http/ws.rs`).
//!
//! [`frame`] is the format, [`socket`] whole messages over a connection, and [`client`] the life of one: its commands in,
//! their replies and its channels' messages out.

mod client;
mod frame;
mod socket;

pub(crate) use client::{Opened, serve};
pub(crate) use socket::Connection;
