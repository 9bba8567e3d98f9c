//! Members that will not come back, and are forgotten.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{done, text};
use crate::{
    cluster::{Process, Ring, own_ip, until},
    lines::Line,
};

/// How often a node's CHECKs have gone round.
fn cycles(node: &Process) -> usize {
    node.lines().iter().filter(|line| line.text.starts_with("CHECK performed")).count()
}

/// The row of a member in what `ring-client ring` shows, with single spaces.
fn row(asked: &str, member: &str) -> Vec<String> {
    let said = text(done(&["ring", "--node", asked]));
    let mut rows = said.lines().map(|line| line.split_whitespace());
    let row = rows.find(|row| row.clone().next() == Some(member));
    row.expect("it is shown").map(str::to_owned).collect()
}

#[test]
fn a_member_that_is_forgotten_is_sought_no_more() {
    let mut ring = Ring::start(3, &["--verbose"]);
    let addresses = ring.addresses();
    let [one, two, dead] = [0, 1, 2].map(|i| addresses[i].to_string());
    ring.nodes[2].kill();
    // Nodes that look for it reach something that is not a node.
    let listener = TcpListener::bind(addresses[2]).expect("its port is free again");
    let attempts = Arc::<AtomicUsize>::default();
    let count = attempts.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    let attempts = || attempts.load(Ordering::Relaxed);
    for (node, asked) in ring.nodes.iter().zip([&one, &two]) {
        node.wait_for_list(&addresses[..2]);
        until("it is shown as gone", || (row(asked, &dead)[2] == "gone").then_some(()));
    }
    let before = attempts();
    until("it is sought", || (attempts() > before + 2).then_some(()));

    let said = text(done(&["forget", &dead, "--node", &one]));
    assert!(said.contains(&dead), "{said}");
    for asked in [&one, &two] {
        until("it is shown as one that left", || (row(asked, &dead)[2] == "left").then_some(()));
    }
    assert_eq!(
        text(done(&["status", "--node", &two])),
        "2 of 2 nodes are up, all are ready and hold the same 0 files.\n"
    );
    let wait_for_checks = |count| {
        for node in &ring.nodes[..2] {
            let before = cycles(node);
            until("CHECKs go round", || (cycles(node) >= before + count).then_some(()));
        }
    };
    // What was under way ends.
    wait_for_checks(1);
    let before = attempts();
    wait_for_checks(5);
    assert_eq!(attempts() - before, 0, "it is still sought");
}

#[test]
fn nobody_waits_for_what_a_forgotten_member_alone_had() {
    let ip = own_ip();
    let mut holder = Process::start(&["--ip", &ip, "--port", "0"], &[]);
    let first = holder.address().to_string();
    let mut client = holder.client();
    for i in 0..20 {
        assert_eq!(client.put(&format!("file/{i}"), &vec![i; 1 << 20]).status(), 200);
    }
    // Its followers get the files slowly, and it dies before they have them all.
    let give_up = ["--give-up-after", "10h"];
    let options = [&["--prev", &first], give_up.as_slice()].concat();
    let (line, one) = Line::with_node(&ip, 4 << 20, &options);
    let near = line.near.to_string();
    one.wait_for_list(&[holder.address(), line.near]);
    let options = [&["--prev", &near], give_up.as_slice()].concat();
    let (_line, two) = Line::with_node(&ip, 4 << 20, &options);
    until("both are members", || (one.client().members().len() == 3).then_some(()));
    holder.kill();
    for node in [&one, &two] {
        until("it is gone", || (node.client().members().len() == 2).then_some(()));
    }
    let one_at = one.address().to_string();
    for node in [&one, &two] {
        let answer = node.client().ask("LIST");
        assert_eq!(answer.status(), 503, "{}", answer.line);
        assert!(answer.line.contains(&first), "it says whose files it lacks: {}", answer.line);
    }
    done(&["forget", &first, "--node", &one_at]);
    let line = format!("going on without what only {first} had");
    until("one of them says so", || {
        let both = [&one, &two].into_iter().flat_map(Process::lines);
        both.map(|line| line.text).find(|text| *text == line)
    });
    for node in [&one, &two] {
        node.wait_for("ready", |line| line.starts_with("ready: "));
        assert_eq!(node.client().ask("LIST").status(), 200);
    }
    assert_eq!(two.client().put("new", b"kept").key("copies"), Some("2"));
}
