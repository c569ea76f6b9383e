//! What is asked of Redis: the broker's requests as calls of the scripts. Also the names of keys, which other programs
//! rely on (`PROTOCOL.md`, "Redis keys").
//!
//! Invariant: every key of a channel has the channel's name as its hash tag, so that they live on one server.

use inkwire_core::{ChannelName, Claim, Draft, Error, GroupName, Lifetime, Offset, Result, State};
use redis::Cmd;

use crate::lua::{self, Script};

/// How many fields a message may have: Lua hands over at most 8,000 texts at once, and needs some of its own.
pub(crate) const MOST_FIELDS: usize = 3_900;

/// More messages than any page can hold, and few enough for Lua to write the number out.
const MOST_MESSAGES: usize = 1 << 31;

/// How announcements travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// `PUBLISH`.
    Everywhere,
    /// `SPUBLISH`: within the part of a cluster that has the channel.
    Sharded,
}

/// What keys and announcements are called.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    prefix: String,
    announcement: Announcement,
    /// Stands behind the names of announcements: those know no databases.
    database: String,
}

impl Layout {
    pub(crate) fn new(prefix: &str, announcement: Announcement, database: i64) -> Self {
        let database = if database == 0 { String::new() } else { format!("@{database}") };
        Self { prefix: prefix.to_owned(), announcement, database }
    }

    pub(crate) fn announcement(&self) -> Announcement {
        self.announcement
    }

    fn stream(&self, channel: &ChannelName) -> String {
        format!("{}{{{channel}}}", self.prefix)
    }

    fn hash(&self, channel: &ChannelName) -> String {
        format!("{}{{{channel}}}:state", self.prefix)
    }

    /// What a channel's announcements are published to.
    pub(crate) fn audience(&self, channel: &ChannelName) -> String {
        format!("{}{{{channel}}}{}", self.prefix, self.database)
    }

    /// Publishes a draft.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the draft has more fields than a script can handle.
    pub(crate) fn publish(&self, channel: &ChannelName, draft: &Draft) -> Result<Cmd> {
        let texts = texts(draft);
        if texts.len() / 2 > MOST_FIELDS {
            return Err(Error::Unavailable(format!(
                "with Redis, a message has at most {MOST_FIELDS} fields"
            )));
        }
        let retention = &draft.retention;
        let (lifetime, producer) = (lifetime(retention.lifetime), draft.producer.as_ref());
        let keyed = draft.keyed.as_ref();
        let deleted = keyed.is_some_and(|keyed| keyed.state == State::Tombstone);
        let mut cmd = self.call(&lua::PUBLISH, channel);
        cmd.arg(if keyed.is_some() { "keyed" } else { "plain" })
            .arg(retention.maximum)
            .arg(retention.age.filter(|_| keyed.is_none()).map_or_else(String::new, millis))
            .arg(millis(retention.tombstones))
            .arg(lifetime)
            .arg(producer.map_or("", |producer| producer.id.as_str()))
            .arg(producer.map_or_else(String::new, |producer| producer.seq.to_string()))
            .arg(keyed.map_or("", |keyed| keyed.key.as_str()))
            .arg(keyed.map_or("", |keyed| keyed.version.as_str()))
            .arg(if deleted { "tombstone" } else { "live" })
            .arg(lengths(&texts));
        for text in texts {
            cmd.arg(text);
        }
        Ok(cmd)
    }

    /// Reads a page.
    pub(crate) fn read(&self, channel: &ChannelName, after: Offset, limit: usize) -> Cmd {
        // Nothing lies behind the last offset there is, and Redis does not like to be asked.
        let after = if after.seq == u64::MAX { Offset { seq: u64::MAX - 1, ..after } } else { after };
        let mut cmd = self.call(&lua::READ, channel);
        cmd.arg(after.to_string()).arg(limit.min(MOST_MESSAGES));
        cmd
    }

    /// Takes messages for a consumer.
    pub(crate) fn claim(&self, channel: &ChannelName, claim: &Claim) -> Cmd {
        let mut cmd = self.call(&lua::CLAIM, channel);
        cmd.arg(claim.group.as_str())
            .arg(claim.consumer.as_str())
            .arg(claim.count.min(MOST_MESSAGES))
            .arg(millis(claim.min_idle))
            .arg(claim.from.to_string());
        cmd
    }

    /// Settles messages.
    pub(crate) fn acknowledge(&self, channel: &ChannelName, group: &GroupName, offsets: &[Offset]) -> Cmd {
        let mut cmd = self.call(&lua::ACKNOWLEDGE, channel);
        cmd.arg(group.as_str());
        for offset in offsets {
            cmd.arg(offset.to_string());
        }
        cmd
    }

    fn call(&self, script: &Script, channel: &ChannelName) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.hash)
            .arg(2)
            .arg(self.stream(channel))
            .arg(self.hash(channel))
            .arg(match self.announcement {
                Announcement::Everywhere => "PUBLISH",
                Announcement::Sharded => "SPUBLISH",
            })
            .arg(self.audience(channel));
        cmd
    }
}

/// All texts of an entry but `@prev`, which only the script knows.
fn texts(draft: &Draft) -> Vec<&str> {
    let mut texts = Vec::new();
    if let Some(keyed) = &draft.keyed {
        texts.extend(["@key", keyed.key.as_str(), "@version", keyed.version.as_str()]);
        if keyed.state == State::Tombstone {
            texts.extend(["@deleted", "true"]);
        }
    }
    if let Some(user) = &draft.user {
        texts.extend(["@user", user.as_str()]);
    }
    texts.extend(draft.fields.iter().flat_map(|(name, value)| [name, value]));
    texts
}

fn lengths(texts: &[&str]) -> String {
    texts.iter().map(|text| text.len().to_string()).collect::<Vec<_>>().join(" ")
}

fn lifetime(lifetime: Lifetime) -> String {
    match lifetime {
        Lifetime::Kept => String::new(),
        Lifetime::Expires(after) => millis(after),
    }
}

/// A century, in ms: what Redis and Lua can still add to the time of day, and as good as for ever.
const LONGEST_MS: u128 = 100 * 365 * 24 * 60 * 60 * 1000;

fn millis(duration: std::time::Duration) -> String {
    duration.as_millis().min(LONGEST_MS).to_string()
}

#[cfg(test)]
mod tests {
    use inkwire_core::{Fields, Key, Keyed, Version};

    use super::*;

    #[test]
    fn every_key_of_a_channel_has_its_name_as_hash_tag() {
        let channel = ChannelName::new("board:a").unwrap();
        let layout = Layout::new("p:", Announcement::Everywhere, 3);
        assert_eq!(layout.stream(&channel), "p:{board:a}");
        assert_eq!(layout.hash(&channel), "p:{board:a}:state");
        assert_eq!(layout.audience(&channel), "p:{board:a}@3");
        let layout = Layout::new("p:", Announcement::Sharded, 0);
        assert_eq!(layout.audience(&channel), "p:{board:a}");
    }

    #[test]
    fn lengths_are_those_of_bytes() {
        let keyed = Keyed {
            key: Key::new("é").unwrap(),
            version: Version::new("1").unwrap(),
            state: State::Tombstone,
        };
        let draft = Draft::keyed(Fields::of([("a", "")]), keyed);
        assert_eq!(lengths(&texts(&draft)), "4 2 8 1 8 4 1 0");
    }
}
