//! Readiness that cannot lie: the node publishes to itself through the broker, and is ready while it hears itself, in each part
//! of the store that may fail by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use inkwire_core::{ChannelName, Draft, Event, Fields, Hub, Lifetime, Message, Retention, Start};
use metrics::histogram;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::warn;

/// How often the node publishes to itself.
const INTERVAL: Duration = Duration::from_secs(1);
/// How old the last message heard may be. Several intervals: one slow moment of a broker is no outage.
const FRESH: Duration = Duration::from_secs(4);
/// How long one publish may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the canary keeps: only the newest counts.
const RETENTION: Retention = Retention {
    maximum: 10,
    age: None,
    tombstones: Duration::ZERO,
    lifetime: Lifetime::Expires(Duration::from_secs(60)),
};

/// When the node last heard itself, in each part of the store. Empty until it sings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Canary(Arc<Mutex<Vec<Heard>>>);

#[derive(Debug, Default)]
struct Heard {
    at: Option<Instant>,
    trouble: Option<String>,
    /// The message under way, and when it was sent off.
    sung: Option<(u64, Instant)>,
}

impl Heard {
    fn hear(&mut self, beat: Option<u64>) {
        self.at = Some(Instant::now());
        // One that comes late says nothing about the one that is under way.
        if let Some((_, began)) = self.sung.take_if(|(sung, _)| Some(*sung) == beat) {
            histogram!("inkwire_canary_heard_seconds").record(began.elapsed());
        }
    }
}

/// Which message of the canary's it is.
fn beat(message: &Message) -> Option<u64> {
    message.fields.get("beat")?.parse().ok()
}

impl Canary {
    /// How long ago the node heard itself, where that is longest; `None` if it never has.
    pub(crate) fn age(&self) -> Option<Duration> {
        // Never is before any moment.
        let longest_ago = self.heard().iter().map(|heard| heard.at).min()??;
        Some(longest_ago.elapsed())
    }

    /// Why the node is not ready; `None` if it is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let age = self.age();
        if age.is_some_and(|age| age <= FRESH) {
            return None;
        }
        let age = age.map_or("never".to_owned(), |age| format!("{} s ago", age.as_secs()));
        let heard = self.heard();
        let trouble = heard.iter().find_map(|heard| heard.trouble.as_deref()).unwrap_or("no answer");
        Some(format!("the node last heard its own message through the broker: {age} ({trouble})"))
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, part: usize, change: impl FnOnce(&mut Heard)) {
        if let Some(heard) = self.heard().get_mut(part) {
            change(heard);
        }
    }

    /// Sings and listens for ever.
    pub(crate) async fn sing(self, hub: Hub, node: Box<str>) {
        let channel =
            ChannelName::new(format!("$canary/{node}")).expect("a node's name is part of a channel name");
        let channels = hub.witnesses(&channel);
        self.heard().resize_with(channels.len(), Heard::default);
        let singing = channels.iter().enumerate().map(|(part, channel)| {
            let (publish, listen) = (self.publish(&hub, part, channel), self.listen(&hub, part, channel));
            async { tokio::join!(publish, listen) }
        });
        join_all(singing).await;
    }

    async fn publish(&self, hub: &Hub, part: usize, channel: &ChannelName) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beat in 0_u64.. {
            ticks.tick().await;
            let draft = Draft::plain(Fields::of([("beat", &beat.to_string())])).retained(RETENTION);
            let began = Instant::now();
            self.note(part, |heard| heard.sung = Some((beat, began)));
            let trouble = match timeout(PATIENCE, hub.publish(channel, draft)).await {
                Ok(Ok(_)) => {
                    histogram!("inkwire_canary_publish_seconds").record(began.elapsed());
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the broker does not answer".to_owned()),
            };
            if let Some(trouble) = &trouble {
                warn!(trouble, "the node cannot publish to itself");
            }
            self.note(part, |heard| heard.trouble = trouble);
        }
    }

    async fn listen(&self, hub: &Hub, part: usize, channel: &ChannelName) {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            let Ok((mut subscription, _)) = hub.subscribe(channel, Start::New, Arc::default()).await else {
                continue;
            };
            loop {
                if let Event::Messages(messages) = subscription.next().await {
                    let beats = messages.iter().filter_map(|delivery| beat(delivery.message()));
                    self.note(part, |heard| heard.hear(beats.max()));
                }
            }
        }
    }
}
