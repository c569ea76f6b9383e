//! A peer's inbox, `$inbox/<id>`: what others relay to it, in the order it arrived.
//!
//! Each opening of the stream leaves a mark in it, so that the log exists while the peer does and can be renewed
//! without saying anything new.

use std::time::Duration;

use inkwire_core::{ChannelName, Draft, Fields, Lifetime, Message, Producer, ProducerId, Retention};
use inkwire_protocol::event::single_line;
use inkwire_protocol::{PeerId, RelayName, Relayed, User, Username};

use super::INBOX;

/// How long the inbox of a peer that has gone is kept: a moment for whoever reads it still.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// The channel of a peer's inbox.
pub(crate) fn channel(peer: &PeerId) -> ChannelName {
    ChannelName::new(format!("$inbox/{peer}")).expect("a peer id is part of a channel name")
}

/// The mark of an opened stream. Publishing it again changes nothing but renews the inbox.
pub(crate) fn opened(generation: u64) -> Draft {
    let stream = ProducerId::new("stream").expect("a name by the rules");
    Draft::plain(Fields::of([("opened", &generation.to_string())]))
        .retained(INBOX)
        .by(Producer { id: stream, seq: generation })
}

/// The mark of a closed stream: the inbox is forgotten soon after.
pub(crate) fn closed(generation: u64) -> Draft {
    let soon = Retention { lifetime: Lifetime::Expires(FORGOTTEN_AFTER), ..INBOX };
    Draft::plain(Fields::of([("closed", &generation.to_string())])).retained(soon)
}

/// Something relayed.
pub(crate) fn relayed(event: &Relayed) -> Draft {
    let fields = Fields::of([
        ("event", event.name.as_str()),
        ("from", event.peer.id.as_str()),
        ("username", event.peer.username.as_str()),
        ("data", event.data.get()),
    ]);
    Draft::plain(fields).retained(INBOX)
}

/// Reads what was relayed; `None` for a mark.
pub(crate) fn read(message: &Message) -> Option<Relayed> {
    let field = |name| message.fields.get(name);
    Some(Relayed {
        name: RelayName::new(field("event")?).ok()?,
        peer: User {
            id: PeerId::new(field("from")?).ok()?,
            username: Username::new(field("username")?).ok()?,
        },
        data: single_line(field("data")?).ok()?,
    })
}
