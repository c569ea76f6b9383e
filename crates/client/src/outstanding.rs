//! Commands that wait for their answers, as values: what is to be sent next, what an answer means, what a lost connection
//! leaves to be sent again.
//!
//! Invariant: a publish stands in its channel once, however often it is sent. The server recognises the latest number of a
//! producer, and takes an older one for a repetition of something, whatever it says. So a message keeps its number while it
//! may have been published under it, is sent again in the order of the numbers, and gets a new one only when the
//! server said that it was not published.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use inkwire_core::{ChannelName, ProducerId};
use inkwire_protocol::command::WireProducer;
use inkwire_protocol::{Code, Command, CommandId, Refused};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::backoff;
use crate::error::{Error, is_passing};
use crate::socket::{LARGEST_FRAME, Text};

/// A publish is sent again for so long after it was first sent. Servers remember producers for at least 5 minutes
/// (`PROTOCOL.md`); the rest is for the clocks and the way.
const RECOGNISED_FOR: Duration = Duration::from_secs(5 * 60 - 15);

/// The answer to a command, for whoever waits for it.
pub(crate) type Answer = oneshot::Sender<Result<Text, Error>>;

/// A command on its way.
#[derive(Debug)]
struct Waiting {
    command: Command,
    answer: Answer,
    /// Its share of what may be on the way at once; given back with it.
    _room: OwnedSemaphorePermit,
    since: Instant,
    is_numbered: bool,
    sending: Sending,
    failures: u32,
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, Default)]
struct Sending {
    /// The number it may have been published under.
    seq: Option<u64>,
    first: Option<Instant>,
    is_in_flight: bool,
    /// A later number was taken while this one was refused.
    is_overtaken: bool,
}

/// When a command is sent: those that may have been published first, by their numbers; then by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Again { seq: u64, id: u64 },
    First { id: u64 },
}

impl Turn {
    fn of(id: u64, sending: &Sending) -> Self {
        sending.seq.map_or(Self::First { id }, |seq| Self::Again { seq, id })
    }

    fn id(self) -> u64 {
        match self {
            Self::Again { id, .. } | Self::First { id } => id,
        }
    }
}

/// Commands that wait for their answers.
#[derive(Debug)]
pub(crate) struct Outstanding {
    waiting: BTreeMap<u64, Waiting>,
    unsent: BTreeSet<Turn>,
    publishes_in_flight: usize,
    /// Nothing is sent before then: the server asked for a pause.
    held_until: Option<Instant>,
    producer: ProducerId,
    last_seq: u64,
}

impl Outstanding {
    pub(crate) fn new(producer: ProducerId) -> Self {
        Self {
            waiting: BTreeMap::new(),
            unsent: BTreeSet::new(),
            publishes_in_flight: 0,
            held_until: None,
            producer,
            last_seq: 0,
        }
    }

    /// Takes a command under an id that no other command has had.
    pub(crate) fn add(
        &mut self,
        id: u64,
        command: Command,
        answer: Answer,
        room: OwnedSemaphorePermit,
        now: Instant,
    ) {
        let (sending, is_numbered) = (Sending::default(), is_numbered(&command));
        self.unsent.insert(Turn::of(id, &sending));
        let waiting = Waiting { command, answer, _room: room, since: now, is_numbered, sending, failures: 0 };
        self.waiting.insert(id, waiting);
    }

    /// The next text to send.
    pub(crate) fn next(&mut self, now: Instant) -> Option<String> {
        if self.is_held(now) {
            return None;
        }
        self.held_until = None;
        loop {
            let id = self.unsent.pop_first()?.id();
            if let Some(text) = self.begin(id, now) {
                return Some(text);
            }
        }
    }

