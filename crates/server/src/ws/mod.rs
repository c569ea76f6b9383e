//! Channels, rooms and signalling over WebSocket, from after the handshake (`http/ws.rs`).
//!
//! [`frame`] is the format and [`socket`] whole messages over a connection; [`introduction`] is how one begins, [`client`] its
//! life, [`commands`] what it is asked, and [`busy`] what it has under way.

#[cfg(test)]
mod autobahn;
mod busy;
mod client;
mod commands;
mod frame;
mod introduction;
mod socket;

pub(crate) use client::serve;
pub(crate) use introduction::Opened;
pub(crate) use socket::Connection;
