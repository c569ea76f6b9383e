//! The core of Inkwire: every channel is a log, every subscriber is a cursor.
//!
//! The parts, in reading order:
//!
//! 1. [`name`](mod@name): what things are called; checked once, at the edge.
//! 2. [`offset`]: where a message stands in its channel.
//! 3. [`message`]: what a channel holds, and what is handed in to be published.
//! 4. [`broker`]: the one seam to whatever stores the logs.
//! 5. [`cursor`]: the rule that keeps replay and live in one order; a pure function.
//! 6. [`delivery`]: a message with room for the bytes that say it, made once per node.
//! 7. [`ring`]: the newest messages of a channel, held once per node.
//! 8. [`feed`]: one task per channel with local readers, filling the ring from the broker's tail.
//! 9. [`hub`]: the door for everyone who publishes, reads or subscribes on this node.
//! 10. [`subscription`]: a cursor that moves.
//! 11. [`finding`]: what an operator is told about a store.
//!
//! Absent on purpose: HTTP, serialisation, storage, rooms.

pub mod broker;
pub mod cursor;
pub mod delivery;
pub mod feed;
pub mod finding;
pub mod hub;
pub mod message;
pub mod name;
pub mod offset;
pub mod ring;
pub mod subscription;
#[cfg(feature = "suite")]
pub mod suite;

pub use broker::{
    Broker, Claim, Claimed, Continuity, Error, Page, Published, Receipt, Result, Tail, TailSender,
};
pub use delivery::{Delivery, Form};
pub use finding::{Finding, Level};
pub use hub::{Hub, HubOptions};
pub use message::{Draft, Fields, Keyed, Lifetime, Message, Producer, Retention, State};
pub use name::{
    ChannelName, ConsumerName, FieldName, GroupName, Key, NameError, ProducerId, UserId, Version,
};
pub use offset::Offset;
pub use subscription::{AtHand, Event, Start, Subscription, Wake};
