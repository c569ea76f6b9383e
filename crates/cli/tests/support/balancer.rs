//! Two nodes on one Redis behind a balancer, which runs the very file of `deploy/`; and a client that comes through it, over
//! TLS, as a browser does.

#![allow(unreachable_pub, reason = "as its neighbours")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;

use crate::support::redis::{Server, free_port};
use crate::support::{Folder, Node, PATIENCE, Running};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Nginx,
    Haproxy,
}

/// What a test may want otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// `--grace` of the nodes, in seconds.
    pub grace: &'static str,
    /// `--drain` of the nodes, in seconds.
    pub drain: &'static str,
    /// In the balancer's file, the first text is replaced by the other.
    pub instead: Option<(&'static str, &'static str)>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { grace: "30", drain: "3", instead: None }
    }
}

/// All of it. What is declared first ends first.
pub struct Behind {
    _balancer: Running,
    pub nodes: [Node; 2],
    _redis: Server,
    pub browser: Browser,
    folder: Folder,
}

impl Behind {
    pub async fn start(program: Program, wishes: Wishes) -> Self {
        let redis = Server::start();
        let nodes = [0, 1].map(|_| node(&redis, wishes));
        let folder = Folder::new();
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = Files::write(&folder, &issued);
        let (http, https) = (free_port(), free_port());
        let upstreams = [0, 1].map(|at: usize| format!("127.0.0.1:{}", nodes[at].port));
        let mut command = match program {
            Program::Nginx => nginx(&folder, &files, [http, https], &upstreams, wishes.instead),
            Program::Haproxy => haproxy(&folder, &files, [http, https], &upstreams, wishes.instead),
        };
        let log = File::create(folder.0.join("balancer.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let balancer = Running(command.spawn().expect("it is installed (make test does that)"));
        let browser = Browser::new(https, &issued.cert);
        let behind = Self { _balancer: balancer, nodes, _redis: redis, browser, folder };
        behind.until_it_serves().await;
        behind
    }

    async fn until_it_serves(&self) {
        for node in &self.nodes {
            until("the node is ready", async || is_ready(node).await).await;
        }
        let what = "the balancer serves (its log is balancer.log in the folder of the test)";
        until(what, async || {
            let answer = self.browser.try_to_send(request(Method::GET, "/healthz", &[], None)).await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    /// What the balancer has written down.
    pub fn log(&self) -> String {
        self.folder.read("balancer.log") + &self.folder.read("access.log")
    }

    /// Somebody with a token, in the one browser of the test.
    pub async fn somebody(&self, username: &str) -> Peer {
        let body = json!({ "username": username });
        let answer = self.browser.send(request(Method::POST, "/access", &[], Some(&body))).await;
        let answer = whole(answer).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Peer { browser: self.browser.clone(), id: text(&answer["user"]["id"]), token: text(&answer["token"]) }
    }

    /// How many event streams a node has.
    pub async fn streams(&self, node: usize) -> usize {
        let url = format!("http://127.0.0.1:{}/metrics", self.nodes[node].port);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let number = text.lines().find_map(|line| line.strip_prefix("inkwire_streams "));
        number.map_or(0, |number| number.parse().unwrap())
    }

    /// Opens a stream and says which node has it.
    pub async fn placed(&self, peer: &Peer) -> (Events, usize) {
        let before = [self.streams(0).await, self.streams(1).await];
        let events = peer.connect(None).await;
        let after = [self.streams(0).await, self.streams(1).await];
        let node = (0..2).find(|node| after[*node] > before[*node]).expect("one of them has it");
        (events, node)
    }

    /// A WebSocket through the balancer.
    pub async fn socket(&self, token: &str) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = self.browser.connect("http/1.1").await.unwrap();
        let url = format!("wss://localhost:{}/ws?token={token}", self.browser.port);
        tokio_tungstenite::client_async(url, stream).await.unwrap().0
    }
}

/// All requests share one HTTP/2 connection, as those of a browser to a host do.
#[derive(Clone)]
pub struct Browser {
    port: u16,
    roots: Arc<rustls::RootCertStore>,
    connection: Arc<Mutex<Option<SendRequest<Full<Bytes>>>>>,
}

type Failed = Box<dyn std::error::Error>;

impl Browser {
    fn new(port: u16, believed: &rcgen::Certificate) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(believed.der().clone()).unwrap();
        Self { port, roots: Arc::new(roots), connection: Arc::default() }
    }

    async fn connect(&self, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        Ok(stream)
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, Failed> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let stream = TokioIo::new(self.connect("h2").await?);
        let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(driver);
        Ok(connection.insert(sender).clone())
    }

    async fn try_to_send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        let whole = format!("https://localhost:{}{}", self.port, request.uri());
        *request.uri_mut() = whole.parse()?;
        Ok(self.connection().await?.send_request(request).await?)
    }

    /// The answer, at least its head.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        timeout(PATIENCE, self.try_to_send(request)).await.expect("it is answered").unwrap()
    }
}

/// A request to a path.
pub fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    request.body(body.map(Value::to_string).unwrap_or_default().into()).unwrap()
}

/// The whole of an answer.
pub async fn whole(answer: Response<Incoming>) -> Value {
    let bytes = timeout(PATIENCE, answer.into_body().collect()).await.expect("it ends").unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

fn node(redis: &Server, wishes: Wishes) -> Node {
    let folder = Folder::new();
    let secret = "one secret of all nodes, of 32 bytes or more";
    fs::write(folder.0.join(".env"), format!("REDIS_URL={}\nTOKEN_SECRET=\"{secret}\"\n", redis.url()))
        .unwrap();
    Node::with(folder, &["--grace", wishes.grace, "--drain", wishes.drain])
}

/// Certificate and key, apart and together.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    both: PathBuf,
}

