//! Whether all nodes hold the same, and how it is said if not.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::Arc,
};

use serde_json::Value;

use super::{
    done, ended, last, put, refused,
    scripted::{Answer, rows, serve},
    text,
};
use crate::cluster::{Process, Ring, settle};

/// The lines but the last, sorted.
fn lines(said: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = said.lines().collect();
    lines.pop();
    lines.sort_unstable();
    lines
}

#[test]
fn nodes_that_hold_the_same_are_equal_however_many_names_there_are() {
    let ring = Ring::start(2, &[]);
    let node = ring.addresses()[0].to_string();
    assert_eq!(text(done(&["verify", "--node", &node])), "Equal: 0 names on 2 nodes.\n");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    // More than two pages.
    for i in 0..2100 {
        fs::write(folder.path().join(i.to_string()), i.to_string()).unwrap();
    }
    done(&["push", dir, "www", "--node", &node]);
    put(&node, "other", b"x");
    assert_eq!(text(done(&["verify", "--node", &node])), "Equal: 2101 names on 2 nodes.\n");
    let local = ["verify", "www", "--local", dir, "--node", &node];
    let said = text(done(&local));
    assert_eq!(said, format!("Equal: 2100 names on 2 nodes and {dir}.\n"));
    let said = text(done(&["verify", "--versions", "--json", "--node", &node]));
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((told["equal"].as_bool(), told["names"].as_u64()), (Some(true), Some(2101)));

    fs::write(folder.path().join("17"), "71").unwrap();
    fs::remove_file(folder.path().join("2000")).unwrap();
    fs::write(folder.path().join("new"), "x").unwrap();
    let (said, _) = ended(1, &local);
    let expected = [
        format!("www/17: {dir} has other bytes than the ring"),
        format!("www/2000: {dir} lacks it"),
        format!("www/new: {dir} has it, and the ring has not"),
    ];
    assert_eq!(lines(&said), expected);
    assert_eq!(last(&said), "Not equal: 3 of 2101 names differ.");
    refused(1, &["verify", "--local", "/no/such/folder", "--node", &node]);
    refused(69, &["verify", "--node", &super::nobody()]);
}

#[test]
fn a_member_that_is_down_and_one_that_is_full_are_named() {
    let mut ring = Ring::start(2, &[]);
    let first = ring.nodes[0].address();
    let (ip, port) = (first.ip().to_string(), first.port().to_string());
    let small = ["--ip", &ip, "--port", "0", "--prev-ip", &ip, "--prev-port", &port];
    let small = Process::start(&[&small[..], &["--max-store-bytes", "10KiB"]].concat(), &[]);
    let addresses = [&ring.addresses()[..], &[small.address()]].concat();
    settle(&[&ring.nodes[0], &ring.nodes[1], &small], &addresses);
    let (node, full) = (first.to_string(), small.address());
    put(&node, "small", b"x");
    // The others keep it; the answer says who does not.
    let large = tempfile::NamedTempFile::new().unwrap();
    fs::write(large.path(), vec![b'x'; 20 << 10]).unwrap();
    let path = large.path().to_str().unwrap();
    let (_, errors) = ended(1, &["put", path, "--name", "large", "--node", &node]);
    assert!(errors.contains("507"), "{errors}");
    let (said, _) = ended(1, &["verify", "--node", &node]);
    let expected = [
        format!("{full} is full: some files of the ring are not there. See --max-store-bytes"),
        format!("large: {full} knows its version and has not its bytes"),
    ];
    assert_eq!(lines(&said), expected);
    assert_eq!(last(&said), "Not equal: 1 of 2 names differ; 1 problem.");

    let down = ring.nodes[1].address();
    ring.nodes[1].kill();
    ring.nodes[0].wait_for_list(&[first, full]);
    let (said, _) = ended(1, &["verify", "--json", "--node", &node]);
    let told: Vec<Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let of_down = told.iter().find(|it| it["node"] == down.to_string().as_str()).unwrap();
    assert!(of_down["problem"].as_str().unwrap().starts_with("is gone"), "{of_down}");
    let of_large = told.iter().find(|it| it["name"] == "large").unwrap();
    assert_eq!(of_large["differences"][0]["what"], "no-bytes");
    assert_eq!(told.last().unwrap()["equal"], false);
}

#[test]
fn earlier_versions_are_compared_if_that_is_wanted() {
    let ring = Ring::start(1, &[]);
    let first = ring.nodes[0].address();
    let (ip, port) = (first.ip().to_string(), first.port().to_string());
    let options = ["--ip", &ip, "--port", "0", "--prev-ip", &ip, "--prev-port", &port];
    let brief = Process::start(&[&options[..], &["--keep-versions", "1"]].concat(), &[]);
    settle(&[&ring.nodes[0], &brief], &[first, brief.address()]);
    let node = first.to_string();
    let old = put(&node, "a", b"1");
    put(&node, "a", b"2");
    done(&["verify", "--node", &node]);
    let (said, _) = ended(1, &["verify", "--versions", "--node", &node]);
    let expected = [format!("a: {} lacks earlier versions: {old}", brief.address())];
    assert_eq!(lines(&said), expected);
}

/// What a node of a made-up ring has: lines of LIST, and lines of LOG.
struct MadeUp {
    list: Vec<&'static str>,
    log: Vec<&'static str>,
}

