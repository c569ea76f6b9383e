//! What is put into rooms: files, each a keyed log of its own, `$file/<room>/<id>`, in whichever store there is. The id is
//! the SHA-256 of the bytes, so all uploads under one id say the same.
//!
//! Invariant: a file is given to nobody before all of it stands. Its parts come first, each under the number of its first
//! byte; then one message says that they are all. Putting a part that stands is a duplicate and changes nothing, so uploads of
//! one file may meet, stop half-way and be repeated; and since each goes from first to last, so does the log.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use inkwire_core::{
    ChannelName, Draft, Error, Fields, Hub, Key, Keyed, Message, Offset, Published, Retention, State, Version,
};
use inkwire_protocol::{FileId, RoomId};
use metrics::counter;
use tokio::sync::Semaphore;

use crate::arriving::Arrivals;

/// How many bytes a part has, but the last: 256 KiB as base64. It is part of what is stored: with another number, files that
/// were put by half could not be completed.
const PART: usize = 192 << 10;

/// How many parts are on their way to the store at once, of all uploads: what people draw meanwhile waits behind no more
/// than these.
const STORING: usize = 2;

/// The key of the message that says that a file is whole.
const WHOLE: &str = "whole";

/// The files of all rooms, seen from this node.
#[derive(Debug)]
pub(crate) struct Files {
    hub: Hub,
    largest: usize,
    arrivals: Arc<Arrivals>,
    storing: Semaphore,
}

/// Images that run no scripts, or that can be shown so (SVG, in a sandbox).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    /// As in `Content-Type`.
    pub(crate) name: &'static str,
    /// What the names of such files end with.
    pub(crate) ending: &'static str,
}

const MEDIA: [Media; 8] = [
    Media { name: "image/png", ending: "png" },
    Media { name: "image/jpeg", ending: "jpg" },
    Media { name: "image/gif", ending: "gif" },
    Media { name: "image/webp", ending: "webp" },
    Media { name: "image/avif", ending: "avif" },
    Media { name: "image/bmp", ending: "bmp" },
    Media { name: "image/x-icon", ending: "ico" },
    Media { name: "image/svg+xml", ending: "svg" },
];

impl Media {
    /// The media of a `Content-Type`, whose parameters say nothing of images.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        MEDIA.into_iter().find(|media| media.name.eq_ignore_ascii_case(essence))
    }
}

/// A file that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) media: Media,
    pub(crate) length: usize,
}

/// The bytes of a file as they will be stored; what they take of memory grows with what has come.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<Vec<u8>>);

impl Parts {
    /// So many bytes more.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let begun = self.0.pop_if(|last| last.len() < PART);
            let mut part = begun.unwrap_or_default();
            let (piece, rest) = bytes.split_at(bytes.len().min(PART - part.len()));
            part.extend_from_slice(piece);
            self.0.push(part);
            bytes = rest;
        }
    }
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The file is new.
    Now,
    /// It stood already.
    Before,
}

impl Files {
    pub(crate) fn new(hub: Hub, largest: usize) -> Self {
        let arrivals = Arc::new(Arrivals::new(largest));
        Self { hub, largest, arrivals, storing: Semaphore::new(STORING) }
    }

    /// The largest file that is taken, in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// The memory for files that arrive: each is held whole until it is stored, since only then is it known to be what its
    /// id says.
    pub(crate) fn arrivals(&self) -> &Arc<Arrivals> {
        &self.arrivals
    }

    /// Keeps a file, whose bytes are what its id says.
    pub(crate) async fn store(
        &self,
        room: &RoomId,
        id: &FileId,
        media: Media,
        bytes: &Parts,
    ) -> Result<Stored, Error> {
        let channel = channel(room, id);
        let stored = match self.whole(&channel).await? {
            Some(_) => Stored::Before,
            None => self.append(&channel, media, bytes).await?,
        };
        let outcome = match stored {
            Stored::Now => "stored",
            Stored::Before => "known",
        };
        counter!("inkwire_uploads_total", "outcome" => outcome).increment(1);
        Ok(stored)
    }

