//! The one thread that writes. Many requests, one transaction, one fsync; then the answers.
//!
//! Invariant: an answer is sent, and a message announced, only after the transaction that holds it was committed and
//! synced. When that is in doubt the writer stops writing, says so to everyone who asks, and leaves reading alone.

use std::sync::Arc;
use std::thread::JoinHandle;

use inkwire_core::{Error, Result};
use rusqlite::{Connection, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::append::{Moment, Work};
use super::channel::Channels;
use super::file::Directory;
use super::request::{Answer, Done, Request};
use super::row::ordered;
use super::trouble::{Trouble, Verdict, stopped};
use crate::clock::{AgeClock, WallClock};
use crate::memory::Memory;
use crate::reserve::Reserve;
use crate::tails::Tails;

/// How many requests wait for the writer. When it is full, whoever asks next waits for room: publishers feel the
/// disk, memory does not.
const QUEUE: usize = 8192;
/// How many KiB of drafts wait for the writer or are being written, for the same reason.
const QUEUE_KIB: usize = 64 * 1024;
/// How many requests one transaction takes. Beyond it the fsync is cheap by comparison, and the first one waits long.
const BATCH: usize = 2048;
/// What a transaction adds to the WAL besides its drafts, roughly: six pages.
const PAGES_PER_COMMIT: usize = 6 * 4096;
/// How much may stand in the WAL, roughly, before it is carried over into the file.
const CHECKPOINT_BYTES: usize = 16 << 20;
/// From this many pages on (256 MiB) a checkpoint waits for readers, so that the WAL can begin anew.
const WAL_PAGES_MAXIMUM: i64 = 65_536;
/// How often the store's clock is written down at most: with commits, and not with each.
const AGE_STEP_MS: u64 = 1_000;

/// A request and its room in the queue, given back when it is answered.
struct Job {
    request: Request,
    weight: usize,
    _room: OwnedSemaphorePermit,
}

/// The handle. Dropping it waits until everything that was asked for is written, and closes the file.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer works with. The directory comes last: its lock outlives the connection.
pub(crate) struct Desk {
    pub(crate) connection: Connection,
    pub(crate) age: AgeClock,
    pub(crate) wall: WallClock,
    pub(crate) memory: Arc<Memory>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) directory: Arc<Directory>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, when there can be no thread.
    pub(crate) fn start(desk: Desk) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writing = Writing {
            desk,
            channels: Channels::default(),
            row: Vec::new(),
            in_wal: 0,
            age_written_ms: 0,
            stopped: None,
        };
        let thread =
            std::thread::Builder::new().name("inkwire-writer".into()).spawn(move || writing.run(queue))?;
        Ok(Self { jobs: Some(jobs), room: Arc::new(Semaphore::new(QUEUE_KIB)), thread: Some(thread) })
    }

    /// Asks for something, when there is room, and waits for the answer. What was asked for is carried out even when
    /// nobody waits for the answer any more.
    ///
    /// # Errors
    /// The writer's answer, or that it has ended.
    pub(crate) async fn ask<T: Send>(
        &self,
        weight: usize,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<T> {
        self.submit(weight, request).await?.await
    }

    /// Asks for something, when there is room; the answer is to be waited for. What is submitted when this has answered is
    /// carried out later.
    ///
    /// # Errors
    /// That the writer has ended.
    pub(crate) async fn submit<T: Send, R: FnOnce(Answer<T>) -> Request>(
        &self,
        weight: usize,
        request: R,
    ) -> Result<impl Future<Output = Result<T>> + Send + use<T, R>> {
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        let kib = u32::try_from((weight / 1024 + 1).min(QUEUE_KIB)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| ended())?;
        let (answer, answered) = oneshot::channel();
        let job = Job { request: request(answer), weight, _room: room };
        jobs.send(job).await.map_err(|_| ended())?;
        Ok(async move { answered.await.map_err(|_| ended())? })
    }
}

fn ended() -> Error {
    Error::Unavailable("the store's writer has ended".into())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer has panicked");
        }
    }
}

/// The thread's own.
struct Writing {
    desk: Desk,
    channels: Channels,
    row: Vec<u8>,
    in_wal: usize,
    age_written_ms: u64,
    stopped: Option<String>,
}

