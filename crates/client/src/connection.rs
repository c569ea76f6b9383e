//! A stream of bytes to a target, with TLS where the target asks for it. Trusts what the system trusts.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::Error;
use crate::target::{Security, Target};

/// How long connecting may take, and as long again a handshake or the head of an answer. A machine that is gone does not
/// answer at all, and a process that is stopped neither; the next target is tried then.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Waits for an answer, but not for ever.
///
/// # Errors
/// [`Error::Unreachable`] when there is none in time, or something else than an answer.
pub(crate) async fn answer<T, E: fmt::Display>(
    target: &Target,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let unreachable = |why: &dyn fmt::Display| Error::Unreachable(format!("{target}: {why}"));
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(answered) => answered.map_err(|error| unreachable(&error)),
        Err(_) => Err(unreachable(&format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
    }
}

/// Bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> ByteStream for T {}

/// A stream of bytes to a target.
pub(crate) type Connection = Box<dyn ByteStream>;

/// Connects to a target.
///
/// # Errors
/// [`Error::Unreachable`].
pub(crate) async fn connect(target: &Target) -> Result<Connection, Error> {
    answer(target, open(target)).await
}

async fn open(target: &Target) -> io::Result<Connection> {
    let plain = TcpStream::connect((&*target.host, target.port)).await?;
    plain.set_nodelay(true)?;
    if target.security == Security::Plain {
        return Ok(Box::new(plain));
    }
    let name = ServerName::try_from(target.host.to_string()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(trust()?).connect(name, plain).await?))
}

/// The system's certificates, read once.
fn trust() -> io::Result<Arc<ClientConfig>> {
    static TRUST: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(trust) = TRUST.get() {
        return Ok(Arc::clone(trust));
    }
    let mut roots = RootCertStore::empty();
    // What cannot be read is missing among the roots, and the handshake says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(TRUST.get_or_init(|| Arc::new(config))))
}
