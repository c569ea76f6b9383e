//! `inkwire sub`: follows a channel, as `tail -f` follows a file.

use anyhow::Result;
use futures_util::StreamExt as _;
use inkwire_client::{Client, Event, Received};
use tokio::signal::ctrl_c;

use crate::arguments::SubscribeArguments;
use crate::lines;
use crate::remote::{self, Remote};

/// Follows until told to stop.
pub(crate) fn run(arguments: SubscribeArguments) -> Result<()> {
    remote::run(async {
        let remote = Remote::new(arguments.remote.clone());
        let client = remote.patient_client();
        tokio::select! {
            outcome = follow(arguments, &remote, &client) => outcome,
            never = remote::tell(&client) => match never {},
            _ = ctrl_c() => Ok(()),
        }
    })
}

async fn follow(arguments: SubscribeArguments, remote: &Remote, client: &Client) -> Result<()> {
    let mut left = arguments.count.unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(());
    }
    let events = client.subscribe(arguments.channel, arguments.from).await;
    let mut events = events.map_err(|error| remote.explain(error))?;
    while let Some(event) = events.next().await {
        match event.map_err(|error| remote.explain(error))? {
            Event::Messages(messages) => {
                let wanted: &[Received] = messages.get(..left).unwrap_or(&messages);
                lines::messages(wanted)?;
                left -= wanted.len();
            }
            Event::Gap { after, oldest } => lines::gap(after, oldest)?,
        }
        if left == 0 {
            break;
        }
    }
    Ok(())
}
