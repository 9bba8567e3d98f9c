//! Nodes that leave, stop or join at the worst time: whatever was acknowledged stays.

use std::{thread, time::Instant};

use rustix::process::Signal;

use crate::{
    cluster::{Client, Ring, until},
    traffic::{Traffic, content},
};

fn put_all(client: &mut Client, files: u64, copies: &str) {
    for number in 0..files {
        let answer = client.put(&format!("file/{number}"), &content("file", number));
        let copied = (answer.status(), answer.key("copies"));
        assert_eq!(copied, (200, Some(copies)), "{number}: {}", answer.line);
    }
}

fn all_are_at(client: &mut Client, files: u64) {
    for number in 0..files {
        assert_eq!(client.get(&format!("file/{number}")), content("file", number), "{number}");
    }
}

#[test]
fn who_went_on_alone_leaves_only_when_the_one_that_comes_back_has_everything() {
    let mut ring = Ring::start(2, &[]);
    let addresses = ring.addresses();
    ring.nodes[0].signal(Signal::STOP);
    ring.nodes[1].wait_for_list(&addresses[1..]);
    put_all(&mut ring.nodes[1].client(), 100, "1");
    ring.nodes[0].signal(Signal::CONT);
    ring.nodes[1].wait_for_list(&addresses);
    ring.nodes[1].signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(ring.nodes[1].wait_for_exit().code(), Some(0));
    println!("it had left {:.0?} after it was told to", told.elapsed());
    ring.nodes[0].wait_until_ready(1);
    all_are_at(&mut ring.nodes[0].client(), 100);
}

#[test]
fn the_last_holder_waits_for_a_newcomer_that_has_just_been_started() {
    for is_awaited in [true, false] {
        let mut ring = Ring::start(1, &[]);
        let mut client = ring.nodes[0].client();
        let mebibyte = |number: u8| vec![number; 1 << 20];
        for number in 0..16 {
            assert_eq!(client.put(&format!("large/{number}"), &mebibyte(number)).status(), 200);
        }
        ring.add(0);
        let addresses = ring.addresses();
        if is_awaited {
            ring.nodes[0].wait_for_list(&addresses);
        } else {
            // It has been asked and not yet taken a node in, or it has: both must work.
            let newcomer = addresses[1].port().to_string();
            until("the newcomer is there", || {
                let is_there = ring.nodes[1].client().ask("INFO").status() == 200;
                is_there.then_some(&newcomer)
            });
        }
        ring.nodes[0].signal(Signal::TERM);
        let told = Instant::now();
        assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(0));
        println!("listed: {is_awaited}: it had left {:.0?} after it was told to", told.elapsed());
        let mut client = ring.nodes[1].client();
        let was_taken_in = !ring.nodes[1].lines_with("(WS2)").is_empty();
        if is_awaited || was_taken_in {
            ring.nodes[1].wait_until_ready(1);
            for number in 0..16 {
                assert!(client.get(&format!("large/{number}")) == mebibyte(number), "{number}");
            }
        } else {
            // The holder left a ring of one: then the newcomer does not answer as if it knew.
            let answer = client.ask("GET large/0");
            assert_eq!(answer.status(), 503, "{}", answer.line);
        }
    }
}

#[test]
fn two_that_join_while_the_holder_of_everything_is_stopped_are_ready_in_the_end() {
    const FILES: u64 = 3000;
    let mut ring = Ring::start(1, &[]);
    put_all(&mut ring.nodes[0].client(), FILES, "1");
    ring.add(0);
    ring.nodes[0].wait_for_list(&ring.addresses());
    ring.add(1);
    ring.nodes[0].signal(Signal::STOP);
    let addresses = ring.addresses();
    let traffic = Traffic::during(&[&addresses[1..], &addresses[1..]], &addresses, |traffic| {
        ring.nodes[1].wait_for("the stopped one is gone", |text| text.contains("is gone"));
        let stopped = Instant::now();
        until("3 s have passed, with writes", || {
            traffic.await_writes(10);
            (stopped.elapsed().as_secs() >= 3).then_some(())
        });
        ring.nodes[0].signal(Signal::CONT);
        let continued = Instant::now();
        thread::scope(|scope| {
            for node in &ring.nodes {
                scope.spawn(|| node.wait_until_ready(3));
            }
        });
        println!("all were ready {:.1?} after it went on", continued.elapsed());
        traffic.await_writes(50);
    });
    ring.settle();
    for node in &ring.nodes {
        traffic.must_be_at(node.address());
        let mut client = node.client();
        assert_eq!(client.ask("LIST prefix=file limit=1000").key("count"), Some("1000"));
        all_are_at(&mut client, FILES);
    }
}
