//! Bounds of HTTP at a node.

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::{Site, request};
use crate::{cluster::Ring, served::Client, served::eventually};

/// Connections that do nothing, where this process may have so many.
const IDLE: usize = 5_000;

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
