//! `GET /ice`: the STUN and TURN servers for the caller.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;

use super::identity::Caller;
use crate::app::App;
use crate::ice::servers;

/// Answers with the servers; TURN credentials are the caller's own, so nothing may keep the answer.
pub(crate) async fn ice(State(app): State<Arc<App>>, Caller(caller): Caller) -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(servers(&app.options.ice, &caller.user.id, SystemTime::now())))
}
