//! Which servers there are, and which of them has a channel: one for all, several that share the channels out, or the
//! nodes of a cluster, which say so themselves and may change it at any time.
//!
//! Invariant: a server keeps its number. Only [`Topology::learn`] changes who has what, and whoever hands out jobs calls
//! it while none is under way.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::select_ok;
use inkwire_core::ChannelName;
use redis::AsyncConnectionConfig;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use crate::address::{Address, Kind, OptionError};
use crate::backoff::Backoff;
use crate::call::{Announcement, Layout};
use crate::endpoint::{Endpoint, Trouble};
use crate::link::{Link, Troubles};
use crate::listener::Listener;
use crate::slots::{self, Share, Slots};
use crate::spread::Spread;

/// How long a node of a cluster may take to say who has what.
const ANSWER: Duration = Duration::from_secs(2);
/// How often a cluster is asked at most: many calls find out together that something has moved.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// The servers and their channels.
pub(crate) struct Topology {
    /// For channels whose server is not known yet.
    layout: Layout,
    patience: Duration,
    map: RwLock<Map>,
    changed: watch::Sender<()>,
    /// Somebody was sent to a server that does not have what it should.
    stale: Arc<Notify>,
}

struct Map {
    servers: Vec<Arc<Server>>,
    place: Place,
}

enum Place {
    Spread(Spread),
    Cluster { slots: Slots, seed: Box<Endpoint> },
}

/// A server, as everybody but its link sees it.
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) layout: Layout,
    pub(crate) listener: Listener,
    pub(crate) troubles: Troubles,
}

impl Topology {
    /// What an address says.
    ///
    /// # Errors
    /// [`OptionError`] when the certificates cannot be used.
    pub(crate) fn new(
        address: &Address,
        prefix: &str,
        certificates: Option<&[u8]>,
        patience: Duration,
    ) -> Result<Self, OptionError> {
        let endpoints = Endpoint::all(address, certificates)?;
        let stale = Arc::new(Notify::new());
        let announcement = match address.kind {
            Kind::Cluster => Announcement::Sharded,
            Kind::Spread => Announcement::Everywhere,
        };
        let servers = endpoints.iter().map(|endpoint| {
            let layout = Layout::new(prefix, announcement, endpoint.database());
            Arc::new(Server::new(endpoint.clone(), layout, &stale))
        });
        let servers: Vec<_> = servers.collect();
        let place = match (address.kind, endpoints.into_iter().next()) {
            (Kind::Cluster, Some(seed)) => Place::Cluster { slots: Slots::unknown(), seed: Box::new(seed) },
            _ => Place::Spread(Spread::over(servers.iter().map(|server| server.endpoint.name.as_str()))),
        };
        Ok(Self {
            layout: Layout::new(prefix, announcement, 0),
            patience,
            map: RwLock::new(Map { servers, place }),
            changed: watch::Sender::new(()),
            stale,
        })
    }

    /// What keys of a channel are called.
    pub(crate) fn layout(&self, channel: &ChannelName) -> Layout {
        self.server(channel).map_or_else(|| self.layout.clone(), |server| server.layout.clone())
    }

    /// A channel on each of several independent servers; this one where there are none such.
    pub(crate) fn witnesses(&self, channel: &ChannelName) -> Vec<ChannelName> {
        self.read(|map| match &map.place {
            Place::Spread(spread) => spread.witnesses(channel),
            Place::Cluster { .. } => vec![channel.clone()],
        })
    }

    /// The server that has a channel, if that is known.
    pub(crate) fn server(&self, channel: &ChannelName) -> Option<Arc<Server>> {
        self.read(|map| map.place(channel).and_then(|at| map.servers.get(at).cloned()))
    }

