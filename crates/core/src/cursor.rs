//! The rule that keeps replay and live in one order. A cursor is the offset of the last message taken; this rule
//! alone decides what a message means to it.

use crate::message::Message;
use crate::offset::Offset;

/// What a message means to a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the next one: take it.
    Deliver,
    /// It was taken already, or lies before where the subscriber began.
    Skip,
    /// Something may stand between the cursor and it: only the log knows.
    Reread,
}

/// Decides by the message's own word (`prev`) and by nothing else.
pub fn step(cursor: Offset, message: &Message) -> Step {
    if message.offset <= cursor {
        Step::Skip
    } else if message.prev == cursor {
        Step::Deliver
    } else {
        Step::Reread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    #[test]
    fn only_the_named_successor_is_delivered() {
        let at = |ms| Offset { ms, seq: 0 };
        let message =
            Message { offset: at(5), prev: at(3), fields: Fields::of([("a", "b")]), keyed: None, user: None };
        let expected = [
            (0, Step::Reread),
            (2, Step::Reread),
            (3, Step::Deliver),
            (4, Step::Reread),
            (5, Step::Skip),
            (6, Step::Skip),
        ];
        for (cursor, step_expected) in expected {
            assert_eq!(step(at(cursor), &message), step_expected, "cursor {cursor}");
        }
    }
}
