//! `inkwire check` as an operator meets it: what it prints, and how it ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use serde_json::Value;
use support::redis::Server;
use support::{Folder, Node, inkwire};

fn check(folder: &Folder, arguments: &[&str]) -> Output {
    inkwire(&folder.0).arg("check").args(arguments).output().unwrap()
}

#[track_caller]
fn ends(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let said = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(said).unwrap()
}

fn finding<'a>(said: &'a Value, subject: &str) -> &'a Value {
    let findings = said["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|finding| finding["subject"] == subject)
        .unwrap_or_else(|| panic!("{subject}: {said}"))
}

#[test]
fn a_redis_that_is_sound_and_one_that_forgets() {
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb"]);
    let folder = Folder::new();
    let said = ends(&check(&folder, &["--redis-url", &server.url()]), 0);
    assert!(
        said.contains("loses nothing that was answered") && said.contains("0 trouble, 0 warning"),
        "{said}"
    );
    let mut operator = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let set = ["SET", "maxmemory-policy", "allkeys-lru"];
    redis::cmd("CONFIG").arg(&set).exec(&mut operator).unwrap();
    let output =
        inkwire(&folder.0).args(["check", "--json"]).env("REDIS_URL", server.url()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&said["level"], &finding(&said, "eviction")["level"]),
        (&"trouble".into(), &"trouble".into())
    );
    assert!(finding(&said, "trial")["figures"]["publish_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "it leaves nothing");
}

#[test]
fn what_cannot_be_reached_or_understood() {
    let folder = Folder::new();
    let port = support::redis::free_port().to_string();
    let said = ends(&check(&folder, &["--redis-url", &format!("redis://:secret@127.0.0.1:{port}")]), 1);
    assert!(said.contains("refused") && said.contains("is it running") && !said.contains("secret"), "{said}");
    for url in ["http://ann:secret@host", "redis+sentinel://:secret@host"] {
        let said = ends(&check(&folder, &["--redis-url", url]), 2);
        assert!(said.contains("--redis-url") && !said.contains("secret"), "{said}");
    }
    let said = ends(&check(&folder, &["--redis-url", "rediss://host", "--redis-ca", "none.pem"]), 2);
    assert!(said.contains("none.pem"), "{said}");
    let said = ends(&check(&folder, &["--redis-url", "redis://host", "--redis-prefix", "{"]), 2);
    assert!(said.contains("braces"), "{said}");
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::with(&["--requirepass", "right"]);
    let folder = Folder::new();
    let at = |password: &str| server.url().replace("://", &format!("://:{password}@"));
    let said = ends(&check(&folder, &["--redis-url", &at("wrong")]), 1);
    assert!(said.contains("PASSWORD") && !said.contains("wrong"), "{said}");
    ends(&check(&folder, &["--redis-url", &at("right")]), 0);
}

#[test]
fn a_data_directory_in_use_and_not() {
    let mut node = Node::start();
    let look = |node: &Node| {
        let output = node.verb(&["check", "--json"]).output().unwrap();
        serde_json::from_str::<Value>(&ends(&output, 0)).unwrap()
    };
    node.run(&["pub", "board:a", "text=one"]);
    let said = look(&node);
    let user = finding(&said, "node")["says"].as_str().unwrap();
    assert!(user.contains(&format!("process {} (inkwire)", node.pid())), "{user}");
    assert!(finding(&said, "disk")["figures"]["publish_ms"].as_f64().unwrap() > 0.0);
    node.kill();
    let said = look(&node);
    assert_eq!(finding(&said, "node")["says"], "none uses it at present");
    assert_eq!(finding(&said, "store")["figures"]["format"], 3.0);
    let left: Vec<_> = fs::read_dir(node.folder.0.join("inkwire-data")).unwrap().collect();
    assert!(left.iter().all(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file()), "{left:?}");
    node.again();
    assert!(node.run(&["read", "board:a"]).contains("one"));
}

#[test]
fn data_directories_that_nodes_cannot_use() {
    let folder = Folder::new();
    let said = ends(&check(&folder, &[]), 0);
    assert!(said.contains("there is no inkwire-data") && said.contains("inkwire serve makes it"), "{said}");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "it makes nothing");

    fs::write(folder.0.join("file"), "").unwrap();
    let said = ends(&check(&folder, &["--data-dir", "file"]), 1);
    assert!(said.contains("no directory"), "{said}");

    let open = folder.0.join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let said = ends(&check(&folder, &["--data-dir", "open"]), 0);
    assert!(said.contains("chmod 700 open"), "{said}");

    fs::write(open.join("inkwire.db"), "somebody else's file, and not a database at all").unwrap();
    let said = ends(&check(&folder, &["--data-dir", "open"]), 1);
    assert!(said.contains("not an Inkwire store"), "{said}");
}
