//! What every request sees.

use std::sync::Arc;

use inkwire_core::Hub;

use crate::canary::Canary;
use crate::drain::Drain;
use crate::limits::PeerLimit;
use crate::options::Options;
use crate::page::Page;
use crate::peers::signalling::Signalling;
use crate::tokens::Tokens;

/// The server's parts, shared by all requests.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) options: Options,
    pub(crate) tokens: Tokens,
    pub(crate) hub: Hub,
    pub(crate) signalling: Arc<Signalling>,
    pub(crate) joins: PeerLimit,
    pub(crate) relays: PeerLimit,
    pub(crate) publishes: PeerLimit,
    pub(crate) canary: Canary,
    pub(crate) drain: Drain,
    pub(crate) page: Page,
}
