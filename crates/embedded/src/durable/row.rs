//! How messages and offsets are written down.
//!
//! Invariant: what is read back is what was written at that place, or [`Damaged`]: each row carries a checksum over its
//! content, its channel and its offset. No input makes reading panic.

use inkwire_core::{FieldName, Fields, Key, Keyed, Message, Offset, State, UserId, Version};

/// The first byte of every row. Another one means a layout that this version does not know.
const LAYOUT: u8 = 1;
const KEYED: u8 = 1;
const TOMBSTONE: u8 = 2;
const NAMED: u8 = 4;
/// Bytes of the checksum that ends every row.
const CHECKSUM: usize = 8;

/// A row that does not hold what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message at {0} is damaged")]
pub(crate) struct Damaged(pub(crate) Offset);

/// An unsigned number as SQLite's signed one, in the same order.
pub(crate) fn ordered(number: u64) -> i64 {
    number.wrapping_add(1 << 63).cast_signed()
}

/// The reverse of [`ordered`].
pub(crate) fn unordered(number: i64) -> u64 {
    number.cast_unsigned().wrapping_sub(1 << 63)
}

/// Appends the row of a message to `row`.
pub(crate) fn encode(channel: i64, message: &Message, row: &mut Vec<u8>) {
    let start = row.len();
    let flags = message.keyed.as_ref().map_or(0, |keyed| match keyed.state {
        State::Live => KEYED,
        State::Tombstone => KEYED | TOMBSTONE,
    });
    row.extend([LAYOUT, flags | if message.user.is_some() { NAMED } else { 0 }]);
    put_number(row, message.prev.ms);
    put_number(row, message.prev.seq);
    if let Some(keyed) = &message.keyed {
        put_text(row, keyed.key.as_str());
        put_text(row, keyed.version.as_str());
    }
    if let Some(user) = &message.user {
        put_text(row, user.as_str());
    }
    put_number(row, message.fields.iter().count() as u64);
    for (name, value) in message.fields.iter() {
        put_text(row, name);
        put_text(row, value);
    }
    let sum = checksum(channel, message.offset, row.get(start..).unwrap_or_default());
    row.extend(sum);
}

/// Reads the row of a message.
///
/// # Errors
/// [`Damaged`] when it is not what was written there.
pub(crate) fn decode(channel: i64, offset: Offset, row: &[u8]) -> Result<Message, Damaged> {
    let damaged = Damaged(offset);
    let split = row.len().checked_sub(CHECKSUM).ok_or(damaged)?;
    let (content, sum) = row.split_at_checked(split).ok_or(damaged)?;
    if checksum(channel, offset, content) != sum {
        return Err(damaged);
    }
    message(offset, &mut Reader(content)).ok_or(damaged)
}

fn message(offset: Offset, reader: &mut Reader<'_>) -> Option<Message> {
    if reader.byte()? != LAYOUT {
        return None;
    }
    let flags = reader.byte()?;
    let prev = Offset { ms: reader.number()?, seq: reader.number()? };
    let keyed = match flags & !NAMED {
        0 => None,
        KEYED => Some(keyed(State::Live, reader)?),
        flags if flags == KEYED | TOMBSTONE => Some(keyed(State::Tombstone, reader)?),
        _ => return None,
    };
    let user = if flags & NAMED == 0 { None } else { Some(UserId::new(reader.text()?).ok()?) };
    let count = usize::try_from(reader.number()?).ok()?;
    // A field takes two bytes at least: a count beyond that is damage, not a reason to reserve memory.
    let mut fields = Vec::with_capacity(count.min(reader.0.len() / 2));
    for _ in 0..count {
        fields.push((FieldName::new(reader.text()?).ok()?, Box::from(reader.text()?)));
    }
    let fields = Fields::new(fields).ok()?;
    reader.0.is_empty().then_some(Message { offset, prev, fields, keyed, user })
}

fn keyed(state: State, reader: &mut Reader<'_>) -> Option<Keyed> {
    Some(Keyed { key: Key::new(reader.text()?).ok()?, version: Version::new(reader.text()?).ok()?, state })
}

/// Seven bits to a byte, the lowest first; the top bit says that more follow.
fn put_number(row: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        row.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    row.push((number & 0x7f) as u8);
}

fn put_text(row: &mut Vec<u8>, text: &str) {
    put_number(row, text.len() as u64);
    row.extend_from_slice(text.as_bytes());
}

/// 64-bit FNV-1a: every single changed byte changes it, and it needs no table.
fn checksum(channel: i64, offset: Offset, content: &[u8]) -> [u8; CHECKSUM] {
    let place = [channel.to_le_bytes(), offset.ms.to_le_bytes(), offset.seq.to_le_bytes()];
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in place.as_flattened().iter().chain(content) {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    sum.to_le_bytes()
}

/// What is left of a row.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offsets() -> impl Strategy<Value = Offset> {
        (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| Offset { ms, seq })
    }

    fn texts(most: usize) -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<char>(), 0..most).prop_map(String::from_iter)
    }

    fn messages() -> impl Strategy<Value = Message> {
        let keyed = (texts(40), any::<u32>(), any::<bool>()).prop_map(|(key, version, live)| Keyed {
            key: Key::new(format!("k{key}")).expect("a key"),
            version: Version::new(version.to_string()).expect("a version"),
            state: if live { State::Live } else { State::Tombstone },
        });
        let fields = proptest::collection::vec((texts(20), texts(300)), 1..6);
        let user = any::<u32>().prop_map(|id| UserId::new(format!("u:{id}")).expect("a user id"));
        let (keyed, user) = (proptest::option::of(keyed), proptest::option::of(user));
        (offsets(), offsets(), fields, keyed, user).prop_map(|(offset, prev, fields, keyed, user)| {
            let named = fields.into_iter().enumerate().map(|(n, (name, value))| {
                (FieldName::new(format!("f{n}{name}")).expect("a field name"), value.into_boxed_str())
            });
            Message { offset, prev, fields: Fields::new(named).expect("fields"), keyed, user }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(message in messages(), channel in any::<i64>()) {
            let mut row = Vec::new();
            encode(channel, &message, &mut row);
            prop_assert_eq!(decode(channel, message.offset, &row), Ok(message));
        }

        #[test]
        fn a_changed_row_is_damaged(message in messages(), at in any::<prop::sample::Index>(), bits in 1..=255u8) {
            let mut row = Vec::new();
            encode(1, &message, &mut row);
            let at = at.index(row.len());
            row[at] ^= bits;
            prop_assert_eq!(decode(1, message.offset, &row), Err(Damaged(message.offset)));
        }

        #[test]
        fn a_row_belongs_to_its_place(message in messages(), other in offsets()) {
            let mut row = Vec::new();
            encode(1, &message, &mut row);
            prop_assume!(other != message.offset);
            prop_assert!(decode(1, other, &row).is_err());
            prop_assert!(decode(2, message.offset, &row).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(1, Offset::ZERO, &row);
            // And past the checksum.
            let _ = message(Offset::ZERO, &mut Reader(&row));
            let plausible: Vec<u8> = [LAYOUT, KEYED].into_iter().chain(row).collect();
            let _ = message(Offset::ZERO, &mut Reader(&plausible));
        }

        #[test]
        fn numbers_keep_their_order(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(a.cmp(&b), ordered(a).cmp(&ordered(b)));
            prop_assert_eq!(unordered(ordered(a)), a);
        }
    }
}
