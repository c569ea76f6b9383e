//! `inkwire work`: a worker of a group, which runs a command for every message it is given.
//!
//! Invariant: a message is acknowledged after its command has ended with 0, and never before. So whatever ends the worker,
//! its messages are given to others.

use std::collections::HashSet;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use inkwire_client::{Claim, Client, ConsumerName, Error, Offset, Received};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::arguments::WorkArguments;
use crate::remote::{self, Remote};
use crate::signals::Signals;

/// How long a claim waits for messages. A worker that is told to stop waits for its last claim, so that nothing is given to
/// somebody who has gone; it is asked again often enough for nobody to notice.
const BLOCK: Duration = Duration::from_secs(1);

/// Fields over this size are not put into the environment: the kernel takes at most 128 KiB in one variable.
const LARGEST_VARIABLE: usize = 64 << 10;

/// How long a worker that was told to stop waits for its last acknowledgements: as long as a server takes to restart.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a worker is called where the machine has no name.
const NAMELESS: &str = "worker";

/// Works until told to stop.
pub(crate) fn run(arguments: WorkArguments) -> Result<()> {
    remote::run(async {
        let remote = Remote::new(arguments.remote.clone());
        let client = remote.patient_client();
        let signals = Signals::listen().context("cannot listen for signals")?;
        let worker = Worker::new(arguments, client.clone());
        tokio::select! {
            outcome = worker.work(signals, &remote) => outcome,
            never = remote::tell(&client) => match never {},
        }
    })
}

struct Worker {
    arguments: Arc<WorkArguments>,
    client: Client,
    consumer: ConsumerName,
    running: JoinSet<Ended>,
    settling: JoinSet<(Offset, Result<usize, Error>)>,
    /// What runs or is being acknowledged. A command that takes long is given to its own worker again; once is enough.
    at_hand: HashSet<Offset>,
}

/// A command that has ended.
struct Ended {
    offset: Offset,
    outcome: Result<ExitStatus>,
}

type Claiming<'a> = Pin<Box<dyn Future<Output = Result<Vec<Received>, Error>> + Send + 'a>>;

impl Worker {
    fn new(arguments: WorkArguments, client: Client) -> Self {
        let consumer = arguments.consumer.clone().unwrap_or_else(machine);
        Self {
            arguments: Arc::new(arguments),
            client,
            consumer,
            running: JoinSet::new(),
            settling: JoinSet::new(),
            at_hand: HashSet::new(),
        }
    }

    /// Works until told to stop, then lets finish what runs.
    async fn work(mut self, signals: Signals, remote: &Remote) -> Result<()> {
        let client = self.client.clone();
        let mut stop = pin!(signals.stop(None));
        let mut stopped_at = None;
        let mut claiming: Option<Claiming<'_>> = None;
        loop {
            let free = self.arguments.concurrency.get().saturating_sub(self.running.len());
            if stopped_at.is_none() && claiming.is_none() && free > 0 {
                claiming = Some(Box::pin(client.claim(self.claim(free))));
            }
            if claiming.is_none() && self.running.is_empty() && stopped_at.is_some() {
                return self.say_goodbye().await;
            }
            tokio::select! {
                claimed = given(&mut claiming) => {
                    claiming = None;
                    self.start(claimed.map_err(|error| remote.explain(error))?);
                }
                Some(ended) = self.running.join_next() => self.settle(ended?)?,
                Some(settled) = self.settling.join_next() => self.forget(settled?),
                () = &mut stop, if stopped_at.is_none() => stopped_at = Some(Instant::now()),
                () = late(stopped_at), if claiming.is_some() => claiming = None,
            }
        }
    }

    fn claim(&self, count: usize) -> Claim {
        let WorkArguments { channel, group, from, take_over, .. } = &*self.arguments;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Claim {
            count,
            block_ms: ms(BLOCK),
            min_idle_ms: ms(*take_over),
            from: *from,
            ..Claim::new(channel.clone(), group.clone(), self.consumer.clone())
        }
    }

    fn start(&mut self, messages: Vec<Received>) {
        for message in messages {
            if self.at_hand.insert(message.offset) {
                let arguments = Arc::clone(&self.arguments);
                self.running.spawn(async move {
                    let outcome = execute(&arguments, &message).await;
                    Ended { offset: message.offset, outcome }
                });
            }
        }
    }

