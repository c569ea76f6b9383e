//! Who asks: the token in `Authorization: Bearer`, or in `?token=` for clients that cannot set headers.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use inkwire_protocol::Code;

use super::failure::Failure;
use super::path::query_value;
use crate::app::App;
use crate::tokens::Identity;

/// A request with a valid token.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Identity);

/// A request that may come with a token; a token that is not valid is refused all the same.
#[derive(Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<Identity>);

impl FromRequestParts<Arc<App>> for MaybeCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Some(token) = token(parts)? else { return Ok(Self(None)) };
        match app.tokens.verify(&token) {
            Ok(identity) => Ok(Self(Some(identity))),
            Err(error) => Err(Failure::new(Code::Forbidden, error.to_string())),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let MaybeCaller(identity) = MaybeCaller::from_request_parts(parts, app).await?;
        let advice = "no token: send Authorization: Bearer <token>, or ?token=; POST /access gives one";
        identity.map(Self).ok_or_else(|| Failure::new(Code::Unauthorized, advice))
    }
}

fn token(parts: &Parts) -> Result<Option<String>, Failure> {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let text = header.to_str().unwrap_or_default();
        return match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Some(token.trim().to_owned()))
            }
            _ => Err(Failure::new(
                Code::Unauthorized,
                "the Authorization header is not of the form: Bearer <token>",
            )),
        };
    }
    Ok(query_value(parts, "token").filter(|token| !token.is_empty()))
}
