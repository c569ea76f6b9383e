//! A chat with access rules, in one file: `cargo run -p inkwire --example chat`, then open the address it prints.
//!
//! The rules, all of them hooks: a room is open to whoever knows its name, but `staff` only to those whose name is on the
//! list; nobody writes in another's name, because the server signs each line; and words that nobody should have to read
//! are taken out on their way to each reader.

use std::sync::Arc;

use async_trait::async_trait;
use inkwire::hooks::{PublishRequest, SubscribeRequest, Verdict};
use inkwire::{
    ChannelName, Channels, Client, Code, Fields, Hooks, Message, Options, Page, Refused, Server, TokenSecret,
};
use inkwire_embedded::Memory;
use tokio::net::TcpListener;

/// Who may enter `board:staff`. (Tokens that `POST /access` gives are for names that begin with `board:`.)
const STAFF: [&str; 2] = ["ann", "bob"];
const STAFF_ROOM: &str = "board:staff";

/// The chat's rules.
struct Rules {
    channels: Channels,
}

impl Rules {
    fn may_enter(client: &Client, channel: &ChannelName) -> Result<(), Refused> {
        let name = client.user().username.as_str();
        if channel.as_str() == STAFF_ROOM && !STAFF.contains(&name) {
            return Err(Refused::new(Code::Forbidden, "this room is for staff"));
        }
        Ok(())
    }
}

#[async_trait]
impl Hooks for Rules {
    async fn connect(&self, client: &Client) -> Result<(), Refused> {
        let line = format!("{} is here", client.user().username.as_str());
        self.channels.broadcast(Fields::of([("text", &line)])).await.map_err(Refused::from)
    }

    async fn subscribe(
        &self,
        client: &Client,
        request: SubscribeRequest,
    ) -> Result<SubscribeRequest, Refused> {
        client.may(inkwire::Action::Subscribe, &request.channel)?;
        Self::may_enter(client, &request.channel)?;
        Ok(request)
    }

    async fn publish(&self, client: &Client, mut request: PublishRequest) -> Result<PublishRequest, Refused> {
        client.may(inkwire::Action::Publish, &request.channel)?;
        Self::may_enter(client, &request.channel)?;
        let Some(text) = request.draft.fields.get("text") else {
            return Err(Refused::new(Code::Invalid, "a line has a text"));
        };
        // Whatever the client says of itself is replaced by what its token says.
        request.draft.fields = Fields::of([("text", text), ("from", client.user().username.as_str())]);
        Ok(request)
    }

    fn deliver(&self, _: &Client, _: &ChannelName, message: &Message) -> Verdict {
        let Some(text) = message.fields.get("text") else { return Verdict::Tell };
        if !text.contains("damn") {
            return Verdict::Tell;
        }
        let from = message.fields.get("from").unwrap_or_default();
        Verdict::TellInstead(Fields::of([("text", &text.replace("damn", "****")), ("from", from)]))
    }
}

/// The whole front end. Scripts may only come from files, so it is two.
fn page() -> Page {
    Page::new(|path| match path {
        "index.html" => Some(include_bytes!("chat/index.html").as_slice().into()),
        "chat.js" => Some(include_bytes!("chat/chat.js").as_slice().into()),
        _ => None,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = TokenSecret::new(format!("{:032x}", rand::random::<u128>()))?;
    let server = Server::new(Arc::new(Memory::default()), Options::new(secret));
    let channels = server.channels();
    let server = server.page(page()).hooks(Rules { channels });
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8082".into());
    let listener = TcpListener::bind(address).await?;
    println!("the chat is on http://{}", listener.local_addr()?);
    server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
    Ok(())
}
