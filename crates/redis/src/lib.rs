//! The broker that many nodes share: channels in Redis 7 or later, or in Valkey. Every node sees the same logs, so any
//! node takes any request.
//!
//! The parts, in reading order: `lua/`, what happens to a channel, as scripts that happen whole or not at all; `call`
//! and `reply`, the broker's words for them, with `entry`, messages as Redis holds them; `queue`, `dispatch` and `link`,
//! the way of a call to its server, in order; `listener`, the way of announcements back; `topology`, which servers there are
//! and which has a channel, by `spread` or by `slots`; `address` and `endpoint`, where servers are and what they must be;
//! [`broker`](Redis), all of it behind one trait; [`inspect()`], what an operator should know of the servers, by `about`, what
//! they say of themselves, `judge`, what that means, and `trial`, what a node would do there.

mod about;
mod address;
mod backoff;
mod broker;
mod call;
mod dispatch;
mod endpoint;
mod entry;
mod inspect;
mod judge;
mod link;
mod listener;
mod lua;
mod queue;
mod reply;
mod slots;
mod spread;
mod task;
mod topology;
mod trial;

pub use address::{Address, OptionError};
pub use broker::{Redis, RedisOptions};
pub use inspect::inspect;
