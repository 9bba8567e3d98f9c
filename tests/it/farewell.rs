//! A node that is told to end: whatever was sent to it before is answered, and connections are
//! closed gracefully.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rustix::process::Signal;

use crate::cluster::{Client, Ring, until};

/// Asks one thing after the other on one connection, until that is closed. Every request before has
/// its whole answer; the last one has nothing, and a graceful close.
fn ask_until_closed(node: SocketAddr, me: usize, answered: &AtomicUsize) {
    let mut client = Client::connect(node).expect("it connects");
    for number in 0.. {
        let request = match number % 3 {
            0 => format!("PUT {me}/{} len=3000\n{}", number % 50, "x".repeat(3000)),
            1 => format!("GET {me}/{}\n", number % 50),
            _ => format!("GET missing/{me}/{number}\n"),
        };
        if let Err(error) = client.try_send(&request) {
            // It was closed before the request was sent: reading shows a graceful close.
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "request {number}: {error}");
            return assert_eq!(client.rest(), b"", "no half answer");
        }
        match client.try_answer() {
            Ok(answer) => {
                let status = answer.status();
                assert!([200, 404, 503, 504].contains(&status), "{}", answer.line);
                if status == 503 {
                    assert!(answer.line.contains("leaving"), "{}", answer.line);
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{number}: {error}");
                return assert_eq!(client.rest(), b"", "no half answer");
            }
        }
    }
}

#[test]
fn every_request_to_a_node_that_leaves_is_answered_or_its_connection_was_closed_in_order() {
    for size in [1, 3] {
        let mut ring = Ring::start(size, &[]);
        let address = ring.nodes[0].address();
        let answered = AtomicUsize::new(0);
        thread::scope(|scope| {
            for me in 0..16 {
                let answered = &answered;
                scope.spawn(move || ask_until_closed(address, me, answered));
            }
            until("requests are answered", || {
                (answered.load(Ordering::Relaxed) > 1000).then_some(())
            });
            ring.nodes[0].signal(Signal::TERM);
        });
        assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(0));
        println!("{} requests were answered", answered.into_inner());
    }
}

#[test]
fn what_was_sent_before_the_end_is_answered_even_if_it_is_half_a_file_or_many_requests() {
    let mut ring = Ring::start(1, &[]);
    let node = &ring.nodes[0];
    let mut half = node.client();
    half.send("PUT half len=1000000\nhalf");
    let mut line = node.client();
    line.send("PI");
    let mut idle = node.client();
    let mut many = node.client();
    many.put("large", &vec![7; 100_000]);
    many.send("GET large\n".repeat(500) + "PUT last len=4\nlast");
    // All of it is with the node: it answers those that come later.
    node.client().ask("PING");
    node.signal(Signal::TERM);
    for client in [&mut half, &mut line] {
        let answer = client.answer();
        assert_eq!(answer.status(), 503, "{}", answer.line);
        assert!(answer.line.contains("leaving"), "{}", answer.line);
    }
    for _ in 0..500 {
        let answer = many.answer();
        let is_whole = answer.status() == 200 && answer.body.len() == 100_000;
        assert!(is_whole || answer.status() == 503, "{}", answer.line);
    }
    let last = many.answer();
    assert!([200, 503].contains(&last.status()), "{}", last.line);
    for client in [&mut half, &mut line, &mut many, &mut idle] {
        let end = client.try_answer().expect_err("nothing more comes");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
    drop((half, line, many, idle));
    assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(0));
}