/// A ring whose nodes hold what no real ones would for long. Returns their addresses.
fn made_up<const N: usize>(nodes: [MadeUp; N]) -> [SocketAddr; N] {
    let listeners = nodes.map(|node| (TcpListener::bind("127.0.0.1:0").unwrap(), node));
    let addresses = std::array::from_fn(|i| listeners[i].0.local_addr().unwrap());
    for (listener, node) in listeners {
        let me = listener.local_addr().unwrap();
        let row = move |it: &SocketAddr| {
            format!("{it} alive label=WS1 incarnation=1 self={}", u8::from(*it == me))
        };
        let members: Vec<String> = addresses.iter().map(row).collect();
        let MadeUp { list, log } = node;
        let answer = move |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let of = |lines: &[&str], is_it: &dyn Fn(&str) -> bool| -> Vec<String> {
                let name = |line: &str| line.split(' ').next().unwrap().to_owned();
                lines.iter().filter(|line| is_it(&name(line))).map(|it| (*it).to_owned()).collect()
            };
            Some(match words[0] {
                "RING" => rows("", &members),
                "INFO" => format!("200 OK node={me} ready=1 full=0\n"),
                "LIST" => {
                    let after = words.iter().find_map(|it| it.strip_prefix("after="));
                    let all = of(&list, &|name| after.is_none_or(|after| name > after));
                    // The shortest pages that there can be.
                    let (page, rest) = all.split_at(all.len().min(1));
                    rows(&format!(" more={}", u8::from(!rest.is_empty())), page)
                }
                "LOG" => match of(&log, &|name| name == words[1]) {
                    none if none.is_empty() => "404 NOT FOUND\n".into(),
                    lines => rows("", &lines),
                },
                _ => "400 BAD REQUEST\n".into(),
            })
        };
        let answer: Arc<Answer> = Arc::new(answer);
        serve(listener, answer);
    }
    addresses
}

const A1: &str = "a len=1 version=0000000000000001@127.0.0.1:1 \
                  blake3=17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";
const A2: &str = "a len=1 version=0000000000000002@127.0.0.1:1 \
                  blake3=17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";
const B1: &str = "b len=1 version=0000000000000001@127.0.0.1:1 \
                  blake3=17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";
const B1_OTHER: &str = "b len=1 version=0000000000000001@127.0.0.1:1 \
                        blake3=0000000000000000000000000000000000000000000000000000000000000000";
const C1: &str = "c len=1 version=0000000000000001@127.0.0.1:1 \
                  blake3=17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";
const D1: &str = "d len=1 version=0000000000000001@127.0.0.1:1 \
                  blake3=17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";
const D2_DELETED: &str = "d deleted=1 version=0000000000000002@127.0.0.1:1";
const E1: &str = "e len=1 version=0000000000000001@127.0.0.1:1 \
                  blake3=17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";

#[test]
fn who_lacks_a_file_or_has_another_version_or_other_bytes_is_named() {
    let addresses = made_up([
        MadeUp { list: vec![A2, B1, C1, E1], log: vec![A2, A1, B1, C1, D2_DELETED, E1] },
        MadeUp { list: vec![A1, B1_OTHER, D1, E1], log: vec![A1, B1_OTHER, D1, E1] },
    ]);
    let [one, two] = addresses.map(|it| it.to_string());
    let (said, errors) = ended(1, &["verify", "--node", &one]);
    let v = |number: u8| format!("000000000000000{number}@127.0.0.1:1");
    let zero = "0".repeat(64);
    let hash = "17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f";
    let expected = [
        format!("a: {two} has the older version {}; the newest is {}", v(1), v(2)),
        format!("b: {two} has other bytes of the same version: {zero}, and others have {hash}"),
        format!("c: {two} lacks it"),
        format!("d: {two} has version {}, which was deleted in {}", v(1), v(2)),
    ];
    assert_eq!(lines(&said), expected, "{errors}");
    assert_eq!(last(&said), "Not equal: 4 of 5 names differ.");
}

#[test]
fn what_is_still_on_its_way_is_no_difference() {
    // The lists were made before the file came, the versions are asked for after that.
    let addresses = made_up([
        MadeUp { list: vec![A2], log: vec![A2] },
        MadeUp { list: vec![A1], log: vec![A2] },
        MadeUp { list: vec![], log: vec![A2] },
    ]);
    let said = text(done(&["verify", "--node", &addresses[0].to_string()]));
    assert_eq!(said, "Equal: 1 name on 3 nodes.\n");
}

#[test]
fn a_node_that_breaks_off_is_named_and_the_others_are_compared() {
    let [one, two] = made_up([
        MadeUp { list: vec![A1, B1, C1], log: vec![] },
        // Its second page is no list.
        MadeUp { list: vec![A1, "nonsense", C1], log: vec![] },
    ]);
    let (said, _) = ended(1, &["verify", "--node", &one.to_string()]);
    let [line] = &lines(&said)[..] else { panic!("{said}") };
    assert!(line.starts_with(&format!("{two} is not compared after a: ")), "{line}");
    assert_eq!(last(&said), "Not equal: 0 of 3 names differ; 1 problem.");
    // A command without a terminal is no reason to print what a node sent as it is.
    let output = Command::new(env!("CARGO_BIN_EXE_ring-client"))
        .args(["verify", "--node", &one.to_string()])
        .output()
        .unwrap();
    assert!(!text(output.stdout).contains('\x1b'));
}
