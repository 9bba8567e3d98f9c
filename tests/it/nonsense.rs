//! Any client that can connect can say that it is a node. What it then sends must not end a node,
//! make it grow, or split the ring for long.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

use crate::cluster::{Client, Ring};

/// What it says about each member, in the form of a line of a view.
fn view(members: &[SocketAddr], line: impl Fn(usize, SocketAddr) -> String) -> String {
    let lines = members.iter().enumerate().map(|(i, &member)| line(i, member));
    lines.fold(String::new(), |mut view, line| {
        writeln!(view, "{line}").expect("a String takes every write");
        view
    })
}

fn message(head: &str, body: &str) -> Vec<u8> {
    format!("{head} len={}\n{body}", body.len()).into_bytes()
}

/// A fake node, with a MEET that does no harm, so that more can follow on its link.
const STRANGER: &str = "MEET node=127.9.9.9:9 protocol=3 len=0\n";

/// Sends it on a connection of its own, and reads until the node closes.
fn say(node: SocketAddr, bytes: &[u8]) -> String {
    let mut client = Client::connect(node).expect("a node takes connections");
    // The node may close before it has taken all of it.
    let _ = client.try_send(bytes);
    let _ = client.stream.get_ref().shutdown(std::net::Shutdown::Write);
    String::from_utf8_lossy(&client.rest()).into_owned()
}

/// The ring is whole, and takes and returns files as before.
fn assert_unharmed(ring: &Ring, after: &str) {
    ring.settle();
    for (i, node) in ring.nodes.iter().enumerate() {
        let answer = node.client().put(&format!("after/{i}"), after.as_bytes());
        assert_eq!(answer.key("copies"), Some("3"), "after {after}: {}", answer.line);
        for reader in &ring.nodes {
            assert_eq!(reader.client().get(&format!("after/{i}")), after.as_bytes());
        }
    }
}

#[test]
fn messages_of_nodes_without_meet_are_refused() {
    let ring = Ring::start(3, &[]);
    let node = ring.nodes[0].address();
    let op = format!("op={node}/1");
    let hash = "0".repeat(64);
    for message in [
        message(&format!("CHECK {op} digest=0 ready=1 same=1 hops=0"), ""),
        format!("CHECKED {op} ready=1\n").into(),
        format!("FORWARD GET a {op} view=0 hops=0\n").into(),
        format!("FORWARD PUT a {op} view=0 version=0000000000000001@{node} copies=1\n").into(),
        message(&format!("FORWARD GET a {op} view=0 hops=0 version=x blake3={hash}"), "content"),
        b"SYNC BUCKETS\n".to_vec(),
        b"SYNC PULL a\n".to_vec(),
        b"SYNC\n".to_vec(),
        b"MEET\n".to_vec(),
        b"MEET node=nobody protocol=3\n".to_vec(),
        b"MEET node=127.9.9.9:9 ring=a/b\n".to_vec(),
        message("MEET node=127.9.9.9:9 protocol=3", "\u{fffd}\n"),
        message(
            "MEET node=127.9.9.9:9 protocol=3",
            "127.0.0.1:1 asleep incarnation=1 position=1\n",
        ),
        message("MEET node=127.9.9.9:9 protocol=3", "127.0.0.1:1 alive incarnation=1 position=\n"),
        format!("MEET node=127.9.9.9:9 protocol=3 len={}\n", 2 << 20).into(),
        format!("FORWARD PUT a {op} len={}\n", 1 << 30).into(),
    ] {
        // It is answered like a client, and may continue as one.
        let mut client = ring.nodes[0].client();
        client.send(&message);
        let answer = client.answer();
        let text = String::from_utf8_lossy(&message);
        assert!([400, 413].contains(&answer.status()), "{text:?}: {}", answer.line);
        assert!(answer.line.contains(" : "), "{}", answer.line);
    }
    assert_unharmed(&ring, "messages without MEET");
    let lists = ring.nodes[0].lines().iter().filter(|line| line.text.contains("WS1")).count();
    assert!(lists <= 4, "the list has not changed since the start");
}

