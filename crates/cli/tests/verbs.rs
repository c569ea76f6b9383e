//! The verbs that talk to a server: the real binary against the real binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::fs;

use serde_json::Value;
use support::{Folder, Node, eventually};

/// The texts of messages as they were printed.
fn texts(printed: &str) -> Vec<String> {
    printed.lines().map(text).collect()
}

fn text(line: &str) -> String {
    let message: Value = serde_json::from_str(line).unwrap();
    message["text"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn what_is_published_is_read_and_followed() {
    let node = Node::start();
    let offset = node.run(&["pub", "board:a", "text=one", "from=ann"]);
    let offset = offset.trim();
    let offsets = node.feed(&["pub", "board:a"], "two\nthree\n");
    assert_eq!(offsets.lines().count(), 2);

    let read = node.run(&["read", "board:a"]);
    assert_eq!(texts(&read), ["one", "two", "three"]);
    let first = format!(r#"{{"offset":"{offset}","text":"one","from":"ann"}}"#);
    assert_eq!(read.lines().next(), Some(first.as_str()));
    assert_eq!(texts(&node.run(&["read", "board:a", "--after", offset, "--limit", "1"])), ["two"]);
    assert_eq!(node.run(&["sub", "board:a", "--from", "0", "--count", "3"]), read);

    let copied = node.feed(&["pub", "board:b", "--json"], &read);
    assert_eq!(copied.lines().count(), 3);
    assert_eq!(texts(&node.run(&["read", "board:b"])), ["one", "two", "three"]);
}

#[test]
fn a_message_says_who_published_it_where_that_is_asked_for() {
    let node = Node::start();
    let token = node.run(&["token", "--id", "ann", "--grant", "*=subscribe,publish"]);
    let token = ["--token", token.trim()];
    node.run(&[&["pub", "log", "--named", "text=one"], &token[..]].concat());
    let printed = node.run(&[&["sub", "log", "--from", "0", "--count", "1"], &token[..]].concat());
    assert!(printed.trim_end().ends_with(r#""text":"one","@user":"ann"}"#), "{printed}");
    // A copy is published by whoever copies.
    node.feed(&["pub", "board:b", "--json", "--named"], &printed);
    let copied: Value = serde_json::from_str(&node.run(&["read", "board:b"])).unwrap();
    assert!(copied["@user"].is_string() && copied["@user"] != "ann", "{copied}");
    node.feed(&["pub", "board:c", "--json"], &printed);
    assert!(!node.run(&["read", "board:c"]).contains("@user"));
}

#[test]
fn keyed_channels_keep_the_winner() {
    let node = Node::start();
    let vote = |version: &str, rest: &[&str]| {
        let arguments = ["pub", "board:poll", "--key", "ann", "--version", version, "text=x"];
        node.run(&[&arguments, rest].concat())
    };
    let second = vote("2", &[]);
    assert_eq!(vote("1", &[]), second, "the winner's offset");
    let read = node.run(&["read", "board:poll"]);
    assert!(read.contains(r#""@key":"ann","@version":"2""#) && read.lines().count() == 1, "{read}");
    vote("3", &["--tombstone"]);
    let copied = node.feed(&["pub", "board:copy", "--json"], &node.run(&["read", "board:poll"]));
    assert_eq!(copied.lines().count(), 1);
    assert!(node.run(&["read", "board:copy"]).contains(r#""@version":"3","@deleted":true"#));
}

#[test]
fn a_long_channel_is_read_page_by_page() {
    let node = Node::start();
    let lines: String = (0..2_500).map(|number| format!("{number}\n")).collect();
    let token = node.run(&["token", "--id", "loader", "--grant", "*=subscribe,publish"]);
    let offsets = node.feed(&["pub", "long", "--token", token.trim()], &lines);
    let all = node.run(&["read", "long", "--limit", "100000", "--token", token.trim()]);
    assert!(texts(&all).into_iter().eq((0..2_500).map(|number| number.to_string())));
    let read: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(read.iter().map(|message| message["offset"].as_str().unwrap()).eq(offsets.lines()));
}

#[test]
fn following_survives_the_servers_death() {
    let mut node = Node::start();
    let mut following = node.spawn(&["sub", "board:a", "--from", "0", "--count", "4"]);
    let mut lines = following.lines();
    node.feed(&["pub", "board:a"], "one\ntwo\n");
    assert_eq!([lines.next().unwrap(), lines.next().unwrap()].map(|line| text(&line)), ["one", "two"]);
    node.kill();
    node.again();
    node.feed(&["pub", "board:a"], "three\nfour\n");
    assert_eq!(lines.map(|line| text(&line)).collect::<Vec<_>>(), ["three", "four"]);
    assert!(following.wait().success());
}

#[test]
fn following_ends_cleanly() {
    let node = Node::start();
    node.run(&["pub", "board:a", "text=one"]);
    let mut interrupted = node.spawn(&["sub", "board:a", "--from", "0"]);
    assert!(interrupted.lines().next().is_some());
    interrupted.signal("-INT");
    assert!(interrupted.wait().success());

    let mut unheard = node.spawn(&["sub", "board:a", "--from", "0"]);
    assert!(unheard.lines().next().is_some(), "and nobody reads the next line");
    node.run(&["pub", "board:a", "text=two"]);
    assert!(unheard.wait().success());
}

#[test]
fn a_gap_is_a_line_of_its_own() {
    let node = Node::start();
    node.run(&["pub", "board:a", "text=one"]);
    let followed = node.run(&["sub", "board:a", "--from", "1-0", "--count", "1"]);
    let mut lines = followed.lines();
    let gap: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(gap["@gap"]["after"], "1-0");
    assert_eq!(lines.map(text).collect::<Vec<_>>(), ["one"]);
}

#[test]
fn workers_run_a_command_for_each_message() {
    let node = Node::start();
    node.feed(&["pub", "board:jobs"], "one\ntwo\n");
    node.run(&["pub", "board:jobs", "text=bad", "at-once=yes"]);
    let script = r#"cat > "in-$INKWIRE_FIELD_TEXT"; echo "$INKWIRE_FIELD_AT_ONCE" >> seen
        test "$INKWIRE_FIELD_TEXT" != bad || test "$INKWIRE_DELIVERIES" -gt 1"#;
    let work = ["work", "board:jobs", "--group", "g", "--take-over", "1s", "--concurrency", "2", "--"];
    let mut worker = node.spawn(&[&work[..], &["sh", "-c", script]].concat());
    // The bad one fails at first, is given again, and then succeeds.
    eventually("all have run", || node.folder.read("seen").lines().count() == 4);
    worker.signal("-TERM");
    assert!(worker.wait().success());
    assert_eq!(text(&node.folder.read("in-one")), "one");
    assert!(node.folder.read("in-bad").contains(r#""@deliveries":2"#));
    assert_eq!(node.folder.read("seen").matches("yes").count(), 2);
}

#[test]
fn what_a_dead_worker_held_is_taken_over() {
    let node = Node::start();
    node.run(&["pub", "board:jobs", "text=one"]);
    let work = |script: &'static str| {
        ["work", "board:jobs", "--group", "g", "--take-over", "1s", "--", "sh", "-c", script]
    };
    let mut first = node.spawn(&work("echo yes > begun; exec sleep 5"));
    eventually("the first has begun", || !node.folder.read("begun").is_empty());
    first.0.kill().unwrap();
    let mut second = node.spawn(&work("echo $INKWIRE_DELIVERIES >> done"));
    eventually("the second has done it", || node.folder.read("done") == "2\n");
    second.signal("-TERM");
    assert!(second.wait().success());
    assert_eq!(node.folder.read("done"), "2\n", "once");
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_what_runs() {
    let node = Node::start();
    node.feed(&["pub", "board:jobs"], "one\ntwo\n");
    let script = "touch begun; while ! test -e go; do sleep 0.02; done; echo $INKWIRE_FIELD_TEXT >> done";
    let work = ["work", "board:jobs", "--group", "g", "--take-over", "1s", "--", "sh", "-c", script];
    let mut worker = node.spawn(&work);
    eventually("the command has begun", || node.folder.0.join("begun").exists());
    worker.signal("-INT");
    fs::write(node.folder.0.join("go"), "").unwrap();
    assert!(worker.wait().success());
    assert_eq!(node.folder.read("done"), "one\n");
    // It was acknowledged: the next worker is given only the other.
    let mut next = node.spawn(&work);
    eventually("the other is done", || node.folder.read("done") == "one\ntwo\n");
    next.signal("-TERM");
    assert!(next.wait().success());
    assert_eq!(node.folder.read("done"), "one\ntwo\n");
}

#[test]
fn tokens_open_what_they_say() {
    let node = Node::start();
    let said = node.failure(&["pub", "jobs", "text=one"], 1);
    assert!(said.contains("board:*") && said.contains("inkwire token"), "{said}");
    let token = node.run(&["token", "--id", "ann", "--grant", "job*=publish", "--for", "5m"]);
    let token = token.trim();
    node.run(&["pub", "jobs", "text=one", "--token", token]);
    let said = node.failure(&["read", "jobs", "--token", token], 1);
    assert!(said.contains("forbidden"), "{said}");
    let secret = "another secret of more than thirty-two bytes";
    let other = node.verb(&["token", "--id", "ann"]).env("TOKEN_SECRET", secret).output().unwrap();
    let other = String::from_utf8(other.stdout).unwrap();
    let said = node.failure(&["read", "board:a", "--token", other.trim()], 1);
    assert!(said.contains("not of this server"), "{said}");
    let said = node.failure(&["token", "--id", "ann", "--data-dir", "elsewhere"], 1);
    assert!(said.contains("TOKEN_SECRET") && said.contains("--data-dir"), "{said}");
}

#[test]
fn mistakes_are_said_with_their_status() {
    let mut node = Node::start();
    for wrong in [
        &["pub"][..],
        &["pub", "a b", "text=one"],
        &["pub", "a", "text"],
        &["pub", "a", "text=one", "--json"],
        &["pub", "a", "text=one", "--key", "k"],
        &["read", "a", "--after", "$"],
        &["sub", "a", "--from", "last"],
        &["sub", "a", "--url", "example.org"],
        &["work", "a", "--group", "g"],
        &["work", "a", "--group", "g", "--concurrency", "0", "--", "true"],
        &["token", "--id", "ann", "--grant", "a=write"],
        &["token", "--id", "ann", "--for", "ever"],
        &["bench", "--connections", "0"],
        &["completions", "basic"],
    ] {
        node.failure(wrong, 2);
    }
    node.run(&["pub", "board:a", "text=one"]);
    let said = node.failure(&["work", "board:a", "--group", "g", "--", "no-such-command"], 1);
    assert!(said.contains("cannot run no-such-command"), "{said}");
    node.kill();
    let said = node.failure(&["read", "board:a"], 1);
    assert!(said.contains("no server answers"), "{said}");
}

#[test]
fn a_server_is_measured_over_both_transports() {
    let node = Node::start();
    for over in ["ws", "sse"] {
        let arguments = ["bench", "--over", over, "--connections", "20", "--channels", "3", "--seconds", "1"];
        let report = node.run(&[&arguments[..], &["--rate", "50", "--json"]].concat());
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["over"], over);
        assert!(report["published"].as_u64().unwrap() >= 50, "{report}");
        assert_eq!(report["delivered"], report["expected"]);
        assert_eq!((&report["lost"], &report["doubled"]), (&0.into(), &0.into()));
    }
}

#[test]
fn servers_with_certificates_are_spoken_to() {
    let folder = Folder::new();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, private) = (folder.0.join("cert.pem"), folder.0.join("key.pem"));
    fs::write(&certificate, key.cert.pem()).unwrap();
    fs::write(&private, key.signing_key.serialize_pem()).unwrap();
    let node = Node::with(folder, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let url = format!("wss://localhost:{}", node.port);
    let trusting = |arguments: &[&str]| {
        let mut verb = node.verb(arguments);
        verb.args(["--url", &url]).env("SSL_CERT_FILE", &certificate).output().unwrap()
    };
    assert!(trusting(&["pub", "board:a", "text=one"]).status.success());
    assert_eq!(texts(&String::from_utf8(trusting(&["read", "board:a"]).stdout).unwrap()), ["one"]);
}

#[test]
fn shells_are_told_what_there_is() {
    let node = Node::start();
    for shell in ["bash", "zsh", "fish"] {
        assert!(node.run(&["completions", shell]).contains("take-over"), "{shell}");
    }
}
