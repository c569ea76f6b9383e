//! How one Redis server is reached, and what it must be: Redis 7 or Valkey, of the sort that its address says, and one
//! that takes writes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, TlsCertificates,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::address::{Address, Kind, OptionError, Server, Watch};

/// How long making a connection may take, greeting included.
const CONNECTING: Duration = Duration::from_secs(2);
/// The oldest major version that has what the scripts use: XAUTOCLAIM that names what was deleted, and sharded
/// announcements.
const OLDEST: u32 = 7;

/// Why there is no connection, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble(pub(crate) String);

impl From<redis::RedisError> for Trouble {
    fn from(error: redis::RedisError) -> Self {
        Self(error.to_string())
    }
}

/// A server that can be connected to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    info: ConnectionInfo,
    watch: Option<Arc<Watch>>,
    kind: Kind,
    /// What the server is checked against (PEM); `None` for what the system trusts.
    certificates: Option<Arc<[u8]>>,
}

impl Endpoint {
    /// The servers of an address.
    ///
    /// # Errors
    /// [`OptionError`] when the certificates cannot be used.
    pub(crate) fn all(address: &Address, certificates: Option<&[u8]>) -> Result<Vec<Self>, OptionError> {
        certificates.map_or(Ok(()), check)?;
        let endpoint = |server: &Server| Self {
            name: server.name.clone(),
            info: with_protocol(server.info.clone()),
            watch: server.watch.clone().map(Arc::new),
            kind: address.kind,
            certificates: certificates.map(Arc::from),
        };
        let endpoints: Vec<_> = address.servers.iter().map(endpoint).collect();
        for endpoint in &endpoints {
            endpoint
                .client(endpoint.info.clone())
                .map_err(|error| OptionError::Certificates(error.to_string()))?;
        }
        Ok(endpoints)
    }

    /// Another node of the same cluster.
    pub(crate) fn sibling(&self, host: &str, port: u16) -> Self {
        let info = self.moved(host, port);
        Self { name: info.addr().to_string(), info, ..self.clone() }
    }

    /// The same server at another place.
    fn moved(&self, host: &str, port: u16) -> ConnectionInfo {
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        self.info.clone().set_addr(addr)
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// The host's name or address.
    pub(crate) fn host(&self) -> String {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        }
    }

    fn client(&self, info: ConnectionInfo) -> redis::RedisResult<Client> {
        let root_cert = self.certificates.as_ref().map(|pem| pem.to_vec());
        match root_cert {
            None => Client::open(info),
            root_cert => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }),
        }
    }

    /// Connects, and looks who is there.
    pub(crate) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Trouble> {
        in_time(async {
            let mut connection = self.connect_to_whoever(config).await?;
            greet(&mut connection, self.kind).await?;
            Ok(connection)
        })
        .await
    }

    /// Connects, whether the server can be used or not.
    pub(crate) async fn reach(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Trouble> {
        in_time(self.connect_to_whoever(config)).await
    }

    async fn connect_to_whoever(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Trouble> {
        let config = config.set_connection_timeout(None);
        let client = self.client(self.place().await?)?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}

/// What a connection may take, and no longer.
async fn in_time<T>(connecting: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    match tokio::time::timeout(CONNECTING, connecting).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble(format!("no answer within {} s", CONNECTING.as_secs()))),
    }
}

impl Endpoint {
    /// Who watches the server; `None` where nobody does.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_deref()
    }

    /// Where the server is at present.
    pub(crate) async fn place(&self) -> Result<ConnectionInfo, Trouble> {
        let Some(watch) = &self.watch else { return Ok(self.info.clone()) };
        // All are asked at once, because some may be gone without a word.
        let asked = watch.sentinels.iter().map(|sentinel| Box::pin(self.ask(sentinel, &watch.master)));
        let ((host, port), _) = select_ok(asked).await?;
        Ok(self.moved(&host, port))
    }

    /// A connection to a Sentinel.
    pub(crate) async fn sentinel(&self, sentinel: &ConnectionInfo) -> Result<MultiplexedConnection, Trouble> {
        Ok(self.client(sentinel.clone())?.get_multiplexed_async_connection().await?)
    }

    /// Asks a Sentinel where a server is. That it is the right one is seen when it is greeted.
    async fn ask(&self, sentinel: &ConnectionInfo, master: &str) -> Result<(String, u16), Trouble> {
        let mut connection = self.sentinel(sentinel).await?;
        let mut ask = redis::cmd("SENTINEL");
        let place: Option<_> =
            ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut connection).await?;
        place.ok_or_else(|| Trouble(format!("the Sentinels know of no {master:?}")))
    }
}

