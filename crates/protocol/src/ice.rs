//! How peers find a way to each other: the shape that `RTCPeerConnection` takes.

use serde::{Deserialize, Serialize};

/// The answer to `GET /ice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServers {
    /// STUN and TURN servers, in the order configured.
    #[serde(rename = "iceServers")]
    pub ice_servers: Vec<IceServer>,
}

/// One STUN or TURN server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:` or `turn:` URLs.
    pub urls: Vec<String>,
    /// TURN only: `<unix seconds of expiry>:<peer id>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN only: a password that is valid until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}
