//! How the process is told to stop, once, gracefully; twice, at once; and how to read its files again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::certificate::Certificate;

/// The exit status after a second signal: that of a process ended by SIGTERM, 128 + 15.
const ENDED_AT_ONCE: i32 = 143;

/// SIGTERM, SIGINT and SIGHUP, from the moment this exists: who announces that it serves must already listen.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum Asked {
    Stop,
    Reload,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Ready at the first signal to stop. A second one ends the process at once. SIGHUP reads the certificate again,
    /// and never ends the process: whoever renews certificates need not know which nodes have one.
    pub(crate) async fn stop(mut self, certificate: Option<Certificate>) {
        while let Asked::Reload = self.next().await {
            match &certificate {
                Some(certificate) => certificate.reload(),
                None => info!("SIGHUP: there is no certificate to read again"),
            }
        }
        warn!("stopping; a second signal ends the process at once");
        tokio::spawn(async move {
            while let Asked::Reload = self.next().await {}
            warn!("told twice to stop; ending at once");
            std::process::exit(ENDED_AT_ONCE);
        });
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
