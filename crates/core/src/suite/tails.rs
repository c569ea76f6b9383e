//! Announcements: a hint, but an orderly one.

use std::time::Duration;

use tokio::time::timeout;

use super::{UnderTest, channel, publish, read, texts};
use crate::Offset;
use crate::broker::TAIL_CAPACITY;

/// A tail that has said nothing by then is silent for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is published after the tail was opened comes through it, in order, with its chain.
pub async fn announces_in_order(broker: UnderTest) {
    let channel = channel("announced");
    let before = publish(&broker, &channel, "before").await;
    let mut tail = broker.tail(&channel).await.expect("the channel can be followed");
    let mut prev = before;
    for n in 0..20 {
        let offset = publish(&broker, &channel, n).await;
        let message = tail.next().await.expect("the tail goes on");
        assert_eq!((message.offset, message.prev), (offset, prev));
        assert_eq!(texts([&message]), [n.to_string()]);
        prev = offset;
    }
}

/// A tail that nobody reads ends; it does not quietly lose what came last.
pub async fn ends_rather_than_lose(broker: UnderTest) {
    let channel = channel("full");
    let mut tail = broker.tail(&channel).await.expect("the channel can be followed");
    let total = TAIL_CAPACITY * 2;
    for n in 0..total {
        publish(&broker, &channel, n).await;
    }
    let head = read(&broker, &channel, Offset::ZERO, 0).await.head;
    let (mut last, mut count) = (Offset::ZERO, 0);
    while last < head {
        let next =
            timeout(PATIENCE, tail.next()).await.expect("a tail that has lost its latest message ends");
        let Some(message) = next else { break };
        assert!(message.offset > last, "the tail keeps order");
        (last, count) = (message.offset, count + 1);
    }
    if last == head {
        assert_eq!(count, total, "a tail that did not end has skipped nothing here");
    }
}

/// Two tails of one channel hear the same; one of another channel hears nothing of it.
pub async fn two_tails(broker: UnderTest) {
    let (here, elsewhere) = (channel("here"), channel("elsewhere"));
    let mut one = broker.tail(&here).await.expect("the channel can be followed");
    let mut two = broker.tail(&here).await.expect("the channel can be followed");
    let mut other = broker.tail(&elsewhere).await.expect("the channel can be followed");
    publish(&broker, &here, 1).await;
    publish(&broker, &elsewhere, 2).await;
    for (tail, expected) in [(&mut one, "1"), (&mut two, "1"), (&mut other, "2")] {
        let message = tail.next().await.expect("the tail goes on");
        assert_eq!(texts([&message]), [expected]);
    }
}

/// Whoever hears of a message finds it in the log.
pub async fn what_is_announced_can_be_read(broker: UnderTest) {
    let channel = channel("readable");
    let mut tail = broker.tail(&channel).await.expect("the channel can be followed");
    let publisher = tokio::spawn({
        let (broker, channel) = (broker.clone(), channel.clone());
        async move {
            for n in 0..100 {
                publish(&broker, &channel, n).await;
            }
        }
    });
    for _ in 0..100 {
        let message = tail.next().await.expect("the tail goes on");
        let page = read(&broker, &channel, message.prev, 1).await;
        assert_eq!(page.messages, [message]);
    }
    publisher.await.expect("the publisher comes to an end");
}