    /// The same, waiting until it is known.
    pub(crate) async fn server_at_last(&self, channel: &ChannelName) -> Option<Arc<Server>> {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(server) = self.server(channel) {
                return Some(server);
            }
            changes.changed().await.ok()?;
        }
    }

    /// The number of the server that has a channel, if that is known.
    pub(crate) fn place(&self, channel: &ChannelName) -> Option<usize> {
        self.read(|map| map.place(channel))
    }

    /// A link to a server.
    pub(crate) fn link(&self, at: usize) -> Option<Link> {
        let server = self.read(|map| map.servers.get(at).cloned())?;
        Some(Link::new(
            server.endpoint.clone(),
            self.patience,
            server.troubles.clone(),
            Arc::clone(&self.stale),
        ))
    }

    /// All servers there ever were.
    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        self.read(|map| map.servers.clone())
    }

    /// Takes over what a cluster says about itself.
    pub(crate) fn learn(&self, shares: &[Share]) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let Map { servers, place: Place::Cluster { slots, seed } } = &mut *map else { return };
        *slots = Slots::unknown();
        for share in shares {
            let endpoint = seed.sibling(&share.host, share.port);
            let known = servers.iter().position(|server| server.endpoint.name == endpoint.name);
            let at = known.unwrap_or_else(|| {
                info!(server = %endpoint.name, "the cluster has a node more");
                servers.push(Arc::new(Server::new(endpoint, self.layout.clone(), &self.stale)));
                servers.len() - 1
            });
            slots.give(share, at);
        }
        drop(map);
        self.changed.send_replace(());
    }

    fn read<T>(&self, look: impl FnOnce(&Map) -> T) -> T {
        look(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_cluster(&self) -> bool {
        self.read(|map| matches!(map.place, Place::Cluster { .. }))
    }
}

impl Map {
    fn place(&self, channel: &ChannelName) -> Option<usize> {
        match &self.place {
            Place::Spread(spread) => Some(spread.place(channel)),
            Place::Cluster { slots, .. } => slots.place(channel),
        }
    }
}

impl Server {
    fn new(endpoint: Endpoint, layout: Layout, stale: &Arc<Notify>) -> Self {
        let listener = Listener::start(endpoint.clone(), layout.announcement(), Arc::clone(stale));
        Self { endpoint, layout, listener, troubles: Troubles::default() }
    }
}

/// Asks a cluster who has what: at the start, and whenever somebody found it otherwise. Ends at once where there is no
/// cluster, and when nobody wants to know any more.
pub(crate) async fn explore(topology: Arc<Topology>, news: mpsc::Sender<Vec<Share>>) {
    let mut backoff = Backoff::default();
    while topology.is_cluster() {
        match ask_around(&topology).await {
            Ok(shares) => {
                backoff.reset();
                if news.send(shares).await.is_err() {
                    return;
                }
                tokio::time::sleep(ASKED_EVERY).await;
                topology.stale.notified().await;
            }
            Err(Trouble(trouble)) => {
                warn!(trouble, "the cluster does not say who has what; trying again");
                backoff.wait().await;
            }
        }
    }
}

/// The first answer of any node: all are asked at once, because some may be gone without a word.
async fn ask_around(topology: &Topology) -> Result<Vec<Share>, Trouble> {
    let ask = async |server: Arc<Server>| {
        let shares = ask(&server.endpoint).await;
        shares.inspect_err(|Trouble(trouble)| drop(server.troubles.note(Some(trouble.clone()))))
    };
    let asked = topology.servers().into_iter().map(|server| Box::pin(ask(server)));
    select_ok(asked).await.map(|(shares, _)| shares)
}

/// What a node of a cluster says about who has what.
pub(crate) async fn ask(endpoint: &Endpoint) -> Result<Vec<Share>, Trouble> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
    let mut connection = endpoint.connect(config).await?;
    let said = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    let shares = slots::shares(&said).filter(|shares| !shares.is_empty());
    let mut shares = shares.ok_or_else(|| Trouble("the cluster has no slots".into()))?;
    for share in &mut shares {
        if share.host.is_empty() {
            share.host = endpoint.host();
        }
    }
    Ok(shares)
}
