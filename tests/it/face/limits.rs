//! Bounds of HTTP at a node.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Signal, getrlimit};

use super::{Site, ask, request};
use crate::{
    cluster::{Process, Ring},
    disks::DiskRing,
    served::{Client, eventually},
};

/// Connections that do nothing, where this process may have so many.
const IDLE: usize = 5_000;

/// Clients that read a large file at once.
const READERS: usize = 24;
/// How long a node is stopped: long enough that it doubts itself, and not that it is passed over.
const STOPPED: Duration = Duration::from_millis(180);
/// What a node may take for all of them: a few pieces each.
const GROWTH_MAX: u64 = 64 << 20;

#[test]
fn idle_connections_do_not_delay_a_ring() {
    let ring = Ring::start(3, &["--verbose"]);
    let node = ring.nodes[0].address();
    let most = getrlimit(Resource::Nofile).current.map_or(IDLE, |it| it as usize - 200);
    let idle: Vec<_> = (0..IDLE.min(most))
        .map(|i| {
            let mut client = Client::connect_to(node).unwrap();
            if i % 3 == 0 {
                // A head that does not end.
                client.send("GET / HTTP/1.1\r\nHost: ");
            } else if i % 3 == 1 {
                client.send(request(node, "GET", "/_ring/health", &[], ""));
                assert_eq!(client.reply().status, 200);
            }
            client
        })
        .collect();
    let circles = || ring.nodes[0].lines_with("complete cycle of 3").len();
    let before = circles();
    eventually("CHECK goes round", || circles() > before + 2);
    let began = Instant::now();
    let mut client = Client::connect_to(node).unwrap();
    client.send(request(node, "GET", "/_ring/ready", &[], ""));
    assert_eq!(client.reply().status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(idle);
}

#[test]
fn a_head_that_does_not_end_is_answered_408() {
    let site = Site::with(&[("a", "x")]);
    let mut slow = site.client();
    slow.send("GET /a HTTP/1.1\r\nHost: ");
    let mut silent = site.client();
    silent.send("GET /");
    let began = Instant::now();
    assert!(slow.rest().starts_with("HTTP/1.1 408 "));
    assert!(silent.rest().starts_with("HTTP/1.1 408 "));
    assert!(began.elapsed() < Duration::from_secs(18), "{:?}", began.elapsed());
    assert_eq!(site.get("/a").status, 200);
}

#[test]
fn large_files_stay_where_they_are_when_a_node_asks_the_others_for_them() {
    let ring = DiskRing::start();
    let (node, large) = (ring.addresses[0], "x".repeat(10 << 20));
    assert_eq!(ask(node, "PUT", "/large", &[], &large).status, 201);
    let peaks = || ring.nodes.iter().filter_map(Process::peak_bytes).max();
    let before = peaks();
    let mut clients: Vec<_> = (0..READERS).map(|_| Client::connect_to(node).unwrap()).collect();
    // One that was stopped doubts what it has, and asks.
    ring.nodes[0].signal(Signal::STOP);
    let request = request(node, "GET", "/large", &[], "");
    clients.iter_mut().for_each(|client| client.send(&request));
    thread::sleep(STOPPED);
    ring.nodes[0].signal(Signal::CONT);
    for client in &mut clients {
        let reply = client.reply();
        assert!(reply.status == 200 && reply.body == large);
    }
    let grown = peaks().zip(before).map(|(now, before)| now - before);
    assert!(grown.is_none_or(|grown| grown < GROWTH_MAX), "{grown:?}");
}
