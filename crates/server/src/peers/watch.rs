//! The watch over the other nodes: says in `$nodes` that this node lives, and at last that it goes; hears the others, and lets
//! the peers of one that is gone leave the rooms that are held here.
//!
//! A room is *held* by a node while a stream on it follows the room. Every node that holds a room with peers of a dead node
//! lets them leave, each in an order of its own; the claim to a peer's stream decides which of them it is. A room that
//! nobody holds keeps such peers until somebody enters it: then they are looked at, too. Nothing is scanned otherwise.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use inkwire_core::{Event, Hub, Start, Wake};
use inkwire_protocol::RoomId;
use metrics::{counter, gauge};
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout};
use tracing::{info, warn};

use super::lease::{self, Beat, Lapsed, Leases, Tense};
use super::roster;
use super::signalling::{Refusal, Signalling};

/// How many logs are looked at side by side. Enough for thousands of peers within seconds, few enough to leave the broker
/// to the living.
const SIDE_BY_SIDE: usize = 32;

/// How long a node that goes waits for its last word to be heard by the broker. Unheard, its lease runs out.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What this node knows of the others, and which of its rooms it has not looked at yet.
#[derive(Debug)]
pub(crate) struct Watch {
    node: Box<str>,
    lease: Duration,
    /// How often it has said that it lives.
    beats: AtomicU64,
    leases: Mutex<Leases>,
    /// Rooms entered here since the last look. At most as many as are held.
    entered: Mutex<HashSet<RoomId>>,
}

impl Watch {
    pub(crate) fn new(node: &str, lease: Duration) -> Self {
        let leases = Mutex::new(Leases::new(node, lease, Instant::now()));
        Self { node: node.into(), lease, beats: AtomicU64::new(0), leases, entered: Mutex::default() }
    }

    /// Whether a node's lease has run out.
    pub(crate) fn has_lapsed(&self, node: &str) -> bool {
        self.leases().has_lapsed(node, Instant::now())
    }

    /// A stream of this node has entered a room, which may have been held by nobody before.
    pub(crate) fn entered(&self, room: &RoomId) {
        self.rooms().insert(room.clone());
    }

    /// Keeps this node's lease, and lets the peers of those leave who did not keep theirs. For ever.
    pub(crate) async fn keep(&self, signalling: &Signalling) {
        tokio::join!(self.beat(signalling.hub()), self.listen(signalling.hub()), self.judge(signalling));
    }

