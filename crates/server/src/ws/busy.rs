//! What a client has under way: publishes whose receipts it waits for, claims that wait for messages, and a command that
//! waits for the publishes before it.

use std::future::{Future, pending};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use inkwire_core::Claimed;
use inkwire_protocol::channel::PublishReply;
use inkwire_protocol::command::CommandId;
use inkwire_protocol::{Command, Refused};
use tokio::task::JoinSet;

/// How many publishes may be under way: enough for a store that answers a thousand times a second to be busy.
const MOST_PUBLISHES: usize = 1_024;
/// How many bytes of publishes may be under way; one more is begun below it.
const MOST_PUBLISHED_BYTES: usize = 2 << 20;
/// How many claims may wait at once. Each may come back with an answer of several MiB.
pub(super) const MOST_CLAIMS: usize = 16;

/// What a client has under way.
#[derive(Default)]
pub(super) struct Busy {
    publishes: FuturesOrdered<BoxFuture<'static, Publication>>,
    published_bytes: usize,
    /// Tasks of their own: what they hold while they wait for a store must not wait for this client to be looked at.
    pub(super) claims: JoinSet<Taken>,
    /// A command that is carried out when the publishes before it are.
    pub(super) next: Option<(Option<CommandId>, Command)>,
}

/// A claim that is over: what it is answered under, and what became of it.
pub(super) type Taken = (Option<CommandId>, Result<Vec<Claimed>, Refused>);

/// A publish that is over: what it is answered under, how large it was, and what became of it.
pub(super) struct Publication {
    pub(super) id: Option<CommandId>,
    bytes: usize,
    pub(super) outcome: Result<PublishReply, Refused>,
}

/// What is done.
pub(super) enum Done {
    Published(Publication),
    Claimed(Taken),
}

impl Busy {
    /// What is done first. Safe to cancel.
    pub(super) async fn happen(busy: &mut Option<Box<Self>>) -> Done {
        let Some(busy) = busy else { return pending().await };
        let Self { publishes, published_bytes, claims, .. } = &mut **busy;
        tokio::select! {
            Some(publication) = publishes.next(), if !publishes.is_empty() => {
                *published_bytes -= publication.bytes;
                Done::Published(publication)
            }
            Some(Ok(taken)) = claims.join_next(), if !claims.is_empty() => Done::Claimed(taken),
            else => pending().await,
        }
    }

    /// Waits for a publish; one that was refused is answered in its turn too.
    pub(super) fn publish(
        &mut self,
        id: Option<CommandId>,
        bytes: usize,
        receipt: Result<impl Future<Output = Result<PublishReply, Refused>> + Send + 'static, Refused>,
    ) {
        self.published_bytes += bytes;
        self.publishes.push_back(Box::pin(async move {
            let outcome = match receipt {
                Ok(receipt) => receipt.await,
                Err(refused) => Err(refused),
            };
            Publication { id, bytes, outcome }
        }));
    }

    pub(super) fn is_publishing(&self) -> bool {
        !self.publishes.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.next.is_none()
            && self.publishes.len() < MOST_PUBLISHES
            && self.published_bytes < MOST_PUBLISHED_BYTES
    }
}
