//! What a token may do with a channel: pure functions of its grants.

use inkwire_core::ChannelName;
use inkwire_protocol::access::{Action, Grant};

/// Why a channel may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("names that begin with $ are the server's own")]
    Reserved,
    #[error("the token has no grant for this channel")]
    NotGranted,
}

/// Whether the grants allow an action on a channel.
pub(crate) fn check(grants: &[Grant], action: Action, channel: &ChannelName) -> Result<(), Denied> {
    if channel.is_reserved() {
        return Err(Denied::Reserved);
    }
    let granted =
        grants.iter().any(|grant| grant.can.contains(&action) && matches(&grant.pattern, channel.as_str()));
    if granted { Ok(()) } else { Err(Denied::NotGranted) }
}

/// Whether a pattern, in which `*` stands for any run of characters, matches a whole name. Takes time in proportion to the
/// lengths multiplied at worst: after a mismatch only the last `*` is tried again.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut retry = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(byte) if name.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                (at, seen) = (after_star, from + 1);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("*", "a"),
            ("board:*", "board:x"),
            ("board:*", "board:"),
            ("a*c*e", "abcde"),
            ("a", "a"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("a", "ab"), ("board:*", "board"), ("a*c", "abcd"), ("*x", "xy"), ("A", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn grants_are_for_an_action_and_never_for_the_servers_own() {
        let grants = [Grant { pattern: "*".into(), can: vec![Action::Subscribe] }];
        let channel = |name| ChannelName::new(name).unwrap();
        assert_eq!(check(&grants, Action::Subscribe, &channel("a")), Ok(()));
        assert_eq!(check(&grants, Action::Publish, &channel("a")), Err(Denied::NotGranted));
        assert_eq!(check(&grants, Action::Subscribe, &channel("$inbox/a")), Err(Denied::Reserved));
        assert_eq!(check(&[], Action::Subscribe, &channel("a")), Err(Denied::NotGranted));
    }

    /// The obvious way, which may take very long.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if plainly(rest, name) => true,
            (Some((b'*', _)), Some((_, name))) => plainly(pattern, name),
            (Some((byte, pattern)), Some((own, name))) if byte == own => plainly(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_way(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &name), plainly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
