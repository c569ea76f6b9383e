//! Memory is bounded, and whoever floods pays first.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a finding")]

use std::time::Duration;

use inkwire_core::{
    Broker, ChannelName, Continuity, Draft, Fields, Key, Keyed, Lifetime, Offset, Retention, State, Version,
};
use inkwire_embedded::{Memory, MemoryOptions};

const MAXIMUM: usize = 8 << 20;

fn memory() -> Memory {
    Memory::new(MemoryOptions { maximum_bytes: MAXIMUM })
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn body(bytes: usize) -> Fields {
    Fields::of([("x", &"x".repeat(bytes))])
}

fn passing(bytes: usize) -> Draft {
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_secs(300)), ..Retention::PLAIN };
    Draft::plain(body(bytes)).retained(brief)
}

fn state() -> Draft {
    let keyed =
        Keyed { key: Key::new("k").unwrap(), version: Version::new("1").unwrap(), state: State::Live };
    let brief = Retention { lifetime: Lifetime::Expires(Duration::from_secs(300)), ..Retention::KEYED };
    Draft::keyed(body(10), keyed).retained(brief)
}

#[tokio::test(start_paused = true)]
async fn a_flood_shortens_the_flooded_logs_and_stops_nobody() {
    let memory = memory();
    let quiet = memory.publish(&channel("quiet"), passing(100)).await.unwrap().offset();
    for n in 0..2_000 {
        let flooded = channel(&format!("flooded-{}", n % 10));
        memory.publish(&flooded, passing(64 << 10)).await.unwrap();
        assert!(memory.bytes() <= MAXIMUM, "{} bytes", memory.bytes());
    }
    let page = memory.read(&channel("quiet"), quiet, 10).await.unwrap();
    assert_eq!(page.continuity, Continuity::Proved);
    assert_eq!(memory.read(&channel("quiet"), Offset::ZERO, 10).await.unwrap().messages.len(), 1);
    memory.publish(&channel("other"), passing(100)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_refused_and_what_says_who_is_where_goes_on() {
    let memory = memory();
    while memory.publish(&channel("kept"), Draft::plain(body(64 << 10))).await.is_ok() {}
    assert!(memory.bytes() >= MAXIMUM && memory.bytes() < MAXIMUM + (128 << 10));
    memory.publish(&channel("inbox"), passing(1_000)).await.unwrap();
    memory.publish(&channel("room"), state()).await.unwrap();
    let page = memory.read(&channel("kept"), Offset::ZERO, 1_000).await.unwrap();
    assert!(page.messages.len() > 100, "reading goes on");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_life_is_kept_to() {
    let memory = memory();
    memory.publish(&channel("a"), passing(1 << 20)).await.unwrap();
    let soon = Retention { lifetime: Lifetime::Expires(Duration::from_secs(1)), ..Retention::PLAIN };
    memory.publish(&channel("a"), Draft::plain(body(1)).retained(soon)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    memory.publish(&channel("b"), passing(1)).await.unwrap();
    assert!(memory.bytes() < 10_000, "{} bytes", memory.bytes());
}
