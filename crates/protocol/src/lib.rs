//! The wire: what is said between the server and everybody else, as types. `PROTOCOL.md` is the text of the contract;
//! the files in `fixtures/` are its examples, decoded and encoded by these types and by the TypeScript client.
//!
//! The parts, in reading order: [`id`], who and where; [`access`], tokens and who gets one; [`event`], what an event
//! stream says; [`room`], the answers about rooms; [`channel`], messages and where to begin; [`command`] and [`reply`], what is
//! said on a WebSocket; [`ice`], how peers find a way to each other; [`problem`], how a request fails.

pub mod access;
pub mod channel;
pub mod command;
pub mod event;
pub mod ice;
pub mod id;
pub mod problem;
pub mod reply;
pub mod room;
mod text;

pub use access::{AccessReply, AccessRequest, Action, Grant, User, Username};
pub use command::{Asked, Command, CommandId};
pub use event::{Event, Relayed};
pub use ice::{IceServer, IceServers};
pub use id::{FileId, PeerId, RelayName, RoomId, ViewId};
pub use problem::{Code, Problem};
pub use reply::{Heard, Refused};
pub use room::{FileReply, Peer, Room, ViewReply};
