//! A token never appears in a log, whatever is logged. A test binary of its own: the log is the process's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use support::Node;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_token_is_logged() {
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    let node = Node::start().await;
    let ann = node.client("ann").await;
    let _stream = ann.connect().await;
    let forged = format!("{}x", ann.token);
    let with_query = |path: &str, token: &str| format!("{}{path}?token={token}", node.url);
    let http = reqwest::Client::new();
    let reply = http.post(with_query("/lobby/join", &ann.token)).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    let reply = http.get(with_query("/ice", &forged)).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    assert!(!reply.text().await.unwrap().contains(&forged));
    http.get(with_query("/nothing/there", &ann.token)).send().await.unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // What the client library of this test logs of its own requests is not the server's doing.
    let ours: Vec<&str> = logged.lines().filter(|line| line.contains("inkwire")).collect();
    assert!(ours.iter().any(|line| line.contains("/lobby/join")), "requests are logged");
    let signature = ann.token.rsplit('.').next().unwrap();
    assert!(ours.iter().all(|line| !line.contains(signature)), "a token was logged");
}
