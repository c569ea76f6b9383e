//! The one connection that hears a server's announcements, for all channels and all their tails.
//!
//! Invariant: a tail that is open has missed nothing since it was given out. When the connection breaks, or says nothing
//! to being asked, every tail of it ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inkwire_core::{Error, Message, Result, Tail, TailSender};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, PushKind, Value};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::backoff::Backoff;
use crate::call::Announcement;
use crate::endpoint::{Endpoint, Trouble};
use crate::entry;
use crate::task::Task;

/// How many requests for tails wait. When it is full, whoever asks next waits for room, within the broker's patience.
const QUEUE: usize = 1024;
/// How many channels are subscribed to in one round trip.
const BATCH: usize = 256;
/// How often a connection is asked whether it is still there: announcements alone cannot tell silence from death.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// How long it has for its answer.
const ANSWER: Duration = Duration::from_secs(3);
/// Below this many channels nobody looks for tails that have gone.
const SWEEP_MINIMUM: usize = 64;

/// The handle. Dropping it ends every tail.
pub(crate) struct Listener {
    requests: mpsc::Sender<Request>,
    _task: Task,
}

/// Somebody wants a tail.
struct Request {
    audience: String,
    answer: oneshot::Sender<Result<Tail>>,
}

/// Who hears which audience.
#[derive(Default)]
struct Ears {
    open: Mutex<Open>,
    /// The connection is gone.
    lost: Notify,
    /// Nobody listens to an audience any more.
    deserted: Notify,
    /// The server does not have what it should.
    stale: Arc<Notify>,
    /// An answer of Redis is awaited.
    asking: AtomicBool,
}

#[derive(Default)]
struct Open {
    by_audience: HashMap<Box<[u8]>, Vec<TailSender>>,
    deserted: Vec<Box<[u8]>>,
    sweep_at: usize,
}

impl Listener {
    /// `stale` is told when the server does not have what it should.
    pub(crate) fn start(endpoint: Endpoint, announcement: Announcement, stale: Arc<Notify>) -> Self {
        let (requests, waiting) = mpsc::channel(QUEUE);
        Self { requests, _task: Task::spawn(listen(endpoint, announcement, stale, waiting)) }
    }

    /// A new tail. What is announced after the answer is heard.
    pub(crate) async fn tail(&self, audience: String) -> Result<Tail> {
        let ended = || Error::Unavailable("the listener has ended".into());
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { audience, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

async fn listen(
    endpoint: Endpoint,
    announcement: Announcement,
    stale: Arc<Notify>,
    mut requests: mpsc::Receiver<Request>,
) {
    let mut backoff = Backoff::default();
    // Nobody listens yet: nothing to connect for.
    while let Some(first) = requests.recv().await {
        let mut batch = vec![first];
        while let Err(Trouble(why)) =
            Attending::run(&endpoint, announcement, &stale, &mut requests, &mut batch, &mut backoff).await
        {
            stale.notify_one();
            if announcement == Announcement::Sharded {
                // In a cluster, what was here may be elsewhere by now.
                requests_refused(&mut batch, &why);
            }
            debug!(server = %endpoint.name, why, "announcements are not heard; trying again");
            batch.retain(|request| !request.answer.is_closed());
            backoff.wait().await;
        }
    }
}

fn requests_refused(batch: &mut Vec<Request>, why: &str) {
    for request in batch.drain(..) {
        // Nobody waiting is nobody's loss.
        drop(request.answer.send(Err(Error::Unavailable(why.to_owned()))));
    }
}

/// One connection's life.
struct Attending {
    connection: MultiplexedConnection,
    announcement: Announcement,
    ears: Arc<Ears>,
}

impl Attending {
    /// Hears until the connection cannot be trusted any more, or nobody can ask any more. `batch` holds the requests that
    /// are not answered yet.
    async fn run(
        endpoint: &Endpoint,
        announcement: Announcement,
        stale: &Arc<Notify>,
        requests: &mut mpsc::Receiver<Request>,
        batch: &mut Vec<Request>,
        backoff: &mut Backoff,
    ) -> std::result::Result<(), Trouble> {
        let ears = Arc::new(Ears { stale: Arc::clone(stale), ..Ears::default() });
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER)).set_push_sender({
            let ears = Arc::clone(&ears);
            move |push: PushInfo| {
                ears.hear(&push);
                Ok::<(), redis::aio::SendError>(())
            }
        });
        let connection = endpoint.connect(config).await?;
        backoff.reset();
        let mut attending = Self { connection, announcement, ears };
        attending.subscribe(batch).await?;
        let mut asking = interval(ASKED_EVERY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ears = Arc::clone(&attending.ears);
        loop {
            tokio::select! {
                () = ears.lost.notified() => return Err(Trouble("the connection has been closed".into())),
                () = ears.deserted.notified() => attending.unsubscribe().await?,
                _ = asking.tick() => attending.ask("PING", [None].into_iter()).await.map(drop)?,
                count = requests.recv_many(batch, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    attending.subscribe(batch).await?;
                }
            }
        }
    }

    async fn subscribe(&mut self, batch: &mut Vec<Request>) -> std::result::Result<(), Trouble> {
        batch.retain(|request| !request.answer.is_closed());
        if batch.is_empty() {
            return Ok(());
        }
        // Before Redis is asked: what is announced from its yes on must find the ear.
        let tails: Vec<Tail> = batch.iter().map(|request| self.ears.open(&request.audience)).collect();
        let audiences = batch.iter().map(|request| Some(request.audience.as_bytes()));
        let answers = self.ask(&self.verb("SUBSCRIBE"), audiences).await?;
        for ((request, tail), answer) in batch.drain(..).zip(tails).zip(answers) {
            let outcome = match answer {
                Value::ServerError(error) => {
                    self.ears.stale.notify_one();
                    Err(Error::Unavailable(format!("Redis refused: {error}")))
                }
                _ => Ok(tail),
            };
            // Nobody waiting is nobody's loss.
            drop(request.answer.send(outcome));
        }
        self.ears.sweep();
        Ok(())
    }

    async fn unsubscribe(&mut self) -> std::result::Result<(), Trouble> {
        let deserted = self.ears.take_deserted();
        if !deserted.is_empty() {
            self.ask(&self.verb("UNSUBSCRIBE"), deserted.iter().map(|audience| Some(&**audience))).await?;
        }
        Ok(())
    }

    /// One command for each audience, in one go: in a cluster, audiences of different slots cannot share a command.
    async fn ask<'a>(
        &mut self,
        verb: &str,
        audiences: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> std::result::Result<Vec<Value>, Trouble> {
        let mut pipeline = Pipeline::new();
        for audience in audiences {
            pipeline.cmd(verb).arg(audience);
        }
        self.ears.asking.store(true, Ordering::Release);
        let answers = self.connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
        self.ears.asking.store(false, Ordering::Release);
        Ok(answers?)
    }

    fn verb(&self, verb: &str) -> String {
        match self.announcement {
            Announcement::Everywhere => verb.to_owned(),
            Announcement::Sharded => format!("S{verb}"),
        }
    }
}

impl Ears {
    /// Takes whatever Redis says unasked. Never waits.
    fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.lost.notify_one(),
            PushKind::Message | PushKind::SMessage => {
                if let [Value::BulkString(audience), Value::BulkString(payload)] = push.data.as_slice() {
                    self.tell(audience, payload);
                }
            }
            PushKind::SUnsubscribe => {
                if let Some(Value::BulkString(audience)) = push.data.first() {
                    self.sent_away(audience);
                }
            }
            _ => {}
        }
    }

