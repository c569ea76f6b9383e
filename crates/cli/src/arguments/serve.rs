//! What is typed after `inkwire serve`: every option is also `INKWIRE_<OPTION>`, from the environment or from `.env`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{FalseyValueParser, OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::redis::RedisArguments;
use crate::retain::{Rules, rules};

/// Starts the server.
///
/// Every option may also stand in the environment, or in a file .env, as `INKWIRE_<OPTION>`. The port is also read from
/// PORT, the address of Redis from REDIS_URL, and the secret that signs tokens from TOKEN_SECRET (at least 32 bytes;
/// without one, a node that shares no Redis makes its own and keeps it in its data directory).
#[derive(Debug, Args)]
#[command(
    after_help = "Rules for --retain (repeat it; in INKWIRE_RETAIN, separate them by spaces or semicolons):
  log:*=1000          the newest 1000 messages; a publish with a maxlen of its own gets that
  log:*=1000,7d       of those, the ones of the last 7 days (s, m, h, d, w)
  log:*=,12h          the last 12 hours of the usual number; keyed channels have no age
  state:*=,,3d        deletions of keys for 3 days

Examples:
  inkwire serve                                    the board on http://localhost:8081
  inkwire serve --bind 0.0.0.0 --port 80           for everybody who can reach this machine
  inkwire serve --ephemeral                        keep nothing on disk
  REDIS_URL=redis://localhost inkwire serve        one of many nodes, with TOKEN_SECRET in .env
  inkwire serve --tls-cert fullchain.pem --tls-key privkey.pem --bind 0.0.0.0 --port 443
  inkwire serve --stun stun:stun.example.org:3478 \\
                --turn turn:turn.example.org:3478 --turn-secret \"$SECRET\"
  TOKEN_SECRET=$(openssl rand -hex 32) inkwire serve --no-anonymous
  inkwire serve --retain 'log:audit=100000' --retain 'log:*=1000,7d'"
)]
pub(crate) struct ServeArguments {
    /// The address to listen on
    #[arg(long, env = "INKWIRE_BIND", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,

    /// The port to listen on; 0 takes a free one [default: 8081, or PORT]
    #[arg(long, env = "INKWIRE_PORT")]
    pub(crate) port: Option<u16>,

    /// Speak TLS with this certificate, followed by those of its issuers (PEM); read again at SIGHUP
    #[arg(long, env = "INKWIRE_TLS_CERT", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM, not encrypted); read again at SIGHUP
    #[arg(long, env = "INKWIRE_TLS_KEY", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) tls_key: Option<PathBuf>,

    /// Where the node keeps what must outlive it
    #[arg(long, env = "INKWIRE_DATA_DIR", default_value = "inkwire-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Keep nothing on disk; tokens and rooms end with the process
    #[arg(long, env = "INKWIRE_EPHEMERAL", value_parser = FalseyValueParser::new(), conflicts_with = "redis_url")]
    pub(crate) ephemeral: bool,

    #[command(flatten)]
    pub(crate) redis: RedisArguments,

    /// Give no tokens to anybody (POST /access answers 403); the application makes them
    #[arg(long, env = "INKWIRE_NO_ANONYMOUS", value_parser = FalseyValueParser::new())]
    pub(crate) no_anonymous: bool,

    /// A web origin that may call, besides the server's own page; repeat or separate by commas [default: all]
    #[arg(long, env = "INKWIRE_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub(crate) allow_origin: Vec<String>,

    /// How long a dropped event stream can be resumed before its peer leaves; at most 60
    #[arg(long, env = "INKWIRE_GRACE", default_value = "5", value_name = "SECONDS", value_parser = grace)]
    pub(crate) grace: Duration,

    /// How long a node may be silent before the others take it for dead and its peers leave; 1 to 60, and at least a third more than
    /// the grace time
    #[arg(long, env = "INKWIRE_LEASE", default_value = "8", value_name = "SECONDS", value_parser = lease)]
    pub(crate) lease: Duration,

    /// Over how long open streams are closed when the server is told to stop
    #[arg(long, env = "INKWIRE_DRAIN", default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) drain: Duration,

    /// How many events a peer may relay in a second, and at once
    #[arg(long, env = "INKWIRE_RELAY_LIMIT", default_value = "200:500", value_name = "RATE:BURST", value_parser = rate)]
    pub(crate) relay_limit: (u32, u32),

    /// How many rooms a peer may join in a second, and at once
    #[arg(long, env = "INKWIRE_JOIN_LIMIT", default_value = "10:20", value_name = "RATE:BURST", value_parser = rate)]
    pub(crate) join_limit: (u32, u32),

    /// How many files a peer may put into rooms in a second, and at once
    #[arg(long, env = "INKWIRE_UPLOAD_LIMIT", default_value = "1:30", value_name = "RATE:BURST", value_parser = rate)]
    pub(crate) upload_limit: (u32, u32),

