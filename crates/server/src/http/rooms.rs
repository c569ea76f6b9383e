//! Rooms: join, leave, who is there, and relaying to a peer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use inkwire_protocol::event::single_line;
use inkwire_protocol::{Code, PeerId, RelayName, Relayed, Room, RoomId};
use serde_json::json;

use super::body::json_text;
use super::failure::Failure;
use super::identity::Caller;
use super::path::Segments;
use crate::app::App;

/// The largest body that is relayed: session descriptions of large meshes stay far below it.
const RELAY_LIMIT: usize = 64 << 10;

/// `POST /{roomId}/join`
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(room): Segments<String>,
) -> Result<Json<Room>, Failure> {
    let room = RoomId::new(&room)?;
    app.joins.admit(&caller.user.id)?;
    Ok(Json(app.signalling.join(&caller.user, &room).await?))
}

/// `POST /{roomId}/leave`
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments(room): Segments<String>,
) -> Result<StatusCode, Failure> {
    let room = RoomId::new(&room)?;
    app.signalling.leave(&caller.user, &room).await?;
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

/// `POST /relay/{peerId}/{event}`
pub(crate) async fn relay(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Segments((peer, event)): Segments<(String, String)>,
    request: Request,
) -> Result<impl IntoResponse, Failure> {
    let name = RelayName::new(&event)?;
    if name.is_servers_own() {
        return Err(Failure::new(Code::Forbidden, "only the server says this event"));
    }
    let no_such_peer = |_| Failure::new(Code::NotFound, "there is no such peer");
    let peer = PeerId::new(peer).map_err(no_such_peer)?;
    app.relays.admit(&caller.user.id)?;
    let body = json_text(request, RELAY_LIMIT).await?;
    let data =
        single_line(&body).map_err(|error| Failure::invalid(format!("the body is not JSON: {error}")))?;
    app.signalling.relay(&Relayed { name, peer: caller.user, data }, &peer).await?;
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
