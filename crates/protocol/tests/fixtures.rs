//! The examples of the contract, which the TypeScript client reads too: decoding and encoding gives the same JSON.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

use inkwire_protocol::channel::WireMessage;
use inkwire_protocol::{Asked, Event, Heard, reply};
use serde_json::Value;

const SIGNALLING: &str = include_str!("../fixtures/signalling.json");
const CHANNELS: &str = include_str!("../fixtures/channels.json");

fn channels(sort: &str) -> Vec<Value> {
    let fixtures: Value = serde_json::from_str(CHANNELS).unwrap();
    fixtures[sort].as_array().unwrap().clone()
}

#[test]
fn commands_survive_the_way_in_and_out() {
    for fixture in channels("commands") {
        let Asked { id, command } = Asked::decode(&fixture.to_string());
        let command = command.unwrap_or_else(|error| panic!("{fixture}: {error}"));
        assert_eq!(command.op(), fixture["op"]);
        assert_eq!(serde_json::from_str::<Value>(&command.encode(id.as_ref())).unwrap(), fixture);
    }
}

#[test]
fn replies_are_heard() {
    for fixture in channels("replies") {
        let Ok(Heard::Reply { id, outcome }) = Heard::decode(&fixture.to_string()) else {
            panic!("{fixture}")
        };
        assert_eq!((id, outcome.is_ok()), (fixture["id"].as_u64().unwrap(), fixture["ok"] == true));
        if let Err(refused) = outcome {
            assert_eq!(serde_json::to_value(refused).unwrap(), fixture["error"]);
        }
    }
}

#[test]
fn events_of_a_socket_survive_the_way_in_and_out() {
    for fixture in channels("events") {
        let said =
            match Heard::decode(&fixture.to_string()).unwrap_or_else(|error| panic!("{fixture}: {error}")) {
                Heard::Connected(welcome) => reply::connected(&welcome),
                Heard::Messages { channel, messages } => {
                    let [received] = messages.as_slice() else { panic!("{fixture}") };
                    let message = inkwire_core::Message {
                        offset: received.offset,
                        prev: inkwire_core::Offset::ZERO,
                        fields: received.fields.clone(),
                        keyed: received.keyed.clone(),
                        user: received.user.clone(),
                    };
                    reply::message(&channel, WireMessage(&message))
                }
                Heard::Gap { channel, after, oldest } => reply::gap(&channel, after, oldest),
                Heard::Draining => reply::of_peer(&Event::Draining, None),
                Heard::Error(refused) => reply::error(&refused),
                Heard::Peer { event, position } => reply::of_peer(&event, position.as_deref()),
                Heard::Reply { .. } => panic!("{fixture}"),
            };
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), fixture);
    }
}

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
