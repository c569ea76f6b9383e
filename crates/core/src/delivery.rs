//! A message on its way to the subscribers of this node, with room for the bytes that say it.
//!
//! Invariant: bytes are made at most once for each form, by whoever needs them first, and shared by everybody after.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::message::Message;

/// In which form a message is written. What the bytes are is for the transports to know; that there are two of them,
/// for whoever makes the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a frame of its own.
    Frame,
    /// As an event in a stream.
    Event,
}

/// A message, shared by all who are given it.
#[derive(Debug)]
pub struct Delivery {
    message: Arc<Message>,
    frame: OnceLock<Bytes>,
    event: OnceLock<Bytes>,
}

impl Delivery {
    /// A message that nobody has written yet.
    pub fn new(message: Arc<Message>) -> Self {
        Self { message, frame: OnceLock::new(), event: OnceLock::new() }
    }

    /// The message.
    pub fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// The bytes that say the message in a form; `encode` makes them if nobody has yet.
    pub fn encoded(&self, form: Form, encode: impl FnOnce(&Message) -> Bytes) -> &Bytes {
        let place = match form {
            Form::Frame => &self.frame,
            Form::Event => &self.event,
        };
        place.get_or_init(|| encode(&self.message))
    }
}

impl Deref for Delivery {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl PartialEq for Delivery {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl Eq for Delivery {}
