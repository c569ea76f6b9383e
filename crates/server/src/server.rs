//! A server's life: it is put together, serves until told to stop, drains, and ends.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use inkwire_core::{Broker, Hub, HubOptions};
use rand::RngExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::info;

use crate::app::App;
use crate::canary::Canary;
use crate::channels::Channels;
use crate::drain::{Drain, DrainTrigger};
use crate::files::Files;
use crate::hooks::{ByGrants, Hooks};
use crate::limits::PeerLimit;
use crate::options::Options;
use crate::page::Page;
use crate::peers::signalling::{Signalling, Times};
use crate::tls::Tls;
use crate::tokens::Tokens;
use crate::views::Views;
use crate::{http, listener, metrics};

/// How often limits of peers that have fallen silent are forgotten, and samples of numbers put away.
const FORGET_INTERVAL: Duration = Duration::from_secs(30);

/// A server, ready to serve.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    drain: DrainTrigger,
    tasks: TaskTracker,
    tls: Option<Tls>,
}

impl Server {
    /// A server on a broker.
    pub fn new(broker: Arc<dyn Broker>, options: Options) -> Self {
        metrics::install();
        let node: Box<str> = format!("{:016x}", rand::rng().random::<u64>()).into();
        let hub = Hub::new(broker, HubOptions::default());
        let tasks = TaskTracker::new();
        let (trigger, drain) = Drain::new();
        let times = Times { grace: options.grace, lease: options.lease };
        let app = App {
            tokens: Tokens::new(&options.secret),
            signalling: Signalling::new(hub.clone(), &node, times, tasks.clone()),
            joins: PeerLimit::new(options.joins),
            relays: PeerLimit::new(options.relays),
            publishes: PeerLimit::new(options.publishes),
            uploads: PeerLimit::new(options.uploads),
            views: Views::new(&options.secret),
            files: Files::new(hub.clone(), options.max_file),
            canary: Canary::default(),
            page: Page::missing(),
            hooks: Arc::new(ByGrants),
            node,
            channels: Channels::new(hub.clone(), options.retention.clone()),
            clients: AtomicU64::new(0),
            deliveries: metrics::deliveries(),
            options,
            hub,
            drain,
        };
        Self { app: Arc::new(app), drain: trigger, tasks, tls: None }
    }

    /// Serves this page to those who open a room in a browser.
    #[must_use]
    pub fn page(mut self, page: Page) -> Self {
        if let Some(app) = Arc::get_mut(&mut self.app) {
            app.page = page;
        }
        self
    }

    /// The channels, for the program around the server and for its hooks.
    pub fn channels(&self) -> Channels {
        self.app.channels.for_program()
    }

    /// Asks these rules instead of the protocol's own.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks) -> Self {
        if let Some(app) = Arc::get_mut(&mut self.app) {
            app.hooks = Arc::new(hooks);
        }
        self
    }

    /// Speaks TLS, and nothing else, to those who connect. A clone of `tls` can replace the certificate while the server
    /// serves.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves until `shutdown` is ready, then drains: tells every client, refuses new streams, ends the open ones
    /// spread over [`Options::drain`], and returns when that time is over.
    ///
    /// # Errors
    /// When the listener has no address.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let address = listener.local_addr()?;
        info!(%address, node = %self.app.node, "serving");
        let canary = self.app.canary.clone().sing(self.app.hub.clone(), self.app.node.clone());
        let _canary = AbortOnDropHandle::new(tokio::spawn(canary));
        let watch = Arc::clone(&self.app.signalling).watch();
        let watch = AbortOnDropHandle::new(tokio::spawn(watch));
        let _forgetting = AbortOnDropHandle::new(tokio::spawn(forget_idle(Arc::clone(&self.app))));
        let closing = CancellationToken::new();
        let router = http::router(Arc::clone(&self.app));
        let connections = listener::accept(listener, self.tls, router, closing.clone());
        let connections = AbortOnDropHandle::new(tokio::spawn(connections));
        shutdown.await;
        let drain = self.app.options.drain;
        info!(seconds = drain.as_secs(), "draining");
        self.drain.begin(drain);
        tokio::time::sleep(drain).await;
        closing.cancel();
        let _ = connections.await;
        watch.abort();
        let _ = watch.await;
        self.app.signalling.say_farewell().await;
        self.tasks.close();
        info!("stopped");
        Ok(())
    }
}

async fn forget_idle(app: Arc<App>) {
    let mut ticks = tokio::time::interval(FORGET_INTERVAL);
    loop {
        ticks.tick().await;
        app.joins.forget_idle();
        app.relays.forget_idle();
        app.publishes.forget_idle();
        app.uploads.forget_idle();
        metrics::settle();
    }
}
