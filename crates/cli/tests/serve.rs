//! The binary as an operator meets it: its line on standard output, its files, its signals, its errors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::Folder;
use support::redis::{Server, free_port};

/// `inkwire serve` in a folder, with nothing of ours in the environment.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inkwire"));
    command.arg("serve").current_dir(folder).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Running {
    child: Child,
    /// Its line on standard output.
    said: String,
    address: String,
    log: Option<BufReader<ChildStderr>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("//").next().unwrap().replace("localhost", "127.0.0.1");
        Self { child, said: line, address, log: None }
    }

    fn request(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let length = body.len();
        let rest = "Host: x\r\nConnection: close\r\nContent-Type: application/json";
        write!(stream, "{head} HTTP/1.1\r\n{rest}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The line of its log that holds a text.
    fn logged(&mut self, text: &str) -> String {
        let log = self.log.get_or_insert_with(|| BufReader::new(self.child.stderr.take().unwrap()));
        let line = log.lines().map(Result::unwrap).find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("the log ended without {text:?}"))
    }

    /// What is answered over TLS to somebody who believes this certificate alone.
    fn over_tls(&self, believed: &rcgen::Certificate) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(believed.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(&self.address).unwrap());
        stream.sock.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    }

    fn token(&self) -> String {
        let answer = self.request("POST /access", "{\"username\":\"ann\"}");
        answer.split("\"token\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// Whether the server takes a token.
    fn knows(&self, token: &str) -> bool {
        self.request(&format!("GET /ice?token={token}"), "").starts_with("HTTP/1.1 200")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn publish(&self, token: &str, text: &str) {
        let body = format!("{{\"text\":\"{text}\"}}");
        let answer = self.request(&format!("POST /channels/board:a?token={token}"), &body);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn board(&self, token: &str) -> String {
        self.request(&format!("GET /channels/board:a?token={token}"), "")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs to its end, which must be a failure; what it said.
fn failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_nodes_own_secret_is_private_and_outlives_it() {
    let folder = Folder::new();
    let first = Running::start(command(&folder.0).args(["--port", "0"]));
    let token = first.token();
    assert!(first.knows(&token));
    drop(first);
    let file = folder.0.join("inkwire-data/token-secret");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let directory = fs::metadata(file.parent().unwrap()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    let again = Running::start(command(&folder.0).args(["--port", "0"]));
    assert!(again.knows(&token));
    let elsewhere = Running::start(command(&folder.0).args(["--port", "0", "--data-dir", "other"]));
    assert!(!elsewhere.knows(&token));
}

#[test]
fn an_ephemeral_node_leaves_nothing() {
    let folder = Folder::new();
    let node = Running::start(command(&folder.0).args(["--port", "0"]).env("INKWIRE_EPHEMERAL", "1"));
    assert!(node.knows(&node.token()));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn the_environment_and_the_file_beside_say_the_same_as_options() {
    let folder = Folder::new();
    let secret = "a secret of more than thirty-two bytes, kept in a file";
    fs::write(
        folder.0.join(".env"),
        format!("TOKEN_SECRET=\"{secret}\"\nINKWIRE_NO_ANONYMOUS=true\nPORT=0\n"),
    )
    .unwrap();
    let node = Running::start(&mut command(&folder.0));
    assert!(node.request("POST /access", "{\"username\":\"ann\"}").starts_with("HTTP/1.1 403"));
    let open = Running::start(
        command(&folder.0).env("INKWIRE_NO_ANONYMOUS", "false").args(["--data-dir", "second"]),
    );
    assert!(node.knows(&open.token()), "both sign with the secret of the file");
    assert!(!folder.0.join("inkwire-data/token-secret").exists());
}

#[test]
fn errors_say_what_to_do() {
    let folder = Folder::new();
    let said = failure(command(&folder.0).env("TOKEN_SECRET", "too short"));
    assert!(said.contains("at least 32") && said.contains("openssl rand"), "{said}");
    let said = failure(command(&folder.0).env("PORT", "eighty"));
    assert!(said.contains("PORT") && said.contains("eighty"), "{said}");
    fs::write(folder.0.join("file"), "").unwrap();
    let said = failure(command(&folder.0).args(["--data-dir", "file/below"]));
    assert!(said.contains("--data-dir"), "{said}");
    let node = Running::start(command(&folder.0).args(["--port", "0"]));
    let port = node.address.rsplit(':').next().unwrap();
    let said = failure(command(&folder.0).args(["--ephemeral", "--port", port]));
    assert!(said.contains("cannot listen") && said.contains("--port"), "{said}");
    let said = failure(command(&folder.0).args(["--grace", "soon"]));
    assert!(said.contains("number of seconds"), "{said}");
    let said = failure(command(&folder.0).args(["--retain", "log:*=7d"]));
    assert!(said.contains("number of messages") && said.contains("--retain"), "{said}");
}

#[test]
fn channels_keep_what_the_operator_says() {
    let folder = Folder::new();
    let rules = ["--retain", "board:b=5", "--retain", "board:*=1,7d"];
    let kept = |node: &Running| {
        let token = node.token();
        for n in 0..102 {
            node.publish(&token, &format!("{n}."));
        }
        node.request(&format!("GET /channels/board:a?limit=1000&token={token}"), "").matches("offset").count()
    };
    let node = Running::start(command(&folder.0).args(["--port", "0", "--ephemeral"]).args(rules));
    assert_eq!(kept(&node), 1, "the 102nd was one too many over the hundred that may stay");
    let in_environment = ("INKWIRE_RETAIN", "board:b=5; board:a=2 *=9");
    let node = Running::start(command(&folder.0).args(["--port", "0", "--ephemeral"]).envs([in_environment]));
    assert_eq!(kept(&node), 102);
}

#[test]
fn one_signal_drains_and_exits_0_and_a_second_ends_at_once() {
    let folder = Folder::new();
    let mut node = Running::start(command(&folder.0).args(["--port", "0", "--drain", "0.3"]));
    node.signal("-TERM");
    assert_eq!(node.child.wait().unwrap().code(), Some(0));

    let mut node = Running::start(command(&folder.0).args(["--port", "0", "--drain", "3600"]));
    node.signal("-TERM");
    while !node.request("GET /readyz", "").contains("draining") {}
    node.signal("-TERM");
    assert_eq!(node.child.wait().unwrap().code(), Some(143));
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let folder = Folder::new();
    let mut node = Running::start(command(&folder.0).args(["--port", "0"]));
    let token = node.token();
    node.publish(&token, "one");
    node.publish(&token, "two");
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    let node = Running::start(command(&folder.0).args(["--port", "0"]));
    let board = node.board(&token);
    assert!(board.contains("\"text\":\"one\"") && board.contains("\"text\":\"two\""), "{board}");
    node.publish(&token, "three");
    assert!(node.board(&token).contains("three"));
    // Two processes must not write one store.
    let said = failure(command(&folder.0).args(["--port", "0"]));
    assert!(said.contains("inkwire-data") && said.contains("--data-dir"), "{said}");
}

/// Writes a certificate for `localhost` and its key where the node looks for them.
fn issue(folder: &Path) -> rcgen::Certificate {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), issued.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), issued.signing_key.serialize_pem()).unwrap();
    issued.cert
}

#[test]
fn a_certificate_is_read_again_when_the_node_is_hung_up_on() {
    let folder = Folder::new();
    let first = issue(&folder.0);
    let tls = ["--port", "0", "--ephemeral", "--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let mut node = Running::start(command(&folder.0).args(tls));
    assert!(node.said.contains("https://localhost:"), "{}", node.said);
    assert!(node.over_tls(&first).unwrap().starts_with("HTTP/1.1 200"));

    let second = issue(&folder.0);
    node.signal("-HUP");
    node.logged("read again");
    assert!(node.over_tls(&second).unwrap().starts_with("HTTP/1.1 200"));
    assert!(node.over_tls(&first).is_err());

    fs::write(folder.0.join("key.pem"), "half a key").unwrap();
    node.signal("-HUP");
    let said = node.logged("not changed");
    assert!(said.contains("key.pem") && said.contains("no private key"), "{said}");
    assert!(node.over_tls(&second).unwrap().starts_with("HTTP/1.1 200"));

    let said = failure(command(&folder.0).args(tls));
    assert!(said.contains("key.pem") && said.contains("no private key"), "{said}");
    let said = failure(command(&folder.0).args(["--ephemeral", "--tls-cert", "cert.pem"]));
    assert!(said.contains("--tls-key"), "{said}");
    let said = failure(command(&folder.0).arg("--ephemeral").env("INKWIRE_TLS_KEY", "key.pem"));
    assert!(said.contains("--tls-cert"), "{said}");
    let said =
        failure(command(&folder.0).args(["--ephemeral", "--tls-cert", "none.pem", "--tls-key", "key.pem"]));
    assert!(said.contains("none.pem"), "{said}");
}

#[test]
fn being_hung_up_on_ends_no_node() {
    let folder = Folder::new();
    let nothing = [("INKWIRE_TLS_CERT", ""), ("INKWIRE_TLS_KEY", "")];
    let mut node = Running::start(command(&folder.0).args(["--port", "0", "--ephemeral"]).envs(nothing));
    node.signal("-HUP");
    node.logged("no certificate");
    assert!(node.said.contains("http://localhost:"), "{}", node.said);
    assert!(node.request("GET /healthz", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn nodes_that_share_a_redis_share_channels_and_tokens() {
    let folder = Folder::new();
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let shared =
        [("REDIS_URL", url.as_str()), ("TOKEN_SECRET", "one secret of all nodes, of 32 bytes or more")];
    let one = Running::start(command(&folder.0).args(["--port", "0"]).envs(shared));
    assert!(one.request("GET /healthz", "").starts_with("HTTP/1.1 200"), "a node lives without its Redis");
    let said = one.request("GET /readyz", "");
    assert!(said.starts_with("HTTP/1.1 503"), "and is not ready: {said}");

    let redis = Server::at(port);
    let wait_until_ready =
        |node: &Running| while !node.request("GET /readyz", "").starts_with("HTTP/1.1 200") {};
    wait_until_ready(&one);
    let two = Running::start(command(&folder.0).args(["--port", "0", "--redis-url", &url]).envs(shared));
    let token = one.token();
    one.publish(&token, "from one");
    two.publish(&token, "from two");
    for node in [&one, &two] {
        let board = node.board(&token);
        assert!(board.contains("from one") && board.contains("from two"), "{board}");
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is kept beside Redis");

    drop(redis);
    while !one.request("GET /readyz", "").starts_with("HTTP/1.1 503") {}
    assert!(one.request("GET /healthz", "").starts_with("HTTP/1.1 200"));
    let _redis = Server::at(port);
    wait_until_ready(&one);
    wait_until_ready(&two);
}

#[test]
fn errors_about_redis_say_what_to_do_and_no_passwords() {
    let folder = Folder::new();
    let said = failure(command(&folder.0).args(["--redis-url", "redis://localhost"]));
    assert!(said.contains("TOKEN_SECRET") && said.contains("openssl rand"), "{said}");
    let said = failure(command(&folder.0).env("REDIS_URL", "http://ann:pass@localhost"));
    assert!(said.contains("REDIS_URL") && said.contains("redis://") && !said.contains("pass"), "{said}");
    let said = failure(command(&folder.0).args(["--ephemeral", "--redis-url", "redis://ann:pass@localhost"]));
    assert!(said.contains("--ephemeral") && !said.contains("pass"), "{said}");
    let said = failure(command(&folder.0).arg("--ephemeral").env("REDIS_URL", "redis://localhost"));
    assert!(said.contains("--ephemeral") && said.contains("REDIS_URL"), "{said}");
    let said =
        failure(command(&folder.0).args(["--redis-url", "rediss://localhost", "--redis-ca", "none.pem"]));
    assert!(said.contains("none.pem") && said.contains("--redis-ca"), "{said}");
    let node = Running::start(command(&folder.0).args(["--port", "0"]).env("REDIS_URL", ""));
    assert!(node.request("GET /healthz", "").starts_with("HTTP/1.1 200"), "nothing says nothing");
}
