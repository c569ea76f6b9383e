//! How a request fails: a stable code, the same over HTTP (RFC 9457 problem documents) and on the WebSocket.

use serde::{Deserialize, Serialize};

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request does not follow the protocol.
    Invalid,
    /// A token is needed.
    Unauthorized,
    /// The token, or the origin, does not allow this.
    Forbidden,
    /// There is nothing there.
    NotFound,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The answer cannot be given in a form that was asked for.
    NotAcceptable,
    /// Not in the present state of things.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// The body is of a type that is not taken.
    UnsupportedMediaType,
    /// Too many requests; `Retry-After` says when to come back.
    RateLimited,
    /// Not now.
    Unavailable,
    /// The server is at fault.
    Internal,
}

impl Code {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The code in a few words, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request does not follow the protocol",
            Self::Unauthorized => "A token is needed",
            Self::Forbidden => "This is not allowed",
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "This path takes other methods",
            Self::NotAcceptable => "The answer has another form",
            Self::Conflict => "Not in the present state",
            Self::TooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body is of a type that is not taken",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "Not now",
            Self::Internal => "The server is at fault",
        }
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: the code says all that a type would.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: Code,
    /// What happened here, and what to do about it.
    pub detail: String,
    /// Several reasons, where there may be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Problem {
    /// A problem of a code, with what happened here.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: code.title().into(),
            status: code.status(),
            code,
            detail: detail.into(),
            reasons: Vec::new(),
        }
    }
}
