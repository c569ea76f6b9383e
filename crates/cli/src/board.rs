//! The board page, built into the binary when it was built before the binary (`make build` does both).

use inkwire::Page;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../apps/board/dist"]
#[allow_missing = true]
struct Board;

/// The board, or the page that says how to build it.
pub(crate) fn page() -> Page {
    match Board::get("index.html") {
        Some(_) => Page::new(|path| Board::get(path).map(|file| file.data)),
        None => Page::missing(),
    }
}
