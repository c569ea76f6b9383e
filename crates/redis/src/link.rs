//! The one connection that carries a server's calls: many calls at once, one write, one wait for all answers.
//!
//! Invariant: calls of one channel are carried out in the order of the jobs, or not at all. What Redis did not carry out
//! is tried again only where nothing later of its channel was carried out; what may have been carried out is never
//! repeated.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use inkwire_core::Error;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, PushKind, ServerError, ServerErrorKind, Value};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::endpoint::{Endpoint, Trouble};
use crate::lua;
use crate::queue::Job;

/// A server's calls.
pub(crate) struct Link {
    endpoint: Endpoint,
    patience: Duration,
    connected: Option<Connected>,
    backoff: Backoff,
    troubles: Troubles,
    /// Told when the server does not have what it should.
    stale: Arc<Notify>,
    /// A connection to the node that a slot is moving to, kept while it moves.
    target: Option<(String, MultiplexedConnection)>,
}

/// Jobs that were not carried out and are to be tried again, in order.
#[derive(Default)]
pub(crate) struct Undone {
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) pace: Pace,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pace {
    /// At once: what had to be waited for has been.
    #[default]
    Now,
    /// After a moment, in which only these channels stand still.
    Soon,
}

struct Connected {
    connection: MultiplexedConnection,
    /// Known to be closed, before anything was written to it in vain.
    lost: Arc<AtomicBool>,
}

/// Why a server cannot be used at present, for those who wait in vain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Mutex<Option<String>>>);

impl Troubles {
    pub(crate) fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what is the trouble; says what was before.
    pub(crate) fn note(&self, trouble: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }
}

/// What is to be done with a call that Redis answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing has happened, and trying again may help, after this.
    Again(Remedy),
    /// Nothing has happened, and that is the answer.
    Refused,
}

/// What must come before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Remedy {
    LoadScripts,
    /// The channel is on its way to another node, or has arrived there.
    Follow,
    Wait,
    /// The server is not the one to ask any more.
    Reconnect,
}

impl Link {
    pub(crate) fn new(
        endpoint: Endpoint,
        patience: Duration,
        troubles: Troubles,
        stale: Arc<Notify>,
    ) -> Self {
        let backoff = Backoff::default();
        Self { endpoint, patience, connected: None, backoff, troubles, stale, target: None }
    }

    /// Carries out jobs and answers them; gives back those to be tried again.
    pub(crate) async fn carry_out(&mut self, mut jobs: VecDeque<Job>) -> Undone {
        forget_given_up(&mut jobs);
        if jobs.is_empty() {
            return Undone::default();
        }
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(trouble) => {
                self.note_trouble(trouble);
                self.backoff.wait().await;
                return Undone { jobs, pace: Pace::Now };
            }
        };
        // Again, because connecting may have taken long.
        forget_given_up(&mut jobs);
        if jobs.is_empty() {
            return Undone::default();
        }
        let mut pipeline = Pipeline::with_capacity(jobs.len());
        for job in &mut jobs {
            pipeline.add_command(std::mem::take(&mut job.cmd));
        }
        match connection.send_packed_commands(&pipeline, 0, jobs.len()).await {
            Ok(answers) => {
                let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
                self.ask_elsewhere(&pipeline, &mut answers).await;
                self.settle(jobs, &pipeline, answers).await
            }
            Err(error) => {
                self.connected = None;
                self.stale.notify_one();
                let why = format!("Redis at {} did not answer: {error}", self.endpoint.name);
                warn!(server = %self.endpoint.name, %error, "the connection for calls has failed");
                jobs.into_iter().for_each(|job| job.refuse(Error::Unavailable(why.clone())));
                Undone::default()
            }
        }
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, Trouble> {
        if let Some(connected) = &self.connected
            && !connected.lost.load(Ordering::Relaxed)
        {
            return Ok(connected.connection.clone());
        }
        self.connected = None;
        let lost = Arc::new(AtomicBool::new(false));
        let config =
            AsyncConnectionConfig::new().set_response_timeout(Some(self.patience)).set_push_sender({
                let lost = Arc::clone(&lost);
                move |push: PushInfo| {
                    if push.kind == PushKind::Disconnection {
                        lost.store(true, Ordering::Relaxed);
                    }
                    Ok::<(), redis::aio::SendError>(())
                }
            });
        let mut connection = self.endpoint.connect(config).await?;
        load_scripts(&mut connection).await?;
        self.backoff.reset();
        if self.troubles.note(None).is_some() {
            info!(server = %self.endpoint.name, "Redis is back");
        }
        self.connected = Some(Connected { connection: connection.clone(), lost });
        Ok(connection)
    }

    fn note_trouble(&self, Trouble(trouble): Trouble) {
        self.stale.notify_one();
        let before = self.troubles.note(Some(trouble.clone()));
        // Once for each sort of trouble, not for each attempt.
        if before.as_ref() != Some(&trouble) {
            warn!(server = %self.endpoint.name, trouble, "Redis cannot be used; trying again");
        }
    }

