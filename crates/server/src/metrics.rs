//! The numbers that `GET /metrics` shows. One recorder per process, because that is what the `metrics` facade has.

use std::sync::OnceLock;

use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder, unless the process has one already, and says what each number means.
pub(crate) fn install() {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe_gauge!("inkwire_streams", "Open event streams");
        describe_gauge!("inkwire_sockets", "Open WebSockets");
        describe_gauge!("inkwire_connections", "Open connections");
        describe_gauge!("inkwire_channels", "Channels with a reader on this node");
        describe_gauge!("inkwire_nodes", "Nodes that live, this one included, as far as it hears");
        describe_gauge!("inkwire_ready", "1 while the node is ready");
        describe_counter!("inkwire_requests_total", "Requests answered, by route and status");
        describe_counter!("inkwire_events_total", "Events told to peers, by event");
        describe_counter!("inkwire_deliveries_total", "Messages told to subscribers of channels");
        describe_counter!("inkwire_publishes_total", "Messages published by clients, by outcome");
        describe_counter!("inkwire_joins_total", "Memberships of rooms begun");
        describe_counter!(
            "inkwire_lapsed_peers_total",
            "Peers that this node let leave because theirs had died"
        );
        describe_counter!("inkwire_relays_total", "Events relayed between peers");
        describe_counter!("inkwire_relays_of_strangers_total", "Relayed events dropped: the two never met");
        describe_counter!("inkwire_uploads_total", "Files put into rooms, by outcome");
        describe_counter!("inkwire_resumes_total", "Streams opened with a position, by outcome");
        describe_counter!("inkwire_gaps_total", "Clients told that something is missing");
        describe_counter!("inkwire_rate_limited_total", "Requests refused for being too many");
        describe_counter!("inkwire_accept_failures_total", "Connections that could not be accepted");
        describe_counter!(
            "inkwire_slow_requests_total",
            "Connections cut because a request did not arrive in time"
        );
        Some(handle)
    });
}

/// The counter of messages told to subscribers.
pub(crate) fn deliveries() -> Counter {
    counter!("inkwire_deliveries_total")
}

/// The numbers as Prometheus text; empty when the process records elsewhere.
pub(crate) fn render() -> String {
    let handle = RECORDER.get().and_then(Option::as_ref);
    handle.map(PrometheusHandle::render).unwrap_or_default()
}

/// Counts one up while it lives.
#[derive(Debug)]
pub(crate) struct Counted(&'static str);

impl Counted {
    pub(crate) fn one(name: &'static str) -> Self {
        gauge!(name).increment(1);
        Self(name)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1);
    }
}
