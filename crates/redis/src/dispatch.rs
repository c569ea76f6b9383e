//! Hands jobs to the servers' links: one task for all of them. While a link waits for answers, what comes meanwhile
//! gathers, and goes out together.
//!
//! Invariant: the jobs of one channel stay in one order from the queue to the wire.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;

use crate::link::Link;
use crate::queue::{Job, Queue};
use crate::spread::Spread;

/// How many calls go out together: enough to make the round trip cheap, and few enough that the first one does not wait
/// for the last.
const BATCH: usize = 256;
/// How many bytes go out together; one call more is taken when it is alone.
const BATCH_BYTES: usize = 1 << 20;

/// A server and what waits for it.
struct Desk {
    /// `None` while a batch is under way.
    link: Option<Link>,
    waiting: VecDeque<Job>,
}

/// A batch that is done: which desk's, its link, and the jobs to be tried again.
type Done = (usize, Link, VecDeque<Job>);

/// Carries out jobs for as long as it is polled. The links are in the order of `spread`'s servers.
pub(crate) async fn dispatch(queue: Arc<Queue>, spread: Arc<Spread>, links: Vec<Link>) {
    let mut desks: Vec<_> =
        links.into_iter().map(|link| Desk { link: Some(link), waiting: VecDeque::new() }).collect();
    let mut under_way = FuturesUnordered::<BoxFuture<'static, Done>>::new();
    loop {
        let changed = tokio::select! {
            jobs = queue.take() => hand_out(&mut desks, &spread, jobs),
            Some((at, link, again)) = under_way.next() => put_back(&mut desks, at, link, again),
        };
        for at in changed {
            if let Some(batch) = desks.get_mut(at).and_then(|desk| desk.begin(at)) {
                under_way.push(batch);
            }
        }
    }
}

/// Lays jobs on their desks; which desks have something to do.
fn hand_out(desks: &mut [Desk], spread: &Spread, jobs: VecDeque<Job>) -> std::ops::Range<usize> {
    for job in jobs {
        if let Some(desk) = desks.get_mut(spread.place(&job.channel)) {
            desk.waiting.push_back(job);
        }
    }
    0..desks.len()
}

/// What is to be tried again comes before what has come since.
fn put_back(desks: &mut [Desk], at: usize, link: Link, again: VecDeque<Job>) -> std::ops::Range<usize> {
    if let Some(desk) = desks.get_mut(at) {
        desk.link = Some(link);
        again.into_iter().rev().for_each(|job| desk.waiting.push_front(job));
    }
    at..at + 1
}

impl Desk {
    /// Begins a batch, if the link is free and something waits.
    fn begin(&mut self, at: usize) -> Option<BoxFuture<'static, Done>> {
        if self.waiting.is_empty() {
            return None;
        }
        let mut link = self.link.take()?;
        let batch = self.batch();
        Some(
            async move {
                let again = link.carry_out(batch).await;
                (at, link, again)
            }
            .boxed(),
        )
    }

    fn batch(&mut self) -> VecDeque<Job> {
        let mut bytes = 0;
        let taken = self.waiting.iter().take(BATCH).take_while(|job| {
            let room = bytes < BATCH_BYTES;
            bytes += job.room.bytes();
            room
        });
        let count = taken.count();
        self.waiting.drain(..count).collect()
    }
}
