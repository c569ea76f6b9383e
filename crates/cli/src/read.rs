//! `inkwire read`: what a channel holds, page after page.

use anyhow::Result;
use inkwire_client::{From, Offset, Read};
use inkwire_protocol::command::LARGEST_LIMIT;

use crate::arguments::ReadArguments;
use crate::lines;
use crate::remote::{self, Remote};

/// Reads and prints.
pub(crate) fn run(arguments: ReadArguments) -> Result<()> {
    remote::run(read(arguments))
}

async fn read(arguments: ReadArguments) -> Result<()> {
    let remote = Remote::new(arguments.remote);
    let client = remote.client();
    let (mut after, mut left) = (arguments.after, arguments.limit);
    while left > 0 {
        let limit = left.min(LARGEST_LIMIT);
        let page = client.read(Read { channel: arguments.channel.clone(), after, limit }).await;
        let page = page.map_err(|error| remote.explain(error))?;
        if page.gap {
            lines::gap(if let From::After(after) = after { after } else { Offset::ZERO }, None)?;
        }
        lines::messages(&page.messages)?;
        left -= page.messages.len().min(left);
        // A page may be shorter than asked for; the head says whether there is more.
        match page.messages.last() {
            Some(last) if last.offset < page.head => after = From::After(last.offset),
            _ => break,
        }
    }
    Ok(())
}
