//! The durable broker keeps the contract that every broker keeps.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use inkwire_core::{
    Broker, ChannelName, Claim, Claimed, Draft, GroupName, Offset, Page, Receipt, Result, Tail,
};
use inkwire_embedded::Embedded;
use support::Scratch;

/// A store and its directory: closed first, then removed.
struct Temporary {
    embedded: Embedded,
    _directory: Scratch,
}

impl Temporary {
    fn new() -> Self {
        let directory = Scratch::new();
        Self { embedded: directory.open(), _directory: directory }
    }
}

#[async_trait]
impl Broker for Temporary {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        self.embedded.submit(channel, draft).await
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        self.embedded.read(channel, after, limit).await
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        self.embedded.tail(channel).await
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        self.embedded.claim(channel, claim).await
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        self.embedded.acknowledge(channel, group, offsets).await
    }
}

inkwire_core::broker_suite!(start_paused = false, Arc::new(Temporary::new()));