    /// Acknowledges what went well, and leaves the rest for another time.
    fn settle(&mut self, Ended { offset, outcome }: Ended) -> Result<()> {
        let status = outcome?;
        if !status.success() {
            eprintln!("inkwire: the command for {offset} has failed ({status}); it will be given again");
            self.at_hand.remove(&offset);
            return Ok(());
        }
        let (client, arguments) = (self.client.clone(), Arc::clone(&self.arguments));
        self.settling.spawn(async move {
            let WorkArguments { channel, group, .. } = &*arguments;
            (offset, client.ack(channel.clone(), group.clone(), vec![offset]).await)
        });
        Ok(())
    }

    fn forget(&mut self, (offset, outcome): (Offset, Result<usize, Error>)) {
        self.at_hand.remove(&offset);
        if let Err(error) = outcome {
            eprintln!(
                "inkwire: {offset} is done, but cannot be acknowledged, and will be given again: {error}"
            );
        }
    }

    /// Waits for the last acknowledgements, but not for ever.
    async fn say_goodbye(mut self) -> Result<()> {
        let all = async {
            while let Some(settled) = self.settling.join_next().await {
                self.forget(settled?);
            }
            Ok(())
        };
        match timeout(LAST_WORDS, all).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("no server answers: what was done last will be given again"),
        }
    }
}

/// The outcome of a claim, if one is on its way.
async fn given(claiming: &mut Option<Claiming<'_>>) -> Result<Vec<Received>, Error> {
    match claiming {
        Some(claiming) => claiming.await,
        None => pending().await,
    }
}

/// Ready when a server that is there would have answered a claim, for one who was told to stop.
async fn late(stopped_at: Option<Instant>) {
    match stopped_at {
        Some(stopped_at) => sleep_until(stopped_at + 2 * BLOCK).await,
        None => pending().await,
    }
}

/// Runs the command for a message.
async fn execute(arguments: &WorkArguments, message: &Received) -> Result<ExitStatus> {
    let (program, rest) = arguments.command.split_first().context("no command was given")?;
    let mut child = Command::new(program)
        .args(rest)
        .envs(variables(arguments, message))
        .stdin(Stdio::piped())
        // Ctrl-C is for the worker, which lets its commands finish.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        // A command need not read what it is told.
        let _ = stdin.write_all(&line).await;
    }
    child.wait().await.with_context(|| format!("cannot wait for {}", program.display()))
}

/// A message as environment. A text with a zero byte cannot stand there.
fn variables(arguments: &WorkArguments, message: &Received) -> Vec<(String, String)> {
    let mut variables = vec![
        ("INKWIRE_CHANNEL".to_owned(), arguments.channel.to_string()),
        ("INKWIRE_OFFSET".to_owned(), message.offset.to_string()),
        ("INKWIRE_DELIVERIES".to_owned(), message.deliveries.unwrap_or(1).to_string()),
    ];
    if let Some(keyed) = &message.keyed {
        variables.push(("INKWIRE_KEY".to_owned(), keyed.key.to_string()));
    }
    if let Some(user) = &message.user {
        variables.push(("INKWIRE_USER".to_owned(), user.to_string()));
    }
    for (name, value) in message.fields.iter() {
        variables.push((variable(name), value.to_owned()));
    }
    variables.retain(|(_, value)| value.len() <= LARGEST_VARIABLE && !value.contains('\0'));
    variables
}

/// The name of a field's variable.
fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    std::iter::once("INKWIRE_FIELD_").flat_map(str::chars).chain(name.chars().map(letter)).collect()
}

/// The machine's name, as far as it can name a consumer.
fn machine() -> ConsumerName {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let named = ConsumerName::new(name.trim()).or_else(|_| ConsumerName::new(NAMELESS));
    named.expect("a word names a consumer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_called_after_fields() {
        assert_eq!(variable("text"), "INKWIRE_FIELD_TEXT");
        assert_eq!(variable("created-at é"), "INKWIRE_FIELD_CREATED_AT__");
    }
}
