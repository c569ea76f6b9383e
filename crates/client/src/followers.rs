//! The channels that a client follows, as values: what to ask the server for, and what its events mean for whom.
//!
//! Invariant: an inbox holds each message of its channel once, in the order of offsets, and a `Gap` wherever the
//! server could not prove that one follows the other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use inkwire_core::{ChannelName, Offset};
use inkwire_protocol::channel::{From, Received};
use inkwire_protocol::command::Subscribe;
use inkwire_protocol::reply::Subscribed;
use inkwire_protocol::{Code, Command, CommandId, Refused};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use crate::backoff;
use crate::error::{Error, is_passing};
use crate::subscription::{Event, Inbox, Room};

/// For whoever asked to subscribe: it has begun.
pub(crate) type Begun = oneshot::Sender<Result<(), Error>>;

/// The channels that are followed.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    of: HashMap<ChannelName, Follower>,
    /// When which channel is to be asked for; those that are not [`Stage::Due`] any more are passed over.
    agenda: BTreeSet<(Instant, ChannelName)>,
    /// What was asked for on this connection and not answered yet.
    asked: HashMap<u64, ChannelName>,
    /// What is to be said to the server about channels that are followed no more.
    leaving: Vec<ChannelName>,
}

#[derive(Debug)]
struct Follower {
    /// After the last message in the inbox.
    cursor: From,
    inbox: Arc<Inbox>,
    stage: Stage,
    begun: Option<Begun>,
    since: Instant,
    failures: u32,
}

/// How far a subscription is, on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Stands on the agenda.
    Due,
    /// Asked for, under this id.
    Asked(u64),
    /// Messages come.
    Live,
    /// The inbox is full.
    Paused,
}

impl Followers {
    /// Follows a channel. One client follows a channel once, as one connection does.
    pub(crate) fn add(
        &mut self,
        channel: ChannelName,
        from: From,
        inbox: Arc<Inbox>,
        begun: Begun,
        now: Instant,
    ) {
        self.tidy(now);
        if self.of.contains_key(&channel) {
            let twice = Error::refused(Code::Conflict, "this client follows the channel already");
            let _ = begun.send(Err(twice));
            return;
        }
        self.agenda.insert((now, channel.clone()));
        let begun = Some(begun);
        let follower = Follower { cursor: from, inbox, stage: Stage::Due, begun, since: now, failures: 0 };
        self.of.insert(channel, follower);
    }

    /// Forgets whom nobody reads, and goes on where there is room again.
    pub(crate) fn tidy(&mut self, now: Instant) {
        let leaving = &mut self.leaving;
        self.of.retain(|channel, follower| {
            let is_wanted = !follower.inbox.is_closed();
            if !is_wanted && matches!(follower.stage, Stage::Live | Stage::Asked(_)) {
                leaving.push(channel.clone());
            }
            is_wanted
        });
        for (channel, follower) in &mut self.of {
            if follower.stage == Stage::Paused && follower.inbox.has_room() {
                follower.stage = Stage::Due;
                self.agenda.insert((now, channel.clone()));
            }
        }
    }

    /// What to tell the server now, each under an id from `ids`.
    pub(crate) fn next(&mut self, now: Instant, mut ids: impl FnMut() -> u64) -> Vec<String> {
        let mut texts = Vec::new();
        for channel in self.leaving.drain(..) {
            texts.push(Command::Unsubscribe(channel).encode(Some(&CommandId::from(ids()))));
        }
        while self.due().is_some_and(|due| due <= now) {
            let Some((_, channel)) = self.agenda.pop_first() else { break };
            let Some(follower) = self.of.get_mut(&channel).filter(|f| f.stage == Stage::Due) else {
                continue;
            };
            let id = ids();
            follower.stage = Stage::Asked(id);
            self.asked.insert(id, channel.clone());
            let subscribe = Subscribe { channel, offset: follower.cursor };
            texts.push(Command::Subscribe(subscribe).encode(Some(&CommandId::from(id))));
        }
        texts
    }

    /// When there will be something to say.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// Whether a reply is to one of our subscribes.
    pub(crate) fn has_asked(&self, id: u64) -> bool {
        self.asked.contains_key(&id)
    }

