//! The logs that outlive the process, in one SQLite file.
//!
//! The parts, in reading order: [`file`], opening, format and lock; [`row`], how a message and an offset are written
//! down; [`channel`], what the writer knows of a channel; [`append`], the rules of a publish; [`group`], those of consumer groups;
//! [`trouble`], what can go wrong; [`request`], what the writer is asked for; [`writer`], the one thread that writes;
//! [`readers`], everyone else.
//!
//! Invariant: nothing is answered or announced before its transaction is on the disk.

pub(crate) mod append;
pub(crate) mod channel;
pub(crate) mod file;
pub(crate) mod group;
pub(crate) mod readers;
pub(crate) mod request;
pub(crate) mod row;
pub(crate) mod trouble;
pub(crate) mod writer;