    /// A cluster has moved a slot, and unsubscribes those who listened here. Our own unsubscribing comes by here, too, but
    /// leaves nobody who listens.
    fn sent_away(&self, audience: &[u8]) {
        if self.open_mut().by_audience.remove(audience).is_none() {
            return;
        }
        self.stale.notify_one();
        // The client library takes it for the answer that is awaited: from then on nothing it says can be trusted.
        if self.asking.load(Ordering::Acquire) {
            self.lost.notify_one();
        }
    }

    fn tell(&self, audience: &[u8], payload: &[u8]) {
        let message = entry::announced(payload);
        let mut open = self.open_mut();
        let Some(senders) = open.by_audience.get_mut(audience) else { return };
        match message {
            Ok(message) => senders.retain(|sender| said(sender, &message)),
            // Somebody else's words: only the log knows what they stand for.
            Err(entry::Malformed) => senders.clear(),
        }
        if senders.is_empty() {
            open.desert(audience.into());
            self.deserted.notify_one();
        }
    }

    fn open(&self, audience: &str) -> Tail {
        let (sender, tail) = Tail::new();
        let mut open = self.open_mut();
        // Whoever was to be left may be listened to again: Redis is asked anew, which does no harm.
        open.deserted.retain(|deserted| **deserted != *audience.as_bytes());
        open.by_audience.entry(audience.as_bytes().into()).or_default().push(sender);
        tail
    }

    /// Finds the audiences that fell silent before their last listener left. When the number has doubled: that costs each
    /// subscription a constant.
    fn sweep(&self) {
        let mut open = self.open_mut();
        if open.by_audience.len() < open.sweep_at.max(SWEEP_MINIMUM) {
            return;
        }
        let mut silent = Vec::new();
        for (audience, senders) in &mut open.by_audience {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                silent.push(audience.clone());
            }
        }
        silent.into_iter().for_each(|audience| open.desert(audience));
        open.sweep_at = open.by_audience.len() * 2;
        if !open.deserted.is_empty() {
            self.deserted.notify_one();
        }
    }

    fn take_deserted(&self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.open_mut().deserted)
    }

    fn open_mut(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn desert(&mut self, audience: Box<[u8]>) {
        self.by_audience.remove(&audience);
        self.deserted.push(audience);
    }
}

fn said(sender: &TailSender, message: &Arc<Message>) -> bool {
    sender.send(message).is_ok()
}
