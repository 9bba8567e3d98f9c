//! Where the time of a write went: TRACE, `ring-client put --trace` and `trace`, and `Server-Timing`.

use std::{fs, net::SocketAddr, process::Command};

use serde_json::Value;

use crate::{
    cluster::{Client, Ring, until},
    disks::DiskRing,
    served,
};

fn ring_client(node: SocketAddr, args: &[&str]) -> String {
    let node = node.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_ring-client"))
        .args([&["--node", &node], args].concat())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The members in the order of the ring from this node on, once it knows the round trips of all.
fn members(node: SocketAddr) -> Vec<SocketAddr> {
    let mut client = Client::connect(node).unwrap();
    until("the round trips are known", || {
        let answer = client.ask("RING");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        (text.matches(" round-trip=").count() == text.lines().count()).then_some(())
    });
    let mut members = client.members();
    let own = members.iter().position(|it| *it == node).unwrap();
    members.rotate_left(own);
    members
}

/// A file to put, and the folder that it is in.
fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b");
    fs::write(&path, "12345").unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_put_shows_each_hop_and_each_disk() {
    let ring = DiskRing::start();
    ring.settle();
    let nodes = members(ring.addresses[0]);
    let (_folder, path) = file();
    let shown = ring_client(nodes[0], &["put", "--trace", &path]);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("200 OK version="), "{shown}");
    assert!(lines[1].starts_with("a b  "), "{shown}");
    assert!(lines[2].ends_with(" ms  once round 3 nodes"), "{shown}");
    assert!(lines[3].ends_with(" ms  until it was on all their disks"), "{shown}");
    assert_eq!(lines.len(), 8, "{shown}");
    for (line, (from, to)) in lines[5..].iter().zip([(0, 1), (1, 2), (2, 0)]) {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..2], [nodes[from].to_string(), nodes[to].to_string()], "{shown}");
    }

    let shown: Value = serde_json::from_str(&ring_client(nodes[0], &["trace", "--json"])).unwrap();
    let write = &shown["writes"][0];
    assert_eq!(write["name"], "a b");
    let micros = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{write}"));
    assert!(micros(&write["round_us"]) > 0 && micros(&write["keep_us"]) > 0);
    let hops = write["hops"].as_array().unwrap();
    assert_eq!((hops.len(), &hops[0]["disk_us"]), (3, &Value::Null));
    // The disk of another member is waited for, and the KEEP takes at least as long.
    let disks: Vec<_> = hops[1..].iter().map(|hop| micros(&hop["disk_us"])).collect();
    assert!(disks.iter().sum::<u64>() > 0, "{write}");
    assert!(hops.iter().all(|hop| micros(&hop["link_us"]) > 0), "{write}");
    // Another node was not asked for it.
    assert_eq!(ring_client(nodes[1], &["trace", "--json"]).trim(), r#"{"writes":[]}"#);
}

#[test]
fn a_put_over_http_says_it_in_a_header() {
    let ring = Ring::start(3, &[]);
    ring.settle();
    let nodes = members(ring.nodes[1].address());
    let mut client = served::Client::connect_to(nodes[0]).unwrap();
    client.send(format!("PUT /x HTTP/1.1\r\nHost: {}\r\nContent-Length: 1\r\n\r\n1", nodes[0]));
    let answer = client.reply();
    assert_eq!(answer.status, 201);
    let timing = answer.header("server-timing").unwrap();
    let entries: Vec<_> = timing.split(", ").collect();
    assert!(entries[0].starts_with("round;dur=") && entries[0].ends_with(";desc=\"3 nodes\""));
    for (entry, (from, to)) in entries[1..].iter().zip([(0, 1), (1, 2), (2, 0)]) {
        let hop = format!(";desc=\"{} to {}\"", nodes[from], nodes[to]);
        assert!(entry.starts_with("link") && entry.ends_with(&hop), "{timing}");
    }
    assert_eq!(entries.len(), 4, "{timing}");
    // Files in memory wait for no disk.
    assert!(!timing.contains("keep") && !timing.contains("disk"), "{timing}");
    let (_folder, path) = file();
    let refused = Command::new(env!("CARGO_BIN_EXE_ring-client"))
        .args(["put", "--trace", &path, &path])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}
