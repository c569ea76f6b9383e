//! `docs/operations.md` and what `deploy/` holds beside the balancers: every number that is spoken of is served, every one that is
//! served is spoken of, the rules are sound, and what is backed up comes back.
//!
//! Seen to fail: a number more in the table, one less, one misspelt in the dashboard.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use support::{Node, PATIENCE, eventually};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The words of a text that are names of numbers.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("inkwire_")).map(str::to_owned).collect()
}

fn in_table() -> BTreeSet<String> {
    let rows = text("docs/operations.md");
    rows.lines()
        .filter_map(|line| {
            line.strip_prefix("| `inkwire_")?.split('`').next().map(|name| format!("inkwire_{name}"))
        })
        .collect()
}

async fn served(url: &str) -> BTreeSet<String> {
    let answer = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    let types =
        answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned));
    types.collect()
}

#[tokio::test]
async fn the_table_is_what_a_node_serves() {
    let node = Node::start();
    let url = format!("http://127.0.0.1:{}", node.port);
    // Some names come with what they count: two who meet, and are told.
    let client = reqwest::Client::new();
    let mut streams = Vec::new();
    for username in ["ann", "bob"] {
        let access = client.post(format!("{url}/access")).json(&json!({ "username": username })).send();
        let access: Value = access.await.unwrap().json().await.unwrap();
        let token = access["token"].as_str().unwrap();
        let connect = client.get(format!("{url}/connect")).header("accept", "text/event-stream");
        streams.push(connect.bearer_auth(token).send().await.unwrap().error_for_status().unwrap());
        let join = client.post(format!("{url}/lobby/join")).bearer_auth(token).send().await.unwrap();
        join.error_for_status().unwrap();
    }
    let (expected, began) = (in_table(), Instant::now());
    loop {
        let found = served(&url).await;
        if found == expected {
            return;
        }
        let missing: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        assert!(began.elapsed() < PATIENCE, "not served: {missing:?}; not in the table: {more:?}");
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let known = in_table();
    let is_known = |name: &String| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        known.contains(name) || base.is_some_and(|base| known.contains(base))
    };
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| !panel["targets"].as_array().unwrap().is_empty()));
    for file in ["deploy/grafana.json", "deploy/alerts.yml"] {
        let asked = names(&text(file));
        let unknown: Vec<_> = asked.iter().filter(|name| !is_known(name)).collect();
        assert!(unknown.is_empty() && !asked.is_empty(), "{file}: {unknown:?}");
    }
    let shown = names(&text("deploy/grafana.json"));
    let hidden = known.iter().filter(|name| !shown.iter().any(|shown| shown.starts_with(*name)));
    assert_eq!(
        hidden.collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "whoever is woken up wants to see all of them"
    );
}

#[test]
fn the_alerts_are_sound_and_go_off() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(repository("deploy")).output();
        let output = output.expect("promtool is installed (make test does that)");
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_copy_made_beside_a_running_node_brings_it_back() {
    let mut node = Node::start();
    node.run(&["pub", "board:a", "text=before"]);
    // As the document says.
    let copy = |node: &Node, database: &str, words: &[&str]| {
        let output = Command::new("sqlite3").arg(database).args(words).current_dir(&node.folder.0).output();
        let output = output.expect("sqlite3 is installed (make test does that)");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    copy(&node, "inkwire-data/inkwire.db", &[".timeout 5000", ".backup 'copy.db'"]);
    assert_eq!(copy(&node, "copy.db", &["PRAGMA integrity_check"]), "ok\n");
    let lost = node.run(&["pub", "board:a", "text=after"]);
    let follower = node.folder.0.join("followed");
    let shell =
        format!("exec {} sub board:a --from 0 > {}", env!("CARGO_BIN_EXE_inkwire"), follower.display());
    let mut following = Command::new("sh");
    following.arg("-c").arg(shell).env_clear().env("INKWIRE_URL", format!("ws://127.0.0.1:{}", node.port));
    let _following = support::Running(following.stderr(std::process::Stdio::null()).spawn().unwrap());
    eventually("the follower has both", || node.folder.read("followed").contains("after"));
    node.kill();
    for entry in fs::read_dir(node.folder.0.join("inkwire-data")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("inkwire.db") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::copy(node.folder.0.join("copy.db"), node.folder.0.join("inkwire-data/inkwire.db")).unwrap();
    node.again();
    let read = node.run(&["read", "board:a"]);
    assert!(read.contains("before") && !read.contains("after"), "{read}");
    let next = node.run(&["pub", "board:a", "text=since"]);
    assert!(next > lost, "no offset is used twice: {next} {lost}");
    eventually("the follower is told", || {
        let followed = node.folder.read("followed");
        followed.contains("@gap") && followed.contains("since")
    });
}
