//! The long faults, one after the other, and the table they make: `make chaos`.

use std::fmt::Write as _;
use std::fs;
use std::pin::Pin;
use std::time::Duration;

use super::{LONG, Seen, losses_are_told, nothing_is_lost};

/// A fault, in its long form.
struct Fault {
    what: &'static str,
    promise: &'static str,
    keeps: fn(&Seen),
    run: Pin<Box<dyn Future<Output = Seen>>>,
}

fn fault(
    what: &'static str,
    promise: &'static str,
    keeps: fn(&Seen),
    run: impl Future<Output = Seen> + 'static,
) -> Fault {
    Fault { what, promise, keeps, run: Box::pin(run) }
}

fn faults() -> Vec<Fault> {
    let nothing = "nothing answered is lost";
    vec![
        fault(
            "`kill -9` of a node, 20 times, the two in turn",
            nothing,
            nothing_is_lost,
            super::node_killed(LONG),
        ),
        fault(
            "`kill -9` of Redis, 20 times; `appendfsync always`",
            nothing,
            nothing_is_lost,
            super::redis_killed(LONG),
        ),
        fault(
            "Redis comes back empty",
            "the loss is told as `gap`",
            losses_are_told,
            super::redis_back_empty(LONG),
        ),
        fault(
            "Redis stopped for 5 s",
            nothing,
            nothing_is_lost,
            super::redis_stopped(Duration::from_secs(5)),
        ),
        fault(
            "Redis stopped for 60 s",
            nothing,
            nothing_is_lost,
            super::redis_stopped(Duration::from_secs(60)),
        ),
        fault(
            "`CLIENT KILL` of the subscriber connections, 60 times",
            nothing,
            nothing_is_lost,
            super::subscriber_connection_killed(LONG),
        ),
        fault("Redis out of memory for 10 s", nothing, nothing_is_lost, super::out_of_memory(LONG)),
        fault("Redis killed and `-LOADING` for seconds", nothing, nothing_is_lost, super::loading(LONG)),
        fault("Redis `-READONLY` for 10 s", nothing, nothing_is_lost, super::read_only(LONG)),
        fault("the line of one node 300 ms slow for 10 s", nothing, nothing_is_lost, super::slow_line(LONG)),
        fault("the line of one node cut 60 times", nothing, nothing_is_lost, super::cut_line(LONG)),
        fault(
            "the line of one node half-open for 10 s",
            nothing,
            nothing_is_lost,
            super::half_open_line(LONG),
        ),
        fault(
            "the master killed, a replica promoted by Sentinels",
            "what the replica lacked is told as `gap`",
            losses_are_told,
            super::failover(LONG),
        ),
        fault(
            "the channel's slot moved 20 times in a cluster",
            nothing,
            nothing_is_lost,
            super::resharding(LONG),
        ),
    ]
}

const HEAD: &str = "# Faults

Written by `make chaos`. Two nodes on a real Redis (7.0, on the same two cores), four publishers (over both nodes, each goes on through
every drop until it is answered), a reader on each node, and somebody beside them who publishes over HTTP to one node and tries nothing
again. *Lost*, *doubled* and *reordered* count answered messages at both readers; *told* are those missing at a reader that was told
`gap`. *Recovery* is the time from the end of the fault to the next message at the slower reader. *Longest answer* is what the one who
does not retry waited at most, and *refused* how many of his publishes were answered `unavailable`.

| fault | promised | answered | lost | doubled | reordered | told | lasted | recovery | longest answer | refused |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// Writes `docs/faults.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; make chaos runs it"]
async fn table() {
    let mut text = HEAD.to_owned();
    for Fault { what, promise, keeps, run } in faults() {
        let seen = run.await;
        println!("{what}: {seen:?}");
        keeps(&seen);
        let Seen { answered, lost, doubled, reordered, told, unavailable, .. } = seen;
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let (lasted, recovery, longest) =
            (seconds(seen.fault), seconds(seen.recovery), seconds(seen.longest_answer));
        writeln!(
            text,
            "| {what} | {promise} | {answered} | {lost} | {doubled} | {reordered} | {told} | {lasted} | {recovery} | {longest} | {unavailable} |"
        )
        .unwrap();
    }
    fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/faults.md"), text).unwrap();
}
