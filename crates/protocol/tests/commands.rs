//! Commands as they are understood: what is wrong with one is said under its id, and nothing that is sent does harm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

use inkwire_core::State;
use inkwire_protocol::{Asked, Command, Heard};
use proptest::prelude::*;

fn refused(text: &str) -> (Option<String>, String) {
    let Asked { id, command } = Asked::decode(text);
    (id.map(|id| id.as_str().to_owned()), command.expect_err(text).to_string())
}

#[test]
fn an_id_is_repeated_as_it_was_written() {
    for id in ["7", "0", "-1", "1.50", "1e3", "9007199254740993", "1e999"] {
        let asked = Asked::decode(&format!(r#"{{"op":"ping","id":{id}}}"#));
        assert_eq!(asked.id.map(|id| serde_json::to_string(&id).unwrap()).as_deref(), Some(id));
        assert!(asked.command.is_ok());
    }
    assert!(Asked::decode(r#"{"op":"ping","id":null}"#).id.is_none());
    assert!(refused(r#"{"op":"ping","id":"7"}"#).1.contains("number"));
}

#[test]
fn what_is_wrong_with_a_command_is_said_under_its_id() {
    for text in [
        r#"{"id":7}"#,
        r#"{"id":7,"op":1}"#,
        r#"{"id":7,"op":"dance"}"#,
        r#"{"id":7,"op":"subscribe"}"#,
        r#"{"id":7,"op":"subscribe","channel":"a b"}"#,
        r#"{"id":7,"op":"subscribe","channel":"a","offset":"last"}"#,
        r#"{"id":7,"op":"subscribe","channel":"a","offset":1}"#,
        r#"{"id":7,"op":"publish","channel":"a"}"#,
        r#"{"id":7,"op":"publish","channel":"a","fields":{}}"#,
        r#"{"id":7,"op":"publish","channel":"a","fields":{"a":1}}"#,
        r#"{"id":7,"op":"publish","channel":"a","fields":{"a":"1"},"maxlen":0}"#,
        r#"{"id":7,"op":"publish","channel":"a","fields":{"a":"1"},"producer":{"id":"p"}}"#,
        r#"{"id":7,"op":"publish","channel":"a","fields":{"a":"1"},"producer":{"id":"p","seq":-1}}"#,
        r#"{"id":7,"op":"read","channel":"a","after":"$"}"#,
        r#"{"id":7,"op":"read","channel":"a","limit":0}"#,
        r#"{"id":7,"op":"read","channel":"a","limit":1001}"#,
        r#"{"id":7,"op":"claim","channel":"a","group":"g"}"#,
        r#"{"id":7,"op":"claim","channel":"a","group":"g","consumer":"c","blockMs":1e9}"#,
        r#"{"id":7,"op":"ack","channel":"a","group":"g","offsets":["x"]}"#,
        r#"{"id":7,"op":"relay","to":"p","event":"wave"}"#,
    ] {
        assert_eq!(refused(text).0.as_deref(), Some("7"), "{text}");
    }
    for text in ["", "[]", "7", "\"ping\"", "{", r#"{"id":7,"op":"ping"}x"#, "[7,\"ping\"]"] {
        assert_eq!(refused(text).0, None, "{text}");
    }
}

#[test]
fn key_and_version_stand_together() {
    let draft = |rest: &str| {
        let text = format!(r#"{{"op":"publish","channel":"a","fields":{{"a":"1"}}{rest}}}"#);
        match Asked::decode(&text).command {
            Ok(Command::Publish(publish)) => publish.into_draft(),
            other => panic!("{other:?}"),
        }
    };
    assert!(draft("").is_ok_and(|draft| draft.keyed.is_none()));
    assert!(draft(r#","key":"k","version":"1""#).is_ok_and(|draft| draft.keyed.is_some()));
    assert!(
        draft(r#","key":"k","version":"1","tombstone":true"#)
            .is_ok_and(|draft| draft.keyed.is_some_and(|keyed| keyed.state == State::Tombstone))
    );
    for bad in [r#","key":"k""#, r#","version":"1""#, r#","tombstone":true"#] {
        assert!(draft(bad).is_err(), "{bad}");
    }
}

/// Texts that are nearly commands: whole ones with pieces cut out, doubled or changed.
fn nearly() -> impl Strategy<Value = String> {
    const WHOLE: [&str; 6] = [
        r#"{"id":7,"op":"auth","token":"a.b.c","lastEventId":"x"}"#,
        r#"{"id":1.5e3,"op":"subscribe","channel":"board:a","offset":"5-1"}"#,
        r#"{"op":"publish","channel":"a","fields":{"text":"\u00e9\ud83d\ude00"},"key":"k","version":"1","tombstone":true}"#,
        r#"{"id":-0,"op":"claim","channel":"a","group":"g","consumer":"c","count":10,"blockMs":5,"from":"$"}"#,
        r#"{"id":null,"op":"ack","channel":"a","group":"g","offsets":["1-1","18446744073709551615-0"]}"#,
        r#"{"id":2,"op":"relay","to":"p","event":"wave","data":[[[[{"a":[1,2,3]}]]]]}"#,
    ];
    let pieces = prop_oneof![
        Just("\""),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("0"),
        Just("9e999"),
        Just("\\u0000"),
        Just("\u{0}"),
        Just("null"),
        Just("\"id\":1,"),
        Just("-"),
        Just("é"),
    ];
    let change = (any::<prop::sample::Index>(), 0..6_usize, pieces);
    (prop::sample::select(&WHOLE[..]), prop::collection::vec(change, 0..6)).prop_map(|(whole, changes)| {
        let mut text: Vec<char> = whole.chars().collect();
        for (at, cut, piece) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    /// No text makes it panic; a command that was understood is understood again when it is written.
    #[test]
    fn any_text_is_understood_or_refused(text in prop_oneof![nearly(), any::<String>()]) {
        let Asked { id, command } = Asked::decode(&text);
        if let Ok(command) = command {
            let again = Asked::decode(&command.encode(id.as_ref()));
            prop_assert_eq!(again.id, id);
            prop_assert_eq!(format!("{:?}", again.command.unwrap()), format!("{command:?}"));
        }
    }

    #[test]
    fn any_text_from_a_server_is_heard_or_refused(text in prop_oneof![nearly(), any::<String>()]) {
        let _ = Heard::decode(&text);
    }
}

#[test]
fn nesting_costs_no_stack() {
    let deep = format!(
        "{{\"id\":1,\"op\":\"relay\",\"to\":\"p\",\"event\":\"e\",\"data\":{}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let _ = Asked::decode(&deep);
    let deep = format!("{{\"op\":\"ping\",\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let _ = Asked::decode(&deep);
}

#[test]
fn a_token_is_not_printed() {
    let asked = Asked::decode(r#"{"op":"auth","token":"secret"}"#);
    assert!(!format!("{asked:?}").contains("secret"));
}
