//! A server that sends back what it is sent, for Autobahn's suite of WebSocket cases: see `scripts/autobahn`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::frame::{self, Opcode};
use super::socket::{Ended, Incoming, Socket};
use crate::http::accept_key;

/// The largest of the suite's messages has 16 MiB.
const LIMIT: usize = 17 << 20;

#[tokio::test]
#[ignore = "serves until it is ended; scripts/autobahn starts it"]
async fn echo() {
    let address = std::env::var("ECHO_ADDRESS").unwrap_or_else(|_| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(connection));
    }
}

async fn serve(mut connection: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = connection.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = accept_key(key.trim().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    connection.write_all(answer.as_bytes()).await.unwrap();
    let mut socket = Socket::new(connection, &[], LIMIT);
    loop {
        match socket.receive().await {
            Ok(Incoming::Text(text)) => socket.queue(frame::text(&text)),
            Ok(Incoming::Binary(bytes)) => socket.queue(frame::frame(Opcode::Binary, &bytes)),
            Ok(Incoming::Sign) => {}
            Err(Ended::ByClient) => return socket.hang_up().await,
            Err(Ended::Broken(code)) => return socket.close(code, "").await,
            Err(Ended::Failed(_)) => return,
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}
