//! Where Redis is, as an operator writes it.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// Why an address, or another option, cannot be used. Never holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The address is not one of Redis.
    #[error(
        "this is no address of Redis: {0} (expected redis://, rediss:// or unix://, several servers separated by commas, \
         redis+cluster:// or redis+sentinel://)"
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
/// assert!("redis+sentinel://one.example.org,two.example.org/mymaster".parse::<Address>().is_ok());
/// assert!("redis+sentinel://:secret@one.example.org/mymaster?sentinel-password=own".parse::<Address>().is_ok());
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
    /// Nothing: each has its share of the channels. One server is the simplest case.
    Spread,
    /// Some nodes of one cluster.
    Cluster,
}

/// One server.
#[derive(Clone)]
pub(crate) struct Server {
    /// What it is called: in logs, and in spreading channels over servers. Without credentials.
    pub(crate) name: String,
    /// Its address; if it is watched by Sentinels, all but the host and the port.
    pub(crate) info: ConnectionInfo,
    pub(crate) watch: Option<Watch>,
}

/// Sentinels, who know where a server is at present.
#[derive(Clone)]
pub(crate) struct Watch {
    /// What they call it.
    pub(crate) master: String,
    pub(crate) sentinels: Vec<ConnectionInfo>,
}

impl FromStr for Address {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        if let Some((scheme, rest)) = text.split_once("+cluster://") {
            let servers =
                siblings(scheme, rest, "").iter().map(|url| server(url)).collect::<Result<_, _>>()?;
            return Ok(Self { kind: Kind::Cluster, servers });
        }
        if let Some((scheme, rest)) = text.split_once("+sentinel://") {
            return Ok(Self { kind: Kind::Spread, servers: vec![watched(scheme, rest)?] });
        }
        let servers = text.split(',').map(server).collect::<Result<_, _>>()?;
        Ok(Self { kind: Kind::Spread, servers })
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

/// The addresses of servers that are reached alike: `user:password@one:1,two:2/path`. `port` is for those that name none.
fn siblings(scheme: &str, rest: &str, port: &str) -> Vec<String> {
    let Parts { credentials, hosts, path } = Parts::of(rest);
    let with_port = |host: &str| {
        let named = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        if named { host.to_owned() } else { format!("{host}{port}") }
    };
    hosts.split(',').map(|host| format!("{scheme}://{credentials}{}{path}", with_port(host.trim()))).collect()
}

/// What an address is made of, behind its scheme.
struct Parts<'a> {
    /// With their `@`.
    credentials: &'a str,
    hosts: &'a str,
    /// With its `/`.
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let (credentials, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Self { credentials, hosts, path }
    }
}

/// A server watched by Sentinels: `user:password@one:26379,two/master/database`. Credentials and database are the
/// server's; those of the Sentinels, where they ask for any, follow as `?sentinel-user=…&sentinel-password=…`.
fn watched(scheme: &str, rest: &str) -> Result<Server, OptionError> {
    let (rest, query) = rest.split_at(rest.find("?sentinel-").unwrap_or(rest.len()));
    let Parts { credentials, hosts, path } = Parts::of(rest);
    let refused = || OptionError::Address(format!("{scheme}+sentinel://{hosts}{path}"));
    let mut names = path.strip_prefix('/').ok_or_else(refused)?.split('/');
    let master = names.next().filter(|name| !name.is_empty()).ok_or_else(refused)?.to_owned();
    let database = names.next().map_or_else(String::new, |database| format!("/{database}"));
    let theirs = credentials_of_sentinels(query).ok_or_else(refused)?;
    let sentinels = siblings(scheme, &format!("{theirs}{hosts}"), ":26379").into_iter();
    let sentinels = sentinels.map(|url| Ok(server(&url)?.info));
    let sentinels = sentinels.collect::<Result<_, OptionError>>().map_err(|_| refused())?;
    let found = server(&format!("{scheme}://{credentials}{master}{database}")).map_err(|_| refused())?;
    let name = format!("{master}{database} (Sentinels: {hosts})");
    Ok(Server { name, info: found.info, watch: Some(Watch { master, sentinels }) })
}

/// `user:password@`, as they stand in the query; empty where there is none, `None` where it says something else.
fn credentials_of_sentinels(query: &str) -> Option<String> {
    let (mut user, mut password) = ("", "");
    for pair in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("sentinel-user", value) => user = value,
            ("sentinel-password", value) => password = value,
            _ => return None,
        }
    }
    match (user, password) {
        ("", "") => Some(String::new()),
        (_, "") => None,
        _ => Some(format!("{user}:{password}@")),
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
    Ok(Server { name, info, watch: None })
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
        let urls = siblings("rediss", "ann:secret@a:1,b", "");
        assert_eq!(urls, ["rediss://ann:secret@a:1", "rediss://ann:secret@b"]);
        assert_eq!(
            siblings("redis", "a, [::1]:2,[::1]/0", ":9"),
            ["redis://a:9/0", "redis://[::1]:2/0", "redis://[::1]:9/0"]
        );
        assert_eq!(names("redis+cluster://a:1,b"), ["a:1", "b:6379"]);
    }

    #[test]
    fn a_server_watched_by_sentinels() {
        let address: Address = "redis+sentinel://ann:secret@a,b:1/mymaster/2".parse().unwrap();
        let [server] = address.servers.as_slice() else { panic!("one server") };
        let watch = server.watch.as_ref().unwrap();
        assert_eq!(watch.master, "mymaster");
        let places: Vec<_> = watch.sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
        assert_eq!(places, ["a:26379", "b:1"]);
        let settings = server.info.redis_settings();
        assert_eq!(
            (settings.username(), settings.password(), settings.db()),
            (Some("ann"), Some("secret"), 2)
        );
        assert!(watch.sentinels[0].redis_settings().password().is_none());
        assert!(!address.to_string().contains("secret"));
    }

    #[test]
    fn sentinels_may_have_credentials_of_their_own() {
        let address: Address =
            "redis+sentinel://ann:secret@a,b/m/2?sentinel-user=eve&sentinel-password=o%2Fwn".parse().unwrap();
        let [server] = address.servers.as_slice() else { panic!("one server") };
        assert_eq!(server.info.redis_settings().password(), Some("secret"));
        for sentinel in &server.watch.as_ref().unwrap().sentinels {
            let settings = sentinel.redis_settings();
            assert_eq!((settings.username(), settings.password()), (Some("eve"), Some("o/wn")));
        }
        assert_eq!(address.to_string(), "m/2 (Sentinels: a,b)");
        let address: Address = "redis+sentinel://a/m?sentinel-password=own".parse().unwrap();
        let watch = address.servers[0].watch.as_ref().unwrap();
        let settings = watch.sentinels[0].redis_settings();
        assert_eq!((settings.username(), settings.password()), (None, Some("own")));
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
            "redis+sentinel://ann:secret@a",
            "redis+sentinel://ann:secret@/x",
            "redis+sentinel://a/m?sentinel-user=secret",
            "redis+sentinel://a/m?sentinel-password=secret&x=y",
            "redis+sentinel://a?sentinel-password=secret",
            "redis+sentinel://a/m?sentinel-password=/se@secret",
        ] {
            let error = bad.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
