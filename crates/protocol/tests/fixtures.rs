//! The examples of the contract, which the TypeScript client reads too: decoding and encoding gives the same JSON.

use inkwire_protocol::Event;
use serde_json::Value;

const SIGNALLING: &str = include_str!("../fixtures/signalling.json");

#[test]
fn signalling_events_survive_the_way_in_and_out() {
    let fixtures: Vec<Value> = serde_json::from_str(SIGNALLING).unwrap();
    assert!(fixtures.len() > 10);
    for fixture in fixtures {
        let (name, data) = (fixture["event"].as_str().unwrap(), &fixture["data"]);
        let event =
            Event::decode(name, &data.to_string()).unwrap_or_else(|error| panic!("{fixture}: {error}"));
        assert_eq!(event.name(), name);
        assert_eq!(&serde_json::from_str::<Value>(&event.data()).unwrap(), data);
        assert!(!event.data().contains('\n'));
    }
}

#[test]
fn what_is_no_event_is_refused() {
    let wrong = [
        ("add-peer", r#"{"peer":{"id":"p"},"roomId":"a","offer":true}"#),
        ("add-peer", r#"{"peer":{"id":"p","username":"x"},"roomId":"no room","offer":true}"#),
        ("remove-peer", "null"),
        ("gap", "1"),
        ("Bad Name", "{}"),
        ("wave", r#"{"data":1}"#),
    ];
    for (name, data) in wrong {
        assert!(Event::decode(name, data).is_err(), "{name} {data}");
    }
}
