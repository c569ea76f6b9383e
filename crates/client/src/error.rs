//! What can go wrong, for whoever publishes, reads or subscribes.

use inkwire_protocol::{Code, Refused};

/// Why something was not done.
///
/// ```
/// use inkwire_client::Error;
/// let error = Error::Token("the keeper of tokens is away".into());
/// assert!(!error.is_final(), "the client asks again");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server refused, and would refuse again: the code says why.
    #[error("{}: {}", code(.0.code), .0.message)]
    Refused(Refused),
    /// No target answered within the client's [`patience`](crate::Builder::patience); the reason is the last one met.
    #[error("no server answers: {0}")]
    Unreachable(String),
    /// There is no token now; the client asks again.
    #[error("there is no token: {0}")]
    Token(String),
    /// It is not known whether the message was published: it was sent, and the answer was lost for longer than a server
    /// remembers producers (5 minutes, `PROTOCOL.md`), or a later message was taken in its stead.
    #[error("the message may have been published, or not: its answer was lost")]
    Uncertain,
    /// The command is larger than a frame may be ([`LARGEST_FRAME`](crate::LARGEST_FRAME)).
    #[error("{0} bytes are too large for one message; the limit is 1 MiB with its field names and escapes")]
    TooLarge(usize),
    /// The server said something that is not in the protocol.
    #[error("the server does not speak this protocol: {0}")]
    Misheard(String),
    /// The client is no more.
    #[error("the client has ended")]
    Closed,
}

impl Error {
    pub(crate) fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused(Refused::new(code, message))
    }

    /// The server's code, where the server refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refused) => Some(refused.code),
            _ => None,
        }
    }

    /// Whether trying again cannot help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused(refused) => !is_passing(refused.code),
            Self::Unreachable(_) | Self::Token(_) => false,
            Self::Uncertain | Self::TooLarge(_) | Self::Misheard(_) | Self::Closed => true,
        }
    }
}

/// Whether a refusal is one for now only.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(code, Code::RateLimited | Code::Unavailable)
}

fn code(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_tried_again() {
        for code in [Code::Invalid, Code::Unauthorized, Code::Forbidden, Code::Conflict, Code::Internal] {
            assert!(Error::refused(code, "").is_final(), "{code:?}");
        }
        for code in [Code::RateLimited, Code::Unavailable] {
            assert!(!Error::refused(code, "").is_final(), "{code:?}");
        }
        assert_eq!(Error::refused(Code::NotFound, "no").to_string(), "not-found: no");
    }
}