    /// The reply to a subscribe.
    pub(crate) fn answered(&mut self, id: u64, outcome: Result<Subscribed, Refused>, now: Instant) {
        let Some(channel) = self.asked.remove(&id) else { return };
        let asked = self.of.get_mut(&channel).filter(|follower| follower.stage == Stage::Asked(id));
        let Some(follower) = asked else { return };
        match outcome {
            Ok(subscribed) => follower.begin(subscribed),
            Err(refused) if is_passing(refused.code) => {
                let asked = refused.retry_after_ms.map(Duration::from_millis);
                let wait = asked.unwrap_or_else(|| backoff::wait(follower.failures, rand::random()));
                follower.failures = follower.failures.saturating_add(1);
                follower.stage = Stage::Due;
                self.agenda.insert((now + wait, channel));
            }
            Err(refused) => {
                if let Some(follower) = self.of.remove(&channel) {
                    follower.end(&Error::Refused(refused));
                }
            }
        }
    }

    /// Messages of a channel.
    pub(crate) fn messages(&mut self, channel: &ChannelName, messages: Vec<Received>) {
        let Some(follower) = self.of.get_mut(channel).filter(|f| f.stage == Stage::Live) else { return };
        if follower.take(messages) == Room::None {
            follower.stage = Stage::Paused;
            self.leaving.push(channel.clone());
        }
    }

    /// A hole in a channel. What is kept comes next, and from there nothing is missing any more.
    pub(crate) fn gap(&mut self, channel: &ChannelName, after: Offset, oldest: Offset) {
        let Some(follower) = self.of.get_mut(channel).filter(|f| f.stage == Stage::Live) else { return };
        follower.inbox.put(Event::Gap { after, oldest: Some(oldest) });
        follower.cursor = From::Beginning;
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.leaving.clear();
        self.asked.clear();
        self.agenda.clear();
        for (channel, follower) in self.of.iter_mut().filter(|(_, f)| f.stage != Stage::Paused) {
            follower.stage = Stage::Due;
            self.agenda.insert((now, channel.clone()));
        }
    }

    /// Gives up subscriptions that were asked for before a point in time and have not begun.
    pub(crate) fn expire(&mut self, before: Instant, error: &Error) {
        let is_old = |follower: &Follower| follower.begun.is_some() && follower.since <= before;
        for (_, follower) in self.of.extract_if(|_, follower| is_old(follower)) {
            follower.end(error);
        }
    }

    /// Ends all of them.
    pub(crate) fn end(&mut self, error: &Error) {
        for (_, follower) in self.of.drain() {
            follower.end(error);
        }
    }
}

impl Follower {
    fn begin(&mut self, Subscribed { offset, gap }: Subscribed) {
        if gap {
            let after = if let From::After(after) = self.cursor { after } else { Offset::ZERO };
            self.inbox.put(Event::Gap { after, oldest: None });
        }
        self.cursor = From::After(offset);
        self.stage = Stage::Live;
        self.failures = 0;
        if let Some(begun) = self.begun.take() {
            // Who asked may have gone; then the inbox is closed too.
            let _ = begun.send(Ok(()));
        }
    }

    fn take(&mut self, mut messages: Vec<Received>) -> Room {
        if let From::After(cursor) = self.cursor {
            messages.retain(|message| message.offset > cursor);
        }
        let Some(last) = messages.last() else { return Room::Some };
        self.cursor = From::After(last.offset);
        self.inbox.put(Event::Messages(messages))
    }

