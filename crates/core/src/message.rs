//! What a channel holds, and what is handed in to be published. Values only.

use std::collections::HashSet;
use std::time::Duration;

use crate::name::{FieldName, Key, NameError, ProducerId, UserId, Version};
use crate::offset::Offset;

/// The body of a message: at least one named text, in the order given, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Box<[(FieldName, Box<str>)]>);

impl Fields {
    /// Collects fields.
    ///
    /// # Errors
    /// [`NameError`] when there is none, or a name stands twice.
    pub fn new(fields: impl IntoIterator<Item = (FieldName, Box<str>)>) -> Result<Self, NameError> {
        let fields: Box<[_]> = fields.into_iter().collect();
        if fields.is_empty() {
            return Err(NameError("a message has at least one field"));
        }
        let mut names = HashSet::with_capacity(fields.len());
        if fields.iter().all(|(name, _)| names.insert(name)) {
            Ok(Self(fields))
        } else {
            Err(NameError("a field stands twice"))
        }
    }

    /// Fields whose names the program itself wrote down.
    ///
    /// # Panics
    /// When a name breaks the rules of [`FieldName`]: a mistake in the program, not in its input.
    pub fn of<const N: usize>(fields: [(&'static str, &str); N]) -> Self {
        Self::new(fields.map(|(name, value)| {
            (FieldName::new(name).expect("field names in the program follow the rules"), Box::from(value))
        }))
        .expect("the program names each field once")
    }

    /// The same and one more field, whose name the program itself wrote down.
    ///
    /// # Panics
    /// When the name breaks the rules of [`FieldName`], or stands there already: a mistake in the program, not in its input.
    #[must_use]
    pub fn and(self, name: &'static str, value: &str) -> Self {
        let name = FieldName::new(name).expect("field names in the program follow the rules");
        Self::new(self.0.into_iter().chain([(name, value.into())]))
            .expect("the program names each field once")
    }

    /// The text of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Names and texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Bytes of all names and texts.
    pub fn weight(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Whether a key has a value or was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The key has a value.
    Live,
    /// The key was deleted. Tombstones are kept for [`Retention::tombstones`], then collected.
    Tombstone,
}

/// What makes a message one of a keyed channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// What the message is about.
    pub key: Key,
    /// Decides which message of a key is kept: the highest, as bytes.
    pub version: Version,
    /// A value or a deletion.
    pub state: State,
}

/// A message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it stands.
    pub offset: Offset,
    /// The offset that was the channel's head before it: the proof that nothing is missing in between.
    pub prev: Offset,
    /// Its body.
    pub fields: Fields,
    /// Key, version and state, in a keyed channel.
    pub keyed: Option<Keyed>,
    /// Who published it, where the publisher asked for that to be said.
    pub user: Option<UserId>,
}

impl Message {
    /// Roughly the bytes this message holds in memory.
    pub fn weight(&self) -> usize {
        let keyed =
            self.keyed.as_ref().map_or(0, |keyed| keyed.key.as_str().len() + keyed.version.as_str().len());
        let user = self.user.as_ref().map_or(0, |user| user.as_str().len());
        size_of::<Self>() + self.fields.weight() + keyed + user
    }
}

/// Whether a channel outlives its last publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Kept, and durable where the broker is.
    Kept,
    /// Forgotten as a whole when nothing was published for this long. Lives in memory only.
    Expires(Duration),
}

/// How much of a channel is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At least this many messages (in a keyed channel: keys) are kept, and at most 100 more.
    pub maximum: usize,
    /// In a plain channel, messages older than this are given to nobody any more, and removed when something is published.
    /// A message is as old as the time between its offset's milliseconds and the broker's time of day. In a keyed
    /// channel it says nothing: state does not become untrue by standing still.
    pub age: Option<Duration>,
    /// How long a keyed channel keeps tombstones.
    pub tombstones: Duration,
    /// Whether the channel outlives its last publish.
    pub lifetime: Lifetime,
}

impl Retention {
    /// What a plain channel keeps unless told otherwise: 10,000 messages.
    pub const PLAIN: Self =
        Self { maximum: 10_000, age: None, tombstones: Self::DAY, lifetime: Lifetime::Kept };
    /// What a keyed channel keeps unless told otherwise: 100,000 keys, tombstones for 24 h.
    pub const KEYED: Self =
        Self { maximum: 100_000, age: None, tombstones: Self::DAY, lifetime: Lifetime::Kept };
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// How many messages may stand over [`maximum`](Self::maximum) before a broker must trim: trimming a few at a
    /// time is cheaper for every store. The wire promises "up to 100 more".
    pub const SLACK: usize = 100;
}

/// Makes a repeated publish recognisable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Who publishes.
    pub id: ProducerId,
    /// Grows with every publish of this producer to this channel; gaps are allowed.
    pub seq: u64,
}

/// A message on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its body.
    pub fields: Fields,
    /// Key, version and state, for a keyed channel.
    pub keyed: Option<Keyed>,
    /// How much of the channel is kept from now on.
    pub retention: Retention,
    /// For recognising a repeated publish.
    pub producer: Option<Producer>,
    /// Who publishes, where the message is to say so. Never what a client wrote: whoever makes the draft knows it.
    pub user: Option<UserId>,
}

impl Draft {
    /// A draft for a plain channel.
    pub fn plain(fields: Fields) -> Self {
        Self { fields, keyed: None, retention: Retention::PLAIN, producer: None, user: None }
    }

    /// A draft for a keyed channel.
    pub fn keyed(fields: Fields, keyed: Keyed) -> Self {
        Self { fields, keyed: Some(keyed), retention: Retention::KEYED, producer: None, user: None }
    }

    /// The same under another retention.
    #[must_use]
    pub fn retained(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// The same under a producer's name.
    #[must_use]
    pub fn by(mut self, producer: Producer) -> Self {
        self.producer = Some(producer);
        self
    }

    /// The same, as a message that says who published it.
    #[must_use]
    pub fn named(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }
}
