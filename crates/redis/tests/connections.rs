//! The ways to a Redis: user and password, TLS, a socket in the file system; and what is said when the way is barred.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is a finding")]

mod support;

use std::fs;
use std::time::Duration;

use inkwire_core::{Broker, Claim, ConsumerName, Draft, GroupName, Lifetime, Offset, Retention};
use inkwire_redis::{Address, OptionError, Redis, RedisOptions};
use support::{Scratch, Server, body, channel, free_port, publish, texts};

fn options(address: &str) -> RedisOptions {
    let patience = Duration::from_secs(2);
    RedisOptions { patience, ..RedisOptions::new(address.parse::<Address>().unwrap()) }
}

/// Publishes, hears and reads.
async fn works(broker: &Redis) {
    let name = channel("a");
    let mut tail = broker.tail(&name).await.unwrap();
    let offset = publish(broker, &name, "hello").await;
    assert_eq!(tail.next().await.unwrap().offset, offset);
    let page = broker.read(&name, Offset::ZERO, 10).await.unwrap();
    assert_eq!(texts(&page.messages), ["hello"]);
}

async fn refusal(broker: &Redis) -> String {
    broker.publish(&channel("a"), Draft::plain(body(1))).await.unwrap_err().to_string()
}

#[tokio::test]
async fn user_and_password() {
    // No more rights than `PROTOCOL.md` speaks of.
    let rights = "user ann on >se:cret ~inkwire:* &inkwire:* -@all +@stream +@hash +@pubsub +@scripting +@connection \
                  +time +info +pexpire +persist +del\nuser default off\n";
    let scratch = Scratch::new();
    let file = scratch.path().join("users");
    fs::write(&file, rights).unwrap();
    let server = Server::with(&["--aclfile", file.to_str().unwrap()]);
    let at = |user: &str| format!("redis://{user}@127.0.0.1:{}", server.port);
    let broker = Redis::new(options(&at("ann:se%3Acret"))).unwrap();
    works(&broker).await;
    // What comes and goes, and is kept at last: every command there is.
    let group = GroupName::new("g").unwrap();
    for lifetime in [Lifetime::Expires(Duration::ZERO), Lifetime::Expires(Duration::MAX), Lifetime::Kept] {
        let retention = Retention { lifetime, age: Some(Duration::from_secs(60)), ..Retention::PLAIN };
        broker.publish(&channel("b"), Draft::plain(body(1)).retained(retention)).await.unwrap();
    }
    let claim = Claim::new(group.clone(), ConsumerName::new("c").unwrap(), 10);
    let claimed = broker.claim(&channel("b"), claim).await.unwrap();
    assert_eq!(broker.acknowledge(&channel("b"), &group, &[claimed[0].message.offset]).await, Ok(1));
    let said = refusal(&Redis::new(options(&at("ann:wrong"))).unwrap()).await;
    assert!(said.contains("WRONGPASS") || said.to_lowercase().contains("auth"), "{said}");
    assert!(!said.contains("wrong@") && !said.contains(":wrong"), "{said}");
}

#[tokio::test]
async fn a_socket_in_the_file_system() {
    let server = Server::with(&["--unixsocket", "DIR/redis.sock"]);
    let place = server.directory().join("redis.sock");
    works(&Redis::new(options(&format!("unix://{}", place.display()))).unwrap()).await;
}

#[tokio::test]
async fn tls() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let scratch = Scratch::new();
    let (cert, key) = (scratch.path().join("cert.pem"), scratch.path().join("key.pem"));
    fs::write(&cert, issued.cert.pem()).unwrap();
    fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let _server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        cert,
        "--tls-auth-clients",
        "no",
    ]);
    let address = format!("rediss://localhost:{port}");
    let trusting = RedisOptions { certificates: Some(issued.cert.pem().into_bytes()), ..options(&address) };
    works(&Redis::new(trusting).unwrap()).await;

    let said = refusal(&Redis::new(options(&address)).unwrap()).await;
    assert!(said.contains("certificate"), "whom the system does not trust: {said}");
    let damaged = RedisOptions { certificates: Some(b"no certificate".to_vec()), ..options(&address) };
    assert!(matches!(Redis::new(damaged), Err(OptionError::Certificates(_))));
}
