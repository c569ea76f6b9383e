//! The data directory: whose it is, which format its file has, and how it is opened.
//!
//! Invariant: a file is written to only by the one process that holds the directory's lock, and only if it is of this
//! format; anything else is left as it was.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// The store, in the data directory.
pub(crate) const FILE: &str = "inkwire.db";
/// Held locked while a process uses the directory.
pub(crate) const LOCK: &str = "lock";
/// Marks an SQLite file as ours: "Inkw".
const APPLICATION: i32 = 0x496e_6b77;
/// The format of the file. Grows when an older program could not read what a newer one writes.
pub(crate) const FORMAT: i32 = 3;
/// How long a checkpoint waits for readers that are in the middle of a page.
const BUSY: Duration = Duration::from_secs(2);
/// Statements kept prepared per connection; more than the program has.
const STATEMENTS: usize = 64;
/// What the writer holds of the file in memory, in KiB: the inner pages and the ends of many channels' logs.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
/// The same for each reader.
const READER_CACHE_KIB: i64 = 2 * 1024;

/// Offsets stand in two columns each, numbers mapped by `row::ordered`. `age`, `due`, `since`: milliseconds of the
/// store's own clock, of which only differences mean something; but `age` of a channel is a length of time.
const SCHEMA: &str = "
    CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        age INTEGER NOT NULL,
        reserved INTEGER NOT NULL
    ) STRICT;
    INSERT INTO store (id, age, reserved) VALUES (1, -9223372036854775808, -9223372036854775808);
    CREATE TABLE channels (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        keyed INTEGER NOT NULL,
        kept INTEGER NOT NULL,
        head_ms INTEGER NOT NULL, head_seq INTEGER NOT NULL,
        created_ms INTEGER NOT NULL, created_seq INTEGER NOT NULL,
        floor_ms INTEGER NOT NULL, floor_seq INTEGER NOT NULL,
        age INTEGER
    ) STRICT;
    CREATE TABLE messages (
        channel INTEGER NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
        row BLOB NOT NULL,
        PRIMARY KEY (channel, ms, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE keys (
        channel INTEGER NOT NULL, key BLOB NOT NULL,
        version BLOB NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
        due INTEGER,
        PRIMARY KEY (channel, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tombstones ON keys (channel, due) WHERE due IS NOT NULL;
    CREATE TABLE producers (
        channel INTEGER NOT NULL, id BLOB NOT NULL,
        number INTEGER NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (channel, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX producers_by_age ON producers (since);
    CREATE TABLE consumer_groups (
        id INTEGER PRIMARY KEY,
        channel INTEGER NOT NULL, name BLOB NOT NULL,
        ms INTEGER NOT NULL, seq INTEGER NOT NULL,
        UNIQUE (channel, name)
    ) STRICT;
    CREATE TABLE pending (
        consumer_group INTEGER NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
        consumer BLOB NOT NULL, deliveries INTEGER NOT NULL, since INTEGER NOT NULL,
        PRIMARY KEY (consumer_group, ms, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX pending_by_age ON pending (consumer_group, since);
";

/// What a file of format 1 lacks: ages of channels.
const SINCE_FORMAT_1: &str = "ALTER TABLE channels ADD COLUMN age INTEGER;";
/// What a file of format 2 lacks: nothing. But rows may name who published them now, and an older program would take such
/// a row for damaged.
const SINCE_FORMAT_2: &str = "";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the data directory.
    #[error("{0} is in use by another process: a data directory serves one")]
    Locked(PathBuf),
    /// The file is not one of ours. It was not touched.
    #[error("{0} is not an Inkwire store, and is left alone")]
    Foreign(PathBuf),
    /// The file was written by a newer program. It was not touched.
    #[error("{path} has format {found}, this program knows formats up to {known}: use a newer one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest format this program knows.
        known: i32,
    },
    /// The file cannot be read.
    #[error("{path} is damaged or cannot be used: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: rusqlite::Error,
    },
    /// The directory cannot be used.
    #[error("the data directory {path} cannot be used: {reason}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
}

/// A locked data directory. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct Directory {
    file: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if there is none, and takes its lock.
    ///
    /// # Errors
    /// [`OpenError::Locked`], [`OpenError::Directory`].
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let unusable = |reason| OpenError::Directory { path: path.to_owned(), reason };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(reason)) => return Err(unusable(reason)),
        }
        let directory = Self { file: path.join(FILE), _lock: lock };
        // The file system forgets a directory whose name was never synced, and all that is in it.
        for made in [Some(path), path.parent()].into_iter().flatten() {
            File::open(made).and_then(|made| made.sync_all()).ok();
        }
        Ok(directory)
    }

    /// The connection that writes; makes or checks the file.
    ///
    /// # Errors
    /// [`OpenError`], as the variants say.
    pub(crate) fn open_writer(&self, maximum_bytes: Option<u64>) -> Result<Connection, OpenError> {
        let mut connection =
            Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_CREATE | Self::read_write())
                .map_err(|reason| self.damaged(reason))?;
        self.check(&mut connection)?;
        prepare_writer(&connection, maximum_bytes).map_err(|reason| self.damaged(reason))?;
        Ok(connection)
    }

    /// A connection that reads.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn open_reader(&self) -> rusqlite::Result<Connection> {
        let connection = open_reader(&self.file)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        Ok(connection)
    }

    fn read_write() -> OpenFlags {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    }

    /// Makes the tables in an empty file, and brings an older one up to this format; refuses any other.
    fn check(&self, connection: &mut Connection) -> Result<(), OpenError> {
        match format(&self.file, connection)? {
            Format::None => change(connection, SCHEMA).map_err(|reason| self.damaged(reason)),
            Format::Older(1) => change(connection, SINCE_FORMAT_1).map_err(|reason| self.damaged(reason)),
            Format::Older(_) => change(connection, SINCE_FORMAT_2).map_err(|reason| self.damaged(reason)),
            Format::Current => Ok(()),
        }
    }

    pub(crate) fn damaged(&self, reason: rusqlite::Error) -> OpenError {
        damaged(&self.file, reason)
    }
}

