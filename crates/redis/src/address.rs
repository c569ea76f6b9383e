//! Where Redis is, as an operator writes it.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// Why an address, or another option, cannot be used. Never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The address is not one of Redis.
    #[error(
        "this is no address of Redis: {0} (expected redis://, rediss:// or unix://; several servers are separated by commas)"
    )]
    Address(String),
    /// The prefix of all keys cannot be used.
    #[error("the prefix {0:?} cannot be used: braces would change where a cluster puts the keys")]
    Prefix(String),
    /// The certificates that servers are checked against cannot be used.
    #[error("the certificates for Redis cannot be used: {0}")]
    Certificates(String),
}

/// Where Redis is.
///
/// ```
/// use inkwire_redis::Address;
/// assert!("redis://localhost".parse::<Address>().is_ok());
/// assert!("rediss://ann:secret@redis.example.org:6380/2".parse::<Address>().is_ok());
/// assert!("redis://one.example.org,redis://two.example.org".parse::<Address>().is_ok());
/// assert!("https://example.org".parse::<Address>().is_err());
/// ```
#[derive(Clone)]
pub struct Address {
    pub(crate) servers: Vec<Server>,
}

/// One server.
#[derive(Clone)]
pub(crate) struct Server {
    /// What it is called: in logs, and in spreading channels over servers. Without credentials.
    pub(crate) name: String,
    pub(crate) info: ConnectionInfo,
}

impl FromStr for Address {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let servers = text.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { servers })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.servers.iter().map(|server| server.name.as_str()).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

fn server(text: &str) -> Result<Server, OptionError> {
    // Not the parser's own words: they may quote the password.
    let refused = || OptionError::Address(without_credentials(text));
    let info = text.trim().into_connection_info().map_err(|_| refused())?;
    if !info.addr().is_supported() {
        return Err(refused());
    }
    let name = match info.redis_settings().db() {
        0 => info.addr().to_string(),
        database => format!("{}/{database}", info.addr()),
    };
    Ok(Server { name, info })
}

/// What may be shown of an address.
fn without_credentials(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        (None, Some((_, place))) => format!("…@{place}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let address: Address = text.parse().unwrap();
        address.servers.into_iter().map(|server| server.name).collect()
    }

    #[test]
    fn names_have_no_credentials() {
        assert_eq!(names("redis://ann:secret@host"), ["host:6379"]);
        assert_eq!(names("rediss://:secret@host:1/3"), ["host:1/3"]);
        assert_eq!(names("unix:///run/redis.sock"), ["/run/redis.sock"]);
        assert_eq!(names("redis://a, redis://b:2"), ["a:6379", "b:2"]);
    }

    #[test]
    fn errors_have_no_passwords() {
        for bad in
            ["http://ann:secret@host", "ann:secret@host", "redis://ann:secret@host:port/x", "redis://a,", ""]
        {
            let error = bad.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
