//! Files on their way in, which are held in memory until all of each has come: how much memory that is, and who gives way
//! when there is no more of it.
//!
//! Invariant: all of them together hold no more than there is ([`HELD`]), and slow ones keep nobody out. Memory is taken by
//! what has come. For a quick one, as much again as it has brought is kept by those who came later, so that it need not stop
//! half-way; a slow one has no such claim, and when somebody needs what it holds, the slowest gives way. Who takes, waits and
//! goes is a function of values ([`Memory`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inkwire_protocol::{Code, Refused};
use metrics::{counter, gauge};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// How many bytes are held at once: eight files of the largest size that is taken unless told otherwise.
const HELD: usize = 32 << 20;
/// How long one that finds no memory waits for some; then it is refused, to come again.
const PATIENCE: Duration = Duration::from_secs(5);
/// In such steps the pace of an upload is measured.
const STEP: usize = 80 << 10;
/// By when each step must have come: 8 KiB/s, or a pause of some seconds. Slower ones are ended, needed or not.
const LONGEST_STEP: Duration = Duration::from_secs(10);
/// Whoever takes longer for a step (40 KiB/s) is slow: nothing is kept for it, and it gives way when memory is needed.
const SLOW: Duration = Duration::from_secs(2);

/// All that is arriving.
#[derive(Debug)]
pub(crate) struct Arrivals {
    memory: Mutex<Memory>,
    /// There is more memory than before, or less of it is kept for somebody.
    changed: Notify,
}

/// Who has how much of it.
#[derive(Debug)]
struct Memory {
    all: usize,
    free: usize,
    /// By number: the youngest comes last.
    arrivals: BTreeMap<u64, Standing>,
    next: u64,
}

/// How an arrival stands.
#[derive(Debug)]
struct Standing {
    held: usize,
    /// How many bytes it is going to be, as far as anybody knows.
    expected: usize,
    doing: Doing,
    gives_way: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It waits for its client, in a step that began then; its own waits for memory do not count.
    Receiving(Instant),
    /// It waits for so much memory.
    Waiting(usize),
    /// All of it has come. It goes by itself, as soon as the store allows.
    Whole,
    /// It was told to go.
    Leaving,
}

/// What is to be done about one that finds no memory.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// This one is to go.
    GivesWay(u64),
    /// It waits for a change, or until then at most: somebody will have become slow.
    Wait(Option<Instant>),
}

/// Why an upload was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its client took longer than [`LONGEST_STEP`] for a step.
    Slow,
    /// Somebody quicker needed what it held.
    GaveWay,
    /// There was no memory for [`PATIENCE`].
    NoRoom,
}

/// One file that arrives. What it holds is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Arrival {
    all: Arc<Arrivals>,
    number: u64,
    gives_way: Arc<Notify>,
    step: Step,
}

/// How far the present step is.
#[derive(Debug, Default)]
struct Step {
    come: usize,
    took: Duration,
}

impl Arrivals {
    /// Memory for uploads of at most so many bytes each.
    pub(crate) fn new(largest: usize) -> Self {
        let all = HELD.max(largest);
        let memory = Memory { all, free: all, arrivals: BTreeMap::new(), next: 0 };
        Self { memory: Mutex::new(memory), changed: Notify::new() }
    }