    async fn append(&self, channel: &ChannelName, media: Media, bytes: &Parts) -> Result<Stored, Error> {
        for (number, part) in bytes.0.iter().enumerate() {
            let fields = Fields::of([("bytes", &BASE64_STANDARD.encode(part))]);
            self.publish(channel, draft(&(number * PART).to_string(), fields)).await?;
        }
        let length = bytes.0.iter().map(Vec::len).sum::<usize>().to_string();
        let fields = Fields::of([("type", media.name), ("length", &length)]);
        match self.publish(channel, draft(WHOLE, fields)).await? {
            Published::Appended(_) => Ok(Stored::Now),
            Published::Duplicate(_) | Published::Superseded(_) => Ok(Stored::Before),
        }
    }

    async fn publish(&self, channel: &ChannelName, draft: Draft) -> Result<Published, Error> {
        let _turn = self.storing.acquire().await;
        self.hub.publish(channel, draft).await
    }

    /// A file, if all of it stands.
    pub(crate) async fn find(&self, room: &RoomId, id: &FileId) -> Result<Option<File>, Error> {
        let channel = channel(room, id);
        let whole = self.whole(&channel).await?;
        Ok(whole.map(|whole| File { hub: self.hub.clone(), channel, whole, cursor: Offset::ZERO, given: 0 }))
    }

    /// What the last message of a file's log says: nothing follows the one that says that it is whole.
    async fn whole(&self, channel: &ChannelName) -> Result<Option<Whole>, Error> {
        let head = self.hub.head(channel).await?;
        let page = self.hub.read(channel, head.before(), 1).await?;
        Ok(page.messages.first().and_then(|message| whole_of(message)))
    }
}

/// A file on its way to a reader, who is given one part after the other: no more than one is held.
#[derive(Debug)]
pub(crate) struct File {
    hub: Hub,
    channel: ChannelName,
    whole: Whole,
    cursor: Offset,
    given: usize,
}

impl File {
    pub(crate) fn whole(&self) -> Whole {
        self.whole
    }

    /// The next part; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.given >= self.whole.length {
            return Ok(None);
        }
        let page = self.hub.read(&self.channel, self.cursor, 1).await?;
        let message = page.messages.first().ok_or_else(incomplete)?;
        let bytes = part_of(message, self.given).ok_or_else(incomplete)?;
        self.cursor = message.offset;
        self.given += bytes.len();
        Ok(Some(bytes.into()))
    }
}

/// What can only be if somebody else has a hand in the store.
fn incomplete() -> Error {
    Error::Unavailable("a part of the file is missing in the store".into())
}

fn channel(room: &RoomId, id: &FileId) -> ChannelName {
    ChannelName::new(format!("$file/{room}/{id}")).expect("ids are parts of a channel name")
}

fn draft(key: &str, fields: Fields) -> Draft {
    let key = Key::new(key).expect("a word or a number is a key");
    let version = Version::new("1").expect("a number is a version");
    Draft::keyed(fields, Keyed { key, version, state: State::Live }).retained(Retention::KEYED)
}

fn whole_of(message: &Message) -> Option<Whole> {
    let key = message.keyed.as_ref()?.key.as_str();
    let field = |name| message.fields.get(name);
    let whole = || Some(Whole { media: Media::of(field("type")?)?, length: field("length")?.parse().ok()? });
    (key == WHOLE).then(whole).flatten()
}

/// The bytes of the part that begins at `start`.
fn part_of(message: &Message, start: usize) -> Option<Vec<u8>> {
    let key = message.keyed.as_ref()?.key.as_str();
    let bytes = BASE64_STANDARD.decode(message.fields.get("bytes")?).ok()?;
    (key == start.to_string() && !bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_known_by_their_names_and_no_others() {
        for (given, ending) in
            [("image/png", "png"), ("Image/JPEG", "jpg"), (" image/svg+xml ;charset=utf-8", "svg")]
        {
            assert_eq!(Media::of(given).map(|media| media.ending), Some(ending), "{given}");
        }
        for given in ["", "image/*", "image/png2", "text/html", "image", "image/png,text/html", "image/tiff"]
        {
            assert_eq!(Media::of(given), None, "{given}");
        }
    }
}
