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
    fn note(&self, trouble: Option<String>) -> Option<String> {
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
    Wait,
    /// The server is not the one to ask any more.
    Reconnect,
}

impl Link {
    pub(crate) fn new(endpoint: Endpoint, patience: Duration, troubles: Troubles) -> Self {
        Self { endpoint, patience, connected: None, backoff: Backoff::default(), troubles }
    }

    /// Carries out jobs and answers them; gives back those to be tried again, in order.
    pub(crate) async fn carry_out(&mut self, mut jobs: VecDeque<Job>) -> VecDeque<Job> {
        // Whoever gave up must not find it done later.
        jobs.retain(|job| !job.answer.is_closed());
        if jobs.is_empty() {
            return jobs;
        }
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(trouble) => {
                self.note_trouble(trouble);
                self.backoff.wait().await;
                return jobs;
            }
        };
        let mut pipeline = Pipeline::with_capacity(jobs.len());
        for job in &mut jobs {
            pipeline.add_command(std::mem::take(&mut job.cmd));
        }
        match connection.send_packed_commands(&pipeline, 0, jobs.len()).await {
            Ok(answers) => self.settle(jobs, &pipeline, answers).await,
            Err(error) => {
                self.connected = None;
                let why = format!("Redis at {} did not answer: {error}", self.endpoint.name);
                warn!(server = %self.endpoint.name, %error, "the connection for calls has failed");
                jobs.into_iter().for_each(|job| job.refuse(Error::Unavailable(why.clone())));
                VecDeque::new()
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
        answers: Vec<Value>,
    ) -> VecDeque<Job> {
        let verdicts: Vec<_> = answers.iter().map(verdict).collect();
        let remedy = verdicts.iter().filter_map(|verdict| remedy(*verdict)).max();
        let channels: Vec<_> = jobs.iter().map(|job| &job.channel).zip(&verdicts).collect();
        let mut repeats = repeatable(&channels).into_iter();
        let mut again = VecDeque::new();
        for ((mut job, answer), cmd) in jobs.into_iter().zip(answers).zip(pipeline.cmd_iter()) {
            match (answer, repeats.next()) {
                (Value::ServerError(_), Some(true)) => {
                    job.cmd = cmd.clone();
                    again.push_back(job);
                }
                (Value::ServerError(error), _) => job.refuse(refusal(&error)),
                // Nobody waiting is nobody's loss.
                (answer, _) => drop(job.answer.send(Ok(answer))),
            }
        }
        if let Some(remedy) = remedy {
            self.remedy(remedy).await;
        } else {
            self.backoff.reset();
        }
        again
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

/// `None` where the call was carried out.
fn verdict(answer: &Value) -> Option<Verdict> {
    let Value::ServerError(error) = answer else { return None };
    Some(match error.kind() {
        Some(ServerErrorKind::NoScript) => Verdict::Again(Remedy::LoadScripts),
        Some(ServerErrorKind::BusyLoading) => Verdict::Again(Remedy::Wait),
        Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Verdict::Again(Remedy::Reconnect),
        _ if error.code() == "BUSY" => Verdict::Again(Remedy::Wait),
        _ => Verdict::Refused,
    })
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
