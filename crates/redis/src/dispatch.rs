//! Hands jobs to the servers' links: one task for all of them. While a link waits for answers, what comes meanwhile
//! gathers, and goes out together.
//!
//! Invariant: the jobs of one channel stay in one order from the queue to the wire. Therefore a channel changes its server
//! only while no batch is under way.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use inkwire_core::ChannelName;
use tokio::sync::mpsc;

use crate::link::{Link, Pace, Undone};
use crate::queue::{Job, Queue};
use crate::slots::Share;
use crate::task::Task;
use crate::topology::{Topology, explore};

/// How many calls go out together: enough to make the round trip cheap, and few enough that the first one does not wait
/// for the last.
const BATCH: usize = 256;
/// How many bytes go out together; one call more is taken when it is alone.
const BATCH_BYTES: usize = 1 << 20;
/// How long a channel that is on its way to another node of a cluster stands still: moving a slot takes about as long.
const STANDSTILL: Duration = Duration::from_millis(20);

/// A server and what waits for it.
#[derive(Default)]
struct Desk {
    /// `None` while a batch is under way.
    link: Option<Box<Link>>,
    waiting: VecDeque<Job>,
    /// Channels that stand still, and their jobs.
    held: VecDeque<Job>,
    held_channels: HashSet<ChannelName>,
}

/// What a desk has waited for.
enum Event {
    Done { at: usize, link: Box<Link>, undone: Undone },
    StoodStill { at: usize },
}

/// All desks.
struct Floor {
    topology: Arc<Topology>,
    /// By the numbers of the servers.
    desks: Vec<Desk>,
    /// Jobs for channels whose server is not known.
    astray: VecDeque<Job>,
    /// What the cluster says about itself now. While it waits to be taken over, nothing is begun.
    news: Option<Vec<Share>>,
    under_way: FuturesUnordered<BoxFuture<'static, Event>>,
}

/// Carries out jobs for as long as it is polled.
pub(crate) async fn dispatch(queue: Arc<Queue>, topology: Arc<Topology>) {
    // One piece of news at a time: the next one is asked for when this one was taken.
    let (explorer, mut news) = mpsc::channel(1);
    let _explorer = Task::spawn(explore(Arc::clone(&topology), explorer));
    let mut floor = Floor {
        topology,
        desks: Vec::new(),
        astray: VecDeque::new(),
        news: None,
        under_way: FuturesUnordered::new(),
    };
    loop {
        tokio::select! {
            jobs = queue.take() => jobs.into_iter().for_each(|job| floor.hand_out(job)),
            Some(event) = floor.under_way.next() => floor.put_back(event),
            Some(shares) = news.recv() => floor.news = Some(shares),
        }
        floor.go_on();
    }
}

impl Floor {
    /// Lays a job on the desk of its channel.
    fn hand_out(&mut self, job: Job) {
        match self.topology.place(&job.channel) {
            Some(at) => {
                while self.desks.len() <= at {
                    let link = self.topology.link(self.desks.len()).map(Box::new);
                    self.desks.push(Desk { link, ..Desk::default() });
                }
                if let Some(desk) = self.desks.get_mut(at) {
                    desk.waiting.push_back(job);
                }
            }
            None => {
                self.astray.retain(|job| !job.is_given_up());
                self.astray.push_back(job);
            }
        }
    }

    fn put_back(&mut self, event: Event) {
        match event {
            Event::Done { at, link, undone } => {
                let Some(desk) = self.desks.get_mut(at) else { return };
                desk.link = Some(link);
                match undone.pace {
                    _ if undone.jobs.is_empty() => {}
                    Pace::Now => prepend(&mut desk.waiting, undone.jobs),
                    Pace::Soon => {
                        if desk.held_channels.is_empty() {
                            self.under_way.push(stand_still(at).boxed());
                        }
                        desk.hold(undone.jobs);
                    }
                }
            }
            Event::StoodStill { at } => {
                if let Some(desk) = self.desks.get_mut(at) {
                    desk.release();
                }
            }
        }
    }

    /// Begins what can be begun.
    fn go_on(&mut self) {
        if self.news.is_some() {
            if self.desks.iter().any(|desk| desk.link.is_none()) {
                return;
            }
            self.rearrange();
        }
        for (at, desk) in self.desks.iter_mut().enumerate() {
            if let Some(batch) = desk.begin(at) {
                self.under_way.push(batch);
            }
        }
    }

    /// Takes the news over: all that waits is handed out anew, each desk's in its order.
    fn rearrange(&mut self) {
        let Some(shares) = self.news.take() else { return };
        self.topology.learn(&shares);
        let mut jobs = std::mem::take(&mut self.astray);
        for desk in &mut self.desks {
            desk.release();
            jobs.append(&mut desk.waiting);
        }
        jobs.into_iter().for_each(|job| self.hand_out(job));
    }
}

async fn stand_still(at: usize) -> Event {
    tokio::time::sleep(STANDSTILL).await;
    Event::StoodStill { at }
}

/// What is to be tried again comes before what has come since.
fn prepend(waiting: &mut VecDeque<Job>, jobs: VecDeque<Job>) {
    jobs.into_iter().rev().for_each(|job| waiting.push_front(job));
}

impl Desk {
    /// Begins a batch, if the link is free and something waits.
    fn begin(&mut self, at: usize) -> Option<BoxFuture<'static, Event>> {
        if self.waiting.is_empty() {
            return None;
        }
        let mut link = self.link.take()?;
        let batch = self.batch();
        if batch.is_empty() {
            self.link = Some(link);
            return None;
        }
        Some(
            async move {
                let undone = link.carry_out(batch).await;
                Event::Done { at, link, undone }
            }
            .boxed(),
        )
    }

    fn batch(&mut self) -> VecDeque<Job> {
        let (mut batch, mut bytes) = (VecDeque::new(), 0);
        while batch.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(job) = self.waiting.pop_front()
        {
            if self.held_channels.contains(&job.channel) {
                self.held.push_back(job);
            } else {
                bytes += job.room.bytes();
                batch.push_back(job);
            }
        }
        batch
    }

    /// Lets the channels of some jobs stand still. They were under way, so nothing of theirs is held yet.
    fn hold(&mut self, jobs: VecDeque<Job>) {
        self.held_channels.extend(jobs.iter().map(|job| job.channel.clone()));
        self.held.extend(jobs);
    }

    fn release(&mut self) {
        self.held_channels.clear();
        prepend(&mut self.waiting, std::mem::take(&mut self.held));
    }
}
