//! Rings that stay apart: with different names, on one host, or of different releases.

use std::{net::SocketAddr, time::Duration};

use smolring::ring::limits::PROTOCOL;

use crate::cluster::{Process, Ring, free_addresses, own_ip, settle, until};

fn node_at(address: SocketAddr, options: &[&str]) -> Process {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    Process::start(&[&["--ip", &ip, "--port", &port], options].concat(), &[])
}

#[test]
fn two_rings_never_merge_though_one_begins_where_a_member_of_the_other_was() {
    let addresses = free_addresses::<3>(&own_ip());
    let one = |i: usize| {
        let prev = addresses[0].to_string();
        let options = ["--ring", "one", "--prev", &prev];
        node_at(addresses[i], if i == 0 { &options[..2] } else { &options })
    };
    let mut nodes: Vec<_> = (0..3).map(one).collect();
    settle(&nodes.iter().collect::<Vec<_>>(), &addresses);
    assert_eq!(nodes[0].client().put("which", b"one").key("copies"), Some("3"));
    nodes.remove(1).kill();
    let two = node_at(addresses[1], &["--ring", "two"]);
    two.wait_until_ready(1);
    assert_eq!(two.client().put("which", b"two").key("copies"), Some("1"));
    for node in &nodes {
        let line = node.wait_for("the other ring is named", |text| text.contains("of the ring"));
        assert!(line.text.contains(&addresses[1].to_string()), "{}", line.text);
        assert!(line.text.contains("see --ring"), "{}", line.text);
        let line = two.wait_for("the other ring is named", |text| {
            text.contains("of the ring one") && text.contains(&node.address().to_string())
        });
        assert!(line.text.contains("this node of two; see --ring"), "{}", line.text);
    }
    // They go on looking for their lost member, and do not report it each time.
    two.client().hears_nothing_for(Duration::from_secs(5));
    let rest = [addresses[0], addresses[2]];
    settle(&nodes.iter().collect::<Vec<_>>(), &rest);
    settle(&[&two], &addresses[1..2]);
    for node in &nodes {
        let lines = node.lines_with("of the ring");
        assert!(lines.len() <= 2, "one line for what each side says, at most: {lines:#?}");
        assert_eq!(node.client().get("which"), b"one");
    }
    let lines = two.lines_with("of the ring");
    assert!(lines.len() <= 4, "one line for what each side says, at most: {lines:#?}");
    assert_eq!(two.client().get("which"), b"two");
    // Both still take files, and the gone member of the one may come back.
    assert_eq!(nodes[0].client().put("more", b"one").key("copies"), Some("2"));
    assert_eq!(two.client().put("more", b"two").key("copies"), Some("1"));
    drop(two);
    nodes.push(one(1));
    settle(&nodes.iter().collect::<Vec<_>>(), &addresses);
    assert_eq!(nodes[2].client().get("which"), b"one");
}

#[test]
fn a_newcomer_of_another_ring_is_told_so_and_changes_nothing() {
    let ring = Ring::start(2, &["--ring", "one"]);
    let prev = ring.nodes[0].address();
    let options = ["--ring", "two", "--prev", &prev.to_string()];
    let stranger = node_at(SocketAddr::new(prev.ip(), 0), &options);
    let line = stranger.wait_for("why it waits", |text| text.starts_with("waiting: "));
    let why = "of the ring two, and this node of one; see --ring";
    let way = "of the ring one, and this node of two; see --ring";
    assert!(line.text.contains(why) || line.text.contains(way), "{}", line.text);
    ring.nodes[0].wait_for("who asks", |text| text.contains(why));
    let answer = stranger.client().put("a", b"1");
    assert_eq!(answer.status(), 503, "{}", answer.line);
    stranger.client().hears_nothing_for(Duration::from_secs(3));
    for node in [&stranger, &ring.nodes[0]] {
        let lines = node.lines_with("of the ring");
        assert!(lines.len() <= 2, "it is not said again and again: {lines:#?}");
    }
    ring.settle();
}

#[test]
fn another_version_of_the_protocol_is_refused_in_words() {
    let ring = Ring::start(1, &[]);
    let address = ring.nodes[0].address();
    for protocol in [1, 99] {
        for role in ["newcomer", "member", "visitor"] {
            let mut client = ring.nodes[0].client();
            let node = SocketAddr::new(address.ip(), 9);
            client.send(format!(
                "MEET node={node} as={role} protocol={protocol} ring=smolring clock=0 len=0\n"
            ));
            let refusal = client.answer().line;
            assert!(refusal.starts_with("REFUSE "), "{refusal}");
            let words =
                format!("it speaks protocol {protocol} and this node {PROTOCOL}: update one");
            assert!(refusal.contains(&words), "{refusal}");
            assert_eq!(client.rest(), b"", "the link is closed");
        }
        let words = format!("it speaks protocol {protocol}");
        until("people see it too", || (!ring.nodes[0].lines_with(&words).is_empty()).then_some(()));
        assert_eq!(ring.nodes[0].lines_with(&words).len(), 1, "once");
    }
    ring.settle();
}
