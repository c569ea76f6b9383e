//! Where the logs are: in the node's directory, in memory, or in a Redis that nodes share.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use inkwire_core::Broker;
use inkwire_embedded::{Embedded, EmbeddedOptions, Memory};
use inkwire_redis::{Address, Redis, RedisOptions};

use crate::arguments::{RedisArguments, ServeArguments};
use crate::data;

/// What was chosen.
pub(crate) enum Store {
    Memory,
    Directory(PathBuf),
    Redis(Box<RedisOptions>),
}

impl Store {
    /// Reads it off the arguments, and the environment.
    pub(crate) fn of(arguments: &mut ServeArguments) -> Result<Self> {
        match redis(&mut arguments.redis)? {
            Some(_) if arguments.ephemeral => {
                bail!("--ephemeral keeps nothing, and REDIS_URL names a place to keep it: choose one of them")
            }
            Some(options) => Ok(Self::Redis(Box::new(options))),
            None if arguments.ephemeral => Ok(Self::Memory),
            None => Ok(Self::Directory(arguments.data_dir.clone())),
        }
    }

    /// The broker. One in Redis connects later, and for as long as it takes.
    pub(crate) fn open(self) -> Result<Arc<dyn Broker>> {
        match self {
            Self::Memory => Ok(Arc::new(Memory::default())),
            Self::Directory(directory) => {
                // Where this fails, the store says why.
                let _ = data::make(&directory);
                let store = Embedded::open(EmbeddedOptions::new(&directory)).with_context(|| {
                    format!(
                        "cannot use {} (another place: --data-dir; none: --ephemeral)",
                        directory.display()
                    )
                })?;
                Ok(Arc::new(store))
            }
            Self::Redis(options) => Ok(Arc::new(Redis::new(*options)?)),
        }
    }
}

/// The Redis that is named by the arguments, or else by the environment; `None` where none is.
pub(crate) fn redis(arguments: &mut RedisArguments) -> Result<Option<RedisOptions>> {
    let from_environment = || std::env::var("REDIS_URL").ok();
    let url = arguments.redis_url.take().or_else(from_environment).filter(|url| !url.is_empty());
    let Some(url) = url else { return Ok(None) };
    // Parsed here and not with the other arguments: their errors quote what was typed, and it may hold a password.
    let address: Address = url.parse().context("--redis-url (or REDIS_URL) cannot be used")?;
    let certificates = match &arguments.redis_ca {
        Some(file) if !file.as_os_str().is_empty() => {
            Some(fs::read(file).with_context(|| format!("cannot read {} (--redis-ca)", file.display()))?)
        }
        _ => None,
    };
    let prefix = arguments.redis_prefix.clone();
    Ok(Some(RedisOptions { prefix, certificates, ..RedisOptions::new(address) }))
}
