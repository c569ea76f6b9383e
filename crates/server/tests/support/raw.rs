//! HTTP/1.1 written by hand, to send what no client library would.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The problem document that every failure is.
    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem: Value = serde_json::from_slice(&self.body).expect("a problem document is JSON");
        assert_eq!(problem["status"], self.status);
        for member in ["type", "title", "code", "detail"] {
            assert!(problem[member].is_string(), "{problem}");
        }
        problem
    }
}

/// Sends bytes, says that there are no more, and reads to the end of the connection; `None` if the server had nothing
/// to say: whoever hangs up need not be answered.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    answer(stream).await
}

async fn answer(mut stream: TcpStream) -> Option<Answer> {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(30), reading).await.expect("an answer in time");
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..split].to_vec()).expect("headers are text");
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    Some(Answer { status, head, body: answer[split + 4..].to_vec() })
}

/// A request with a body and some headers, on a connection of its own.
pub async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(&[text.as_bytes(), body].concat()).await;
    answer(stream).await
}
