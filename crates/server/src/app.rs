//! What every request sees.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use inkwire_core::Hub;
use metrics::Counter;

use crate::canary::Canary;
use crate::channels::Channels;
use crate::drain::Drain;
use crate::files::Files;
use crate::hooks::Hooks;
use crate::limits::PeerLimit;
use crate::options::Options;
use crate::page::Page;
use crate::peers::signalling::Signalling;
use crate::tokens::Tokens;
use crate::views::Views;

/// The server's parts, shared by all requests.
pub(crate) struct App {
    pub(crate) options: Options,
    pub(crate) tokens: Tokens,
    pub(crate) hub: Hub,
    pub(crate) channels: Channels,
    pub(crate) signalling: Arc<Signalling>,
    pub(crate) joins: PeerLimit,
    pub(crate) relays: PeerLimit,
    pub(crate) publishes: PeerLimit,
    pub(crate) uploads: PeerLimit,
    pub(crate) files: Files,
    pub(crate) views: Views,
    pub(crate) canary: Canary,
    pub(crate) drain: Drain,
    pub(crate) page: Page,
    pub(crate) hooks: Arc<dyn Hooks>,
    /// What this node is called.
    pub(crate) node: Box<str>,
    /// How many clients have come so far.
    pub(crate) clients: AtomicU64,
    /// Messages told to subscribers. Kept here, because looking a counter up costs more than telling a message.
    pub(crate) deliveries: Counter,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("node", &self.node).finish_non_exhaustive()
    }
}
