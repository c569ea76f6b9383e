//! `inkwire serve`: from arguments to a running server.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use inkwire::{Anonymous, Ice, Options, Origins, Rate, Server, TokenSecret};
use tokio::net::TcpListener;
use tracing::warn;

use crate::arguments::ServeArguments;
use crate::certificate::Certificate;
use crate::signals::Signals;
use crate::store::Store;
use crate::{board, data, logging};

/// The port unless another is given.
const PORT: u16 = 8081;

/// Serves until told to stop.
pub(crate) fn run(mut arguments: ServeArguments) -> Result<()> {
    logging::start(&arguments.log, arguments.log_format)?;
    let address = SocketAddr::new(arguments.bind, port(arguments.port)?);
    let store = Store::of(&mut arguments)?;
    let certificate = Certificate::read(arguments.tls_cert.take(), arguments.tls_key.take())?;
    let options = options(arguments, &store)?;
    // One descriptor a connection: the limit that shells set by default is for other programs.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "cannot raise the limit of open files");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(serve(address, store, certificate, options))
}

async fn serve(
    address: SocketAddr,
    store: Store,
    certificate: Option<Certificate>,
    options: Options,
) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} (is something else there? another port: --port, or PORT)")
    })?;
    let broker = store.open()?;
    let signals = Signals::listen().context("cannot listen for signals")?;
    announce(if certificate.is_some() { "https" } else { "http" }, listener.local_addr()?);
    let mut server = Server::new(broker, options).page(board::page());
    if let Some(certificate) = &certificate {
        server = server.tls(certificate.tls());
    }
    server.serve(listener, signals.stop(certificate)).await.context("the server failed")
}

/// The line that a person clicks on, and that programs wait for.
fn announce(scheme: &str, address: SocketAddr) {
    let host = match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    // A closed standard output is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "Inkwire is serving on {scheme}://{host}:{}", address.port());
}

fn port(given: Option<u16>) -> Result<u16> {
    match (given, std::env::var("PORT")) {
        (Some(port), _) => Ok(port),
        (None, Ok(text)) if !text.is_empty() => {
            text.parse().with_context(|| format!("PORT is {text:?}, which is not a port (0 to 65535)"))
        }
        _ => Ok(PORT),
    }
}

fn options(arguments: ServeArguments, store: &Store) -> Result<Options> {
    let secret = secret(store)?;
    let (relays, joins, uploads) = (arguments.relay_limit, arguments.join_limit, arguments.upload_limit);
    Ok(Options {
        anonymous: if arguments.no_anonymous { Anonymous::Refused } else { Anonymous::Allowed },
        origins: match given(arguments.allow_origin) {
            all if all.is_empty() => Origins::Any,
            only => Origins::Only(only),
        },
        grace: arguments.grace,
        lease: arguments.lease,
        drain: arguments.drain,
        relays: Rate::new(relays.0, relays.1),
        joins: Rate::new(joins.0, joins.1),
        uploads: Rate::new(uploads.0, uploads.1),
        max_file: arguments.max_file,
        retention: arguments.retain.into_iter().flat_map(|rules| rules.0).collect(),
        ice: Ice {
            stun: given(arguments.stun),
            turn: given(arguments.turn),
            turn_secret: arguments.turn_secret,
        },
        ..Options::new(secret)
    })
}

fn secret(store: &Store) -> Result<TokenSecret> {
    match (std::env::var("TOKEN_SECRET"), store) {
        (Ok(secret), _) if !secret.is_empty() => Ok(TokenSecret::new(secret)?),
        (_, Store::Memory) => Ok(data::fresh_secret()),
        (_, Store::Directory(directory)) => data::secret(directory),
        (_, Store::Redis(_)) => bail!(
            "nodes that share a Redis sign tokens with one secret: set TOKEN_SECRET, the same for all of them, to at least \
             32 bytes (such as the output of: openssl rand -hex 32)"
        ),
    }
}

/// A list in a variable that is set to nothing says nothing.
fn given(mut texts: Vec<String>) -> Vec<String> {
    texts.retain(|text| !text.is_empty());
    texts
}
