//! One task per channel with local readers: it takes the broker's announcements into the channel's ring and wakes
//! the readers. It is the only reader of a tail, so a channel costs a node one tail, however many subscribe.
//!
//! Invariant: whenever the tail can no longer be trusted (it ended, or a position check found it behind the log), the
//! ring is reset to the head that the log names, and every reader asks the log before it believes the ring again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use slab::Slab;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{debug, warn};

use crate::broker::{Broker, Result};
use crate::message::Message;
use crate::name::ChannelName;
use crate::offset::Offset;
use crate::ring::{Ring, Since};
use crate::subscription::Wake;

/// The first pause after a feed failed; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// How long a feed waits at most between two attempts to follow its channel.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A channel's ring and its readers, kept up to date while anyone holds it. Dropping it ends its task.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    ring: Mutex<Ring>,
    readers: Mutex<Slab<Arc<Wake>>>,
}

/// A reader's place in a feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat(usize);

/// What the ring said, with what is needed to judge the answer.
pub(crate) struct Glance {
    pub(crate) since: Since,
    pub(crate) epoch: u64,
    pub(crate) head: Offset,
}

impl Feed {
    /// Starts following a channel; `check` is how often its position is compared with the log's.
    pub(crate) fn start(broker: Arc<dyn Broker>, channel: ChannelName, check: Duration) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(keep_following(Arc::clone(&shared), broker, channel, check)).abort_handle();
        Self { shared, task }
    }

    /// From now on, `wake` is told whenever the ring changes.
    pub(crate) fn sit(&self, wake: Arc<Wake>) -> Seat {
        let mut readers = lock(&self.shared.readers);
        // Most channels have one reader.
        if readers.len() == readers.capacity() && readers.is_empty() {
            readers.reserve_exact(1);
        }
        Seat(readers.insert(wake))
    }

    /// The opposite of [`sit`](Self::sit).
    pub(crate) fn rise(&self, seat: Seat) {
        let _ = lock(&self.shared.readers).try_remove(seat.0);
    }

    /// What follows a cursor, as far as the ring knows.
    pub(crate) fn glance(&self, cursor: Offset, limit: usize) -> Glance {
        let ring = lock(&self.shared.ring);
        Glance { since: ring.since(cursor, limit), epoch: ring.epoch(), head: ring.head() }
    }

    /// A reader found the log's head before the ring's: the log was wiped or lost its tail.
    pub(crate) fn log_went_back(&self, epoch: u64, head: Offset) {
        let reset = {
            let mut ring = lock(&self.shared.ring);
            let first_to_say = ring.epoch() == epoch && head < ring.head();
            if first_to_say {
                ring.reset(head);
            }
            first_to_say
        };
        if reset {
            self.shared.wake_all();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn reset(&self, head: Offset) {
        lock(&self.ring).reset(head);
        self.wake_all();
    }

    fn push(&self, messages: impl IntoIterator<Item = Arc<Message>>) {
        {
            let mut ring = lock(&self.ring);
            messages.into_iter().for_each(|message| ring.push(message));
        }
        self.wake_all();
    }

    fn head(&self) -> Offset {
        lock(&self.ring).head()
    }

    fn wake_all(&self) {
        for (_, wake) in lock(&self.readers).iter() {
            wake.wake();
        }
    }
}

/// A lock whose holders never panic half way: every critical section here is a few plain moves.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep_following(shared: Arc<Shared>, broker: Arc<dyn Broker>, channel: ChannelName, check: Duration) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match follow(&shared, &*broker, &channel, check).await {
            Ok(why) => debug!(%channel, why, "following the channel anew"),
            Err(error) => warn!(%channel, %error, "cannot follow the channel; trying again"),
        }
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        // Jitter: the feeds of a node fail together, and must not come back together.
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows until the tail can no longer be trusted; says why.
async fn follow(
    shared: &Shared,
    broker: &dyn Broker,
    channel: &ChannelName,
    check: Duration,
) -> Result<&'static str> {
    // The tail first, then the head: what is appended in between is announced, so nothing falls into a hole.
    let mut tail = broker.tail(channel).await?;
    shared.reset(head(broker, channel).await?);
    let mut checks = interval_at(Instant::now() + jittered(check), check);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut behind = None;
    // A channel in which nothing happens from one check to the next holds no messages in memory.
    let mut rested = shared.head();
    loop {
        tokio::select! {
            messages = tail.waiting() => match messages {
                Some(messages) => shared.push(messages),
                None => return Ok("the tail ended"),
            },
            _ = checks.tick() => {
                let known = shared.head();
                if known == rested {
                    lock(&shared.ring).rest();
                }
                rested = known;
                let head = head(broker, channel).await?;
                if head < known {
                    return Ok("the log went back");
                }
                // Being behind once is a matter of moments; twice at the same place, the tail has fallen silent.
                if head > known && behind == Some(known) {
                    return Ok("the tail fell silent");
                }
                behind = (head > known).then_some(known);
            }
        }
    }
}

async fn head(broker: &dyn Broker, channel: &ChannelName) -> Result<Offset> {
    Ok(broker.read(channel, Offset::ZERO, 0).await?.head)
}

/// Somewhere between half of a duration and all of it.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(0.5..1.0))
}