    fn end(self, error: &Error) {
        match self.begun {
            Some(begun) => drop(begun.send(Err(error.clone()))),
            None => self.inbox.end(error.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::poll_fn;
    use inkwire_core::Fields;
    use tokio::sync::Notify;

    struct Desk {
        followers: Followers,
        inbox: Arc<Inbox>,
        begun: oneshot::Receiver<Result<(), Error>>,
        now: Instant,
        ids: u64,
    }

    fn at(ms: u64) -> Offset {
        Offset { ms, seq: 0 }
    }

    fn channel() -> ChannelName {
        ChannelName::new("a").unwrap()
    }

    fn message(ms: u64, text: &str) -> Received {
        Received {
            offset: at(ms),
            fields: Fields::of([("text", text)]),
            keyed: None,
            user: None,
            deliveries: None,
        }
    }

    impl Desk {
        fn new(from: From) -> Self {
            let (mut followers, now) = (Followers::default(), Instant::now());
            let inbox = Arc::new(Inbox::new(Arc::new(Notify::new())));
            let (begin, begun) = oneshot::channel();
            followers.add(channel(), from, Arc::clone(&inbox), begin, now);
            Self { followers, inbox, begun, now, ids: 0 }
        }

        /// What is said to the server, in short.
        fn said(&mut self) -> String {
            self.followers.tidy(self.now);
            let ids = &mut self.ids;
            let texts = self.followers.next(self.now, || {
                *ids += 1;
                *ids
            });
            let short = |text: &String| {
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                format!("{}{}", value["op"].as_str().unwrap(), value["offset"].as_str().unwrap_or_default())
            };
            texts.iter().map(short).collect::<Vec<_>>().join(" ")
        }

        fn answer(&mut self, offset: Offset, gap: bool) {
            self.followers.answered(self.ids, Ok(Subscribed { offset, gap }), self.now);
        }

        fn hear(&mut self, all: &[u64]) {
            self.followers.messages(&channel(), all.iter().map(|ms| message(*ms, "")).collect());
        }

        /// What the reader reads, in short.
        fn read(&self) -> String {
            let mut read = Vec::new();
            while let Some(Some(event)) = poll_fn(|cx| self.inbox.poll(cx)).now_or_never() {
                read.push(match event {
                    Ok(Event::Messages(messages)) => {
                        let offsets = messages.iter().map(|message| message.offset.ms.to_string());
                        offsets.collect::<Vec<_>>().join(",")
                    }
                    Ok(Event::Gap { after, .. }) => format!("gap {}", after.ms),
                    Err(error) => error.to_string(),
                });
            }
            read.join(" ")
        }
    }

    #[test]
    fn resumes_after_the_last_message() {
        let mut desk = Desk::new(From::New);
        assert_eq!(desk.said(), "subscribe$");
        desk.answer(at(5), false);
        assert_eq!(desk.begun.try_recv(), Ok(Ok(())));
        desk.followers.lost(desk.now);
        assert_eq!(desk.said(), "subscribe5-0");
        desk.hear(&[6]);
        assert_eq!(desk.read(), "", "nothing is heard before the reply");
        desk.answer(at(5), false);
        desk.hear(&[5, 6, 7]);
        desk.hear(&[7, 8]);
        desk.followers.lost(desk.now);
        assert_eq!(desk.said(), "subscribe8-0");
        assert_eq!(desk.read(), "6,7,8");
    }

    #[test]
    fn gaps_are_told_once_and_in_their_place() {
        let mut desk = Desk::new(From::After(at(3)));
        desk.said();
        desk.answer(at(5), true);
        desk.hear(&[6]);
        desk.followers.gap(&channel(), at(6), at(2));
        assert_eq!(desk.read(), "gap 3 6 gap 6");
        desk.followers.lost(desk.now);
        assert_eq!(desk.said(), "subscribe0");
        desk.answer(Offset::ZERO, false);
        desk.hear(&[2]);
        assert_eq!(desk.read(), "2");
    }

    #[test]
    fn a_slow_reader_is_waited_for() {
        let mut desk = Desk::new(From::Beginning);
        desk.said();
        desk.answer(Offset::ZERO, false);
        let large = "x".repeat(INBOX_HALF + 1);
        for ms in 1..=3 {
            desk.followers.messages(&channel(), vec![message(ms, &large)]);
        }
        assert_eq!(desk.said(), "unsubscribe", "the third found no room and was dropped");
        desk.followers.lost(desk.now);
        assert_eq!(desk.said(), "", "a full inbox asks for nothing, on any connection");
        assert_eq!(desk.read(), "1,2");
        assert_eq!(desk.said(), "subscribe2-0");
    }

    const INBOX_HALF: usize = 1 << 19;

    #[test]
    fn who_is_gone_is_followed_no_more() {
        let mut desk = Desk::new(From::New);
        desk.said();
        let refused = Refused { retry_after_ms: Some(50), ..Refused::new(Code::Unavailable, "later") };
        desk.followers.answered(desk.ids, Err(refused), desk.now);
        assert_eq!(desk.said(), "");
        desk.now += Duration::from_millis(50);
        assert_eq!(desk.said(), "subscribe$");
        desk.followers.answered(desk.ids, Err(Refused::new(Code::Forbidden, "no")), desk.now);
        assert!(matches!(desk.begun.try_recv(), Ok(Err(Error::Refused(_)))));
        assert_eq!(desk.said(), "");
    }
}
