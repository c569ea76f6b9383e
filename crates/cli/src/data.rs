//! The node's directory: what must outlive the process.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use inkwire::TokenSecret;
use rand::RngExt as _;

/// The file of the secret that signs tokens.
const SECRET_FILE: &str = "token-secret";

/// Makes the node's directory, for its owner only: the messages in it are nobody else's. One that is there stays as it is.
pub(crate) fn make(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// The node's own secret: read, or made and kept, readable by its owner only.
pub(crate) fn secret(directory: &Path) -> Result<TokenSecret> {
    let file = directory.join(SECRET_FILE);
    let advice = || {
        format!(
            "cannot keep the token secret in {} (another place: --data-dir; none: --ephemeral)",
            file.display()
        )
    };
    match fs::read_to_string(&file) {
        Ok(text) => TokenSecret::new(text.trim()).with_context(|| format!("{} is damaged", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = random_text();
            make(directory).with_context(advice)?;
            write_new(&file, &text).with_context(advice)?;
            Ok(TokenSecret::new(text)?)
        }
        Err(error) => Err(error).with_context(advice),
    }
}

/// The secret of a server that has kept one here.
pub(crate) fn kept_secret(directory: &Path) -> Result<TokenSecret> {
    let file = directory.join(SECRET_FILE);
    let text = fs::read_to_string(&file).with_context(|| {
        let file = file.display();
        format!("no secret to sign with in {file} (where the server keeps its own: --data-dir; another: TOKEN_SECRET)")
    })?;
    TokenSecret::new(text.trim()).with_context(|| format!("{} is damaged", file.display()))
}

/// A secret that ends with the process.
pub(crate) fn fresh_secret() -> TokenSecret {
    TokenSecret::new(random_text()).expect("64 hexadecimal digits are long enough")
}

/// Writes beside and renames, so that the file is whole whenever it is there.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension(format!("new-{}", std::process::id()));
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&beside, file)
}

/// 256 random bits in hexadecimal.
fn random_text() -> String {
    let random: [u8; 32] = rand::rng().random();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