    /// Says that this node goes. To be called when its streams have ended, and it is kept no longer: nothing is said after it.
    pub(crate) async fn say_farewell(&self, hub: &Hub, grace: Duration) {
        let farewell = Beat::farewell(&self.node, self.next_number(), grace);
        match timeout(LAST_WORD, hub.publish(&lease::channel(), farewell.draft())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                warn!(%error, "this node cannot say that it goes; its lease runs out by itself");
            }
            Err(_) => warn!("this node cannot say that it goes: the broker does not answer"),
        }
    }

    fn next_number(&self) -> u64 {
        self.beats.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn beat(&self, hub: &Hub) {
        let every = lease::interval(self.lease);
        let mut ticks = ticks(every);
        loop {
            ticks.tick().await;
            let (node, number) = (self.node.clone(), self.next_number());
            let beat = Beat { node, number, lease: self.lease, tense: Tense::Lives };
            match timeout(every, hub.publish(&lease::channel(), beat.draft())).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => warn!(%error, "this node cannot say that it lives"),
                Err(_) => warn!("this node cannot say that it lives: the broker does not answer"),
            }
        }
    }

    async fn listen(&self, hub: &Hub) {
        let mut ticks = ticks(lease::interval(self.lease));
        loop {
            ticks.tick().await;
            let wake = Arc::<Wake>::default();
            let Ok((mut nodes, _)) = hub.subscribe(&lease::channel(), Start::Beginning, wake).await else {
                continue;
            };
            loop {
                if let Event::Messages(messages) = nodes.next().await {
                    let now = Instant::now();
                    let beats = messages.iter().filter_map(|message| Beat::of(message));
                    beats.for_each(|beat| self.leases().hear(&beat, now));
                }
            }
        }
    }

    async fn judge(&self, signalling: &Signalling) {
        // Between the beats, too: what looks is memory only.
        let mut ticks = ticks(lease::interval(self.lease) / 2);
        loop {
            ticks.tick().await;
            self.look_at_entered(signalling).await;
            let lapsed = self.lapsed();
            if lapsed.is_empty() {
                continue;
            }
            match self.let_peers_leave(signalling).await {
                Ok(peers) => {
                    let nodes: Vec<_> = lapsed.iter().map(|lapsed| &*lapsed.node).collect();
                    info!(?nodes, peers, "leases have run out; the peers left the rooms that are held here");
                    self.strike_off(signalling.hub(), &lapsed).await;
                }
                Err(refusal) => warn!(%refusal, "cannot let the peers of a dead node leave; trying again"),
            }
        }
    }

    fn lapsed(&self) -> Vec<Lapsed> {
        let (now, leases) = (Instant::now(), self.leases());
        #[expect(clippy::cast_precision_loss, reason = "there are not so many nodes")]
        gauge!("inkwire_nodes").set(leases.living(now) as f64);
        leases.lapsed(now)
    }

    /// Minds the nodes of those who are in newly entered rooms; the dead among them lapse like any other.
    async fn look_at_entered(&self, signalling: &Signalling) {
        let mut rooms = std::mem::take(&mut *self.rooms()).into_iter();
        while let Some(room) = rooms.next() {
            if let Err(refusal) = self.look_at(signalling, &room).await {
                warn!(%refusal, "cannot look at a room; trying again");
                // Nor at the others: the lapsed are judged meanwhile.
                self.rooms().extend(rooms.chain([room]));
                return;
            }
        }
    }

    async fn look_at(&self, signalling: &Signalling, room: &RoomId) -> Result<(), Refusal> {
        let stays = signalling.stays(room).await?;
        let nodes = stays.into_iter().map(|stay| signalling.node_of(room, stay));
        let mut nodes = stream::iter(nodes).buffer_unordered(SIDE_BY_SIDE);
        while let Some(node) = nodes.try_next().await? {
            if let Some(node) = node {
                self.leases().mind(&node, Instant::now());
            }
        }
        Ok(())
    }

    /// Lets all peers of dead nodes leave who are in a room that is held here; answers how many it was up to this node
    /// to let go.
    async fn let_peers_leave(&self, signalling: &Signalling) -> Result<u64, Refusal> {
        let held = signalling.hub().followed();
        let held: Vec<_> = held.iter().filter_map(roster::room).collect();
        let stays = held.into_iter().map(|room| async move {
            let stays = signalling.stays(&room).await?;
            Ok::<_, Refusal>(stays.into_iter().map(move |stay| (room.clone(), stay)))
        });
        let stays: Vec<_> = stream::iter(stays).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        let mut stays: Vec<_> = stays.into_iter().flatten().collect();
        // Others do the same now: begun at different ends, it is done in less time.
        stays.shuffle(&mut rand::rng());
        let left =
            stays.into_iter().map(|(room, stay)| async move { signalling.leave_if_dead(&room, stay).await });
        let mut left = stream::iter(left).buffer_unordered(SIDE_BY_SIDE);
        let mut count = 0;
        while let Some(left) = left.try_next().await? {
            count += u64::from(left);
        }
        counter!("inkwire_lapsed_peers_total").increment(count);
        Ok(count)
    }

    async fn strike_off(&self, hub: &Hub, lapsed: &[Lapsed]) {
        for lapsed in lapsed {
            self.leases().forget(lapsed);
            if let Err(error) =
                hub.publish(&lease::channel(), lease::struck_off(&lapsed.node, lapsed.last)).await
            {
                warn!(%error, "cannot strike a dead node off; it expires by itself");
            }
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, HashSet<RoomId>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
