//! `POST /access`: a token for anybody who says how they want to be called.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use inkwire_protocol::{AccessReply, AccessRequest, Action, Code, Grant, PeerId, User, ViewId};
use rand::RngExt as _;

use super::body::json_text;
use super::failure::Failure;
use super::identity::MaybeCaller;
use crate::app::App;
use crate::options::Anonymous;
use crate::tokens::Identity;
use crate::views;

/// Room for a name of 64 characters, however it is escaped.
const LIMIT: usize = 4 << 10;

/// What anybody may follow and publish to: whoever knows a room's id may edit its board.
const BOARDS: &str = "board:*";

/// Gives a token. With a token of this route, still valid, the identity stays, and what it is for: so a client renews before
/// expiry and its peers notice nothing.
pub(crate) async fn access(
    State(app): State<Arc<App>>,
    MaybeCaller(caller): MaybeCaller,
    request: Request,
) -> Result<impl IntoResponse, Failure> {
    if app.options.anonymous == Anonymous::Refused {
        let detail = "anonymous access is switched off here; tokens come from the application";
        return Err(Failure::new(Code::Forbidden, detail));
    }
    let AccessRequest { username, view } = serde_json::from_str(&json_text(request, LIMIT).await?)
        .map_err(|error| Failure::invalid(format!("expected {{\"username\": …}}: {error}")))?;
    let held = caller.filter(|caller| caller.anonymous);
    let grants = grants(&app, view.as_ref(), held.as_ref())?;
    let user = User { id: held.map_or_else(unguessable, |held| held.user.id), username };
    let token = app.tokens.for_anybody(&user, &grants);
    Ok(([(CACHE_CONTROL, "no-store")], Json(AccessReply { token, user })))
}

/// What the token is for: the view that was asked for and nothing else, or what the token held is for. Renewing never makes
/// it more.
fn grants(app: &App, view: Option<&ViewId>, held: Option<&Identity>) -> Result<Vec<Grant>, Failure> {
    match (view, held) {
        (Some(view), _) => {
            app.views.open(view)?;
            Ok(vec![Grant { pattern: views::channel(view).as_str().into(), can: vec![Action::Subscribe] }])
        }
        (None, Some(held)) => Ok(held.grants.clone()),
        (None, None) => {
            Ok(vec![Grant { pattern: BOARDS.into(), can: vec![Action::Subscribe, Action::Publish] }])
        }
    }
}

fn unguessable() -> PeerId {
    let random: [u8; 16] = rand::rng().random();
    PeerId::new(BASE64_URL_SAFE_NO_PAD.encode(random)).expect("base64url is an id")
}
