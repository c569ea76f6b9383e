//! The memory broker keeps the contract that every broker keeps.

use std::sync::Arc;
use std::time::SystemTime;

use inkwire_embedded::{Memory, MemoryOptions, WallClock};
use tokio::time::Instant;

/// A broker whose time of day is tokio's: paused with it, and as far ahead as it.
fn memory() -> Arc<Memory> {
    let (day, start) = (SystemTime::now(), Instant::now());
    Arc::new(Memory::with_clock(MemoryOptions::default(), WallClock::new(move || day + start.elapsed())))
}

inkwire_core::broker_suite!(start_paused = true, memory());
