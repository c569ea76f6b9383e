//! Taking messages for a consumer of a group, and waiting for some.
//!
//! A claim that waits holds up nothing else: it is a value of its own, with its own subscription as its alarm. What a
//! consumer was given and could not be told (it hung up) stays with the group, and is given to others in time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use inkwire_core::{ChannelName, Claim, Claimed, Offset, Start};
use inkwire_protocol::Refused;
use inkwire_protocol::channel::From as Place;
use inkwire_protocol::command::Claim as WireClaim;
use tokio::time::{Instant, sleep, sleep_until};

use crate::app::App;
use crate::hooks::{Client, SubscribeRequest};
use crate::portion::Portion;

/// How often a waiting claim looks for messages whose holder has fallen silent: nothing announces silence.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What was taken so lately is not taken again for the same answer.
const JUST_TAKEN: Duration = Duration::from_secs(5);

/// What became of a claim.
pub(crate) enum Claiming {
    /// These are the consumer's now.
    Done(Vec<Claimed>),
    /// None yet; this answers when there are some, or when the time is over.
    Waiting(BoxFuture<'static, Result<Vec<Claimed>, Refused>>),
}

/// A claim as it was admitted.
struct Claimant {
    app: Arc<App>,
    client: Client,
    /// What the client calls the channel, and what it is.
    name: ChannelName,
    channel: ChannelName,
    claim: Claim,
}

impl Claiming {
    /// Claims once; waits if there is nothing and the client would.
    pub(crate) async fn begin(
        app: &Arc<App>,
        client: &Client,
        request: SubscribeRequest,
        asked: WireClaim,
    ) -> Result<Self, Refused> {
        let from = match request.from {
            Place::Beginning => Offset::ZERO,
            Place::After(offset) => offset,
            Place::New => app.hub.head(&request.channel).await?,
        };
        let WireClaim { channel: name, group, consumer, count, block_ms, min_idle_ms, .. } = asked;
        let claim = Claim { group, consumer, count, min_idle: Duration::from_millis(min_idle_ms), from };
        let claimant =
            Claimant { app: Arc::clone(app), client: client.clone(), name, channel: request.channel, claim };
        let claimed = claimant.take().await?;
        if !claimed.is_empty() || block_ms == 0 {
            return Ok(Self::Done(claimed));
        }
        let ends = Instant::now() + Duration::from_millis(block_ms);
        Ok(Self::Waiting(Box::pin(claimant.wait(ends))))
    }
}

impl Claimant {
    /// Takes what there is.
    async fn take(&self) -> Result<Vec<Claimed>, Refused> {
        let mut told = Vec::new();
        let mut withheld = Vec::new();
        for Claimed { message, deliveries } in self.take_portion().await? {
            let offset = message.offset;
            match self.app.as_told(&self.client, &self.name, message) {
                Some(message) => told.push(Claimed { message, deliveries }),
                None => withheld.push(offset),
            }
        }
        if !withheld.is_empty() {
            self.app.hub.acknowledge(&self.channel, &self.claim.group, &withheld).await?;
        }
        Ok(told)
    }

    /// At most as many as were asked for, or fewer large ones.
    async fn take_portion(&self) -> Result<Vec<Claimed>, Refused> {
        let mut portion = Portion::new(self.claim.count);
        let mut claim = self.claim.clone();
        let mut taken = Vec::<Claimed>::new();
        while let Some(count) = portion.next() {
            claim.count = count;
            let mut more = self.app.hub.claim(&self.channel, claim.clone()).await?;
            let is_last = more.len() < count;
            more.retain(|claimed| !taken.iter().any(|own| own.message.offset == claimed.message.offset));
            portion.take(more.len(), more.iter().map(|claimed| claimed.message.weight()).sum());
            let is_level = is_last || more.is_empty();
            taken.append(&mut more);
            if is_level {
                break;
            }
            // Nor is what was taken a moment ago to be taken over from this very consumer.
            claim.min_idle = claim.min_idle.max(JUST_TAKEN);
        }
        Ok(taken)
    }

    /// Takes what comes until then.
    async fn wait(self, ends: Instant) -> Result<Vec<Claimed>, Refused> {
        let wake = Arc::default();
        // Following before looking: what comes in between wakes.
        let (mut alarm, _) = self.app.hub.subscribe(&self.channel, Start::New, Arc::clone(&wake)).await?;
        let mut ended = pin!(sleep_until(ends));
        loop {
            let claimed = self.take().await?;
            if !claimed.is_empty() || Instant::now() >= ends {
                return Ok(claimed);
            }
            // What woke is taken from the group; the alarm only has to keep up.
            while alarm.ready().await.is_some() {}
            tokio::select! {
                () = wake.woken() => {}
                () = sleep(LOOK_AGAIN) => {}
                () = &mut ended => return Ok(Vec::new()),
            }
        }
    }
}
