//! Views: rooms for those who may look and not edit. A room's id is the key to it, so a view must not tell it: a view id
//! is the room's id, sealed under a key that follows from the secret that signs tokens.
//!
//! Invariant: a view id opens to the room it was made for, on any node with the secret, or to none. Nothing is stored.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use inkwire_core::ChannelName;
use inkwire_protocol::{Code, Refused, RoomId, ViewId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac::{self, HMAC_SHA256};

/// How the channels of views are called.
const CHANNELS: &str = "view:";
/// What tells view ids from room ids.
const MARK: &str = "v.";
/// Keeps the keys apart from all else that is made of the secret.
const SALT: &[u8] = b"inkwire views";

/// Makes and opens view ids.
pub(crate) struct Views {
    sealing: LessSafeKey,
    /// A room's nonce follows from its id, so that its link is always the same, and no two rooms share one.
    nonces: hmac::Key,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Views(…)")
    }
}

impl Views {
    pub(crate) fn new(secret: &crate::tokens::TokenSecret) -> Self {
        let root = Salt::new(HKDF_SHA256, SALT).extract(secret.bytes());
        let short = "a key is far shorter than HKDF allows";
        let sealing = UnboundKey::from(root.expand(&[b"sealing"], &AES_256_GCM).expect(short));
        let nonces = hmac::Key::from(root.expand(&[b"nonces"], HMAC_SHA256).expect(short));
        Self { sealing: LessSafeKey::new(sealing), nonces }
    }

    /// The view of a room.
    pub(crate) fn of(&self, room: &RoomId) -> ViewId {
        let nonce = self.nonce(room);
        let mut sealed = room.as_str().as_bytes().to_vec();
        self.sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("a room id is far shorter than what can be sealed");
        let sealed = [&nonce[..], &sealed].concat();
        ViewId::new(format!("{MARK}{}", BASE64_URL_SAFE_NO_PAD.encode(sealed)))
            .expect("base64url by the rules")
    }

    /// The room that a view shows.
    pub(crate) fn open(&self, view: &ViewId) -> Result<RoomId, Refused> {
        self.opened(view).ok_or_else(|| Refused::new(Code::NotFound, "there is no such view"))
    }

    fn opened(&self, view: &ViewId) -> Option<RoomId> {
        let mut sealed = BASE64_URL_SAFE_NO_PAD.decode(view.as_str().strip_prefix(MARK)?).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let room = self.sealing.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        RoomId::new(std::str::from_utf8(room).ok()?).ok()
    }

    fn nonce(&self, room: &RoomId) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        let tag = hmac::sign(&self.nonces, room.as_str().as_bytes());
        nonce.iter_mut().zip(tag.as_ref()).for_each(|(byte, own)| *byte = *own);
        nonce
    }
}

/// The channel under which a view is followed.
pub(crate) fn channel(view: &ViewId) -> ChannelName {
    ChannelName::new(format!("{CHANNELS}{view}")).expect("a view id is part of a channel name")
}

/// The view that a channel is; names that only begin like one are channels like any other.
pub(crate) fn of(channel: &ChannelName) -> Option<ViewId> {
    ViewId::new(channel.as_str().strip_prefix(CHANNELS)?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tokens::TokenSecret;

    fn views(secret: &str) -> Views {
        Views::new(&TokenSecret::new(secret.repeat(32)).unwrap())
    }

    fn room(id: &str) -> RoomId {
        RoomId::new(id).unwrap()
    }

    #[test]
    fn a_view_opens_to_its_room_under_its_secret_and_is_always_the_same() {
        let (node, other, stranger) = (views("a"), views("a"), views("b"));
        for id in ["a", "lobby", &"r".repeat(64)] {
            let view = node.of(&room(id));
            assert_eq!(view, other.of(&room(id)));
            assert_eq!(other.open(&view).unwrap(), room(id));
            assert_eq!(stranger.open(&view).unwrap_err().code, Code::NotFound);
            assert_ne!(view, stranger.of(&room(id)));
            assert_eq!(of(&channel(&view)), Some(view));
        }
    }

    #[test]
    fn no_two_rooms_share_a_nonce() {
        let node = views("a");
        let nonces: HashSet<_> = (0..1_000).map(|n| node.nonce(&room(&format!("room{n}")))).collect();
        assert_eq!(nonces.len(), 1_000);
    }

    /// Whatever is changed in a view id, it opens to nothing: every bit of the bytes, and every letter for every other.
    #[test]
    fn a_changed_view_opens_to_nothing() {
        let node = views("a");
        let view = node.of(&room("lobby"));
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(&view.as_str()[2..]).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = ViewId::new(format!("v.{}", BASE64_URL_SAFE_NO_PAD.encode(changed))).unwrap();
            assert_eq!(node.opened(&changed), None, "bit {bit}");
        }
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for at in 2..view.as_str().len() {
            for letter in letters.iter().filter(|letter| **letter != view.as_str().as_bytes()[at]) {
                let mut changed = view.as_str().as_bytes().to_vec();
                changed[at] = *letter;
                let changed = ViewId::new(String::from_utf8(changed).unwrap()).unwrap();
                assert_eq!(node.opened(&changed), None, "{at}: {letter}");
            }
        }
        for length in 39..view.as_str().len() - 2 {
            let cut = ViewId::new(&view.as_str()[..length + 2]).unwrap();
            assert_eq!(node.opened(&cut), None, "cut to {length}");
        }
        assert_eq!(node.opened(&ViewId::new(format!("{view}A")).unwrap()), None);
    }

    #[test]
    fn only_what_is_a_view_id_makes_a_views_channel() {
        for other in ["view:", "view:lobby", "view:v.x", "views:a", "board:a"] {
            assert_eq!(of(&ChannelName::new(other).unwrap()), None, "{other}");
        }
    }
}
