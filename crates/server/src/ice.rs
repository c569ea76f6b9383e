//! What `GET /ice` answers: STUN as configured; TURN with credentials that expire, by the scheme coturn calls
//! `use-auth-secret` (draft-uberti-behave-turn-rest).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use inkwire_protocol::{IceServer, IceServers, PeerId};
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY as HMAC_SHA1, Key, sign};

use crate::options::Ice;

/// How long TURN credentials are valid: longer than most sessions, and clients fetch new ones in time.
const TURN_VALIDITY: Duration = Duration::from_secs(2 * 3600);

/// The servers for a peer.
pub(crate) fn servers(ice: &Ice, peer: &PeerId, now: SystemTime) -> IceServers {
    let mut ice_servers = Vec::new();
    if !ice.stun.is_empty() {
        ice_servers.push(IceServer { urls: ice.stun.clone(), username: None, credential: None });
    }
    if let (Some(secret), false) = (&ice.turn_secret, ice.turn.is_empty()) {
        let expires =
            now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(TURN_VALIDITY).as_secs();
        let username = format!("{expires}:{peer}");
        let credential = Some(password(secret, &username));
        ice_servers.push(IceServer { urls: ice.turn.clone(), username: Some(username), credential });
    }
    IceServers { ice_servers }
}

fn password(secret: &str, username: &str) -> String {
    BASE64_STANDARD.encode(sign(&Key::new(HMAC_SHA1, secret.as_bytes()), username.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerId {
        PeerId::new("ann").unwrap()
    }

    #[test]
    fn turn_credentials_are_what_coturn_computes() {
        let ice = Ice {
            stun: vec!["stun:stun.example.org".into()],
            turn: vec!["turn:turn.example.org".into()],
            turn_secret: Some("north".into()),
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let [stun, turn] = &servers(&ice, &peer(), now).ice_servers[..] else { panic!("two servers") };
        assert_eq!((stun.urls.len(), &stun.username), (1, &None));
        assert_eq!(turn.username.as_deref(), Some("1700007200:ann"));
        // printf %s 1700007200:ann | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(turn.credential.as_deref(), Some("YSmf/KW0VbrMRqvuXfsV/x2gL7Q="));
    }

    #[test]
    fn turn_without_a_secret_is_not_given_away() {
        let ice = Ice { turn: vec!["turn:turn.example.org".into()], ..Ice::default() };
        assert!(servers(&ice, &peer(), SystemTime::now()).ice_servers.is_empty());
    }
}
