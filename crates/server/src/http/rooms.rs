//! Rooms: join, leave, who is there, a link to look at them, and relaying to a peer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use inkwire_protocol::event::single_line;
use inkwire_protocol::{Room, RoomId, ViewReply};
use serde_json::json;

use super::body::json_text;
use super::failure::Failure;
use super::identity::Caller;
use super::path::Segments;
use crate::app::App;
use crate::session::{RELAY_LIMIT, Session};

/// `POST /{roomId}/join`
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(room): Segments<String>,
) -> Result<Json<Room>, Failure> {
    Ok(Json(Session::new(app, caller).join(&room).await?))
}

/// `POST /{roomId}/leave`
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(room): Segments<String>,
) -> Result<StatusCode, Failure> {
    Session::new(app, caller).leave(&room).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /rooms/{roomId}`
pub(crate) async fn present(
    State(app): State<Arc<App>>,
    Caller(_): Caller,
    Segments(room): Segments<String>,
) -> Result<impl IntoResponse, Failure> {
    let room = RoomId::new(&room)?;
    let peers = app.signalling.present(&room).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(Room { room, peers })))
}

/// `POST /rooms/{roomId}/view`
pub(crate) async fn view(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(room): Segments<String>,
) -> Result<impl IntoResponse, Failure> {
    let view = Session::new(app, caller).view(&room).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(ViewReply { view })))
}

/// `POST /relay/{peerId}/{event}`
pub(crate) async fn relay(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments((peer, event)): Segments<(String, String)>,
    request: Request,
) -> Result<impl IntoResponse, Failure> {
    let session = Session::new(app, caller);
    let admitted = session.admit_relay(&peer, &event)?;
    let body = json_text(request, RELAY_LIMIT).await?;
    let data =
        single_line(&body).map_err(|error| Failure::invalid(format!("the body is not JSON: {error}")))?;
    session.relay(admitted, data).await?;
    Ok(Json(json!({})))
}

/// Joining or leaving a room that is called like a route, where that route's path looks the same.
pub(crate) async fn not_a_room(Segments(last): Segments<String>) -> Failure {
    match last.as_str() {
        "join" | "leave" => {
            Failure::invalid("this is the name of a route of the server, and cannot be a room")
        }
        _ => Failure::method("GET, HEAD"),
    }
}