    /// A pause lasts until everything that was refused is known: only then the numbers can be given anew.
    fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until || self.publishes_in_flight > 0)
    }

    /// When there may be something to send again; now, while what is in flight decides.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.held_until.filter(|_| self.publishes_in_flight == 0)
    }

    /// Sends a command, unless that is pointless.
    fn begin(&mut self, id: u64, now: Instant) -> Option<String> {
        let waiting = self.waiting.get_mut(&id)?;
        if waiting.answer.is_closed() {
            self.waiting.remove(&id);
            return None;
        }
        if waiting.is_doubtful(now) {
            return self.settle(id, Err(Error::Uncertain));
        }
        if waiting.is_numbered && waiting.sending.seq.is_none() {
            self.last_seq += 1;
            waiting.number(&self.producer, self.last_seq);
        }
        let text = waiting.command.encode(Some(&CommandId::from(id)));
        if text.len() > LARGEST_FRAME {
            return self.settle(id, Err(Error::TooLarge(text.len())));
        }
        waiting.sending.first.get_or_insert(now);
        waiting.sending.is_in_flight = true;
        self.publishes_in_flight += usize::from(waiting.is_numbered);
        Some(text)
    }

    /// Gives whoever waits the outcome. Nothing is left to send.
    fn settle(&mut self, id: u64, outcome: Result<Text, Error>) -> Option<String> {
        if let Some(waiting) = self.waiting.remove(&id) {
            // Who waits no longer has lost interest.
            let _ = waiting.answer.send(outcome);
        }
        None
    }

    /// Takes an answer in. A command that was refused for now only is sent again, unless it has waited longer than
    /// `patience`.
    pub(crate) fn answered(
        &mut self,
        id: u64,
        outcome: Result<Text, Refused>,
        patience: Option<Duration>,
        now: Instant,
    ) {
        let Some(waiting) = self.waiting.get_mut(&id).filter(|waiting| waiting.sending.is_in_flight) else {
            return;
        };
        waiting.sending.is_in_flight = false;
        self.publishes_in_flight -= usize::from(waiting.is_numbered);
        let refused = match outcome {
            Ok(text) => {
                self.note_taken(id);
                self.settle(id, Ok(text));
                return;
            }
            Err(refused) => refused,
        };
        let is_tired = patience.is_some_and(|patience| now.duration_since(waiting.since) >= patience);
        if !is_passing(refused.code) || is_tired {
            self.settle(id, Err(Error::Refused(refused)));
            return;
        }
        if refused.code == Code::RateLimited {
            // Certainly not published: it may take its turn anew.
            waiting.sending.seq = None;
        }
        let asked = refused.retry_after_ms.map(Duration::from_millis);
        let wait = asked.unwrap_or_else(|| backoff::wait(waiting.failures, rand::random()));
        waiting.failures = waiting.failures.saturating_add(1);
        self.unsent.insert(Turn::of(id, &waiting.sending));
        self.held_until = self.held_until.max(Some(now + wait));
    }

    /// A number was taken: those below it that were refused can be published under their own no more.
    fn note_taken(&mut self, id: u64) {
        let Some(taken) = self.waiting.get(&id) else { return };
        let (Some(seq), Some(channel)) = (taken.sending.seq, taken.channel().cloned()) else { return };
        let below = self.unsent.range(..Turn::Again { seq, id: 0 }).map(|turn| turn.id());
        for id in below.collect::<Vec<_>>() {
            if let Some(waiting) = self.waiting.get_mut(&id)
                && waiting.channel() == Some(&channel)
            {
                waiting.sending.is_overtaken = true;
            }
        }
    }

    /// The connection is gone: what it was asked is to be asked again.
    pub(crate) fn lost(&mut self) {
        self.publishes_in_flight = 0;
        for (id, waiting) in &mut self.waiting {
            waiting.sending.is_in_flight = false;
            self.unsent.insert(Turn::of(*id, &waiting.sending));
        }
    }

    /// Tells everybody that it is over.
    pub(crate) fn end(&mut self, error: &Error) {
        self.unsent.clear();
        while let Some((_, waiting)) = self.waiting.pop_first() {
            let _ = waiting.answer.send(Err(error.clone()));
        }
    }

    /// Gives up what was asked before a point in time.
    pub(crate) fn expire(&mut self, before: Instant, error: &Error) {
        let old = |(id, waiting): (&u64, &Waiting)| (waiting.since <= before).then_some(*id);
        let old: Vec<u64> = self.waiting.iter().filter_map(old).collect();
        for id in old {
            self.settle(id, Err(error.clone()));
        }
        self.unsent.retain(|turn| self.waiting.contains_key(&turn.id()));
    }
}

impl Waiting {
    fn number(&mut self, producer: &ProducerId, seq: u64) {
        if let Command::Publish(publish) = &mut self.command {
            publish.producer = Some(WireProducer { id: producer.clone(), seq });
            self.sending.seq = Some(seq);
        }
    }

    fn channel(&self) -> Option<&ChannelName> {
        match &self.command {
            Command::Publish(publish) => Some(&publish.channel),
            _ => None,
        }
    }

    /// Whether sending it again could publish it twice, or not at all.
    fn is_doubtful(&self, now: Instant) -> bool {
        let is_old = self.sending.first.is_some_and(|first| now.duration_since(first) >= RECOGNISED_FOR);
        self.sending.seq.is_some() && (is_old || self.sending.is_overtaken)
    }
}

