//! A node with very many small files: what it has in memory of each, and that it finds all of them again.

use std::ops::Range;

use rustix::process::Signal;

use crate::cluster::{Client, Process, own_ip};

const FILES: usize = 100_000;
/// PUTs that wait for their answers.
const AT_ONCE: usize = 500;
/// What such a node may have in memory beside the pages of its program. Those are as many as the compiler
/// makes of it, and shared by all nodes of a host.
const OWN_BYTES_MAX: u64 = 16 << 20;

fn name(number: usize) -> String {
    format!("folder-{}/file-{number}", number % 300)
}

fn put(client: &mut Client, numbers: Range<usize>) {
    let content = "x".repeat(100);
    let requests = numbers.clone().map(|it| format!("PUT {} len=100\n{content}", name(it)));
    client.send(requests.collect::<String>());
    for number in numbers {
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{number}: {}", answer.line);
    }
}

/// All names, page by page.
fn list(client: &mut Client) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().map_or(String::new(), |last| format!(" after={last}"));
        let page = client.ask(&format!("LIST{after}"));
        let rows = page.text().lines().filter_map(|line| line.split(' ').next());
        names.extend(rows.map(str::to_owned));
        if page.key("more") != Some("1") {
            return names;
        }
    }
}

#[test]
fn a_node_with_a_hundred_thousand_small_files_has_little_of_each_in_memory_and_lists_all() {
    let (folder, ip) = (tempfile::tempdir().unwrap(), own_ip());
    let data = folder.path().join("data").display().to_string();
    let start = |port: &[&str]| {
        let own = ["--ip", &ip, "--data", &data, "--durability", "os", "--bootstrap"];
        Process::start(&[&own, port].concat(), &[])
    };
    let mut expected: Vec<_> = (0..FILES).map(name).collect();
    expected.sort_unstable();
    let is_small = |node: &Process, when: &str| {
        let bytes = node.own_bytes().unwrap_or_default();
        assert!(bytes < OWN_BYTES_MAX, "{} KiB {when}", bytes >> 10);
    };
    let mut node = start(&["--port", "0"]);
    let mut client = node.client();
    for from in (0..FILES).step_by(AT_ONCE) {
        put(&mut client, from..from + AT_ONCE);
    }
    assert!(list(&mut client) == expected);
    is_small(&node, "after the last file has come");
    node.signal(Signal::TERM);
    assert!(node.wait_for_exit().success());
    for ends in ["closed", "killed"] {
        let mut node = start(&[]);
        let mut client = node.client();
        assert!(list(&mut client) == expected, "{ends}");
        assert_eq!(client.get(&expected[FILES / 2]), [b'x'; 100]);
        is_small(&node, ends);
        node.kill();
    }
}
