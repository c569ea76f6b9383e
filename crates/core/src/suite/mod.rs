//! The broker test suite: what every broker must do, in code. [`broker_suite!`](crate::broker_suite) makes one test of each case.
//!
//! [`logs`] has order, chain, pages, trimming by number and by age, continuity, expiry, producers and concurrency; [`keyed`] upserts,
//! tombstones, state and changes; [`tails`] announcements; [`readers`] subscriptions, also on a broker whose tails and
//! reads fail, made by [`faulty`]; [`groups`] consumer groups; [`on`] keeps what a broker under test stands on.
//!
//! Breakages that were made on purpose, each of which fails at least one case: `prev` of every message set to zero;
//! trimming one message too many; the keyed rule with `>=`; a collected message that does not raise the floor; a tail that
//! drops its newest message when full instead of ending; a cursor that takes any later message for the next one; a
//! subscription that believes the ring after a reset; a feed that keeps its ring when its tail broke; the gap event left
//! out; no position check; a forgotten channel whose offsets are used again; a ring that keeps what lies before a hole; a
//! push that wakes nobody; a message claimed that is not noted as held; a take-over that does not count; an
//! acknowledgement that leaves the message held; an announcement before the message can be read; a head read apart
//! from its messages; age minded by publishing alone, by reads alone, or not by claims; an age that a later publish can
//! take back; a name left out of what is announced, of what is read, or of tombstones.

#![allow(clippy::indexing_slicing, reason = "these are tests: a panic is a finding")]

pub mod faulty;
pub mod groups;
pub mod keyed;
pub mod logs;
pub mod on;
pub mod readers;
pub mod tails;

use std::sync::Arc;

use crate::{Broker, ChannelName, Draft, Fields, Message, Offset, Page, Published};

/// The broker under test.
pub type UnderTest = Arc<dyn Broker>;

/// Makes a test of every case. The argument is an expression that makes a fresh broker; `start_paused` says whether
/// the broker lives in tokio's time; its time of day must then follow that.
#[macro_export]
macro_rules! broker_suite {
    (start_paused = $paused:literal, $make:expr) => {
        $crate::broker_suite!(@cases $paused, $make,
            logs: [order_and_chain, submitted_in_order, unused_channel, pages, offsets_of_others_prove_nothing, trims_within_the_slack,
                   the_old_leave, what_has_left_stays_out,
                   one_kind_for_ever, expiry, producers, who_published, the_first_name_stays, concurrent_publishers, pages_are_of_one_piece],
            keyed: [the_higher_version_wins, state_and_changes, tombstones, collected_tombstones_break_older_cursors,
                    evicted_keys_break_older_cursors, cursors_of_an_earlier_life_are_broken, a_duplicate_renews, one_winner],
            tails: [announces_in_order, ends_rather_than_lose, two_tails, what_is_announced_can_be_read],
            readers: [faultless, faulty_plain, faulty_keyed, a_gap_is_told, a_wiped_log_is_told, cancelled_readers],
            groups: [each_message_to_one_consumer, the_silent_are_relieved, acknowledged_for_good,
                     where_a_group_begins, groups_are_independent, what_leaves_the_log_is_given_to_nobody,
                     what_is_too_old_is_given_to_nobody, eight_consumers]);
    };
    (@cases $paused:literal, $make:expr, $($area:ident: [$($case:ident),+]),+) => {
        $(mod $area {
            use super::*;
            $(#[tokio::test(start_paused = $paused)]
            async fn $case() {
                $crate::suite::$area::$case($make).await;
            })+
        })+
    };
}

/// A channel name that the program wrote down.
fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("channel names in the suite follow the rules")
}

/// A body that says which publish it came from.
fn body(text: impl std::fmt::Display) -> Fields {
    Fields::of([("text", &text.to_string())])
}

async fn publish(broker: &UnderTest, channel: &ChannelName, text: impl std::fmt::Display) -> Offset {
    match broker.publish(channel, Draft::plain(body(text))).await {
        Ok(Published::Appended(offset)) => offset,
        other => panic!("expected an appended message, got {other:?}"),
    }
}

async fn read(broker: &UnderTest, channel: &ChannelName, after: Offset, limit: usize) -> Page {
    broker.read(channel, after, limit).await.expect("the broker can be read")
}

fn texts<'a>(messages: impl IntoIterator<Item = &'a Arc<Message>>) -> Vec<String> {
    messages.into_iter().map(|message| message.fields.get("text").unwrap_or_default().to_owned()).collect()
}
