//! How a WebSocket begins: whoever opened it shows who it is, with the request or with its first command.

use std::sync::Arc;
use std::time::Duration;

use inkwire_protocol::command::{Auth, CommandId};
use inkwire_protocol::{Asked, Code, Command, Refused};
use tokio::time::timeout;

use super::client::{Client, End, LARGEST_MESSAGE, answer};
use super::frame::{self, CloseCode};
use super::socket::{Connection, Incoming, Socket};
use crate::app::App;
use crate::session::Session;

/// The largest message before the client has shown who it is: a token and a little.
pub(super) const LARGEST_UNKNOWN: usize = 16 << 10;
/// By when a client must have shown its token.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// A WebSocket that was agreed upon.
pub(crate) struct Opened {
    pub(crate) app: Arc<App>,
    /// The client, where a token came with the request.
    pub(crate) session: Option<Session>,
    /// Where the client stood as a peer.
    pub(crate) position: Option<String>,
}

/// Finds out who the client is.
pub(super) async fn begin<C: Connection>(mut socket: Socket<C>, opened: Opened) -> Option<Box<Client<C>>> {
    let Opened { app, session, position } = opened;
    let (session, position, id) = match session {
        Some(session) => (session, position, None),
        None => match timeout(INTRODUCTION, introduce_or_drain(&mut socket, &app)).await {
            Ok(Ok(Introduced { session, position: later, id })) => (session, later.or(position), id),
            Ok(Err(End::Ours(code, reason))) => {
                socket.close(code, reason).await;
                return None;
            }
            Ok(Err(End::Theirs)) => {
                socket.hang_up().await;
                return None;
            }
            Ok(Err(End::Lost)) => return None,
            Err(_) => {
                socket.close(CloseCode::Unauthorized, "no token came").await;
                return None;
            }
        },
    };
    socket.set_limit(LARGEST_MESSAGE);
    let mut client = Box::new(Client::new(app, socket, session));
    client.welcome(position, id).await;
    Some(client)
}

/// What a client has shown.
struct Introduced {
    session: Session,
    position: Option<String>,
    id: Option<CommandId>,
}

async fn introduce_or_drain<C: Connection>(
    socket: &mut Socket<C>,
    app: &Arc<App>,
) -> Result<Introduced, End> {
    let mut drain = app.drain.clone();
    tokio::select! {
        introduced = introduce(socket, app) => introduced,
        _ = drain.begun() => Err(End::Ours(CloseCode::Restart, "the node goes down")),
    }
}

/// Waits for a token that is valid; everything else is refused.
async fn introduce<C: Connection>(socket: &mut Socket<C>, app: &Arc<App>) -> Result<Introduced, End> {
    loop {
        if socket.flush().await.is_err() {
            return Err(End::Lost);
        }
        let text = match socket.receive().await? {
            Incoming::Text(text) => text,
            Incoming::Binary(_) => return Err(End::Ours(CloseCode::Unsupported, "texts only")),
            Incoming::Sign => continue,
        };
        let Asked { id, command } = Asked::decode(&text);
        let refused = match command {
            Ok(Command::Auth(Auth { token, last_event_id })) => match app.tokens.verify(&token) {
                Ok(identity) => match Session::connect(Arc::clone(app), identity).await {
                    Ok(session) => return Ok(Introduced { session, position: last_event_id, id }),
                    Err(refused) => refused,
                },
                Err(invalid) => Refused::new(Code::Forbidden, invalid.to_string()),
            },
            Ok(_) => {
                let advice = "no token: send {\"op\":\"auth\",\"token\":…} first; POST /access gives one";
                Refused::new(Code::Unauthorized, advice)
            }
            Err(malformed) => malformed.into(),
        };
        if let Some(text) = answer(id.as_ref(), &Err(refused)) {
            socket.queue(frame::text(&text));
        }
    }
}
