//! What can go wrong with the file, and what follows from it.
//!
//! Invariant: after anything that leaves open what is on the disk, nothing is answered as durable any more.

use inkwire_core::Error;
use rusqlite::ErrorCode;

use super::row::Damaged;

/// Why something could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// What SQLite, or the system below it, answered.
    #[error(transparent)]
    Store(#[from] rusqlite::Error),
    /// A row does not hold what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// What a failed write means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was written; later it may work.
    TryAgain,
    /// What is on the disk is unknown, or the file is damaged: no more writes.
    Stop,
}

impl Trouble {
    /// What this means for the next write.
    pub(crate) fn verdict(&self) -> Verdict {
        let Self::Store(error) = self else { return Verdict::TryAgain };
        match error.sqlite_error_code() {
            // A full disk is found before the commit, and undone; the others never reached the file.
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::TooBig
                | ErrorCode::OperationInterrupted,
            ) => Verdict::TryAgain,
            _ => Verdict::Stop,
        }
    }

    /// The answer to whoever asked.
    pub(crate) fn answer(&self) -> Error {
        let full =
            matches!(self, Self::Store(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull));
        Error::Unavailable(match (full, self.verdict()) {
            (true, _) => "the store is full: nothing was written".to_owned(),
            (false, Verdict::TryAgain) => format!("the store did not write or read this: {self}"),
            (false, Verdict::Stop) => stopped(self),
        })
    }
}

/// The answer of a store that takes no more writes.
pub(crate) fn stopped(why: &Trouble) -> String {
    format!("the store takes no more writes until it is opened again: {why}")
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failing(code: i32) -> Trouble {
        Trouble::Store(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn a_failed_fsync_stops_and_a_full_disk_does_not() {
        for stopping in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_READONLY,
        ] {
            assert_eq!(failing(stopping).verdict(), Verdict::Stop, "{stopping}");
        }
        for passing in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_NOMEM] {
            assert_eq!(failing(passing).verdict(), Verdict::TryAgain, "{passing}");
        }
    }
}
