//! What Redis answers to the scripts, read into the broker's words. Functions of values.

use std::sync::Arc;

use inkwire_core::{Claimed, Continuity, Error, Message, Offset, Page, Published, Result};
use redis::Value;

use crate::entry;

/// An answer in a form that no script gives.
fn odd(value: &Value) -> Error {
    let mut text = format!("{value:?}");
    text.truncate(text.floor_char_boundary(200));
    Error::Unavailable(format!("Redis gave an answer that is not understood: {text}"))
}

/// What became of a draft.
pub(crate) fn published(value: Value) -> Result<Published> {
    let [what, detail] = list(value)?;
    match text(&what)? {
        "appended" => Ok(Published::Appended(offset(&detail)?)),
        "duplicate" => Ok(Published::Duplicate(offset(&detail)?)),
        "superseded" => Ok(Published::Superseded(offset(&detail)?)),
        "kind" if text(&detail)? == "keyed" => Err(Error::Kind("keyed")),
        "kind" => Err(Error::Kind("plain")),
        _ => Err(odd(&what)),
    }
}

/// A page, for a cursor.
pub(crate) fn page(value: Value, after: Offset) -> Result<Page> {
    let [head, kind, created, floor, prev, entries] = list(value)?;
    let head = offset(&head)?;
    let proof = match text(&kind)? {
        "keyed" => Proof::Keyed {
            created: optional(&created)?.unwrap_or(Offset::ZERO),
            floor: optional(&floor)?.unwrap_or(Offset::ZERO),
        },
        _ => Proof::Plain { prev: optional(&prev)? },
    };
    let messages = array(entries)?.into_iter().map(message).collect::<Result<_>>()?;
    Ok(Page { messages, head, continuity: proof.continuity(after, head) })
}

/// What a consumer was given.
pub(crate) fn claimed(value: Value) -> Result<Vec<Claimed>> {
    let one = |value| {
        let [offset, texts, deliveries] = list(value)?;
        let message = message(Value::Array(vec![offset, texts]))?;
        Ok(Claimed { message, deliveries: number(&deliveries)? })
    };
    array(value)?.into_iter().map(one).collect()
}

/// How many messages were settled.
pub(crate) fn acknowledged(value: &Value) -> Result<usize> {
    Ok(usize::try_from(number(value)?).unwrap_or(usize::MAX))
}

/// By what a log is judged to continue a cursor.
#[derive(Debug, Clone, Copy)]
enum Proof {
    /// The predecessor of the first message after the cursor, if there is one.
    Plain { prev: Option<Offset> },
    /// The channel's first offset, and the newest message that was collected.
    Keyed { created: Offset, floor: Offset },
}

impl Proof {
    fn continuity(self, after: Offset, head: Offset) -> Continuity {
        let proved = match self {
            Self::Plain { prev: Some(prev) } => prev == after,
            Self::Plain { prev: None } => after == head,
            Self::Keyed { created, floor } => {
                after == Offset::ZERO || (after >= created && after >= floor && after <= head)
            }
        };
        if proved { Continuity::Proved } else { Continuity::Broken }
    }
}

fn message(value: Value) -> Result<Arc<Message>> {
    let [id, texts] = list(value)?;
    let texts = array(texts)?;
    let prev = match texts.get(..2) {
        Some([name, prev]) if bytes(name)? == b"@prev" => offset(prev)?,
        _ => return Err(odd(&Value::Array(texts))),
    };
    let texts = texts.iter().map(bytes).collect::<Result<Vec<_>>>()?;
    Ok(entry::message(offset(&id)?, prev, texts))
}

fn array(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(odd(&other)),
    }
}

fn list<const N: usize>(value: Value) -> Result<[Value; N]> {
    array(value)?.try_into().map_err(|values| odd(&Value::Array(values)))
}

fn bytes(value: &Value) -> Result<&[u8]> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.as_bytes()),
        other => Err(odd(other)),
    }
}

fn text(value: &Value) -> Result<&str> {
    std::str::from_utf8(bytes(value)?).map_err(|_| odd(value))
}

fn offset(value: &Value) -> Result<Offset> {
    text(value)?.parse().map_err(|_| odd(value))
}

fn optional(value: &Value) -> Result<Option<Offset>> {
    if text(value)?.is_empty() { Ok(None) } else { offset(value).map(Some) }
}

fn number(value: &Value) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| odd(value)),
        other => Err(odd(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Offset {
        Offset { ms, seq: 0 }
    }

    #[test]
    fn a_plain_log_continues_what_its_next_message_names() {
        let judge = |prev, after| Proof::Plain { prev }.continuity(after, at(9));
        assert_eq!(judge(Some(at(3)), at(3)), Continuity::Proved);
        assert_eq!(judge(Some(at(3)), at(2)), Continuity::Broken);
        assert_eq!(judge(None, at(9)), Continuity::Proved);
        assert_eq!(judge(None, at(8)), Continuity::Broken);
    }

    #[test]
    fn a_keyed_log_continues_what_lies_within_it() {
        let judge = |after| Proof::Keyed { created: at(2), floor: at(5) }.continuity(after, at(9));
        for (after, expected) in [(0, true), (1, false), (4, false), (5, true), (9, true), (10, false)] {
            assert_eq!(judge(at(after)) == Continuity::Proved, expected, "{after}");
        }
    }

    #[test]
    fn odd_answers_are_errors() {
        assert!(published(Value::Nil).is_err());
        assert!(published(Value::Array(vec![Value::Okay, Value::Okay])).is_err());
        assert!(page(Value::Array(Vec::new()), at(0)).is_err());
        assert!(claimed(Value::Array(vec![Value::Int(1)])).is_err());
        assert!(acknowledged(&Value::Int(-1)).is_err());
    }
}
