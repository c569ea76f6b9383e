//! The binary as a server and as a client of it, in a folder of the test's own, with nothing of ours in the environment.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

pub mod redis;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Long enough for the slowest machine; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory, gone with its value.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("inkwire-verbs-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The binary in a folder.
pub fn inkwire(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inkwire"));
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that is killed with its value.
pub struct Running(pub Child);

impl Running {
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Its next line on standard output.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server in a folder, on one port for as long as the test runs.
pub struct Node {
    pub folder: Folder,
    pub port: u16,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
}

impl Node {
    pub fn start() -> Self {
        Self::with(Folder::new(), &[])
    }

    pub fn with(folder: Folder, options: &[&str]) -> Self {
        Self::with_environment(folder, options, &[])
    }

    pub fn with_environment(folder: Folder, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let environment =
            environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut node = Self { folder, port: 0, options, environment, running: None };
        node.again();
        node
    }

    /// Starts it, on the port that it had.
    pub fn again(&mut self) {
        let port = self.port.to_string();
        let mut command = inkwire(&self.folder.0);
        command.args(["serve", "--port", &port, "--log", "off"]).args(&self.options);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut running = Running(command.spawn().unwrap());
        let said = running.lines().next().expect("the server says where it is");
        self.port = said.rsplit(':').next().unwrap().parse().unwrap();
        self.running = Some(running);
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").0.id()
    }

    pub fn signal(&self, name: &str) {
        self.running.as_ref().expect("it runs").signal(name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.running.take().expect("it runs").wait()
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        drop(self.running.take());
    }

    /// Waits for its end, and lets others go on meanwhile.
    pub async fn wait_until_gone(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        loop {
            match running.0.try_wait().unwrap() {
                Some(status) => return status,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// A verb that talks to this server.
    pub fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = inkwire(&self.folder.0);
        command.env("INKWIRE_URL", format!("ws://127.0.0.1:{}", self.port)).args(arguments);
        command
    }

    /// Runs a verb to its end, which must be a good one; what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        printed(&self.verb(arguments).output().unwrap())
    }

    /// The same, with something on standard input.
    pub fn feed(&self, arguments: &[&str], input: &str) -> String {
        let mut child = self.verb(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        printed(&child.wait_with_output().unwrap())
    }

    /// Starts a verb.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Running(self.verb(arguments).spawn().unwrap())
    }

    /// Runs a verb that must fail with this status; what it said.
    pub fn failure(&self, arguments: &[&str], status: i32) -> String {
        let output = self.verb(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}
