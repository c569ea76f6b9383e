//! What the writer is asked for, what it has done, and how both are answered.
//!
//! Invariant: every request is answered exactly once: with what was done after the commit, or refused.

use std::sync::Arc;

use inkwire_core::{
    ChannelName, Claim, Claimed, Draft, Error, GroupName, Message, Offset, Published, Result,
};
use tokio::sync::oneshot;

use super::append::Work;
use super::trouble::Trouble;

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// What the writer is asked for.
pub(crate) enum Request {
    Publish { channel: ChannelName, draft: Draft, answer: Answer<Published> },
    Claim { channel: ChannelName, claim: Claim, answer: Answer<Vec<Claimed>> },
    Acknowledge { channel: ChannelName, group: GroupName, offsets: Vec<Offset>, answer: Answer<usize> },
    Reserve { until_ms: u64, answer: Answer<()> },
}

/// A request that was carried out, if its transaction is committed.
pub(crate) enum Done {
    Published { channel: ChannelName, message: Option<Arc<Message>>, told: Told<Published> },
    Claimed(Told<Vec<Claimed>>),
    Acknowledged(Told<usize>),
    Reserved { until_ms: u64, told: Told<()> },
}

/// An answer on its way: held back until the commit.
pub(crate) struct Told<T> {
    answer: Answer<T>,
    result: Result<T>,
}

impl Request {
    /// Carries a request out within a transaction; with trouble, the transaction is to be undone.
    pub(crate) fn carry_out(self, work: &mut Work<'_>) -> (Done, Option<Trouble>) {
        match self {
            Self::Publish { channel, draft, answer } => {
                let (result, message, trouble) = match work.publish(&channel, draft) {
                    Ok(Ok((published, message))) => (Ok(published), message, None),
                    // Refused by the rules: no trouble of the file.
                    Ok(Err(error)) => (Err(error), None, None),
                    Err(trouble) => (Err(trouble.answer()), None, Some(trouble)),
                };
                (Done::Published { channel, message, told: Told { answer, result } }, trouble)
            }
            Self::Claim { channel, claim, answer } => {
                let (told, trouble) = Told::new(answer, work.claim(&channel, &claim));
                (Done::Claimed(told), trouble)
            }
            Self::Acknowledge { channel, group, offsets, answer } => {
                let (told, trouble) = Told::new(answer, work.acknowledge(&channel, &group, &offsets));
                (Done::Acknowledged(told), trouble)
            }
            Self::Reserve { until_ms, answer } => {
                let (told, trouble) = Told::new(answer, work.reserve(until_ms));
                (Done::Reserved { until_ms, told }, trouble)
            }
        }
    }

    /// Answers that nothing was done.
    pub(crate) fn refuse(self, error: &Error) {
        match self {
            Self::Publish { answer, .. } => refuse_one(answer, error),
            Self::Claim { answer, .. } => refuse_one(answer, error),
            Self::Acknowledge { answer, .. } => refuse_one(answer, error),
            Self::Reserve { answer, .. } => refuse_one(answer, error),
        }
    }
}
impl Done {
    /// What the listeners of a channel are to be told.
    pub(crate) fn announcement(&self) -> Option<(&ChannelName, &Arc<Message>)> {
        match self {
            Self::Published { channel, message: Some(message), .. } => Some((channel, message)),
            _ => None,
        }
    }

    /// Answers what was done.
    pub(crate) fn answer(self) {
        match self {
            Self::Published { told, .. } => told.send(),
            Self::Claimed(told) => told.send(),
            Self::Acknowledged(told) => told.send(),
            Self::Reserved { told, .. } => told.send(),
        }
    }

    /// Answers that nothing was done.
    pub(crate) fn refuse(self, error: &Error) {
        match self {
            Self::Published { told, .. } => refuse_one(told.answer, error),
            Self::Claimed(told) => refuse_one(told.answer, error),
            Self::Acknowledged(told) => refuse_one(told.answer, error),
            Self::Reserved { told, .. } => refuse_one(told.answer, error),
        }
    }
}

impl<T> Told<T> {
    fn new(answer: Answer<T>, result: std::result::Result<T, Trouble>) -> (Self, Option<Trouble>) {
        match result {
            Ok(value) => (Self { answer, result: Ok(value) }, None),
            Err(trouble) => (Self { answer, result: Err(trouble.answer()) }, Some(trouble)),
        }
    }

    fn send(self) {
        // Nobody waiting is nobody's loss, here and below.
        drop(self.answer.send(self.result));
    }
}

fn refuse_one<T>(answer: Answer<T>, error: &Error) {
    drop(answer.send(Err(error.clone())));
}
