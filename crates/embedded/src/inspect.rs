//! [`inspect()`]: looks at a data directory as a node would, for whoever runs one.
//!
//! Invariant: the store is not changed, and a node that uses it is not disturbed; what is written stands in a directory
//! beside it that is gone at the end.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use inkwire_core::{Broker as _, ChannelName, Draft, Fields, Finding};

use crate::durable::file::{self, FILE, FORMAT, Format, LOCK};
use crate::embedded::{Embedded, EmbeddedOptions};

/// Below this much room, publishes will soon be refused.
const NO_ROOM: u64 = 64 << 20;
/// Below this much, somebody should look.
const LITTLE_ROOM: u64 = 1 << 30;
/// A disk that takes longer than this to make one small message safe is felt by whoever publishes.
const SLOW: Duration = Duration::from_millis(50);
/// So many messages are made safe, one after the other.
const PUBLISHES: usize = 10;

/// What there is to say about a data directory. Blocks on the disk now and then.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("inkwire-inspect-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// for finding in inkwire_embedded::inspect(&directory).await {
///     println!("{:8}{}: {}", finding.level, finding.subject, finding.says);
/// }
/// # std::fs::remove_dir_all(directory)?;
/// # Ok(()) }
/// ```
pub async fn inspect(directory: &Path) -> Vec<Finding> {
    let found = match fs::metadata(directory) {
        Ok(about) if about.is_dir() => ours(directory, &about),
        Ok(_) => {
            let says = format!("{} is no directory", directory.display());
            return vec![Finding::trouble("directory", says, "another place: --data-dir")];
        }
        Err(error) => return vec![absent(directory, &error)],
    };
    let mut findings = vec![found, node(directory)];
    findings.extend(store(directory));
    findings.push(room(directory));
    findings.push(disk(directory).await);
    findings
}

fn absent(directory: &Path, error: &std::io::Error) -> Finding {
    let place = directory.display();
    if error.kind() == ErrorKind::NotFound {
        let advice = "inkwire serve makes it; if there should be one, look for it elsewhere with --data-dir";
        return Finding::warning("directory", format!("there is no {place}"), advice);
    }
    Finding::trouble("directory", format!("{place}: {error}"), "run this as the user that the node runs as")
}

fn ours(directory: &Path, about: &fs::Metadata) -> Finding {
    let place = directory.display();
    if about.mode() & 0o077 != 0 {
        let says =
            format!("{place} can be entered by others on this machine (mode {:o})", about.mode() & 0o777);
        return Finding::warning("directory", says, format!("chmod 700 {place}"));
    }
    Finding::ok("directory", format!("{place}, its owner's only"))
}

/// Whether a node uses the directory, and which.
fn node(directory: &Path) -> Finding {
    let lock = match File::options().write(true).open(directory.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::ok("node", "none has used this directory yet");
        }
        Err(error) => {
            let advice = "run this as the user that the node runs as";
            return Finding::trouble("node", format!("its lock cannot be opened: {error}"), advice);
        }
    };
    match lock.try_lock() {
        Ok(()) => Finding::ok("node", "none uses it at present"),
        Err(TryLockError::WouldBlock) => {
            let who = holder(&lock)
                .map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}{}", name(pid)));
            Finding::ok("node", format!("in use by {who}"))
        }
        Err(TryLockError::Error(error)) => {
            let advice = "the file system must know locks: a local disk does, some network shares do not";
            Finding::trouble("node", format!("its lock cannot be tried: {error}"), advice)
        }
    }
}

/// Who holds a lock, where the system tells.
fn holder(lock: &File) -> Option<u32> {
    let inode = lock.metadata().ok()?.ino();
    holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Reads `1: FLOCK  ADVISORY  WRITE 708 08:02:1053 0 EOF`, where the numbers are the process and, last, the inode.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?.parse().ok()?;
        let own: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (is_flock && own == inode).then_some(pid)
    })
}

/// Not its command line, which may hold secrets.
fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.is_empty() { name } else { format!(" ({})", name.trim()) }
}

