//! How many durable publishes a second the store takes: eight publishers, each with its own channel and many publishes
//! in flight, 128 bytes each, and what a million of them costs in CPU time.
//!
//! `cargo run --release -p inkwire-embedded --example publish_rate -- [directory] [seconds] [in flight per publisher]`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inkwire_core::{Broker as _, ChannelName, Draft, Fields};
use inkwire_embedded::{Embedded, EmbeddedOptions};
use tokio::task::JoinSet;

const PUBLISHERS: usize = 8;
const BYTES: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(|| std::env::temp_dir().join("inkwire-rate"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let in_flight = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    std::fs::remove_dir_all(&directory).ok();
    let broker = Arc::new(Embedded::open(EmbeddedOptions::new(&directory))?);

    let (started, cpu_before) = (Instant::now(), cpu_seconds()?);
    let until = started + Duration::from_secs(seconds);
    let published = runtime.block_on(run(&broker, until, in_flight))?;
    let (passed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? - cpu_before);

    let closing = Instant::now();
    drop(broker);
    #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let published = published as f64;
    println!(
        "{:.0} publishes/s, {:.2} CPU seconds per million, {PUBLISHERS} publishers with {in_flight} in flight, \
         {BYTES} bytes each; closed in {:.0?}",
        published / passed,
        cpu / published * 1e6,
        closing.elapsed(),
    );
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

async fn run(broker: &Arc<Embedded>, until: Instant, in_flight: usize) -> inkwire_core::Result<u64> {
    let mut lanes = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let channel = ChannelName::new(format!("rate:{publisher}")).expect("a channel name");
        for _ in 0..in_flight {
            lanes.spawn(publish_until(Arc::clone(broker), channel.clone(), until));
        }
    }
    let mut published = 0;
    for lane in lanes.join_all().await {
        published += lane?;
    }
    Ok(published)
}

async fn publish_until(
    broker: Arc<Embedded>,
    channel: ChannelName,
    until: Instant,
) -> inkwire_core::Result<u64> {
    let fields = Fields::of([("text", &"x".repeat(BYTES - "text".len()))]);
    let mut published = 0;
    while Instant::now() < until {
        broker.publish(&channel, Draft::plain(fields.clone())).await?;
        published += 1;
    }
    Ok(published)
}

/// User and system time of this process, as Linux counts it: in hundredths of a second.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("/proc/self/stat has a name in brackets")?.1;
    let ticks: u32 =
        after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
