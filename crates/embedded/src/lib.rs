//! The broker that lives in the process: the same logs, rules and answers as any other broker, with nothing else
//! installed.
//!
//! The parts, in reading order: [`log`], one channel as a value; [`memory`], all channels in memory behind the
//! [`Broker`](inkwire_core::Broker) trait.

pub mod log;
pub mod memory;

pub use memory::{Memory, MemoryOptions};
