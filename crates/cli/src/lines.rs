//! Messages on standard output: one JSON object a line. What is not a message has a name that no field can have.
//!
//! Invariant: whoever reads the lines has each as soon as it is known.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Result;
use inkwire_client::{Offset, Received};
use serde_json::json;

/// Prints messages.
///
/// # Errors
/// Those of writing; see [`is_nobody_reading`].
pub(crate) fn messages(messages: &[Received]) -> Result<()> {
    let mut text = Vec::new();
    for message in messages {
        serde_json::to_writer(&mut text, message)?;
        text.push(b'\n');
    }
    write(&text)
}

/// Says that what followed an offset is gone.
pub(crate) fn gap(after: Offset, oldest: Option<Offset>) -> Result<()> {
    let mut gap = json!({ "after": after.to_string() });
    if let (Some(oldest), Some(members)) = (oldest, gap.as_object_mut()) {
        members.insert("oldest".into(), oldest.to_string().into());
    }
    text(&format!("{}\n", json!({ "@gap": gap })))
}

/// Prints an offset.
pub(crate) fn offset(offset: Offset) -> Result<()> {
    text(&format!("{offset}\n"))
}

/// Prints a text as it is.
pub(crate) fn text(text: &str) -> Result<()> {
    write(text.as_bytes())
}

fn write(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    Ok(stdout.flush()?)
}

/// Whether something failed because nobody reads standard output any more, as at the end of `inkwire sub … | head`: no
/// failure, for whoever typed that.
pub(crate) fn is_nobody_reading(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
