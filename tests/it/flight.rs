//! What is on its way through a node has one budget: memory stays within it, and no client is kept
//! out.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use rustix::process::Signal;

use crate::cluster::{Client, Process, Ring, until};

const MIB: usize = 1 << 20;
/// The default of `--max-flight-bytes`.
const FLIGHT_MIB: usize = 256;

/// Sends this many PUTs of one name without waiting, then reads all answers.
fn overwrite(node: SocketAddr, name: &str, puts: usize) {
    let mut client = Client::connect(node).expect("it connects");
    let mut sender =
        Client { stream: std::io::BufReader::new(client.stream.get_ref().try_clone().unwrap()) };
    thread::scope(|scope| {
        scope.spawn(move || {
            let content = vec![7; 16 * MIB];
            for _ in 0..puts {
                sender.send(format!("PUT {name} len={}\n", content.len()));
                sender.send(&content);
            }
        });
        for _ in 0..puts {
            let answer = client.answer();
            assert_eq!(answer.status(), 200, "{}", answer.line);
        }
    });
}

/// The most memory that each node had while something was done.
fn peaks(nodes: &[&Process], work: impl FnOnce()) -> Vec<usize> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut peaks = vec![0; nodes.len()];
            while !is_over.load(Ordering::Relaxed) {
                for (peak, node) in peaks.iter_mut().zip(nodes) {
                    *peak = (*peak).max(node.resident_bytes().unwrap_or_default() as usize);
                }
                thread::yield_now();
            }
            peaks
        });
        work();
        is_over.store(true, Ordering::Relaxed);
        watching.join().expect("watching does not fail")
    })
}

#[test]
fn a_file_that_is_overwritten_while_the_next_node_stands_still_costs_no_more_than_the_budget() {
    // Earlier versions would have to be counted with the store.
    let ring = Ring::start(3, &["--keep-versions", "1"]);
    let [first, second, third] = &ring.nodes[..] else { panic!("three nodes were started") };
    let addresses = ring.addresses();
    // The second node has PUTs of its own and those of the first to send, and nothing reads them.
    third.signal(Signal::STOP);
    let begun = Instant::now();
    let peaks = peaks(&[first, second], || {
        thread::scope(|scope| {
            for (node, name) in [(0, "a"), (0, "b"), (1, "c"), (1, "d")] {
                let address = addresses[node];
                scope.spawn(move || overwrite(address, name, 12));
            }
        });
    });
    println!("48 PUTs of 16 MiB: {:?}, {peaks:?} bytes", begun.elapsed());
    third.signal(Signal::CONT);
    ring.settle();
    let store = 4 * 16;
    for peak in peaks {
        assert!(peak < (FLIGHT_MIB + store + 64) * MIB, "{} MiB", peak / MIB);
    }
}

#[test]
fn slow_uploads_keep_neither_a_small_nor_a_large_one_out() {
    let ring = Ring::start(2, &["--max-file-bytes", "256MiB"]);
    let node = &ring.nodes[0];
    // Sixteen files of the usual size, and a huge one, of which only a little comes.
    let mut slow: Vec<_> = (0..17).map(|_| node.client()).collect();
    for (i, client) in slow.iter_mut().enumerate() {
        let bytes = if i < 16 { 16 * MIB } else { 256 * MIB };
        client.send(format!("PUT slow/{i} len={bytes}\n"));
        client.send(vec![7; 200_000]);
    }
    node.client().ask("PING");
    let mut client = node.client();
    assert_eq!(client.put("small", b"small").key("copies"), Some("2"));
    let large = vec![8; 16 * MIB];
    assert_eq!(client.put("large", &large).key("copies"), Some("2"));
    assert!(ring.nodes[1].client().get("large") == large);
    for client in &mut slow[..2] {
        client.send(vec![7; 16 * MIB - 200_000]);
        assert_eq!(client.answer().status(), 200, "a slow one comes to its end");
    }
}

#[test]
fn files_that_have_nearly_arrived_keep_nobody_out() {
    let ring = Ring::start(2, &[]);
    let node = &ring.nodes[0];
    // More than the budget, nearly all of it sent, and then nothing more.
    let slow: Vec<_> = (0..20).map(|_| node.client()).collect();
    thread::scope(|scope| {
        for (i, client) in slow.iter().enumerate() {
            scope.spawn(move || {
                let mut stream = client.stream.get_ref();
                writeln!(stream, "PUT slow/{i} len={}", 16 * MIB).expect("the node reads a line");
                // The node reads on only some of them, until the others are gone.
                let _ = stream.write_all(&vec![7; 16 * MIB - 1]);
            });
        }
        until("much has arrived", || (node.resident_bytes()? > 64 * MIB as u64).then_some(()));
        let mut client = node.client();
        assert_eq!(client.put("small", b"small").key("copies"), Some("2"));
        assert_eq!(client.put("large", &vec![8; 16 * MIB]).key("copies"), Some("2"));
        assert!(client.get("large") == vec![8; 16 * MIB]);
        slow.iter().for_each(|it| it.stream.get_ref().shutdown(Shutdown::Both).unwrap());
    });
}

#[test]
fn who_only_gets_what_is_here_is_answered_while_puts_wait() {
    let ring = Ring::start(2, &["--check-timeout", "20s", "--request-timeout", "60s"]);
    let node = &ring.nodes[0];
    let mut client = node.client();
    client.put("here", b"here");
    ring.nodes[1].signal(Signal::STOP);
    thread::scope(|scope| {
        // More than the budget: nothing reads it, so most of it waits.
        for i in 0..8 {
            let address = node.address();
            scope.spawn(move || overwrite(address, &format!("waits/{i}"), 4));
        }
        until("all that may begin has begun", || {
            (client.ask("INFO").key("bytes")?.parse::<usize>().ok()? > 64 * MIB).then_some(())
        });
        for _ in 0..1000 {
            assert_eq!(client.get("here"), b"here");
        }
        ring.nodes[1].signal(Signal::CONT);
    });
}
