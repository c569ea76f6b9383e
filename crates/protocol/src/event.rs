//! What an event stream says. One type for all transports: as SSE the name stands in `event:` and the rest in `data:`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::access::User;
use crate::id::{RelayName, RoomId};
use crate::room::Peer;

/// An event on a peer's stream.
#[derive(Debug, Clone)]
pub enum Event {
    /// The stream is open. Control: no position.
    Connected(Connected),
    /// The server lives. Control: no position.
    Ping,
    /// A peer is in a room with this one.
    AddPeer(AddPeer),
    /// A peer has left a room.
    RemovePeer(RemovePeer),
    /// A peer says something.
    Relayed(Relayed),
    /// What followed the client's position is gone; it has left its rooms and joins again.
    Gap,
    /// Another stream was opened with the same identity; this one ends. Control: no position.
    Replaced,
    /// This node goes down; the stream will be closed, reconnect elsewhere. Control: no position.
    Draining,
}

/// Data of `connected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// Whom the token stands for.
    pub user: User,
    /// Whether the stream continues the position that was asked for.
    pub resumed: bool,
}

/// Data of `add-peer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPeer {
    /// Who is there.
    pub peer: Peer,
    /// In which room.
    #[serde(rename = "roomId")]
    pub room: RoomId,
    /// Whether it is for this client to offer a connection.
    pub offer: bool,
}

/// Data of `remove-peer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovePeer {
    /// Who has left.
    pub peer: User,
    /// Which room.
    #[serde(rename = "roomId")]
    pub room: RoomId,
}

/// An event that a peer relayed. In JSON: the sender and the body, as it was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Relayed {
    /// The event's name.
    #[serde(skip, default = "unnamed")]
    pub name: RelayName,
    /// Who sent it.
    pub peer: User,
    /// What was sent: any JSON, on one line.
    pub data: Box<RawValue>,
}

fn unnamed() -> RelayName {
    RelayName::new("unnamed").expect("a name by the rules")
}

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Event {
    /// The event's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Connected(_) => "connected",
            Self::Ping => "ping",
            Self::AddPeer(_) => "add-peer",
            Self::RemovePeer(_) => "remove-peer",
            Self::Relayed(relayed) => relayed.name.as_str(),
            Self::Gap => "gap",
            Self::Replaced => "replaced",
            Self::Draining => "draining",
        }
    }

    /// Whether the event says something of the connection only: it then carries no position.
    pub fn is_control(&self) -> bool {
        matches!(self, Self::Connected(_) | Self::Ping | Self::Replaced | Self::Draining)
    }

    /// The event's data: one line of JSON.
    pub fn data(&self) -> String {
        let data = match self {
            Self::Connected(data) => serde_json::to_string(data),
            Self::AddPeer(data) => serde_json::to_string(data),
            Self::RemovePeer(data) => serde_json::to_string(data),
            Self::Relayed(data) => serde_json::to_string(data),
            Self::Ping | Self::Gap | Self::Replaced | Self::Draining => serde_json::to_string(&Nothing {}),
        };
        data.expect("texts and flags can always be written as JSON")
    }

    /// Reads an event.
    ///
    /// # Errors
    /// When the name is none an event can have, or the data is not what belongs to it.
    pub fn decode(name: &str, data: &str) -> Result<Self, DecodeError> {
        Ok(match name {
            "connected" => Self::Connected(serde_json::from_str(data)?),
            "add-peer" => Self::AddPeer(serde_json::from_str(data)?),
            "remove-peer" => Self::RemovePeer(serde_json::from_str(data)?),
            "ping" => Self::nothing(data, Self::Ping)?,
            "gap" => Self::nothing(data, Self::Gap)?,
            "replaced" => Self::nothing(data, Self::Replaced)?,
            "draining" => Self::nothing(data, Self::Draining)?,
            _ => {
                let name = RelayName::new(name).map_err(|_| DecodeError::Name)?;
                Self::Relayed(Relayed { name, ..serde_json::from_str(data)? })
            }
        })
    }

    fn nothing(data: &str, event: Self) -> Result<Self, DecodeError> {
        let Nothing {} = serde_json::from_str(data)?;
        Ok(event)
    }
}

/// Why something is not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No event is called so.
    #[error("no event has such a name")]
    Name,
    /// The data does not belong to the event.
    #[error("not the event's data: {0}")]
    Data(#[from] serde_json::Error),
}

/// A JSON text on one line. Line breaks in JSON stand only between tokens, so a space says the same.
///
/// # Errors
/// When the text is not JSON.
pub fn single_line(json: &str) -> Result<Box<RawValue>, serde_json::Error> {
    let raw: Box<RawValue> = serde_json::from_str(json)?;
    if raw.get().contains(['\n', '\r']) {
        return RawValue::from_string(raw.get().replace(['\n', '\r'], " "));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_out_on_one_line_and_unchanged() {
        let raw = single_line("{\n \"a\":\r\n [1.50, \"x\\ny\"]}").unwrap();
        assert_eq!(raw.get(), "{  \"a\":   [1.50, \"x\\ny\"]}");
        for bad in ["", "{", "a", "1 2", "\"a\nb\""] {
            assert!(single_line(bad).is_err(), "{bad:?}");
        }
    }
}
