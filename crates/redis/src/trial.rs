//! Does once what nodes do all the time, through the broker itself: whatever keeps a node from it, keeps this from it too.
//!
//! Invariant: leaves nothing behind but a channel of its own that expires.

use std::time::Duration;

use inkwire_core::{
    Broker as _, ChannelName, Claim, ConsumerName, Draft, Error, Fields, Finding, GroupName, Lifetime,
    Offset, Result, Retention,
};
use rand::RngExt as _;
use tokio::time::{Instant, timeout};

use crate::broker::Redis;

/// How long the channel lives; its keys go a minute later.
const RETENTION: Retention =
    Retention { lifetime: Lifetime::Expires(Duration::from_secs(10)), ..Retention::PLAIN };
/// How long an announcement may be on its way before nodes are better off without.
const HEARING: Duration = Duration::from_secs(2);
/// So many names are tried for one that a server has: a thousand servers would need a few thousand.
const NAMES: usize = 100_000;

/// What was done, and how long the two took that people feel.
struct Times {
    published: Duration,
    heard: Duration,
}

/// A channel of nobody's that fits.
pub(crate) fn channel(fits: impl Fn(&ChannelName) -> bool) -> Option<ChannelName> {
    let random: u64 = rand::rng().random();
    (0..NAMES).filter_map(|n| ChannelName::new(format!("$check/{random:016x}-{n}")).ok()).find(fits)
}

/// Tries the server that has a channel.
pub(crate) async fn trial(broker: &Redis, channel: &ChannelName) -> Finding {
    match run(broker, channel).await {
        Ok(Times { published, heard }) => {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let says = format!(
                "subscribed, published in {:.2} ms, heard after {:.2} ms, read, claimed, acknowledged",
                ms(published),
                ms(heard)
            );
            Finding::ok("trial", says).with([("publish_ms", ms(published)), ("heard_ms", ms(heard))])
        }
        Err((step, error)) => {
            let why = error.to_string();
            Finding::trouble("trial", format!("a node cannot {step}: {why}"), advice(&why))
        }
    }
}

fn advice(why: &str) -> &'static str {
    // As the client library writes it, and as Redis does when it is a script that may not.
    let denied = ["no permissions", "can't run this command", "ACL failure"];
    if denied.iter().any(|words| why.contains(words)) {
        "give the user what \"Redis keys\" in PROTOCOL.md lists"
    } else if why.contains("OOM") {
        "raise maxmemory, or keep less (inkwire serve --retain)"
    } else {
        "look into the server's log"
    }
}

async fn run(broker: &Redis, channel: &ChannelName) -> Result<Times, (&'static str, Error)> {
    let at = |step: &'static str| move |error| (step, error);
    let mut tail = broker.tail(channel).await.map_err(at("subscribe"))?;
    let draft = Draft::plain(Fields::of([("check", "1")])).retained(RETENTION);
    let began = Instant::now();
    let offset = broker.publish(channel, draft).await.map_err(at("publish"))?.offset();
    let published = began.elapsed();
    let announced = timeout(HEARING, tail.next()).await.ok().flatten();
    let heard = began.elapsed();
    if announced.is_none_or(|message| message.offset != offset) {
        return Err(("hear its own message", Error::Unavailable("nothing was announced".into())));
    }
    let page = broker.read(channel, Offset::ZERO, 1).await.map_err(at("read"))?;
    if page.head != offset {
        return Err(("read what it published", Error::Unavailable(format!("the log ends at {}", page.head))));
    }
    let (group, consumer) = names();
    let claim = Claim::new(group.clone(), consumer, 1);
    broker.claim(channel, claim).await.map_err(at("claim"))?;
    broker.acknowledge(channel, &group, &[offset]).await.map_err(at("acknowledge"))?;
    Ok(Times { published, heard })
}

fn names() -> (GroupName, ConsumerName) {
    let sound = "these letters may stand in a name";
    (GroupName::new("check").expect(sound), ConsumerName::new("check").expect(sound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_for_each_server_and_none_for_nobody() {
        assert!(channel(|name| name.as_str().ends_with("-999")).is_some());
        assert_eq!(channel(|_| false), None);
    }
}
