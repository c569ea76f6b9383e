//! What is typed after `inkwire pub`.

use clap::Args;
use inkwire_client::{ChannelName, FieldName, Key, Version};

use super::remote::RemoteArguments;

/// Publishes messages to a channel, and prints their offsets.
///
/// Without fields, every line of standard input is a message. It is sent again until the server says that it is
/// durable, and stands in the channel once.
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:
  inkwire pub board:lobby/log text=hello from=ann
  date | inkwire pub board:lobby/log                        one message a line, in the field text
  inkwire pub board:lobby/log --field line < access.log
  echo '{\"text\":\"hello\"}' | inkwire pub board:lobby/log --json
  inkwire read board:a | inkwire pub board:b --json     copies a channel
  inkwire pub board:lobby/log --named text=hello            says who, by the id of the token
  inkwire pub board:poll --key ann --version 0002 vote=yes
  inkwire pub board:poll --key ann --version 0003 --tombstone vote=none"
)]
pub(crate) struct PublishArguments {
    /// The channel
    pub(crate) channel: ChannelName,

    /// The message: fields as NAME=VALUE
    #[arg(value_name = "FIELD=VALUE", value_parser = field)]
    pub(crate) fields: Vec<(FieldName, Box<str>)>,

    /// Every line of standard input is a message: an object of texts, as `sub` and `read` print them
    #[arg(long, conflicts_with = "fields")]
    pub(crate) json: bool,

    /// The field that a line of standard input is put into
    #[arg(long, value_name = "NAME", default_value = "text", conflicts_with_all = ["fields", "json"])]
    pub(crate) field: FieldName,

    /// What the message is about: the channel keeps the winning message of each key
    #[arg(long, requires = "version")]
    pub(crate) key: Option<Key>,

    /// Decides which message of a key wins: the higher one, as bytes
    #[arg(long, requires = "key")]
    pub(crate) version: Option<Version>,

    /// The message deletes its key
    #[arg(long, requires = "key")]
    pub(crate) tombstone: bool,

    /// So many messages are kept from now on, and up to 100 more
    #[arg(long, value_name = "NUMBER", value_parser = maxlen)]
    pub(crate) maxlen: Option<usize>,

    /// The message says who published it: the server adds the id of the token, as `@user`
    #[arg(long)]
    pub(crate) named: bool,

    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
}

fn field(text: &str) -> Result<(FieldName, Box<str>), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((FieldName::new(name).map_err(|error| error.to_string())?, value.into()))
}

fn maxlen(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|maxlen| *maxlen > 0)
        .ok_or_else(|| "expected a whole number of at least 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let (name, value) = field("a=b=c").unwrap();
        assert_eq!((name.as_str(), &*value), ("a", "b=c"));
        assert_eq!(&*field("a=").unwrap().1, "");
        for bad in ["a", "=b", "offset=1", "@key=1"] {
            assert!(field(bad).is_err(), "{bad}");
        }
        assert!(maxlen("0").is_err() && maxlen("1").is_ok());
    }
}
