//! The broker that lives in the process: the same logs, rules and answers as any other broker, with nothing else
//! installed.
//!
//! The parts, in reading order: [`log`], one channel as a value, with `group`, its consumer groups; [`memory`], all
//! channels in memory behind the [`Broker`](inkwire_core::Broker) trait; `durable`, logs in a file; [`embedded`], both
//! behind one trait; [`inspect()`], what an operator should know of the directory; beside them `clock`, `reserve` (offsets that no restart uses twice) and `tails` (who listens to what).

mod clock;
mod durable;
pub mod embedded;
mod group;
mod inspect;
pub mod log;
pub mod memory;
mod reserve;
mod tails;

pub use clock::WallClock;
pub use durable::file::OpenError;
pub use embedded::{Embedded, EmbeddedOptions};
pub use inspect::inspect;
pub use memory::{Memory, MemoryOptions};
