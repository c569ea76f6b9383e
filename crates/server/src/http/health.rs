//! For operators: `GET /healthz`, `GET /readyz`, `GET /metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use metrics::gauge;
use serde_json::json;

use super::failure::Failure;
use crate::app::App;

/// The process lives; nothing else is asked of it.
pub(crate) async fn alive() -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "alive" })))
}

/// Whether the node should be sent clients.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Failure> {
    let reasons = reasons_against(&app);
    if reasons.is_empty() {
        return Ok(([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))));
    }
    Err(Failure::unavailable(reasons.join("; "), Duration::from_secs(1)).with_reasons(reasons))
}

fn reasons_against(app: &App) -> Vec<String> {
    let draining = app.drain.has_begun().then(|| "the node is draining".to_owned());
    draining.into_iter().chain(app.canary.trouble()).collect()
}

/// The numbers, as Prometheus text.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    gauge!("inkwire_channels").set(app.hub.channels() as f64);
    gauge!("inkwire_ready").set(number(reasons_against(&app).is_empty()));
    gauge!("inkwire_draining").set(number(app.drain.has_begun()));
    gauge!("inkwire_canary_age_seconds").set(app.canary.age().map_or(f64::INFINITY, |age| age.as_secs_f64()));
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, crate::metrics::render())
}

fn number(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}
