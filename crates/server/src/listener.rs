//! Connections: accepting them, and not waiting for ever for those who say nothing.
//!
//! Bounds: the first request, and the TLS handshake before it, must have arrived [`FIRST_REQUEST`] after the connection;
//! each later head within [`HEAD`]; bodies have a bound of their own where they are read. A peer whose machine has
//! vanished is noticed after [`UNANSWERED`].

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::{self, upgrade};
use metrics::counter;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::direct::{self, Of, Rest};
use crate::http::Handover;
use crate::metrics::Counted;
use crate::tls::Tls;
use crate::ws::{self, Opened};

/// By when a connection must have brought its first request, whatever it spoke until then.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// By when the head of each later request must have arrived, the pause before it included.
const HEAD: Duration = Duration::from_secs(75);
/// How long what was sent may stay unanswered by the other machine. Above the heartbeat, below what a person
/// would take for a ghost.
const UNANSWERED: Duration = Duration::from_secs(30);
/// How much hyper may hold for a connection in each direction; also the largest head of a request.
const BUFFER: usize = 32 << 10;
/// The pause after `accept` failed, as it does when file descriptors run out: time for some to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections may take to end once the server closes.
const CLOSING: Duration = Duration::from_secs(1);

/// Accepts connections until `closing`, then lets the open ones finish their requests.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    closing: CancellationToken,
) {
    let connections = TaskTracker::new();
    let builder = Arc::new(builder());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving =
                    serve(stream, tls.clone(), Arc::clone(&builder), router.clone(), closing.clone());
                connections.spawn(serving);
            }
            Err(error) if is_of_one_connection(&error) => {
                debug!(%error, "a connection ended before it began");
            }
            Err(error) => {
                counter!("inkwire_accept_failures_total").increment(1);
                warn!(%error, "cannot accept connections; pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(CLOSING, connections.wait()).await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(UNANSWERED / 2)
        .keep_alive_timeout(UNANSWERED / 2)
        .max_concurrent_streams(256)
        .max_send_buf_size(BUFFER);
    builder
}

/// Whether the error concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(
    stream: TcpStream,
    tls: Option<Tls>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    closing: CancellationToken,
) {
    let _counted = Counted::one("inkwire_connections");
    if let Err(error) = tune(&stream) {
        debug!(%error, "cannot tune the socket");
    }
    let deadline = Instant::now() + FIRST_REQUEST;
    // What is done before a stream begins is boxed, so that its size is gone when the long silence comes.
    let ended = match tls {
        Some(tls) => Box::pin(serve_encrypted(stream, tls, builder, router, closing, deadline)).await,
        None => match Box::pin(tokio::time::timeout_at(deadline, direct::look(&stream))).await {
            Ok(Ok(Some(opening))) => serve_stream(stream, opening, router).await,
            Ok(Ok(None)) => Box::pin(serve_requests(stream, builder, router, closing, deadline)).await,
            Ok(Err(error)) => Err(error.into()),
            Err(_) => cut(),
        },
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended with an error");
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn serve_stream(
    mut stream: TcpStream,
    opening: Box<direct::Opening>,
    router: Router,
) -> impl Future<Output = Ended> + Send {
    let answering = Box::pin(async move {
        let rest = direct::answer(&mut stream, *opening, router).await?;
        Ok::<_, io::Error>((stream, rest))
    });
    async move {
        match answering.await? {
            (stream, Rest::Stream(of, body)) => {
                if of == Of::Channel {
                    ws::Connection::set_patience(&stream, None);
                }
                direct::pump(stream, body).await?;
            }
            (stream, Rest::Socket(opened)) => ws::serve(stream, &[], *opened).await,
        }
        Ok(())
    }
}

/// Counts a connection that did not bring its first request in time.
fn cut() -> Ended {
    counter!("inkwire_slow_requests_total").increment(1);
    Ok(())
}

/// Agrees on keys, then takes requests. Nothing is peeked at: what arrives is not the request itself.
async fn serve_encrypted(
    stream: TcpStream,
    tls: Tls,
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    closing: CancellationToken,
    deadline: Instant,
) -> Ended {
    match tokio::time::timeout_at(deadline, tls.accept(stream)).await {
        Ok(stream) => serve_requests(stream?, builder, router, closing, deadline).await,
        Err(_) => cut(),
    }
}

/// Any requests, one after the other or at once, until the client has no more or the server closes.
async fn serve_requests<C: ws::Connection>(
    stream: C,
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    closing: CancellationToken,
    deadline: Instant,
) -> Ended {
    let asked = Arc::new(AtomicBool::new(false));
    let upgrade = Arc::<Upgrade>::default();
    let service = {
        let (asked, upgrade) = (Arc::clone(&asked), Arc::clone(&upgrade));
        hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (router, upgrade) = (router.clone(), Arc::clone(&upgrade));
            async move {
                let upgraded = hyper::upgrade::on(&mut request);
                let request: Request = request.map(Body::new);
                let mut answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
                if let Some(opened) = Handover::of(&mut answer) {
                    upgrade.begin(upgraded, opened);
                }
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let first_request = tokio::time::sleep_until(deadline);
    tokio::select! {
        ended = &mut connection => return upgrade.finish::<C>(ended).await,
        () = closing.cancelled() => {}
        () = first_request => {
            if !asked.load(Ordering::Relaxed) {
                return cut();
            }
            tokio::select! {
                ended = &mut connection => return upgrade.finish::<C>(ended).await,
                () = closing.cancelled() => {}
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// What a connection becomes when it speaks HTTP no more.
#[derive(Default)]
struct Upgrade(Mutex<Option<(OnUpgrade, Opened)>>);

impl Upgrade {
    fn begin(&self, upgraded: OnUpgrade, opened: Opened) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgraded, opened));
    }

    /// Goes on with what the connection has become, if it has become anything.
    async fn finish<C: ws::Connection>(&self, ended: Ended) -> Ended {
        let agreed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Ok(()), Some((upgraded, opened))) = (&ended, agreed) else { return ended };
        let parts = upgrade::downcast::<TokioIo<C>>(upgraded.await?)
            .map_err(|_| "an upgraded connection is not what it was")?;
        ws::serve(parts.io.into_inner(), &parts.read_buf, opened).await;
        Ok(())
    }
}

impl ws::Connection for TcpStream {
    fn set_patience(&self, patience: Option<Duration>) {
        if let Err(error) = SockRef::from(self).set_tcp_user_timeout(Some(patience.unwrap_or_default())) {
            debug!(%error, "cannot tune the socket");
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(UNANSWERED).with_interval(UNANSWERED / 3))?;
    socket.set_tcp_user_timeout(Some(UNANSWERED))
}
