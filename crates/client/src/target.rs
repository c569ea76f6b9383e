//! Where a server is: a URL, checked once.

use std::fmt;
use std::str::FromStr;

use ::http::Uri;

/// A server, as `ws://` or `wss://`; `http://` and `https://` mean the same. A path before `/ws` is kept, for servers
/// behind a proxy.
///
/// ```
/// use inkwire_client::Target;
/// let target: Target = "wss://example.org/inkwire/".parse().unwrap();
/// assert_eq!(target.to_string(), "wss://example.org/inkwire");
/// assert!("example.org".parse::<Target>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub(crate) security: Security,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// As in the `Host` header: with the port where it is not the scheme's own.
    pub(crate) authority: Box<str>,
    /// Without a slash at its end.
    path: Box<str>,
}

/// Whether what is said can be read on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Security {
    Plain,
    Tls,
}

/// A text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the URL of a server: {rule}")]
pub struct TargetError {
    text: Box<str>,
    rule: &'static str,
}

impl Target {
    /// The path of something on this server.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.path)
    }

    fn scheme(&self) -> &'static str {
        match self.security {
            Security::Plain => "ws",
            Security::Tls => "wss",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = |rule| TargetError { text: text.into(), rule };
        let uri: Uri = text.parse().map_err(|_| wrong("expected something like wss://example.org"))?;
        let (security, usual) = match uri.scheme_str() {
            Some("ws" | "http") => (Security::Plain, 80),
            Some("wss" | "https") => (Security::Tls, 443),
            _ => return Err(wrong("it begins with ws://, wss://, http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong("a token stands in no URL; give it separately"));
        }
        let port = authority.port_u16().unwrap_or(usual);
        let name = authority.host();
        let host = name.trim_start_matches('[').trim_end_matches(']').into();
        let authority = if port == usual { name.into() } else { format!("{name}:{port}").into() };
        let path = uri.path().trim_end_matches('/').trim_end_matches("/ws").into();
        Ok(Self { security, host, port, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: &str, port: u16, said: &str) {
        let target: Target = text.parse().unwrap();
        assert_eq!((&*target.host, target.port, target.to_string().as_str()), (host, port, said));
        assert_eq!(said.parse(), Ok(target));
    }

    #[test]
    fn urls() {
        check("ws://127.0.0.1:8081", "127.0.0.1", 8081, "ws://127.0.0.1:8081");
        check("http://localhost:8081/", "localhost", 8081, "ws://localhost:8081");
        check("https://example.org", "example.org", 443, "wss://example.org");
        check("wss://example.org:443/a/ws", "example.org", 443, "wss://example.org/a");
        check("ws://[::1]:9", "::1", 9, "ws://[::1]:9");
        for bad in ["", "example.org", "ftp://a", "ws://", "ws://a b", "ws://u:p@a", "ws://a/?token=x"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
