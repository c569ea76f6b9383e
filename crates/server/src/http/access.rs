//! `POST /access`: a token for anybody who says how they want to be called.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use inkwire_protocol::{AccessReply, AccessRequest, Code, PeerId, User};
use rand::RngExt as _;

use super::body::json_text;
use super::failure::Failure;
use super::identity::MaybeCaller;
use crate::app::App;
use crate::options::Anonymous;

/// Room for a name of 64 characters, however it is escaped.
const LIMIT: usize = 4 << 10;

/// Gives a token. With a token of this route, still valid, the identity stays: so a client renews before expiry
/// and its peers notice nothing.
pub(crate) async fn access(
    State(app): State<Arc<App>>,
    MaybeCaller(caller): MaybeCaller,
    request: Request,
) -> Result<impl IntoResponse, Failure> {
    if app.options.anonymous == Anonymous::Refused {
        let detail = "anonymous access is switched off here; tokens come from the application";
        return Err(Failure::new(Code::Forbidden, detail));
    }
    let AccessRequest { username } = serde_json::from_str(&json_text(request, LIMIT).await?)
        .map_err(|error| Failure::invalid(format!("expected {{\"username\": …}}: {error}")))?;
    let id = match caller {
        Some(caller) if caller.anonymous => caller.user.id,
        _ => unguessable(),
    };
    let user = User { id, username };
    let token = app.tokens.for_anybody(&user);
    Ok(([(CACHE_CONTROL, "no-store")], Json(AccessReply { token, user })))
}

fn unguessable() -> PeerId {
    let random: [u8; 16] = rand::rng().random();
    PeerId::new(BASE64_URL_SAFE_NO_PAD.encode(random)).expect("base64url is an id")
}
