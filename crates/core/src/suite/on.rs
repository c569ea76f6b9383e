//! A broker and what it stands on: a directory, or servers, that a test made for it.

use async_trait::async_trait;

use crate::broker::{Broker, Claim, Claimed, Page, Receipt, Result, Tail};
use crate::{ChannelName, Draft, GroupName, Offset};

/// A broker, closed before what it stands on is gone.
#[derive(Debug)]
pub struct On<B, T> {
    /// The broker.
    pub broker: B,
    /// What must outlive it.
    pub ground: T,
}

#[async_trait]
impl<B: Broker, T: Send + Sync + 'static> Broker for On<B, T> {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        self.broker.submit(channel, draft).await
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        self.broker.read(channel, after, limit).await
    }

    fn witnesses(&self, channel: &ChannelName) -> Vec<ChannelName> {
        self.broker.witnesses(channel)
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        self.broker.tail(channel).await
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        self.broker.claim(channel, claim).await
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        self.broker.acknowledge(channel, group, offsets).await
    }
}
