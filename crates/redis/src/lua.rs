//! The scripts: everything that happens to a channel in Redis happens in one of them, whole or not at all.

use std::sync::LazyLock;

/// A script as Redis knows it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) source: String,
    /// What `EVALSHA` calls it by.
    pub(crate) hash: String,
}

impl Script {
    fn new(own: &str) -> Self {
        let source = [include_str!("lua/channel.lua"), own].join("\n");
        let hash = redis::Script::new(&source).get_hash().to_owned();
        Self { source, hash }
    }
}

pub(crate) static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/publish.lua")));
pub(crate) static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/read.lua")));
pub(crate) static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/claim.lua")));
pub(crate) static ACKNOWLEDGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/acknowledge.lua")));

/// All of them, to be loaded when a connection is made.
pub(crate) fn all() -> [&'static Script; 4] {
    [&PUBLISH, &READ, &CLAIM, &ACKNOWLEDGE]
}
