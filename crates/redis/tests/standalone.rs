//! The broker on one Redis keeps the contract that every broker keeps.

mod support;

use std::sync::Arc;

use support::{On, Server};

fn standalone() -> Arc<On<Server>> {
    let server = Server::start();
    Arc::new(On { broker: server.broker(), ground: server })
}

inkwire_core::broker_suite!(start_paused = false, standalone());
