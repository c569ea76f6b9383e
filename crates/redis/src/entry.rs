//! Messages as Redis holds and announces them.
//!
//! Invariant: every entry of a stream is a message, whoever wrote it: what another program has put there is bent until
//! it fits, because a message left out would look like a loss.

use std::collections::HashSet;
use std::str::from_utf8;
use std::sync::Arc;

use inkwire_core::{FieldName, Fields, Key, Keyed, Message, Offset, State, UserId, Version};

/// The most characters that a field's name may have.
const LONGEST_NAME: usize = 128;

/// A text that is not an announcement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Makes a message of an entry's texts: names and values in turn, among them those with an `@`.
pub(crate) fn message<'a>(
    offset: Offset,
    prev: Offset,
    texts: impl IntoIterator<Item = &'a [u8]>,
) -> Arc<Message> {
    let mut texts = texts.into_iter();
    let (mut key, mut version, mut state, mut user) = (None, None, State::Live, None);
    let mut names = HashSet::new();
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        match name {
            b"@prev" => {}
            b"@key" => key = from_utf8(value).ok().and_then(|text| Key::new(text).ok()),
            b"@version" => version = from_utf8(value).ok().and_then(|text| Version::new(text).ok()),
            b"@deleted" => state = State::Tombstone,
            b"@user" => user = from_utf8(value).ok().and_then(|text| UserId::new(text).ok()),
            _ => {
                let name = field_name(&String::from_utf8_lossy(name));
                if names.insert(name.clone()) {
                    fields.push((name, Box::from(String::from_utf8_lossy(value))));
                }
            }
        }
    }
    let keyed = key.zip(version).map(|(key, version)| Keyed { key, version, state });
    // An entry with nothing but @ fields: no program of ours writes one.
    let fields = Fields::new(fields).unwrap_or_else(|_| Fields::of([("_", "")]));
    Arc::new(Message { offset, prev, fields, keyed, user })
}

/// A name of a field, changed as little as the rules for names ask.
fn field_name(text: &str) -> FieldName {
    FieldName::new(text).unwrap_or_else(|_| {
        let bent: String = "_".chars().chain(text.chars()).take(LONGEST_NAME).collect();
        FieldName::new(bent).expect("it begins with _ and has at most 128 characters")
    })
}

/// Reads an announcement: `<offset> <prev> <length of each text>…\n` and the texts.
pub(crate) fn announced(payload: &[u8]) -> Result<Arc<Message>, Malformed> {
    let line = payload.iter().position(|byte| *byte == b'\n').ok_or(Malformed)?;
    let (header, texts) = payload.split_at(line);
    let mut words = from_utf8(header).map_err(|_| Malformed)?.split(' ');
    let mut offset = || words.next().and_then(|word| word.parse().ok()).ok_or(Malformed);
    let (offset, prev) = (offset()?, offset()?);
    let mut rest = texts.get(1..).ok_or(Malformed)?;
    let mut pieces = Vec::new();
    for length in words {
        let length = length.parse().map_err(|_| Malformed)?;
        let (piece, after) = rest.split_at_checked(length).ok_or(Malformed)?;
        pieces.push(piece);
        rest = after;
    }
    Ok(message(offset, prev, pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Offset {
        Offset { ms, seq: 0 }
    }

    fn fields(message: &Message) -> Vec<(&str, &str)> {
        message.fields.iter().collect()
    }

    #[test]
    fn what_is_announced() {
        let message =
            announced(b"2-0 1-0 4 2 8 1 8 4 1 3 1 0\n@key\xc3\xa9@version7@deletedtrueax\nyb").unwrap();
        assert_eq!((message.offset, message.prev), (at(2), at(1)));
        assert_eq!(fields(&message), [("a", "x\ny"), ("b", "")]);
        let keyed = message.keyed.as_ref().unwrap();
        assert_eq!((keyed.key.as_str(), keyed.version.as_str(), keyed.state), ("é", "7", State::Tombstone));
    }

    #[test]
    fn who_published() {
        let user = |value: &[u8]| {
            let message = message(at(2), at(1), [b"@user".as_slice(), value, b"a", b"b"]);
            assert_eq!(fields(&message), [("a", "b")]);
            message.user.as_ref().map(|user| user.as_str().to_owned())
        };
        assert_eq!(user(b"ann:1").as_deref(), Some("ann:1"));
        for odd in [&b""[..], b"a b", b"..", b"\xff"] {
            assert_eq!(user(odd), None);
        }
    }

    #[test]
    fn what_is_no_announcement() {
        for bad in ["", "\n", "hello", "1-0\n", "2-0 1-0 5\nabc", "2-0 1-0 x\nabc", "2-0  1\na"] {
            assert_eq!(announced(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn entries_of_others_are_bent_until_they_fit() {
        let long = "n".repeat(200);
        let texts: [&[u8]; 12] =
            [b"offset", b"1", b"@mine", b"2", b"", b"\xff", long.as_bytes(), b"3", b"a", b"4", b"a", b"5"];
        let message = message(at(2), at(1), texts);
        let shortened = format!("_{}", "n".repeat(127));
        assert_eq!(
            fields(&message),
            [("_offset", "1"), ("_@mine", "2"), ("_", "\u{fffd}"), (shortened.as_str(), "3"), ("a", "4")]
        );
        assert_eq!(fields(&super::message(at(2), at(1), [])), [("_", "")]);
    }
}