impl Writing {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            match &self.stopped {
                None => self.write(&mut batch),
                Some(why) => refuse(&mut batch, &Error::Unavailable(why.clone())),
            }
            self.checkpoint_when_due();
        }
        if self.stopped.is_none() {
            self.close();
        }
    }

    fn write(&mut self, batch: &mut Vec<Job>) {
        let weight: usize = batch.iter().map(|job| job.weight).sum();
        let mut done = Vec::with_capacity(batch.len());
        match self.transact(batch, &mut done) {
            Ok(()) => {
                self.in_wal += PAGES_PER_COMMIT + weight;
                self.tell(done);
            }
            Err(trouble) => {
                self.undo(&trouble);
                done.into_iter().for_each(|done| done.refuse(&trouble.answer()));
                refuse(batch, &trouble.answer());
            }
        }
    }

    fn transact(&mut self, batch: &mut Vec<Job>, done: &mut Vec<Done>) -> std::result::Result<(), Trouble> {
        let now = Moment { wall_ms: self.desk.wall.now_ms(), age_ms: self.desk.age.now_ms() };
        execute(&self.desk.connection, "BEGIN IMMEDIATE")?;
        let mut work = Work {
            connection: &self.desk.connection,
            channels: &mut self.channels,
            now,
            floor: self.desk.memory.forgotten(),
            row: &mut self.row,
        };
        for job in batch.drain(..) {
            let (carried_out, trouble) = job.request.carry_out(&mut work);
            done.push(carried_out);
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
        if now.age_ms >= self.age_written_ms.saturating_add(AGE_STEP_MS) {
            work.forget_producers()?;
            work.write_age()?;
            self.age_written_ms = now.age_ms;
        }
        self.channels.save(&self.desk.connection)?;
        execute(&self.desk.connection, "COMMIT")?;
        Ok(())
    }

    /// Announces first: whoever knows of his own publish finds it announced already.
    fn tell(&self, done: Vec<Done>) {
        self.desk.tails.announce_all(done.iter().filter_map(Done::announcement));
        for done in done {
            if let Done::Reserved { until_ms, .. } = &done {
                self.desk.reserve.extend(*until_ms);
            }
            done.answer();
        }
    }

    fn undo(&mut self, trouble: &Trouble) {
        self.channels.forget();
        self.age_written_ms = 0;
        if !self.desk.connection.is_autocommit()
            && let Err(error) = execute(&self.desk.connection, "ROLLBACK")
        {
            return self.stop(&error.into());
        }
        if trouble.verdict() == Verdict::Stop {
            self.stop(trouble);
        } else {
            tracing::warn!(%trouble, "the store did not write");
        }
    }

    fn stop(&mut self, trouble: &Trouble) {
        tracing::error!(%trouble, "the store takes no more writes");
        self.stopped = Some(stopped(trouble));
    }

    fn checkpoint_when_due(&mut self) {
        if self.stopped.is_some() || self.in_wal < CHECKPOINT_BYTES {
            return;
        }
        match checkpoint(&self.desk.connection) {
            // Readers were in the way: again soon.
            Ok(Checkpoint::Partly) => self.in_wal = CHECKPOINT_BYTES / 2,
            Ok(Checkpoint::Whole) => self.in_wal = 0,
            Err(error) => {
                self.in_wal = CHECKPOINT_BYTES / 2;
                self.note_checkpoint_trouble(&error.into());
            }
        }
    }

    /// What could not be carried over still stands in the WAL, unless it is unknown what the disk holds.
    fn note_checkpoint_trouble(&mut self, trouble: &Trouble) {
        match trouble.verdict() {
            Verdict::Stop => self.stop(trouble),
            Verdict::TryAgain => tracing::warn!(%trouble, "the store's WAL could not be carried over"),
        }
    }

    fn close(mut self) {
        let closed = self
            .desk
            .connection
            .execute(
                "UPDATE store SET age = ?1, reserved = ?2",
                params![ordered(self.desk.age.now_ms()), ordered(self.desk.reserve.used_ms())],
            )
            .and_then(|_| query_checkpoint(&self.desk.connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
        if let Err(error) = closed {
            self.note_checkpoint_trouble(&error.into());
        }
        let Desk { connection, directory, .. } = self.desk;
        drop(connection);
        drop(directory);
    }
}

fn refuse(batch: &mut Vec<Job>, error: &Error) {
    batch.drain(..).for_each(|job| job.request.refuse(error));
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// How far a checkpoint came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checkpoint {
    Whole,
    Partly,
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<Checkpoint> {
    let (in_wal, carried_over) = query_checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    if in_wal == carried_over {
        return Ok(Checkpoint::Whole);
    }
    if in_wal > WAL_PAGES_MAXIMUM {
        query_checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(Checkpoint::Partly)
}

/// Pages in the WAL, and how many of them stand in the file.
fn query_checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(sql, [], |row| Ok((row.get(1)?, row.get(2)?)))
}