/// The client library would take a file without certificates for one that trusts nobody.
fn check(pem: &[u8]) -> Result<(), OptionError> {
    let refused = |why: String| OptionError::Certificates(why);
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(refused("there is none in the file".into())),
        Ok(_) => Ok(()),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Our name on the server's list of clients, and the protocol that has announcements beside answers.
fn with_protocol(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("inkwire", env!("CARGO_PKG_VERSION"));
    info.set_redis_settings(settings)
}

async fn greet(connection: &mut MultiplexedConnection, kind: Kind) -> Result<(), Trouble> {
    let server: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    let replication: String = redis::cmd("INFO").arg("replication").query_async(connection).await?;
    fits(kind, &server, &replication).map_err(Trouble)
}

/// Whether a server that says this about itself can be used.
pub(crate) fn fits(kind: Kind, server: &str, replication: &str) -> Result<(), String> {
    let version = said(server, "redis_version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        return Err(format!("this is Redis {version}; Redis {OLDEST} or later is needed, or Valkey"));
    }
    // Redis calls it one way, Valkey the other.
    match (said(server, "redis_mode").or_else(|| said(server, "server_mode")), kind) {
        (Some("cluster"), Kind::Cluster) => return Ok(()),
        (_, Kind::Cluster) => return Err("this server belongs to no cluster".into()),
        (Some("cluster"), _) => return Err("this server belongs to a cluster: use redis+cluster://".into()),
        (Some("sentinel"), _) => {
            return Err("this is a Sentinel, which holds no data: use redis+sentinel://".into());
        }
        _ => {}
    }
    match said(replication, "role") {
        Some("slave") => Err("this server is a replica, which takes no writes".into()),
        _ => Ok(()),
    }
}

/// The value of a line `name:value`.
pub(crate) fn said<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.split_once(':').filter(|(own, _)| *own == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_servers_fit() {
        let about = |version: &str, mode: &str| {
            format!("# Server\r\nredis_version:{version}\r\nredis_mode:{mode}\r\n")
        };
        let master = "role:master\r\n";
        for good in ["7.0.15", "7.2.4", "8.2.1", "255.255.255"] {
            assert_eq!(fits(Kind::Spread, &about(good, "standalone"), master), Ok(()), "{good}");
        }
        for old in ["6.2.7", "5.0.3", "", "new"] {
            assert!(
                fits(Kind::Spread, &about(old, "standalone"), master).is_err_and(|why| why.contains(old)),
                "{old}"
            );
        }
        let replica = "role:slave\r\n";
        for (kind, mode, role, expected) in [
            (Kind::Spread, "standalone", replica, false),
            (Kind::Spread, "sentinel", master, false),
            (Kind::Spread, "cluster", master, false),
            (Kind::Cluster, "standalone", master, false),
            (Kind::Cluster, "cluster", master, true),
            // It names the node that has what is asked for.
            (Kind::Cluster, "cluster", replica, true),
        ] {
            assert_eq!(fits(kind, &about("7.0.0", mode), role).is_ok(), expected, "{kind:?} {mode} {role}");
        }
        assert!(fits(Kind::Spread, "", master).is_err());
        let valkey = "valkey_version:8.1.8\r\nredis_version:7.2.4\r\nserver_mode:cluster\r\n";
        assert!(fits(Kind::Cluster, valkey, master).is_ok() && fits(Kind::Spread, valkey, master).is_err());
    }
}
