//! What somebody who inspected a store found: for operators, in words, and in figures for programs.
//!
//! Invariant: whatever is not well says what to do about it.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and promises less than an operator may expect.
    Warning,
    /// Nodes do not work on it, or it will lose what was answered.
    Trouble,
}

impl Level {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Trouble => "trouble",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that was looked at.
///
/// ```
/// use inkwire_core::{Finding, Level};
/// let slow = Finding::warning("round trip", "half a second", "run the nodes beside it").at("db:6379");
/// assert_eq!((slow.level, slow.server.as_deref()), (Level::Warning, Some("db:6379")));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub subject: &'static str,
    /// Which server it is about, where there may be several.
    pub server: Option<String>,
    /// What was seen, and what it means.
    pub says: String,
    /// What to do; `None` where all is well.
    pub advice: Option<String>,
    /// The same in numbers, by names that carry their units.
    pub figures: Vec<(&'static str, f64)>,
}

impl Finding {
    /// All is well.
    pub fn ok(subject: &'static str, says: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, server: None, says: says.into(), advice: None, figures: Vec::new() }
    }

    /// Less than an operator may expect.
    pub fn warning(subject: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, advice: Some(advice.into()), ..Self::ok(subject, says) }
    }

    /// It does not work, or will lose something.
    pub fn trouble(subject: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Trouble, advice: Some(advice.into()), ..Self::ok(subject, says) }
    }

    /// The same, about this server.
    #[must_use]
    pub fn at(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// The same, with numbers.
    #[must_use]
    pub fn with(mut self, figures: impl IntoIterator<Item = (&'static str, f64)>) -> Self {
        self.figures.extend(figures);
        self
    }
}