    /// A file begins to arrive, which is going to be so large.
    pub(crate) fn begin(self: &Arc<Self>, expected: usize) -> Arrival {
        let gives_way = Arc::<Notify>::default();
        let standing = Standing {
            held: 0,
            expected,
            doing: Doing::Receiving(Instant::now()),
            gives_way: Arc::clone(&gives_way),
        };
        let mut memory = self.memory();
        let number = memory.next;
        memory.next += 1;
        memory.arrivals.insert(number, standing);
        Arrival { all: Arc::clone(self), number, gives_way, step: Step::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Gives an arrival so many bytes more, if there are so many that are not kept for others.
    fn take(&mut self, number: u64, bytes: usize, now: Instant) -> bool {
        // No claim is larger than what its owner holds: mostly there is no need to add them up.
        let is_plenty = bytes.saturating_add(self.all - self.free) <= self.free;
        if !is_plenty && bytes > self.free.saturating_sub(self.kept_from(number, now)) {
            return false;
        }
        let Some(standing) = self.arrivals.get_mut(&number) else { return false };
        self.free -= bytes;
        standing.held += bytes;
        gauge!("inkwire_upload_bytes").increment(bytes as f64);
        true
    }

    /// How much is kept for those who came before this one.
    fn kept_from(&self, number: u64, now: Instant) -> usize {
        self.arrivals.range(..number).map(|(_, standing)| standing.claim(now)).fold(0, usize::saturating_add)
    }

    fn set(&mut self, number: u64, doing: Doing) {
        if let Some(standing) = self.arrivals.get_mut(&number)
            && standing.doing != Doing::Leaving
        {
            standing.doing = doing;
        }
    }

    /// Who goes, when somebody finds no memory: the slowest of the slow that holds any. Where nobody receives, nothing is
    /// being stored, and nobody who waits could go on, all wait for each other, and the youngest goes.
    fn judge(&self, now: Instant) -> Verdict {
        let mut slowest: Option<(Instant, u64)> = None;
        let mut youngest = None;
        let (mut soonest, mut goes_on) = (None::<Instant>, false);
        let mut claimed = 0_usize;
        for (number, standing) in &self.arrivals {
            match standing.doing {
                Doing::Leaving => return Verdict::Wait(None),
                Doing::Whole => goes_on = true,
                Doing::Waiting(bytes) if claimed.saturating_add(bytes) <= self.free => goes_on = true,
                Doing::Waiting(_) if standing.held > 0 => youngest = Some(*number),
                Doing::Receiving(since) if since + SLOW > now => {
                    soonest = Some(soonest.map_or(since + SLOW, |other| other.min(since + SLOW)));
                }
                Doing::Receiving(since) if standing.held > 0 => {
                    slowest = Some(slowest.map_or((since, *number), |other| other.min((since, *number))));
                }
                Doing::Receiving(_) | Doing::Waiting(_) => {}
            }
            claimed = claimed.saturating_add(standing.claim(now));
        }
        match (slowest, soonest, youngest) {
            (Some((_, number)), ..) => Verdict::GivesWay(number),
            (None, None, Some(number)) if !goes_on => Verdict::GivesWay(number),
            _ => Verdict::Wait(soonest),
        }
    }

    /// Tells whoever is to go; answers until when to wait at most.
    fn make_room(&mut self, now: Instant) -> Option<Instant> {
        match self.judge(now) {
            Verdict::Wait(until) => until,
            Verdict::GivesWay(number) => {
                if let Some(standing) = self.arrivals.get_mut(&number) {
                    standing.doing = Doing::Leaving;
                    standing.gives_way.notify_one();
                }
                None
            }
        }
    }
}

impl Standing {
    /// How many bytes are kept for it besides those it holds. What is merely announced is nothing to rely on.
    fn claim(&self, now: Instant) -> usize {
        let is_quick = match self.doing {
            Doing::Receiving(since) => since + SLOW > now,
            Doing::Waiting(_) => true,
            Doing::Whole | Doing::Leaving => false,
        };
        if is_quick { self.expected.saturating_sub(self.held).min(self.held) } else { 0 }
    }
}

impl Arrival {
    /// Waits for the next piece from the client, but not for ever.
    ///
    /// # Errors
    /// [`Ended`] when it is too slow, or gives way.
    pub(crate) async fn next<T>(&mut self, piece: impl Future<Output = T>) -> Result<T, Ended> {
        let began = Instant::now();
        let step_began = began.checked_sub(self.step.took).unwrap_or(began);
        self.all.memory().set(self.number, Doing::Receiving(step_began));
        let left = LONGEST_STEP.saturating_sub(self.step.took);
        let outcome = tokio::select! {
            biased;
            () = self.gives_way.notified() => return Err(Ended::GaveWay),
            outcome = timeout(left, piece) => outcome,
        };
        self.step.took += began.elapsed();
        outcome.map_err(|_| Ended::Slow)
    }

    /// Takes memory for a piece that has come; waits for it where there is none.
    ///
    /// # Errors
    /// [`Ended`] when none comes free in time, or this one gives way itself.
    pub(crate) async fn keep(&mut self, bytes: usize) -> Result<(), Ended> {
        self.step.note(bytes);
        let deadline = Instant::now() + PATIENCE;
        let (all, number) = (Arc::clone(&self.all), self.number);
        loop {
            let mut changed = std::pin::pin!(all.changed.notified());
            // Heard from here on: what changes after the look is not missed.
            changed.as_mut().enable();
            let until = {
                let (mut memory, now) = (all.memory(), Instant::now());
                if memory.take(number, bytes, now) {
                    return Ok(());
                }
                memory.set(number, Doing::Waiting(bytes));
                memory.make_room(now)
            };
            tokio::select! {
                biased;
                () = self.gives_way.notified() => return Err(Ended::GaveWay),
                waited = timeout_at(deadline, changed) => waited.map_err(|_| Ended::NoRoom)?,
                () = sleep_until(until.unwrap_or(deadline)) => {}
            }
        }
    }

    /// Notes that all of it has come: it gives way to nobody any more, and nothing more is kept for it.
    pub(crate) fn complete(&self) {
        self.all.memory().set(self.number, Doing::Whole);
        self.all.changed.notify_waiters();
    }
}

impl Step {
    /// So many bytes more; a step that is done makes place for the next.
    fn note(&mut self, bytes: usize) {
        self.come += bytes;
        if self.come >= STEP {
            *self = Self::default();
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut memory = self.all.memory();
        if let Some(standing) = memory.arrivals.remove(&self.number) {
            memory.free += standing.held;
            gauge!("inkwire_upload_bytes").decrement(standing.held as f64);
        }
        drop(memory);
        self.all.changed.notify_waiters();
    }
}

impl From<Ended> for Refused {
    /// The client may come again, and counts as one that was not served.
    fn from(ended: Ended) -> Self {
        let (outcome, why) = match ended {
            Ended::Slow => ("slow", "the file came too slowly: at least 8 KiB a second are asked for"),
            Ended::GaveWay => ("displaced", "many files are being put at once, and this one came slowest"),
            Ended::NoRoom => ("refused", "too many files are being put at once"),
        };
        counter!("inkwire_uploads_total", "outcome" => outcome).increment(1);
        Self::new(Code::Unavailable, why)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const LARGEST: usize = 4 << 20;

    /// A client that sends so many bytes in pieces of a size, one every so often.
    async fn send(arrival: &mut Arrival, bytes: usize, piece: usize, every: Duration) -> Result<(), Ended> {
        for _ in 0..bytes.div_ceil(piece) {
            arrival.next(sleep(every)).await?;
            arrival.keep(piece).await?;
        }
        arrival.complete();
        Ok(())
    }

    fn arrivals() -> Arc<Arrivals> {
        Arc::new(Arrivals::new(LARGEST))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_borne_and_a_trickle_is_not() {
        let all = arrivals();
        // 50 kB/s, in pieces and in bursts with pauses between them.
        for (piece, every) in [(1_000, 20), (400_000, 8_000)] {
            let every = Duration::from_millis(every);
            assert_eq!(send(&mut all.begin(LARGEST), LARGEST, piece, every).await, Ok(()), "{piece}");
        }
        for (piece, every) in [(1, 100), (1_000, 200), (70_000, 9_500), (80_000, 10_500)] {
            let every = Duration::from_millis(every);
            assert_eq!(
                send(&mut all.begin(LARGEST), LARGEST, piece, every).await,
                Err(Ended::Slow),
                "{piece}"
            );
        }
        assert_eq!(all.memory().free, HELD, "all of it is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_slow_gives_way_to_whoever_is_quick() {
        let all = arrivals();
        let mut slow = Vec::new();
        for n in 0..8 {
            let mut arrival = all.begin(LARGEST);
            arrival.keep(LARGEST - 1).await.unwrap();
            sleep(Duration::from_millis(n)).await;
            slow.push(tokio::spawn(async move { arrival.next(std::future::pending::<()>()).await }));
        }
        let mut quick = all.begin(LARGEST);
        assert_eq!(send(&mut quick, LARGEST, 16 << 10, Duration::from_millis(1)).await, Ok(()));
        assert_eq!(slow.remove(0).await.unwrap(), Err(Ended::GaveWay));
        assert!(slow.iter().all(|other| !other.is_finished()), "one was enough");
        assert!(all.memory().free < 16 << 10);
    }

    /// Twenty begin at once, of which eight find room: the others wait their turn, and nobody stops half-way.
    #[tokio::test(start_paused = true)]
    async fn quick_ones_wait_for_each_other() {
        let all = arrivals();
        let mut uploads = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut arrival = all.begin(LARGEST);
            uploads
                .spawn(async move { send(&mut arrival, LARGEST, 64 << 10, Duration::from_millis(1)).await });
        }
        assert_eq!(uploads.join_all().await, [Ok(()); 20]);
        assert_eq!(all.memory().free, HELD);
    }

    /// Those that announce much and send little, however many, are nothing to wait for.
    #[tokio::test(start_paused = true)]
    async fn announcing_takes_nothing() {
        let all = arrivals();
        let mut silent = tokio::task::JoinSet::new();
        for _ in 0..500 {
            let mut arrival = all.begin(LARGEST);
            arrival.keep(1_000).await.unwrap();
            silent.spawn(async move { arrival.next(std::future::pending::<()>()).await });
        }
        tokio::task::yield_now().await;
        let mut quick = all.begin(LARGEST);
        let began = Instant::now();
        assert_eq!(send(&mut quick, LARGEST, 16 << 10, Duration::from_millis(1)).await, Ok(()));
        assert!(began.elapsed() < SLOW, "{:?}", began.elapsed());
        assert_eq!(silent.join_all().await, [Err(Ended::Slow); 500]);
    }

    /// Should all wait for each other after all, the youngest goes.
    #[tokio::test(start_paused = true)]
    async fn somebody_goes_where_nobody_could_go_on() {
        let all = arrivals();
        let mut uploads = Vec::new();
        for _ in 0..9 {
            // Each turns out larger than it was announced to be.
            let mut arrival = all.begin(0);
            arrival.keep(HELD / 9).await.unwrap();
            uploads.push(tokio::spawn(async move { arrival.keep(HELD / 9).await }));
        }
        let mut gone = 0;
        for upload in uploads {
            gone += usize::from(upload.await.unwrap() == Err(Ended::GaveWay));
        }
        assert!((1..9).contains(&gone), "{gone}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_whole_gives_way_to_nobody() {
        let all = arrivals();
        let mut whole = Vec::new();
        for _ in 0..8 {
            let mut arrival = all.begin(LARGEST);
            arrival.keep(LARGEST).await.unwrap();
            arrival.complete();
            whole.push(arrival);
        }
        let began = Instant::now();
        assert_eq!(all.begin(LARGEST).keep(1).await, Err(Ended::NoRoom));
        assert_eq!(began.elapsed(), PATIENCE);
        // Whoever waits when one of them is stored goes on.
        let mut next = all.begin(LARGEST);
        let waiting = tokio::spawn(async move { next.keep(1).await });
        tokio::task::yield_now().await;
        drop(whole.pop());
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