    async fn settle(
        &mut self,
        jobs: VecDeque<Job>,
        pipeline: &Pipeline,
        answers: Vec<Option<Value>>,
    ) -> Undone {
        let verdicts: Vec<_> = answers.iter().map(|answer| verdict(answer.as_ref())).collect();
        let remedy = verdicts.iter().filter_map(|verdict| remedy(*verdict)).max();
        let channels: Vec<_> = jobs.iter().map(|job| &job.channel).zip(&verdicts).collect();
        let mut repeats = repeatable(&channels).into_iter();
        let mut undone = Undone::default();
        for ((mut job, answer), cmd) in jobs.into_iter().zip(answers).zip(pipeline.cmd_iter()) {
            match (answer, repeats.next()) {
                (Some(Value::ServerError(_)), Some(true)) => {
                    job.cmd = cmd.clone();
                    undone.jobs.push_back(job);
                }
                (Some(Value::ServerError(error)), _) => job.refuse(refusal(&error)),
                // Nobody waiting is nobody's loss.
                (Some(answer), _) => drop(job.answer.send(Ok(answer))),
                (None, _) => {
                    job.refuse(Error::Unavailable("the node that the channel moves to was lost".into()));
                }
            }
        }
        match remedy {
            None => self.backoff.reset(),
            Some(Remedy::Follow) => {
                self.stale.notify_one();
                undone.pace = Pace::Soon;
            }
            Some(remedy) => self.remedy(remedy).await,
        }
        undone
    }

    /// Asks the node that a slot is moving to for what has moved there already, and puts its answers in the place of those
    /// that sent us there; none where nobody knows whether it was carried out.
    async fn ask_elsewhere(&mut self, pipeline: &Pipeline, answers: &mut [Option<Value>]) {
        let moved = answers.iter_mut().zip(pipeline.cmd_iter());
        let moved =
            moved.filter_map(|(answer, cmd)| redirect(answer.as_ref()?).map(|target| (target, answer, cmd)));
        for (target, answer, cmd) in moved.collect::<Vec<_>>() {
            let Some(connection) = self.target(&target).await else { continue };
            let mut asking = Pipeline::with_capacity(2);
            asking.cmd("ASKING");
            asking.add_command(cmd.clone());
            match connection.send_packed_commands(&asking, 0, 2).await {
                Ok(mut said) => *answer = said.pop(),
                Err(_) => {
                    self.target = None;
                    *answer = None;
                }
            }
        }
    }

    async fn target(&mut self, target: &str) -> Option<&mut MultiplexedConnection> {
        if self.target.as_ref().is_none_or(|(name, _)| name != target) {
            let (host, port) = target.rsplit_once(':')?;
            let host = if host.is_empty() { self.endpoint.host() } else { host.to_owned() };
            let endpoint = self.endpoint.sibling(&host, port.parse().ok()?);
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.patience));
            let mut connection = endpoint.connect(config).await.ok()?;
            load_scripts(&mut connection).await.ok()?;
            self.target = Some((target.to_owned(), connection));
        }
        self.target.as_mut().map(|(_, connection)| connection)
    }

    async fn remedy(&mut self, remedy: Remedy) {
        if remedy == Remedy::LoadScripts
            && let Some(connected) = &mut self.connected
            && load_scripts(&mut connected.connection).await.is_ok()
        {
            return;
        }
        if remedy != Remedy::Wait {
            self.connected = None;
        }
        self.backoff.wait().await;
    }
}

/// Whoever was told that Redis did not answer must not find it done later.
fn forget_given_up(jobs: &mut VecDeque<Job>) {
    jobs.retain(|job| !job.is_given_up());
}

async fn load_scripts(connection: &mut MultiplexedConnection) -> Result<(), Trouble> {
    let mut pipeline = Pipeline::new();
    for script in lua::all() {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(&script.source).ignore();
    }
    Ok(pipeline.exec_async(connection).await?)
}

/// Which of a batch's calls are tried again: those that may be, unless a later one of their channel was carried out.
fn repeatable<C: std::hash::Hash + Eq>(calls: &[(C, &Option<Verdict>)]) -> Vec<bool> {
    let mut overtaken = HashSet::new();
    let mut repeats: Vec<bool> = calls
        .iter()
        .rev()
        .map(|(channel, verdict)| match verdict {
            Some(Verdict::Again(_)) => !overtaken.contains(channel),
            Some(Verdict::Refused) => false,
            None => {
                overtaken.insert(channel);
                false
            }
        })
        .collect();
    repeats.reverse();
    repeats
}

/// `None` where the call was carried out, or may have been.
fn verdict(answer: Option<&Value>) -> Option<Verdict> {
    let Some(Value::ServerError(error)) = answer else { return None };
    Some(match error.kind() {
        Some(ServerErrorKind::NoScript) => Verdict::Again(Remedy::LoadScripts),
        Some(
            ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown,
        ) => Verdict::Again(Remedy::Follow),
        Some(ServerErrorKind::BusyLoading) => Verdict::Again(Remedy::Wait),
        Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Verdict::Again(Remedy::Reconnect),
        _ if error.code() == "BUSY" => Verdict::Again(Remedy::Wait),
        _ => Verdict::Refused,
    })
}

/// Where an answer says that the channel has moved to, while its slot has not: `host:port`.
fn redirect(answer: &Value) -> Option<String> {
    match answer {
        Value::ServerError(error) if error.kind() == Some(ServerErrorKind::Ask) => {
            error.details()?.split(' ').nth(1).map(str::to_owned)
        }
        _ => None,
    }
}

fn remedy(verdict: Option<Verdict>) -> Option<Remedy> {
    match verdict? {
        Verdict::Again(remedy) => Some(remedy),
        Verdict::Refused => None,
    }
}

fn refusal(error: &ServerError) -> Error {
    Error::Unavailable(format!("Redis refused: {} {}", error.code(), error.details().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overtaken_is_not_tried_again() {
        let again = Some(Verdict::Again(Remedy::LoadScripts));
        let refused = Some(Verdict::Refused);
        let calls =
            [("a", &again), ("b", &again), ("a", &None), ("c", &refused), ("a", &again), ("b", &again)];
        assert_eq!(repeatable(&calls), [false, true, false, false, true, true]);
    }
}