/// Whether the client is to number a command: a publish that does not name a producer of its own.
fn is_numbered(command: &Command) -> bool {
    matches!(command, Command::Publish(publish) if publish.producer.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use inkwire_core::Fields;
    use inkwire_protocol::Asked;
    use inkwire_protocol::command::Publish;
    use tokio::sync::Semaphore;
    use tokio::sync::oneshot::Receiver;

    struct Desk {
        outstanding: Outstanding,
        answers: Vec<Receiver<Result<Text, Error>>>,
        now: Instant,
    }

    const OK: Result<(), Code> = Ok(());

    impl Desk {
        fn new() -> Self {
            let outstanding = Outstanding::new(ProducerId::new("p").unwrap());
            Self { outstanding, answers: Vec::new(), now: Instant::now() }
        }

        /// Publishes under the ids 0, 1, …
        fn publish(&mut self, channel: &str) {
            let fields = Fields::of([("a", "1")]);
            let publish = Publish::plain(ChannelName::new(channel).unwrap(), fields);
            let (answer, answered) = oneshot::channel();
            let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let id = self.answers.len() as u64;
            self.outstanding.add(id, Command::Publish(Box::new(publish)), answer, room, self.now);
            self.answers.push(answered);
        }

        /// Everything there is to send, as `id:number`.
        fn sent(&mut self) -> String {
            let mut sent = Vec::new();
            while let Some(text) = self.outstanding.next(self.now) {
                let asked = Asked::decode(&text);
                let Ok(Command::Publish(publish)) = asked.command else { panic!("{text}") };
                sent.push(format!("{}:{}", asked.id.unwrap().as_str(), publish.producer.unwrap().seq));
            }
            sent.join(" ")
        }

        fn answer(&mut self, id: u64, outcome: Result<(), Code>) {
            let outcome = match outcome {
                Ok(()) => Ok(Text::of("{}")),
                Err(code) => Err(Refused { retry_after_ms: Some(100), ..Refused::new(code, "no") }),
            };
            self.outstanding.answered(id, outcome, None, self.now);
        }

        fn pass(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn outcome(&mut self, id: usize) -> Result<(), Error> {
            self.answers[id].try_recv().unwrap().map(drop)
        }
    }

    #[test]
    fn after_a_drop_the_same_is_sent_under_the_same_numbers() {
        let mut desk = Desk::new();
        for channel in ["a", "b", "a"] {
            desk.publish(channel);
        }
        assert_eq!(desk.sent(), "0:1 1:2 2:3");
        desk.answer(0, OK);
        desk.outstanding.lost();
        desk.publish("a");
        assert_eq!(desk.sent(), "1:2 2:3 3:4");
        desk.answer(0, OK);
        assert_eq!(desk.outcome(0), Ok(()));
    }

    #[test]
    fn who_comes_too_fast_is_numbered_anew_once_all_is_known() {
        let mut desk = Desk::new();
        (0..4).for_each(|_| desk.publish("a"));
        assert_eq!(desk.sent(), "0:1 1:2 2:3 3:4");
        desk.answer(0, OK);
        desk.answer(1, Err(Code::RateLimited));
        desk.answer(2, OK);
        desk.publish("a");
        desk.pass(200);
        assert_eq!(desk.sent(), "", "the fate of 3 decides");
        desk.answer(3, Err(Code::RateLimited));
        assert_eq!(desk.sent(), "");
        desk.pass(200);
        assert_eq!(desk.sent(), "1:5 3:6 4:7");
    }

    #[test]
    fn what_may_have_been_published_keeps_its_number_or_is_in_doubt() {
        let mut desk = Desk::new();
        (0..3).for_each(|_| desk.publish("a"));
        desk.publish("b");
        assert_eq!(desk.sent(), "0:1 1:2 2:3 3:4");
        desk.answer(0, Err(Code::Unavailable));
        desk.answer(1, OK);
        desk.answer(2, Err(Code::Unavailable));
        desk.answer(3, OK);
        desk.pass(200);
        assert_eq!(desk.sent(), "2:3");
        assert_eq!(desk.outcome(0), Err(Error::Uncertain));
    }

    #[test]
    fn what_was_lost_goes_before_what_was_refused() {
        let mut desk = Desk::new();
        (0..3).for_each(|_| desk.publish("a"));
        desk.sent();
        desk.answer(0, Err(Code::RateLimited));
        desk.outstanding.lost();
        desk.pass(200);
        assert_eq!(desk.sent(), "1:2 2:3 0:4");
    }

    #[test]
    fn nothing_is_sent_again_when_it_can_no_longer_be_recognised() {
        let mut desk = Desk::new();
        desk.publish("a");
        desk.sent();
        desk.outstanding.lost();
        desk.publish("a");
        desk.pass(5 * 60 * 1_000);
        assert_eq!(desk.sent(), "1:2", "what was never sent is in no doubt");
        assert_eq!(desk.outcome(0), Err(Error::Uncertain));
    }

    #[test]
    fn refusals_for_good_are_told_and_nobodys_commands_forgotten() {
        let mut desk = Desk::new();
        (0..2).for_each(|_| desk.publish("a"));
        desk.sent();
        desk.answer(0, Err(Code::Forbidden));
        assert_eq!(desk.outcome(0).unwrap_err().code(), Some(Code::Forbidden));
        desk.answers.pop();
        desk.outstanding.lost();
        assert_eq!(desk.sent(), "");
    }

    #[test]
    fn patience_ends() {
        let mut desk = Desk::new();
        desk.publish("a");
        desk.pass(1_000);
        desk.publish("a");
        let before = desk.now - Duration::from_millis(500);
        desk.outstanding.expire(before, &Error::Unreachable("gone".into()));
        assert_eq!(desk.outcome(0), Err(Error::Unreachable("gone".into())));
        assert_eq!(desk.sent(), "1:1");
    }
}