    /// The largest file that may be put into a room, such as 500k or 4M; at most 64M
    #[arg(long, env = "INKWIRE_MAX_FILE", default_value = "4M", value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_file: usize,

    /// What channels keep, by the first rule whose pattern matches; see below [default: 10000 messages of any age; 100000
    /// keys, and deletions for 24h]
    #[arg(long, env = "INKWIRE_RETAIN", value_name = "PATTERN=COUNT,AGE", value_parser = rules)]
    pub(crate) retain: Vec<Rules>,

    /// A STUN server for the peers, as stun:HOST:PORT; repeat or separate by commas
    #[arg(long, env = "INKWIRE_STUN", value_name = "URL", value_delimiter = ',', value_parser = stun)]
    pub(crate) stun: Vec<String>,

    /// A TURN server for the peers, as turn:HOST:PORT; repeat or separate by commas
    #[arg(long, env = "INKWIRE_TURN", value_name = "URL", value_delimiter = ',', value_parser = turn, requires = "turn_secret")]
    pub(crate) turn: Vec<String>,

    /// The secret shared with the TURN server (coturn: static-auth-secret)
    #[arg(long, env = "INKWIRE_TURN_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(crate) turn_secret: Option<String>,

    /// What to log: a level, or a filter as of the tracing crate
    #[arg(long, env = "INKWIRE_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,

    /// How to log
    #[arg(long, env = "INKWIRE_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// A file is held in memory while it is put.
const LARGEST_FILE: usize = 64 << 20;

/// The form of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For programs, one object a line
    Json,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds, such as 5 or 0.5")?;
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err("expected 0 to 86400 seconds".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn grace(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(grace) if grace > Duration::from_secs(60) => Err("expected at most 60 seconds".into()),
        other => other,
    }
}

fn lease(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(60);
    seconds(text).and_then(|lease| {
        if bounds.contains(&lease) { Ok(lease) } else { Err("expected 1 to 60 seconds".into()) }
    })
}

fn stun(text: &str) -> Result<String, String> {
    ice_url(text, &["stun:", "stuns:"])
}

fn turn(text: &str) -> Result<String, String> {
    ice_url(text, &["turn:", "turns:"])
}

fn ice_url(text: &str, schemes: &[&str]) -> Result<String, String> {
    let has_host = |scheme: &&str| text.strip_prefix(*scheme).is_some_and(|host| !host.is_empty());
    if text.is_empty() || schemes.iter().any(has_host) {
        return Ok(text.to_owned());
    }
    Err(format!("expected {}HOST:PORT", schemes.first().unwrap_or(&"")))
}

fn rate(text: &str) -> Result<(u32, u32), String> {
    let positive = |part: &str| part.parse().ok().filter(|number| *number > 0);
    let parts = text.split_once(':').and_then(|(rate, burst)| positive(rate).zip(positive(burst)));
    parts.ok_or_else(|| "expected RATE:BURST, two whole numbers above zero, such as 200:500".into())
}

/// Reads a size: a whole number above zero, of bytes, or with `k` or `M` (1024 of them, or of those).
fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (text.get(..at), 1 << 10),
        Some((at, 'M')) => (text.get(..at), 1 << 20),
        _ => (Some(text), 1),
    };
    let number = number.and_then(|number| number.parse::<usize>().ok()).filter(|number| *number > 0);
    let bytes = number.ok_or("expected a number of bytes, such as 500k or 4M")?.saturating_mul(unit);
    if bytes > LARGEST_FILE { Err("expected at most 64M".into()) } else { Ok(bytes) }
}

fn origin(text: &str) -> Result<String, String> {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    match rest {
        None if text.is_empty() => Ok(String::new()),
        Some(rest) if !rest.is_empty() && !rest.contains(['/', ' ']) => Ok(text.to_owned()),
        _ => Err("expected an origin as browsers send it, such as https://example.org (no path)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(
            seconds("-1").is_err()
                && seconds("NaN").is_err()
                && seconds("1e9").is_err()
                && seconds("x").is_err()
        );
        assert!(grace("60").is_ok() && grace("61").is_err());
        assert!(lease("1").is_ok() && lease("60").is_ok() && lease("0.9").is_err() && lease("61").is_err());
        assert!(stun("stun:example.org:3478").is_ok() && stun("http://x").is_err() && stun("stun:").is_err());
        assert!(turn("turns:example.org").is_ok() && turn("garbage").is_err());
        assert_eq!(rate("200:500"), Ok((200, 500)));
        assert!(rate("200").is_err() && rate("0:5").is_err() && rate("1:-1").is_err());
        assert_eq!([bytes("1"), bytes("500k"), bytes("64M")], [Ok(1), Ok(500 << 10), Ok(64 << 20)]);
        for bad in ["", "k", "0", "0M", "-1", "65M", "1G", "1.5M", "4m", "é", "99999999999999999999M"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert!(origin("https://example.org:8443").is_ok());
        assert!(origin("example.org").is_err() && origin("https://example.org/").is_err());
    }
}
