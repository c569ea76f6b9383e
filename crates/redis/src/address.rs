//! Where Redis is, as an operator writes it.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// Why an address, or another option, cannot be used. Never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The address is not one of Redis.
    #[error(
        "this is no address of Redis: {0} (expected redis://, rediss:// or unix://, several servers separated by commas, or \
         redis+cluster://)"
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
/// assert!("redis+cluster://one.example.org,two.example.org".parse::<Address>().is_ok());
/// assert!("https://example.org".parse::<Address>().is_err());
/// ```
#[derive(Clone)]
pub struct Address {
    pub(crate) kind: Kind,
    pub(crate) servers: Vec<Server>,
}

/// What the servers of an address are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: each has its share of the channels.
    Spread,
    /// Some nodes of one cluster.
    Cluster,
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
        let (kind, servers): (_, Result<Vec<_>, _>) = match text.split_once("+cluster://") {
            Some((scheme, rest)) => {
                (Kind::Cluster, siblings(scheme, rest).iter().map(|url| server(url)).collect())
            }
            None => (Kind::Spread, text.split(',').map(server).collect()),
        };
        Ok(Self { kind, servers: servers? })
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

/// The addresses of servers that are reached alike: `user:password@one:1,two:2/path`.
fn siblings(scheme: &str, rest: &str) -> Vec<String> {
    let (credentials, rest) =
        rest.rsplit_once('@').map_or(("", rest), |(credentials, rest)| (credentials, rest));
    let at = if credentials.is_empty() { "" } else { "@" };
    let (hosts, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    hosts.split(',').map(|host| format!("{scheme}://{credentials}{at}{}{path}", host.trim())).collect()
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
    fn nodes_of_a_cluster_share_what_is_said_once() {
        let address: Address = "rediss+cluster://ann:secret@a:1,b".parse().unwrap();
        assert_eq!(address.kind, Kind::Cluster);
        let urls = siblings("rediss", "ann:secret@a:1,b");
        assert_eq!(urls, ["rediss://ann:secret@a:1", "rediss://ann:secret@b"]);
        assert_eq!(siblings("redis", "a, b/0"), ["redis://a/0", "redis://b/0"]);
        assert_eq!(names("redis+cluster://a:1,b"), ["a:1", "b:6379"]);
    }

    #[test]
    fn errors_have_no_passwords() {
        for bad in [
            "http://ann:secret@host",
            "ann:secret@host",
            "redis://ann:secret@host:port/x",
            "redis://a,",
            "",
            "http+cluster://ann:secret@host",
            "redis+cluster://ann:secret@",
            "redis+cluster://ann:secret@a/x",
        ] {
            let error = bad.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
