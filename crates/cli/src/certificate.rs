//! The files that TLS needs: read at the start, and again when told to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use inkwire::Tls;
use tracing::{error, info};

/// A certificate and its key in their files, and what the server makes of them.
#[derive(Debug)]
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    tls: Tls,
}

impl Certificate {
    /// Reads both, if both are given.
    pub(crate) fn read(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<Self>> {
        // A variable that is set to nothing says nothing.
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        match (given(certificate), given(key)) {
            (Some(certificate), Some(key)) => {
                let tls = Tls::from_pem(&contents(&certificate)?, &contents(&key)?)
                    .with_context(|| places(&certificate, &key))?;
                Ok(Some(Self { certificate, key, tls }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => bail!("--tls-cert needs --tls-key beside it: the certificate's private key"),
            (None, Some(_)) => bail!("--tls-key needs --tls-cert beside it: the certificate"),
        }
    }

    /// What the server is to speak.
    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Reads both again. What cannot be used leaves the former pair in use: a server that goes on with an old
    /// certificate is worth more than one that has none.
    pub(crate) fn reload(&self) {
        let outcome = contents(&self.certificate).and_then(|certificate| {
            let key = contents(&self.key)?;
            self.tls.replace(&certificate, &key).with_context(|| places(&self.certificate, &self.key))
        });
        match outcome {
            Ok(()) => info!("the TLS certificate was read again"),
            Err(error) => error!(error = format!("{error:#}"), "the TLS certificate is not changed"),
        }
    }
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn places(certificate: &Path, key: &Path) -> String {
    format!("cannot use {} with {}", certificate.display(), key.display())
}
