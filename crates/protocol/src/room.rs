//! Answers about rooms.

use serde::{Deserialize, Serialize};

use crate::access::User;
use crate::id::{FileId, RoomId, ViewId};

/// The answer to joining a room (the others in it) and to asking who is in one (everybody).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Which room.
    pub room: RoomId,
    /// Who is in it, in the order of joining.
    pub peers: Vec<Peer>,
}

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    #[serde(flatten)]
    pub user: User,
    /// Whether they joined without being allowed to edit the room's board: what they say has changed is not to be believed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub viewer: bool,
}

/// The answer to putting a file into a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReply {
    /// Under which it can be got.
    pub id: FileId,
}

/// The answer to asking for a room's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewReply {
    /// Always the same for a room.
    pub view: ViewId,
}
