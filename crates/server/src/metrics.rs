//! The numbers that `GET /metrics` shows. One recorder per process, because that is what the `metrics` facade has.

use std::sync::OnceLock;

use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// How long the node's own message takes, in seconds: from what a disk of today takes to what makes a node not ready.
const CANARY_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 4.0];

/// What rises and falls.
const GAUGES: [(&str, &str); 10] = [
    ("inkwire_streams", "Open event streams"),
    ("inkwire_sockets", "Open WebSockets"),
    ("inkwire_connections", "Open connections"),
    ("inkwire_upload_bytes", "Bytes of files that arrive, held until they are stored"),
    ("inkwire_channels", "Channels with a reader on this node"),
    ("inkwire_nodes", "Nodes that live, this one included, as far as it hears"),
    ("inkwire_ready", "1 while the node is ready"),
    ("inkwire_draining", "1 while the node goes down"),
    ("inkwire_canary_age_seconds", "Since the node last heard its own message through the broker"),
    ("inkwire_build_info", "1, with the version"),
];

/// What only grows, without labels.
const COUNTERS: [(&str, &str); 9] = [
    ("inkwire_deliveries_total", "Messages told to subscribers of channels"),
    ("inkwire_joins_total", "Memberships of rooms begun"),
    ("inkwire_lapsed_peers_total", "Peers that this node let leave because theirs had died"),
    ("inkwire_relays_total", "Events relayed between peers"),
    ("inkwire_relays_of_strangers_total", "Relayed events dropped: the two never met"),
    ("inkwire_gaps_total", "Clients told that something is missing"),
    ("inkwire_rate_limited_total", "Requests refused for being too many"),
    ("inkwire_accept_failures_total", "Connections that could not be accepted"),
    ("inkwire_slow_requests_total", "Connections cut because a request did not arrive in time"),
];

/// What only grows, by outcome.
const OUTCOMES: [(&str, &str, &[&str]); 3] = [
    (
        "inkwire_publishes_total",
        "Messages published by clients, by outcome",
        &["appended", "duplicate", "superseded", "failed"],
    ),
    (
        "inkwire_uploads_total",
        "Files put into rooms, by outcome",
        &["stored", "known", "refused", "slow", "displaced"],
    ),
    ("inkwire_resumes_total", "Streams opened with a position, by outcome", &["resumed", "gap"]),
];

/// Installs the recorder, unless the process has one already, and says what each number means. Every number that has no
/// labels, or labels that are known, is there from the start: an alert cannot tell absence from health.
pub(crate) fn install() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Prefix("inkwire_canary_".to_owned()), &CANARY_BUCKETS);
        let recorder = builder.expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        for (name, meaning) in GAUGES {
            describe_gauge!(name, meaning);
        }
        for (name, meaning) in COUNTERS {
            describe_counter!(name, meaning);
            counter!(name).increment(0);
        }
        for (name, meaning, outcomes) in OUTCOMES {
            describe_counter!(name, meaning);
            for outcome in outcomes {
                counter!(name, "outcome" => *outcome).increment(0);
            }
        }
        describe_counter!("inkwire_requests_total", "Requests answered, by route and status");
        describe_counter!("inkwire_events_total", "Events told to peers, by event");
        describe_histogram!(
            "inkwire_canary_publish_seconds",
            "Until the broker answered the node's own message"
        );
        describe_histogram!("inkwire_canary_heard_seconds", "Until the node heard its own message");
        for gauge in ["inkwire_streams", "inkwire_sockets", "inkwire_connections", "inkwire_upload_bytes"] {
            gauge!(gauge).increment(0);
        }
        gauge!("inkwire_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        Some(handle)
    });
}

/// Puts samples where the next reader of the numbers finds them. Without this they wait for a reader who may never come.
pub(crate) fn settle() {
    if let Some(handle) = RECORDER.get().and_then(Option::as_ref) {
        handle.run_upkeep();
    }
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