#[test]
fn nonsense_on_a_link_closes_it_and_changes_nothing() {
    let ring = Ring::start(3, &[]);
    let node = ring.nodes[1].address();
    let other = ring.nodes[2].address();
    let answer = ring.nodes[0].client().put("kept", b"bytes");
    let (stamp, _) = answer.key("version").and_then(|it| it.split_once('@')).expect("it has one");
    let later = u64::from_str_radix(stamp, 16).expect("it is hexadecimal") + 1;
    let later = format!("version={later:016x}@{other}");
    let version = "version=7fffffffffffffff@127.0.0.1:1";
    let hash = format!("blake3={}", "0".repeat(64));
    let right = format!("blake3={}", blake3::hash(b"right"));
    let old = format!("version=0000000000000001@{other}");
    let huge = usize::MAX;
    let digests = "x".repeat(4096);
    for message in [
        "PING\n".into(),
        "FORWARD\n".into(),
        "FORWARD DELETE a\n".into(),
        message(&format!("FORWARD PUT kept op={other}/1 view=0 {version} copies=1 {hash}"), "bad"),
        message(&format!("FORWARD GET kept op={other}/1 view=0 hops=0 {version} {hash}"), "bad"),
        message(&format!("FORWARD PUT kept op={other}/1 view=0 {later} copies=1 {hash}"), "bad"),
        message(&format!("FORWARD GET kept op={other}/1 view=0 hops=0 {later} {hash}"), "bad"),
        message(&format!("FORWARD PUT kept op={other}/1 view=0 {version} copies=1"), "no hash"),
        message(
            &format!("FORWARD PUT kept op={other}/1 view=0 {version} copies=1 {right}"),
            "right",
        ),
        message(&format!("FORWARD GET kept op={other}/1 view=0 hops=0 {version} {right}"), "right"),
        message(&format!("FORWARD PUT kept op={other}/1 view=0 {old} copies=1 {right}"), "right"),
        message(&format!("SYNC ITEM kept {later} {right}"), "right"),
        format!("FORWARD PUT kept op={node}/1 view=0 {version} copies={huge}\n").into(),
        format!("FORWARD PUT kept op={other}/1 view=0 {version} copies={huge}\n").into(),
        format!("FORWARD GET kept op={node}/{} view=0 hops={huge}\n", u64::MAX).into(),
        format!("FORWARD GET kept op={other}/1 view=0 hops={huge}\n").into(),
        format!("FORWARD GET ../up op={other}/1 view=0 hops=0\n").into(),
        format!("FORWARD GET kept op={other}/1 view=xyz hops=0\n").into(),
        format!("FORWARD GET kept op={other} view=0 hops=0\n").into(),
        message(&format!("CHECK op={node}/1 digest=0 hops={huge}"), ""),
        message(&format!("CHECK op={other}/1 digest=ff hops={huge}"), ""),
        message(&format!("CHECK op={other}/1 digest={} hops=0", "f".repeat(33)), ""),
        message(&format!("CHECKED op={other}/1"), "nothing of a view\n"),
        "SYNC BUCKETS\nSYNC PULL nothing\nSYNC NAMES bucket=255 after=x\n".into(),
        "SYNC NAMES bucket=256\n".into(),
        "SYNC NONE\n".into(),
        message("SYNC DIGESTS", &digests),
        message("SYNC DIGESTS", "short"),
        message("SYNC LISTED bucket=0 more=1", "kept len=18446744073709551615 version=x\n"),
        message("SYNC LISTED bucket=0 more=1", &format!("kept len={huge} {version}\n")),
        "SYNC ITEM kept\n".into(),
        message(&format!("SYNC ITEM kept {version} {hash}"), "bad"),
        message("MEET node=127.9.9.8:8 protocol=3", ""),
        message("MEET node=127.9.9.8:8 protocol=1", ""),
        message("MEET node=127.9.9.8:8 protocol=3 ring=other", ""),
        "REFUSE node=127.9.9.8:8 joining=0 : no\n".into(),
        message(&format!("MEET node={node} protocol=3"), ""),
        STRANGER.repeat(200).into(),
    ] {
        let answer = say(node, &[STRANGER.as_bytes(), &message].concat());
        let text = String::from_utf8_lossy(&message);
        let is_meet = answer.starts_with("MEET node=");
        let is_refusal = answer.starts_with("REFUSE node=");
        assert!(is_meet || is_refusal || answer.is_empty(), "{text:?} is answered {answer:?}");
    }
    // A node cannot be made to talk to itself, or to join a ring through its own name.
    for role in ["member", "newcomer", "visitor"] {
        say(node, &message(&format!("MEET node={node} as={role} protocol=3"), ""));
    }
    assert_unharmed(&ring, "nonsense on a link");
    assert_eq!(ring.nodes[1].client().get("kept"), b"bytes");
    let gone = ring.nodes.iter().flat_map(|node| node.lines());
    assert_eq!(gone.filter(|line| line.text.contains("gone")).count(), 0, "nobody was in doubt");
}