/// Which format a file of ours has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// There is nothing in it yet.
    None,
    Current,
    /// One that is brought up to the current one when it is opened.
    Older(i32),
}

/// Looks at the store of a directory without its lock, and without changing it. There must be one.
///
/// # Errors
/// [`OpenError`]: what would keep a node from opening it.
pub(crate) fn look(directory: &Path) -> Result<Format, OpenError> {
    let file = directory.join(FILE);
    let connection = open_reader(&file).map_err(|reason| damaged(&file, reason))?;
    format(&file, &connection)
}

fn format(file: &Path, connection: &Connection) -> Result<Format, OpenError> {
    match marks(connection).map_err(|reason| damaged(file, reason))? {
        Marks { application: 0, format: 0, tables: 0 } => Ok(Format::None),
        Marks { application: APPLICATION, format: FORMAT, .. } => Ok(Format::Current),
        Marks { application: APPLICATION, format: format @ 1..FORMAT, .. } => Ok(Format::Older(format)),
        Marks { application: APPLICATION, format, .. } if format > FORMAT => {
            Err(OpenError::Newer { path: file.to_owned(), found: format, known: FORMAT })
        }
        _ => Err(OpenError::Foreign(file.to_owned())),
    }
}

fn damaged(file: &Path, reason: rusqlite::Error) -> OpenError {
    match reason.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(file.to_owned()),
        _ => OpenError::Damaged { path: file.to_owned(), reason },
    }
}

fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// What a file says of itself.
struct Marks {
    application: i32,
    format: i32,
    tables: i64,
}

fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
    Ok(Marks {
        application: connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        format: connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        tables: connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    })
}

/// The marks and what they stand for appear together or not at all.
fn change(connection: &mut Connection, tables: &str) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(tables)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn prepare_writer(connection: &Connection, maximum_bytes: Option<u64>) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // The writer makes its checkpoints itself: SQLite's own would keep a failed fsync to itself.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    carry_over(connection)?;
    if let Some(bytes) = maximum_bytes {
        let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(bytes / page.max(1)).unwrap_or(i64::MAX).clamp(1, i64::from(u32::MAX) - 1);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(())
}

/// Writes what an earlier process left in the WAL into the file, anew. After a failed fsync the system may take for
/// written what never reached the disk; nothing new may be built on that.
fn carry_over(connection: &Connection) -> rusqlite::Result<()> {
    let carried_over = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    match carried_over {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            tracing::warn!("the disk is full: the store's WAL could not be carried over");
            Ok(())
        }
        carried_over => carried_over,
    }
}
