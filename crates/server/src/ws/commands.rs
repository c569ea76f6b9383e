//! A client's commands: each is asked of the session, and answered.

use inkwire_core::Claimed;
use inkwire_protocol::channel::{WireClaimed, WirePage};
use inkwire_protocol::command::{Auth, Claim, CommandId};
use inkwire_protocol::event::single_line;
use inkwire_protocol::reply::Reply;
use inkwire_protocol::{Asked, Code, Command, Refused, Room, RoomId};

use super::busy::{Busy, MOST_CLAIMS, Publication};
use super::client::Client;
use super::socket::Connection;
use crate::claiming::Claiming;
use crate::session::RELAY_LIMIT;

impl<C: Connection> Client<C> {
    /// Takes a command: carries it out, or leaves it until the publishes before it are done.
    pub(super) async fn hear(&mut self, text: &str) {
        let Asked { id, command } = Asked::decode(text);
        match command {
            Err(malformed) => self.answer(id.as_ref(), &Err(malformed.into())),
            Ok(Command::Ping) => self.answer(id.as_ref(), &Ok(Reply::Done {})),
            Ok(Command::Publish(publish)) => {
                let receipt = self.session.publish(*publish).await;
                self.busy().publish(id, text.len(), receipt);
            }
            Ok(command) if self.busy.as_ref().is_some_and(|busy| busy.is_publishing()) => {
                self.busy().next = Some((id, command));
            }
            Ok(command) => self.carry_out(id, command).await,
        }
    }

    pub(super) async fn published(&mut self, Publication { id, outcome, .. }: Publication) {
        self.answer(id.as_ref(), &outcome.map(Reply::Published));
        if let Some(busy) = &mut self.busy
            && !busy.is_publishing()
            && let Some((id, command)) = busy.next.take()
        {
            self.carry_out(id, command).await;
        }
    }

    pub(super) async fn carry_out(&mut self, id: Option<CommandId>, command: Command) {
        let outcome = match command {
            Command::Claim(claim) => return self.claim(id, *claim).await,
            Command::Read(read) => match self.session.read(read).await {
                Ok((page, gap)) => {
                    return self.answer(id.as_ref(), &Ok(Reply::Page(WirePage::new(&page, gap))));
                }
                Err(refused) => Err(refused),
            },
            command => self.do_simply(command).await,
        };
        self.answer(id.as_ref(), &outcome);
    }

    pub(super) async fn do_simply(&mut self, command: Command) -> Result<Reply<'static>, Refused> {
        match command {
            Command::Auth(auth) => self.show(&auth)?,
            Command::Subscribe(subscribe) => {
                return Ok(Reply::Subscribed(self.session.subscribe(subscribe).await?));
            }
            Command::Unsubscribe(channel) => self.session.unsubscribe(&channel)?,
            Command::Ack(ack) => {
                return Ok(Reply::Acknowledged { acknowledged: self.session.acknowledge(ack).await? });
            }
            Command::Join(room) => return Ok(Reply::Joined(self.join(&room).await?)),
            Command::Leave(room) => self.session.leave(&room).await?,
            Command::Relay(relay) => {
                let admitted = self.session.admit_relay(&relay.to, &relay.event)?;
                let data = relay.data.get();
                if data.len() > RELAY_LIMIT {
                    let advice = format!("relayed data is larger than {RELAY_LIMIT} bytes");
                    return Err(Refused::new(Code::TooLarge, advice));
                }
                let data =
                    single_line(data).map_err(|error| Refused::new(Code::Invalid, error.to_string()))?;
                self.session.relay(admitted, data).await?;
            }
            // Answered where they are heard.
            Command::Ping | Command::Publish(_) | Command::Claim(_) | Command::Read(_) => {}
        }
        Ok(Reply::Done {})
    }

    /// Takes a newer token.
    pub(super) fn show(&mut self, auth: &Auth) -> Result<(), Refused> {
        let identity = self.app.tokens.verify(&auth.token);
        let identity = identity.map_err(|invalid| Refused::new(Code::Forbidden, invalid.to_string()))?;
        let expires = identity.expires;
        self.session.show(identity)?;
        self.pulse.renew(expires);
        Ok(())
    }

    /// Joins a room; with the first one, this socket becomes the peer's stream.
    pub(super) async fn join(&mut self, room: &str) -> Result<Room, Refused> {
        RoomId::new(room)?;
        if self.peer.is_none() {
            self.become_peer(None).await?;
        }
        self.session.join(room).await
    }

    pub(super) async fn claim(&mut self, id: Option<CommandId>, claim: Claim) {
        if self.busy.as_ref().is_some_and(|busy| busy.claims.len() >= MOST_CLAIMS) {
            let advice = format!("at most {MOST_CLAIMS} claims of a connection wait at once");
            return self.answer(id.as_ref(), &Err(Refused::new(Code::Conflict, advice)));
        }
        match self.session.claim(claim).await {
            Ok(Claiming::Done(claimed)) => self.answer_claim(id.as_ref(), Ok(claimed)),
            Ok(Claiming::Waiting(waiting)) => {
                self.busy().claims.spawn(async move { (id, waiting.await) });
            }
            Err(refused) => self.answer(id.as_ref(), &Err(refused)),
        }
    }

    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    pub(super) fn answer_claim(&mut self, id: Option<&CommandId>, outcome: Result<Vec<Claimed>, Refused>) {
        match outcome {
            Ok(claimed) => {
                let messages = claimed.iter().map(WireClaimed).collect();
                self.answer(id, &Ok(Reply::Claimed { messages }));
            }
            Err(refused) => self.answer(id, &Err(refused)),
        }
    }
}
