//! What waits for Redis, in the order in which it was asked for.
//!
//! Invariant: a job takes its place when it is handed in, so that drafts which were submitted in an order are carried out in
//! it. Therefore nobody waits for room: when the queue is full, the caller is refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inkwire_core::{ChannelName, Error, Result};
use redis::{Cmd, Value};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How many bytes may wait for Redis, or for its answers. A connection of a client has at most 2 MiB under way; over
/// this, Redis is far behind, and callers are told so at once.
const MOST_BYTES: usize = 128 << 20;
/// What a job costs besides its command.
const OVERHEAD: usize = 512;

/// A call on its way to Redis.
pub(crate) struct Job {
    pub(crate) channel: ChannelName,
    pub(crate) cmd: Cmd,
    pub(crate) answer: oneshot::Sender<Result<Value>>,
    pub(crate) room: Room,
    /// Whoever waits for the answer gives up then: what is not begun by then is left undone.
    pub(crate) deadline: Instant,
}

impl Job {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.deadline <= Instant::now()
    }

    /// Answers with an error; nobody waiting is nobody's loss.
    pub(crate) fn refuse(self, error: Error) {
        drop(self.answer.send(Err(error)));
    }
}

/// A job's place in the queue's bound; given back when dropped.
pub(crate) struct Room {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl Room {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Jobs that nobody has begun with.
#[derive(Default)]
pub(crate) struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    taken: Arc<AtomicUsize>,
    filled: Notify,
}

impl Queue {
    /// Takes a place, at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no room.
    pub(crate) fn push(
        &self,
        channel: &ChannelName,
        cmd: Cmd,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<Value>>> {
        let bytes = OVERHEAD + cmd.args_iter().map(|arg| weight(&arg)).sum::<usize>();
        let room = Room { bytes, taken: Arc::clone(&self.taken) };
        if self.taken.fetch_add(bytes, Ordering::Relaxed) > MOST_BYTES {
            return Err(Error::Unavailable("too much waits for Redis".into()));
        }
        let (answer, answered) = oneshot::channel();
        self.jobs().push_back(Job { channel: channel.clone(), cmd, answer, room, deadline });
        self.filled.notify_one();
        Ok(answered)
    }

    /// All jobs there are, at least one. Safe to cancel.
    pub(crate) async fn take(&self) -> VecDeque<Job> {
        loop {
            let jobs = std::mem::take(&mut *self.jobs());
            if !jobs.is_empty() {
                return jobs;
            }
            self.filled.notified().await;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(arg: &redis::Arg<&[u8]>) -> usize {
    match arg {
        redis::Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_bounded_and_keeps_order() {
        let queue = Queue::default();
        let channel = ChannelName::new("a").unwrap();
        let megabyte = "x".repeat(1 << 20);
        let mut waiting = Vec::new();
        let refused = loop {
            let mut cmd = redis::cmd("ECHO");
            cmd.arg(&megabyte).arg(waiting.len());
            match queue.push(&channel, cmd, Instant::now()) {
                Ok(answered) => waiting.push(answered),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable(_)));
        assert_eq!(waiting.len(), 128);
        let jobs = queue.take().await;
        for (n, job) in jobs.iter().enumerate() {
            let last = job.cmd.args_iter().last();
            assert!(matches!(last, Some(redis::Arg::Simple(arg)) if arg == n.to_string().as_bytes()));
        }
        drop(jobs);
        assert_eq!(queue.taken.load(Ordering::Relaxed), 0);
        assert!(queue.push(&channel, redis::cmd("PING"), Instant::now()).is_ok());
    }
}
