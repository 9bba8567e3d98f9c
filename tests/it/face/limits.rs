//! Bounds of HTTP at a node.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};

use super::{Site, ask, request};
use crate::{
    cluster::Ring,
    disks::DiskRing,
    served::{Client, eventually},
};

/// Connections that do nothing, where this process may have so many.
const IDLE: usize = 5_000;

/// Clients that read a large file all the time, and how often each does.
const READERS: usize = 48;
const READS: usize = 8;

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
fn clients_that_read_large_files_as_fast_as_they_can_do_not_delay_a_ring() {
    let ring = DiskRing::start();
    let (node, large) = (ring.addresses[0], "x".repeat(10 << 20));
    let put = ask(node, "PUT", "/large", &[], &large);
    assert_eq!(put.status, 201);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(node).unwrap();
                let request = request(node, "GET", "/large", &[], "");
                let mut buffer = vec![0; 1 << 20];
                for _ in 0..READS {
                    stream.write_all(request.as_bytes()).unwrap();
                    let mut left = large.len();
                    while left > 0 {
                        // The heads are few bytes beside the content.
                        left = left.saturating_sub(stream.read(&mut buffer).unwrap());
                    }
                }
            });
        }
    });
    for node in &ring.nodes {
        assert_eq!(node.lines_with("is gone"), Vec::<String>::new());
    }
}
