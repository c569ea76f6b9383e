//! What the tests of the durable store share: directories that clean up after themselves, and checks of a whole log.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::indexing_slicing, reason = "these are tests: a panic is a finding")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use inkwire_core::{
    Broker, ChannelName, Draft, Fields, Key, Keyed, Message, Offset, Page, Published, State, Version,
};
use inkwire_embedded::{Embedded, EmbeddedOptions};

/// A directory that is gone with its value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("inkwire-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn options(&self) -> EmbeddedOptions {
        EmbeddedOptions::new(&self.0)
    }

    pub fn open(&self) -> Embedded {
        Embedded::open(self.options()).expect("the store opens")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The store in a directory of a test's own, beside what else the test keeps there.
pub fn store(directory: &Path) -> Embedded {
    Embedded::open(EmbeddedOptions::new(directory.join("store"))).expect("the store opens")
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a channel name")
}

pub fn body(text: impl std::fmt::Display) -> Fields {
    Fields::of([("text", &text.to_string())])
}

pub fn plain(text: impl std::fmt::Display) -> Draft {
    Draft::plain(body(text))
}

pub fn keyed(key: &str, version: &str, state: State) -> Draft {
    let keyed = Keyed {
        key: Key::new(key).expect("a key"),
        version: Version::new(version).expect("a version"),
        state,
    };
    Draft::keyed(body(format!("{key}={version}")), keyed)
}

pub async fn publish(broker: &Embedded, channel: &ChannelName, draft: Draft) -> Offset {
    match broker.publish(channel, draft).await {
        Ok(Published::Appended(offset)) => offset,
        other => panic!("expected an appended message, got {other:?}"),
    }
}

pub async fn read(broker: &Embedded, channel: &ChannelName, after: Offset) -> Page {
    broker.read(channel, after, usize::MAX).await.expect("the store can be read")
}

pub fn texts(messages: &[Arc<Message>]) -> Vec<&str> {
    messages.iter().map(|message| message.fields.get("text").unwrap_or_default()).collect()
}

/// Every message names the one before it.
pub fn assert_chain(messages: &[Arc<Message>]) {
    for pair in messages.windows(2) {
        assert!(pair[0].offset < pair[1].offset, "order: {} then {}", pair[0].offset, pair[1].offset);
        assert_eq!(pair[1].prev, pair[0].offset, "the chain");
    }
}