fn store(directory: &Path) -> Option<Finding> {
    let sizes =
        ["", "-wal"].map(|end| fs::metadata(directory.join(format!("{FILE}{end}"))).map(|about| about.len()));
    let [Ok(bytes), wal] = sizes else {
        return Some(Finding::ok("store", "none yet; the first start makes it"));
    };
    let figures =
        [("bytes", bytes as f64), ("wal_bytes", wal.unwrap_or(0) as f64), ("format", f64::from(FORMAT))];
    let size = mib(bytes);
    let finding = match file::look(directory) {
        Ok(Format::None) => Finding::ok("store", "empty"),
        Ok(Format::Current) => Finding::ok("store", format!("format {FORMAT}, {size}")).with(figures),
        Ok(Format::Older(format)) => Finding::warning(
            "store",
            format!(
                "format {format}, {size}: the next start makes it format {FORMAT}, which older programs cannot read"
            ),
            "make a copy first (docs/operations.md, Backup)",
        ),
        Err(error) => {
            Finding::trouble("store", error.to_string(), "restore a copy, or another place: --data-dir")
        }
    };
    Some(finding)
}

fn room(directory: &Path) -> Finding {
    let free = match rustix::fs::statvfs(directory) {
        Ok(about) => about.f_bavail.saturating_mul(about.f_frsize),
        Err(error) => {
            return Finding::warning(
                "room",
                format!("how much is free is not told: {error}"),
                "look with df",
            );
        }
    };
    let says = format!("{} free", mib(free));
    let advice = "make room, or keep less (inkwire serve --retain)";
    let finding = if free < NO_ROOM {
        Finding::trouble("room", format!("{says}: once the disk is full, publishes are refused"), advice)
    } else if free < LITTLE_ROOM {
        Finding::warning("room", says, advice)
    } else {
        Finding::ok("room", says)
    };
    finding.with([("free_bytes", free as f64)])
}

/// How long the disk takes to make a message safe: by a store of its own on the same disk.
async fn disk(directory: &Path) -> Finding {
    let scratch = match Scratch::new(directory) {
        Ok(scratch) => scratch,
        Err(error) => {
            let says = format!("{} cannot be written to: {error}", directory.display());
            return Finding::trouble(
                "disk",
                says,
                "run this as the user that the node runs as; look into its rights",
            );
        }
    };
    match publish(&scratch.0).await {
        Ok(mut times) => {
            times.sort();
            timed(times.get(times.len() / 2).copied().unwrap_or_default())
        }
        Err(why) => {
            Finding::trouble("disk", format!("a message cannot be made safe: {why}"), "look into the disk")
        }
    }
}

fn timed(median: Duration) -> Finding {
    let ms = median.as_secs_f64() * 1e3;
    let says =
        format!("a small message is safe after {ms:.2} ms (median of {PUBLISHES}, one after the other)");
    let finding = if median > SLOW {
        Finding::warning("disk", says, "every publisher waits for this, many of them together: a faster disk")
    } else {
        Finding::ok("disk", says)
    };
    finding.with([("publish_ms", ms)])
}

async fn publish(directory: &Path) -> Result<Vec<Duration>, String> {
    let store = Embedded::open(EmbeddedOptions::new(directory)).map_err(|error| error.to_string())?;
    let channel = ChannelName::new("check").map_err(|error| error.to_string())?;
    let mut times = Vec::with_capacity(PUBLISHES);
    for _ in 0..PUBLISHES {
        let began = Instant::now();
        let draft = Draft::plain(Fields::of([("check", "1")]));
        store.publish(&channel, draft).await.map_err(|error| error.to_string())?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// A directory that is gone with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> std::io::Result<Self> {
        // Two checks at once have different processes; one that was killed may have left its own.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = beside.join(format!("check-{}-{}", std::process::id(), now.as_nanos()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is small, and says by its name what it was for.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use inkwire_core::Level;

    use super::*;

    #[test]
    fn the_holder_of_a_lock() {
        let locks = "1: POSIX  ADVISORY  READ 7 08:02:1053 128 128\n\
                     2: FLOCK  ADVISORY  WRITE 708 08:02:1053 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 9 08:02:1054 0 EOF\n3: odd\n";
        assert_eq!(holder_in(locks, 1_053), Some(708));
        assert_eq!(holder_in(locks, 1_055), None);
        assert_eq!(holder_in("", 1), None);
    }

    #[test]
    fn a_slow_disk_is_a_warning() {
        assert_eq!(timed(Duration::from_millis(1)).level, Level::Ok);
        assert_eq!(timed(Duration::from_millis(51)).level, Level::Warning);
    }
}
