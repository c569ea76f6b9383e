//! How the process is told to stop: once, gracefully; twice, at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, warn};

/// The exit status after a second signal: that of a process ended by SIGTERM, 128 + 15.
const ENDED_AT_ONCE: i32 = 143;

/// Ready at the first SIGTERM or SIGINT. A second one ends the process at once.
pub(crate) async fn stop() {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                error!(%error, "cannot listen for signals; only SIGKILL will stop this process");
                return std::future::pending().await;
            }
        };
    either(&mut terminate, &mut interrupt).await;
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        warn!("told twice to stop; ending at once");
        std::process::exit(ENDED_AT_ONCE);
    });
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
