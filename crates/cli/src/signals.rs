//! How the process is told to stop: once, gracefully; twice, at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// The exit status after a second signal: that of a process ended by SIGTERM, 128 + 15.
const ENDED_AT_ONCE: i32 = 143;

/// SIGTERM and SIGINT, from the moment this exists: who announces that it serves must already listen.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ready at the first signal. A second one ends the process at once.
    pub(crate) async fn stop(mut self) {
        self.next().await;
        warn!("stopping; a second signal ends the process at once");
        tokio::spawn(async move {
            self.next().await;
            warn!("told twice to stop; ending at once");
            std::process::exit(ENDED_AT_ONCE);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
