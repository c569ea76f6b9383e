//! The durable broker keeps the contract that every broker keeps.

mod support;

use std::sync::Arc;

use inkwire_core::suite::on::On;
use inkwire_embedded::Embedded;
use support::Scratch;

/// A store and its directory: closed first, then removed.
fn temporary() -> On<Embedded, Scratch> {
    let directory = Scratch::new();
    On { broker: directory.open(), ground: directory }
}

inkwire_core::broker_suite!(start_paused = false, Arc::new(temporary()));
