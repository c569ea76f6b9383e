//! `inkwire pub`: publishes what was typed, or what stands on standard input.

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use inkwire_client::{ChannelName, Client, Error, FieldName, Fields, Key, Publish, PublishReply, Version};
use inkwire_protocol::channel::WireFields;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::arguments::PublishArguments;
use crate::lines;
use crate::remote::{self, Remote};

/// How many lines are on their way at once. The client bounds their bytes; this bounds what is kept to print the
/// offsets in order.
const ON_THE_WAY: usize = 1_024;

/// Publishes.
pub(crate) fn run(arguments: PublishArguments) -> Result<()> {
    remote::run(publish(arguments))
}

async fn publish(arguments: PublishArguments) -> Result<()> {
    let remote = Remote::new(arguments.remote.clone());
    let client = remote.client();
    if arguments.fields.is_empty() {
        return publish_lines(&arguments, &client, &remote).await;
    }
    let fields = Fields::new(arguments.fields.clone()).context("these fields are no message")?;
    let reply = client.publish(arguments.message(fields)).await;
    lines::offset(reply.map_err(|error| remote.explain(error))?.offset.0)
}

/// One after the other, many on their way: the offsets are printed in the order of the lines.
async fn publish_lines(arguments: &PublishArguments, client: &Client, remote: &Remote) -> Result<()> {
    let mut input = BufReader::new(stdin()).lines();
    let mut on_the_way = FuturesOrdered::new();
    let mut is_open = true;
    let print = |reply: Result<PublishReply, Error>| {
        lines::offset(reply.map_err(|error| remote.explain(error))?.offset.0)
    };
    while is_open || !on_the_way.is_empty() {
        tokio::select! {
            line = input.next_line(), if is_open && on_the_way.len() < ON_THE_WAY => {
                match line.context("cannot read standard input")? {
                    Some(line) => on_the_way.push_back(client.publish(arguments.line(&line)?)),
                    None => is_open = false,
                }
            }
            Some(reply) = on_the_way.next() => print(reply)?,
        }
    }
    Ok(())
}

impl PublishArguments {
    /// A line of standard input as a message.
    fn line(&self, line: &str) -> Result<Publish> {
        if self.json {
            let line: Line = serde_json::from_str(line).with_context(|| {
                format!("expected an object of texts, such as {{\"text\":\"hello\"}}, not {line:?}")
            })?;
            return line.message(self.channel.clone(), self);
        }
        let field: (FieldName, Box<str>) = (self.field.clone(), line.into());
        Ok(self.message(Fields::new([field])?))
    }

    fn message(&self, fields: Fields) -> Publish {
        Publish {
            maxlen: self.maxlen,
            key: self.key.clone(),
            version: self.version.clone(),
            tombstone: self.tombstone,
            named: self.named,
            ..Publish::plain(self.channel.clone(), fields)
        }
    }
}

/// A message as `sub` and `read` print it. What only the channel that it stood in can say is passed over.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "offset", default)]
    _offset: IgnoredAny,
    #[serde(rename = "@deliveries", default)]
    _deliveries: IgnoredAny,
    #[serde(rename = "@user", default)]
    _user: IgnoredAny,
    #[serde(rename = "@key")]
    key: Option<String>,
    #[serde(rename = "@version")]
    version: Option<String>,
    #[serde(rename = "@deleted", default)]
    is_deleted: bool,
    #[serde(flatten)]
    fields: WireFields,
}

impl Line {
    fn message(self, channel: ChannelName, arguments: &PublishArguments) -> Result<Publish> {
        let key = self.key.map(Key::new).transpose()?;
        let version = self.version.map(Version::new).transpose()?;
        Ok(Publish {
            maxlen: arguments.maxlen,
            key: arguments.key.clone().or(key),
            version: arguments.version.clone().or(version),
            tombstone: arguments.tombstone || self.is_deleted,
            named: arguments.named,
            ..Publish::plain(channel, self.fields.0)
        })
    }
}
