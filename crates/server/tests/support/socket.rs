//! A WebSocket client that knows the protocol from its text only.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use inkwire::{Action, Grant, PeerId, TokenSecret, Tokens, User, Username};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Node, PATIENCE, SECRET};

/// A token with these grants: a pattern and what is allowed.
pub fn token(id: &str, grants: &[(&str, &[Action])], validity: Duration) -> String {
    let user = User { id: PeerId::new(id).unwrap(), username: Username::new(id).unwrap() };
    let grants: Vec<_> =
        grants.iter().map(|(pattern, can)| Grant { pattern: (*pattern).into(), can: can.to_vec() }).collect();
    Tokens::new(&TokenSecret::new(SECRET).unwrap()).mint(&user, &grants, validity)
}

/// A token for everything.
pub fn any(id: &str) -> String {
    token(id, &[("*", &[Action::Subscribe, Action::Publish])], Duration::from_secs(600))
}

/// An open WebSocket.
pub struct Socket {
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    events: VecDeque<Value>,
    next_id: u64,
}

/// What ended a socket.
pub fn close_code(message: &Message) -> Option<u16> {
    match message {
        Message::Close(frame) => Some(frame.as_ref().map_or(1005, |frame| frame.code.into())),
        _ => None,
    }
}

impl Socket {
    pub async fn try_open(node: &Node, query: &str) -> Result<Self, Error> {
        let (stream, _) = connect_async(format!("ws://{}/ws{query}", node.address)).await?;
        Ok(Self { stream, events: VecDeque::new(), next_id: 1 })
    }

    /// Opens with a token, and reads up to `connected`.
    pub async fn open(node: &Node, token: &str) -> Self {
        let mut socket = Self::try_open(node, &format!("?token={token}")).await.unwrap();
        assert_eq!(socket.event().await["event"], "connected");
        socket
    }

    /// A client for everything.
    pub async fn anybody(node: &Node, id: &str) -> Self {
        Self::open(node, &any(id)).await
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends a command without waiting; its id.
    pub async fn begin(&mut self, mut command: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        self.send(&command.to_string()).await;
        id
    }

    /// What comes next that is no sign of life; `None` after the end.
    pub async fn frame(&mut self) -> Option<Message> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("something comes in time") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub async fn json(&mut self) -> Value {
        let message = self.frame().await.expect("the socket goes on");
        serde_json::from_str(message.to_text().unwrap()).unwrap_or_else(|_| panic!("{message:?}"))
    }

    /// The reply to a command; events on the way are kept.
    pub async fn reply(&mut self, id: u64) -> Value {
        loop {
            let next = self.json().await;
            match next.get("event") {
                Some(_) => self.events.push_back(next),
                None => {
                    assert_eq!(next["id"], id, "{next}");
                    return next;
                }
            }
        }
    }

    pub async fn ask(&mut self, command: Value) -> Value {
        let id = self.begin(command).await;
        self.reply(id).await
    }

    /// Asks for what must be done.
    pub async fn done(&mut self, command: Value) -> Value {
        let reply = self.ask(command.clone()).await;
        assert_eq!(reply["ok"], true, "{command}: {reply}");
        reply
    }

    /// Asks for what must be refused; the code.
    pub async fn refused(&mut self, command: Value) -> String {
        let reply = self.ask(command.clone()).await;
        assert_eq!(reply["ok"], false, "{command}: {reply}");
        assert!(reply["error"]["message"].is_string());
        reply["error"]["code"].as_str().unwrap().to_owned()
    }

    pub async fn event(&mut self) -> Value {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let event = self.json().await;
        assert!(event["event"].is_string(), "{event}");
        event
    }

    /// The next messages of any channel, as the texts of a field.
    pub async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let event = self.event().await;
            assert_eq!(event["event"], "messages", "{event}");
            let messages = event["messages"].as_array().unwrap();
            texts.extend(messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()));
        }
        assert_eq!(texts.len(), count);
        texts
    }

    pub async fn publish(&mut self, channel: &str, text: &str) -> String {
        let command = json!({ "op": "publish", "channel": channel, "fields": { "text": text } });
        self.done(command).await["offset"].as_str().unwrap().to_owned()
    }

    /// With which code the server closes.
    pub async fn closed(&mut self) -> u16 {
        loop {
            let message = self.frame().await.expect("a goodbye");
            if let Some(code) = close_code(&message) {
                return code;
            }
        }
    }
}
