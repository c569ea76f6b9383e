//! The file `.env` beside the process: its lines stand in the environment, where those of the environment itself win.

use anyhow::{Result, bail};

/// Reads the file, before anything reads the environment. A missing one is no trouble.
pub(crate) fn load() -> Result<()> {
    match dotenvy::dotenv() {
        // Not the error's own words: they quote the line, which may hold a secret.
        Err(dotenvy::Error::LineParse(..)) => {
            bail!("the file .env is not used: a line of it is malformed; mend it, or remove it")
        }
        Err(error) if !error.not_found() => {
            bail!("the file .env is not used: it cannot be read; mend it, or remove it")
        }
        _ => Ok(()),
    }
}
