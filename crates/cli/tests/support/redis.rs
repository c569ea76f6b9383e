//! A real Redis of a test's own, ended with its value.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{Folder, eventually};

/// A Redis on a free port.
pub struct Redis {
    child: Child,
    pub port: u16,
    _folder: Folder,
}

impl Redis {
    /// With further options, as on Redis's command line.
    pub fn start(options: &[&str]) -> Self {
        let folder = Folder::new();
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
            .args(options)
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (make test does that)");
        let redis = Self { child, port, _folder: folder };
        eventually("redis answers", || redis.says(&["PING"]).is_some());
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A command that must be answered with OK.
    pub fn tell(&self, words: &[&str]) {
        assert_eq!(self.says(words).as_deref(), Some("OK\n"));
    }

    /// The answer to a command; an error is one, too.
    fn says(&self, words: &[&str]) -> Option<String> {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