#[test]
fn a_false_view_is_put_right() {
    let ring = Ring::start(3, &[]);
    let members = ring.addresses();
    let now = u128::from(incarnation(&ring)) + 1000;
    let stranger: SocketAddr = "127.9.9.9:9".parse().unwrap();
    let gone = |incarnation: u128| {
        view(&members, |_, it| format!("{it} gone since=1 incarnation={incarnation} position=1"))
    };
    let absent: Vec<_> =
        (1..=100).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
    let crowd = |incarnation: u128| {
        view(&absent, |i, it| format!("{it} alive incarnation={incarnation} position={i:x}"))
    };
    let moved =
        view(&members, |i, it| format!("{it} alive incarnation={now} position={:x}", 9 - i));
    let too_many: Vec<_> =
        (1..=200).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
    let too_many = view(&too_many, |i, it| format!("{it} alive incarnation=1 position={i:x}"));
    let max = u128::from(u64::MAX);
    for (what, view) in [
        ("everybody is gone", gone(now)),
        ("everybody has been gone for long", gone(now + 1)),
        ("everybody is gone for ever", gone(max)),
        ("everybody is gone for almost ever", gone(max - 1)),
        ("everybody stands elsewhere", moved.clone()),
        ("everybody stands elsewhere for ever", moved.replace(&now.to_string(), &max.to_string())),
        ("all stand in one place", moved.replace("position=", "position=0 x=")),
        ("there are many others", crowd(1)),
        ("there are many others for ever", crowd(max)),
        ("there are too many others", too_many),
        ("the stranger lives", format!("{stranger} alive incarnation={now} position=5\n")),
        (
            "only the stranger lives",
            gone(now + 2) + &format!("{stranger} alive incarnation=1 position=5\n"),
        ),
    ] {
        for (i, &member) in members.iter().enumerate() {
            let op = format!("op={}/9", members[(i + 1) % 3]);
            say(member, &message(&format!("MEET node={stranger} protocol=3"), &view));
            let check = message(&format!("CHECK {op} digest=0 ready=1 same=1 hops=1"), &view);
            say(member, &[STRANGER.as_bytes(), &check].concat());
            let checked = message(&format!("CHECKED {op} ready=1"), &view);
            say(member, &[STRANGER.as_bytes(), &checked].concat());
        }
        println!("{what}");
        assert_unharmed(&ring, what);
    }
}

#[test]
fn who_takes_the_name_of_a_member_parts_the_ring_for_a_moment_only() {
    let ring = Ring::start(3, &[]);
    let members = ring.addresses();
    for round in 0..5 {
        for name in &members {
            for member in &members {
                say(*member, &message(&format!("MEET node={name} join={}", round % 2), ""));
            }
        }
    }
    assert_unharmed(&ring, "false names");
}

/// The highest incarnation in the ring.
fn incarnation(ring: &Ring) -> u64 {
    let answer = ring.nodes[0].client().ask("RING");
    let words = answer.text().split_whitespace();
    let found = words.filter_map(|word| word.strip_prefix("incarnation=")?.parse().ok()).max();
    found.expect("there are members")
}

#[test]
fn random_bytes_end_nothing_but_their_connection() {
    let ring = Ring::start(3, &[]);
    let node = ring.nodes[0].address();
    let mut state = 42_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    for round in 0..300 {
        let begin = match round % 4 {
            0 => "",
            1 => STRANGER,
            2 => "MEET node=127.9.9.9:9 join=0 len=",
            _ => "PUT noise len=",
        };
        let mut bytes = begin.as_bytes().to_vec();
        let count = random() % 3000;
        bytes.extend((0..count).map(|_| match random() % 8 {
            0 => b'\n',
            1 => b' ',
            2 => b'0' + (random() % 10) as u8,
            _ => random() as u8,
        }));
        say(node, &bytes);
    }
    assert_unharmed(&ring, "random bytes");
}
