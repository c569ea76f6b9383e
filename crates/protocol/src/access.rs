//! Tokens and who gets one.

use inkwire_core::NameError;
use serde::{Deserialize, Serialize};

use crate::id::{PeerId, ViewId};

/// What a person is called: 1–64 characters, not blank, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct Username(Box<str>);

impl Username {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NameError`] with the rule that the text breaks.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, NameError> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(NameError("a username is not blank"));
        }
        if text.chars().count() > 64 {
            return Err(NameError("a username has at most 64 characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(NameError("a username holds no control characters"));
        }
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for Username {
    type Error = NameError;
    fn try_from(text: Box<str>) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Username> for Box<str> {
    fn from(name: Username) -> Self {
        name.0
    }
}

/// Somebody: in tokens, in rooms, as the sender of a relayed event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Who.
    pub id: PeerId,
    /// What they are called.
    pub username: Username,
}

/// The body of `POST /access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// What the person wants to be called.
    pub username: Username,
    /// Which view it is for; without one, the token is for the boards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewId>,
}

/// The answer to `POST /access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessReply {
    /// A JWT.
    pub token: String,
    /// Whom it stands for.
    pub user: User,
}

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Subscribe, read, claim and ack.
    Subscribe,
    /// Publish.
    Publish,
}

/// Which channels a token reaches, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Channel names; `*` stands for any run of characters.
    #[serde(rename = "match")]
    pub pattern: Box<str>,
    /// What is allowed there.
    pub can: Vec<Action>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        assert!(Username::new("ann").is_ok());
        assert!(Username::new("é".repeat(64)).is_ok());
        for bad in ["", "   ", "a\u{7}", "a\nb", "\u{85}"] {
            assert!(Username::new(bad).is_err(), "{bad:?}");
        }
        assert!(Username::new("é".repeat(65)).is_err());
    }
}
