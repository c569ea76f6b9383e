//! TLS: the certificate that a server shows, changed while it serves.
//!
//! For [`crate::Server::tls`], and for whoever renews the certificate meanwhile. Invariant: there is always a pair of
//! certificate and key that go together; a pair that cannot be used changes nothing.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ws;

/// What connections may speak, the preferred first, by the names that ALPN gives it.
const SPOKEN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate and its key, as a server uses them. Clones share them: what replaces the pair of one replaces it for
/// all.
///
/// ```
/// # use inkwire::{Tls, TlsError};
/// // Neither a certificate nor a key.
/// assert!(matches!(Tls::from_pem(b"", b""), Err(TlsError::NoCertificate)));
/// ```
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate's text is damaged.
    #[error("the certificate is not PEM: {0}")]
    Certificate(#[source] pem::Error),
    /// The certificate's text holds none.
    #[error("there is no certificate in the PEM text (expected BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The key's text is damaged.
    #[error("the private key is not PEM: {0}")]
    Key(#[source] pem::Error),
    /// The key's text holds none.
    #[error(
        "there is no private key in the PEM text (expected BEGIN PRIVATE KEY; decrypt an encrypted one first)"
    )]
    NoKey,
    /// They are well written, but do not go together, or are of a kind that is not spoken.
    #[error("the certificate cannot be used with this key: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// A certificate (followed by those of its issuers) and its private key, both PEM.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(config(certificate, key)?))))
    }

    /// Shows another certificate from the next connection on; those that are open go on as they are.
    ///
    /// # Errors
    /// When they cannot be used; the former pair then stays.
    pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let fresh = config(certificate, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Agrees with a client that has just connected. How long that may take is the caller's to say.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl ws::Connection for TlsStream<TcpStream> {
    fn set_patience(&self, patience: Option<Duration>) {
        self.get_ref().0.set_patience(patience);
    }
}

/// Not the key, whatever rustls would show of it.
impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A whole configuration for each pair, so that no session begun under a former certificate is resumed: a resumed one
/// shows none.
fn config(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey,
        other => TlsError::Key(other),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}
