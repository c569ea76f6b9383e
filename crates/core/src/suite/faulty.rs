//! A broker that does everything a broker is allowed to do wrong: its tails skip, lag and hang up, and its reads fail.
//! Seeded, so that a failure can be repeated.
//!
//! It keeps to the contract: a tail that has skipped ends soon, unless a later message shows the hole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, Claim, Claimed, Error, Page, Receipt, Result, Tail, TailSender};
use crate::{ChannelName, Draft, GroupName, Offset};

/// How long a tail that skipped may stay silent before it must end.
const SILENCE_AFTER_SKIP: Duration = Duration::from_millis(30);

/// Another broker, seen through a bad line.
pub struct Faulty {
    inner: Arc<dyn Broker>,
    dice: Mutex<StdRng>,
}

/// What the line does to one announcement.
enum Fate {
    Pass,
    Skip,
    Lag(Duration),
    HangUp,
}

impl Faulty {
    /// A bad line to `inner`; the same seed gives the same faults for the same calls.
    pub fn new(inner: Arc<dyn Broker>, seed: u64) -> Self {
        Self { inner, dice: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    fn roll(&self) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    fn read_fails(&self) -> bool {
        self.roll().is_multiple_of(12)
    }
}

#[async_trait]
impl Broker for Faulty {
    async fn submit(&self, channel: &ChannelName, draft: Draft) -> Result<Receipt> {
        self.inner.submit(channel, draft).await
    }

    async fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Result<Page> {
        if self.read_fails() {
            return Err(Error::Unavailable("the line is bad".into()));
        }
        sleep(Duration::from_millis(self.roll() % 5)).await;
        self.inner.read(channel, after, limit).await
    }

    async fn tail(&self, channel: &ChannelName) -> Result<Tail> {
        if self.read_fails() {
            return Err(Error::Unavailable("the line is bad".into()));
        }
        let inner = self.inner.tail(channel).await?;
        let (sender, tail) = Tail::new();
        tokio::spawn(forward(inner, sender, StdRng::seed_from_u64(self.roll())));
        Ok(tail)
    }

    async fn claim(&self, channel: &ChannelName, claim: Claim) -> Result<Vec<Claimed>> {
        self.inner.claim(channel, claim).await
    }

    async fn acknowledge(
        &self,
        channel: &ChannelName,
        group: &GroupName,
        offsets: &[Offset],
    ) -> Result<usize> {
        self.inner.acknowledge(channel, group, offsets).await
    }
}

async fn forward(mut inner: Tail, outer: TailSender, mut dice: StdRng) {
    let mut skipped = false;
    loop {
        let next = match skipped {
            true => timeout(SILENCE_AFTER_SKIP, inner.next()).await.ok().flatten(),
            false => inner.next().await,
        };
        let Some(message) = next else { return };
        match fate(&mut dice) {
            Fate::HangUp => return,
            Fate::Skip => {
                skipped = true;
                continue;
            }
            Fate::Lag(time) => sleep(time).await,
            Fate::Pass => {}
        }
        if outer.send(&message).is_err() {
            return;
        }
        skipped = false;
    }
}

fn fate(dice: &mut StdRng) -> Fate {
    match dice.random_range(0..100) {
        0..10 => Fate::Skip,
        10..20 => Fate::Lag(Duration::from_millis(dice.random_range(1..40))),
        20..23 => Fate::HangUp,
        _ => Fate::Pass,
    }
}
