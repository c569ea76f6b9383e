//! The files of the board page, given to the server by whoever embeds them.
//!
//! A file `x` may stand beside `x.br` and `x.gz`, the same compressed; the server sends what the browser takes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

type Lookup = dyn Fn(&str) -> Option<Cow<'static, [u8]>> + Send + Sync;

/// The files of a page, by path. `index.html` is the page itself; everything else is served under `/static/`.
#[derive(Clone)]
pub struct Page(Arc<Lookup>);

impl Page {
    /// A page whose files are looked up by a function.
    ///
    /// ```
    /// let page = inkwire::Page::new(|path| (path == "index.html").then(|| b"<!doctype html>".as_slice().into()));
    /// ```
    pub fn new(files: impl Fn(&str) -> Option<Cow<'static, [u8]>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(files))
    }

    /// The page of a binary that was built without one: how to build it.
    pub fn missing() -> Self {
        Self::new(|path| (path == "index.html").then_some(Cow::Borrowed(MISSING)))
    }

    pub(crate) fn file(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        (self.0)(path)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(…)")
    }
}

const MISSING: &[u8] = br#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Inkwire</title>
<style>:root{color-scheme:light dark;font:1.1rem/1.6 system-ui,sans-serif}body{max-width:34rem;margin:12vh auto;padding:0 1rem}</style>
<h1>Inkwire is running</h1>
<p>This binary was built without the board. The server is complete; only its page is missing.</p>
<p>To build both, with Node 20 or later: <code>make build</code>, then start
<code>target/release/inkwire serve</code> again. Or both at once: <code>make run</code>.</p>
"#;
