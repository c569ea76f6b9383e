//! The doors: one file per route, each of which reads a request, acts on what lies behind, and answers.
//!
//! [`failure`] is how all of them fail; [`identity`], [`body`] and [`path`] are how they read a request; [`origin`],
//! [`farewell`], [`observe`] and [`plainly`] stand around them.

mod access;
mod body;
mod channels;
mod connect;
mod failure;
mod farewell;
mod files;
mod health;
mod ice;
mod identity;
mod observe;
mod origin;
mod page;
mod path;
mod plainly;
mod rooms;
mod sse;
mod ws;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use inkwire_protocol::Code;

use crate::app::App;
use failure::Failure;
pub(crate) use sse::is_asked_for;
pub(crate) use ws::Handover;
#[cfg(test)]
pub(crate) use ws::accept_key;

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::fresh_room))
        .route("/access", post(access::access))
        .route("/connect", get(connect::connect))
        .route("/relay/{peer}/{event}", post(rooms::relay))
        .route("/rooms/{room}", get(rooms::present).post(rooms::not_a_room))
        .route("/rooms/{room}/view", post(rooms::view))
        .route("/rooms/{room}/files/{id}", get(files::get).put(files::put))
        .route("/ws", get(ws::open))
        .route("/ice", get(ice::ice))
        .route("/channels/{channel}", get(channels::read).post(channels::publish))
        .route("/static/{*file}", get(page::file).post(rooms::not_a_room))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/{room}", get(page::room))
        .route("/{room}/join", post(rooms::join))
        .route("/{room}/leave", post(rooms::leave))
        .fallback(async || Failure::new(Code::NotFound, "no such path"))
        .method_not_allowed_fallback(async || Failure::new(Code::MethodNotAllowed, "see the Allow header"))
        .layer(from_fn_with_state(Arc::clone(&app), origin::guard))
        .layer(from_fn(body::settle))
        .layer(from_fn_with_state(Arc::clone(&app), farewell::say))
        .layer(from_fn(observe::observe))
        .layer(from_fn(plainly::say))
        .with_state(app)
}