impl Files {
    fn write(folder: &Folder, issued: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Self {
        let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let file = folder.0.join(name);
            fs::write(&file, text).unwrap();
            file
        };
        Self {
            certificate: write("cert.pem", &certificate),
            key: write("key.pem", &key),
            both: write("both.pem", &(certificate + &key)),
        }
    }
}

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// Replaces what must be there.
fn with(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "the file has no {old:?} any more");
    text.replace(old, new)
}

/// nginx includes the file into the frame that Debian gives it; all that names the machine is replaced.
fn nginx(
    folder: &Folder,
    files: &Files,
    [http, https]: [u16; 2],
    upstreams: &[String; 2],
    instead: Option<(&str, &str)>,
) -> Command {
    let place = folder.0.display().to_string();
    let mut site = fs::read_to_string(deployed("nginx.conf")).unwrap();
    for (old, new) in [
        ("10.0.0.1:8081", upstreams[0].as_str()),
        ("10.0.0.2:8081", &upstreams[1]),
        ("listen 80;", &format!("listen 127.0.0.1:{http};")),
        ("listen 443 ssl", &format!("listen 127.0.0.1:{https} ssl")),
        ("/etc/ssl/inkwire/fullchain.pem", files.certificate.to_str().unwrap()),
        ("/etc/ssl/inkwire/privkey.pem", files.key.to_str().unwrap()),
        ("/var/log/nginx/inkwire.log", &format!("{place}/access.log")),
    ]
    .into_iter()
    .chain(instead)
    {
        site = with(&site, old, new);
    }
    fs::write(folder.0.join("site.conf"), site).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {place}/{what};\n"))
        .concat();
    let frame = format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr notice;\nevents {{}}\n\
         http {{\n{temporary}  access_log off;\n  include {place}/site.conf;\n}}\n"
    );
    fs::write(folder.0.join("nginx.conf"), frame).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder.0).args(["-e", "stderr", "-c"]).arg(folder.0.join("nginx.conf"));
    command
}

/// HAProxy takes the file as it is, and the rest from its environment.
fn haproxy(
    folder: &Folder,
    files: &Files,
    [http, https]: [u16; 2],
    upstreams: &[String; 2],
    instead: Option<(&str, &str)>,
) -> Command {
    let mut file = deployed("haproxy.cfg");
    if let Some((old, new)) = instead {
        let text = with(&fs::read_to_string(&file).unwrap(), old, new);
        file = folder.0.join("haproxy.cfg");
        fs::write(&file, text).unwrap();
    }
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    command.env("INKWIRE_ONE", &upstreams[0]).env("INKWIRE_TWO", &upstreams[1]);
    command
        .env("INKWIRE_HTTP", format!("127.0.0.1:{http}"))
        .env("INKWIRE_HTTPS", format!("127.0.0.1:{https}"));
    command.env("INKWIRE_PEM", &files.both);
    command
}

async fn is_ready(node: &Node) -> bool {
    let url = format!("http://127.0.0.1:{}/readyz", node.port);
    reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Peer {
    browser: Browser,
    pub id: String,
    pub token: String,
}

impl Peer {
    pub async fn request(&self, path: &str, body: &Value) -> Response<Incoming> {
        let bearer = format!("Bearer {}", self.token);
        self.browser.send(request(Method::POST, path, &[("authorization", &bearer)], Some(body))).await
    }

    /// Posts something that must succeed.
    pub async fn post(&self, path: &str, body: &Value) {
        let answer = self.request(path, body).await;
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status} {}", whole(answer).await);
    }

    /// Opens an event stream; the answer, whatever it is.
    async fn open(&self, path: &str, position: Option<&str>) -> Response<Incoming> {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str()), ("accept", "text/event-stream")];
        headers.extend(position.map(|position| ("last-event-id", position)));
        self.browser.send(request(Method::GET, path, &headers, None)).await
    }

    /// The peer's own stream, from its `connected` on.
    pub async fn connect(&self, position: Option<&str>) -> Events {
        let mut events = Events::of(self.open("/connect", position).await);
        let connected = events.next().await.unwrap();
        assert_eq!((&*connected.name, &connected.data["user"]["id"]), ("connected", &json!(self.id)));
        assert_eq!(connected.data["resumed"], position.is_some());
        events
    }

    pub async fn follow(&self, channel: &str) -> Events {
        Events::of(self.open(&format!("/channels/{channel}?offset=0"), None).await)
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

/// An open event stream.
pub struct Events {
    body: Incoming,
    text: String,
    pub position: Option<String>,
}

impl Events {
    #[track_caller]
    fn of(answer: Response<Incoming>) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        Self { body: answer.into_body(), text: String::new(), position: None }
    }

    /// The next event; `None` when the stream has ended, one way or the other.
    pub async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.read()).await.expect("something comes")
    }

    /// The next event that is no heartbeat.
    pub async fn told(&mut self) -> Option<Event> {
        loop {
            match self.next().await {
                Some(event) if event.name == "ping" => {}
                event => return event,
            }
        }
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = self.block(&block) {
                    return Some(event);
                }
            }
            // An error is an end, too: of a node that was killed.
            let bytes = self.body.frame().await?.ok()?.into_data().ok()?;
            self.text.push_str(std::str::from_utf8(&bytes).expect("these tests write ASCII"));
        }
    }

    fn block(&mut self, block: &str) -> Option<Event> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(id) = field("id") {
            self.position = Some(id.to_owned());
        }
        let data = serde_json::from_str(field("data")?).unwrap();
        Some(Event { name: field("event").unwrap_or("message").to_owned(), data })
    }
}
