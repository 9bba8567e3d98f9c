//! Whether the ring is healthy, and how its members are shown.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

use rustix::process::Signal;

use super::{done, nobody, refused, run, text};
use crate::cluster::Ring;

/// A node that answers each line as it is told, and its address. It ends with the test.
fn scripted(answer: impl Fn(&str, &str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let own = address.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let _ = (&stream).write_all(answer(&line, &own).as_bytes());
            }
        }
    });
    address
}

fn with_body(keys: &str, body: &str) -> String {
    format!("200 OK len={} {keys}\n{body}", body.len())
}

#[test]
fn status_says_in_one_line_whether_the_ring_is_well() {
    let mut ring = Ring::start(3, &[]);
    let addresses = ring.addresses();
    let [one, two, three] = [0, 1, 2].map(|i| addresses[i].to_string());
    let well = |files| format!("3 of 3 nodes are up, all are ready and hold the same {files}.\n");
    assert_eq!(text(done(&["status", "--node", &one])), well("0 files"));
    done(&["put", "test_files/index.html", "--node", &one]);
    assert_eq!(text(done(&["status", "--node", &nobody(), "--node", &three])), well("1 file"));

    // One that hangs is alive for a while, and one that is dead is gone.
    ring.nodes[1].signal(Signal::STOP);
    let output = run(&["status", "--timeout", "1s", "--node", &one]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(output.stdout);
    assert!(said.starts_with("Not well: 2 of 3 nodes are up.\n"), "{said}");
    assert!(said.lines().any(|it| it.contains(&two) && it.contains("no answer")), "{said}");
    ring.nodes[1].kill();
    ring.nodes[0].wait_for_list(&[addresses[0], addresses[2]]);
    let output = run(&["status", "--node", &one]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    let said = text(output.stdout);
    let advice = format!("ring-client forget --node {one} {two}");
    assert!(
        said.starts_with("Not well: 2 of 3 nodes are up.\n") && said.contains(&advice),
        "{said}"
    );
    refused(69, &["status", "--node", &nobody()]);
}

#[test]
fn two_rings_that_do_not_know_each_other_are_not_well() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let split = scripted(move |_, own| {
        let lines = [
            format!("{own} alive label=WS1 incarnation=1 self=1\n"),
            format!("{one} gone incarnation=1 since=5\n"),
            format!("{two} left incarnation=1 since=5\n"),
        ];
        with_body("ready=1 members=1 files=0 digest=other", &lines.concat())
    });
    let output = run(&["status", "--node", &split]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(output.stdout);
    for address in ring.addresses() {
        let line = said.lines().find(|it| it.contains(&format!("{address} answers"))).unwrap();
        assert!(line.contains("split"), "{said}");
    }
}

#[test]
fn members_are_shown_with_all_that_is_known_of_them() {
    let node = scripted(|_, own| {
        let lines = [
            &format!("{own} alive label=WS1 incarnation=1 self=1 ready=1 full=0 files=6 bytes=7\n"),
            "127.0.0.2:1 alive label=WS2 incarnation=1 self=0 since=0 clock=-600000 odd=1\n",
            "127.0.0.3:1 gone incarnation=1 since=99999999999999\n",
            "127.0.0.4:1 left incarnation=1\n",
        ];
        with_body("members=4", &lines.concat())
    });
    let said = text(done(&["ring", "--node", &node]));
    let rows: Vec<String> =
        said.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows[0], format!("{node}(WS1) -> 127.0.0.2:1(WS2) -> (WS1)"));
    assert_eq!(rows[1], "ADDRESS NODE STATE READY FULL FILES BYTES CLOCK");
    assert_eq!(rows[2], format!("{node} WS1 alive yes no 6 7 - (asked)"));
    assert!(rows[3].starts_with("127.0.0.2:1 WS2 alive for "), "{said}");
    assert!(rows[3].ends_with(" days - - - - 10 min behind"), "{said}");
    assert_eq!(rows[4], "127.0.0.3:1 - gone just now - - - - -");
    assert_eq!(rows[5], "127.0.0.4:1 - left - - - - -");
}

#[test]
fn a_member_is_forgotten_or_it_is_said_why_not() {
    let node = scripted(|line, _| match line {
        "FORGET 127.0.0.2:1" => "200 OK : 127.0.0.2:1 is forgotten\n".into(),
        "FORGET 127.0.0.3:1" => "404 NOT FOUND : 127.0.0.3:1 is no member\n".into(),
        line => format!("400 BAD REQUEST : {} is alive\n", line.rsplit(' ').next().unwrap()),
    });
    let said = text(done(&["forget", "127.0.0.2:1", "--node", &node]));
    assert_eq!(said, "127.0.0.2:1 is forgotten\n");
    let why = refused(3, &["forget", "127.0.0.3:1", "--node", &node]);
    assert!(why.contains("127.0.0.3:1 is no member"), "{why}");
    let why = refused(1, &["forget", "[::1]:1", "--node", &node]);
    assert!(why.contains("[::1]:1 is alive"), "{why}");
    refused(2, &["forget", "somewhere", "--node", &node]);
    refused(2, &["forget", "--node", &node]);
}

#[test]
fn a_list_goes_on_to_the_next_node_where_one_is_not_ready() {
    let ring = Ring::start(1, &[]);
    let ready = ring.addresses()[0].to_string();
    done(&["put", "test_files/index.html", "--node", &ready]);
    let unready = scripted(|_, _| "503 UNAVAILABLE : it is still catching up\n".into());
    let listed = text(done(&["list", "--node", &unready, "--node", &ready]));
    assert_eq!(listed, "index.html\n");
    let why = refused(1, &["list", "--node", &unready]);
    assert!(why.contains("still catching up"), "{why}");
    // If a node breaks off between two pages, the client goes on at the next one.
    let half = scripted(|line, _| match line {
        "LIST" => {
            let version = "0000000000001234@127.0.1.1:4043";
            with_body("count=1 more=1", &format!("a%20first len=7 version={version}\n"))
        }
        _ => "503 UNAVAILABLE : it is leaving\n".into(),
    });
    let listed = text(done(&["list", "--node", &half, "--node", &ready]));
    assert_eq!(listed, "a first\nindex.html\n");
}

#[test]
fn what_a_node_says_does_nothing_to_a_terminal() {
    let node = scripted(|line, _| match line.starts_with("FORGET") {
        true => "404 no\u{202e}\u{9b}31m\u{2028}\n".into(),
        false => "200 OK node=a\u{202e}\u{9b}31m version=1 copies=1 : b\u{2028}\n".into(),
    });
    for args in [
        &["info"][..],
        &["info", "--json"],
        &["ping"],
        &["put", "test_files/index.html"],
        &["put", "test_files/index.html", "--json"],
        &["forget", "127.0.0.1:1"],
    ] {
        let output = run(&[args, &["--node", &node]].concat());
        let said = text(output.stdout) + &text(output.stderr);
        assert!(
            said.contains("202e") || args == ["put", "test_files/index.html", "--json"],
            "{said}"
        );
        assert!(!said.contains(['\u{202e}', '\u{9b}', '\u{2028}']), "{args:?}: {said:?}");
    }
}
