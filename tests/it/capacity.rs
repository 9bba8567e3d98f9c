//! A ring of which one node has less room than the files of the others need.

use std::net::SocketAddr;

use crate::{
    cluster::{Answer, Client, Process, own_ip, until},
    lines::Line,
};

const FILES: usize = 12;
const FILE_BYTES: usize = 1 << 20;
/// Room for less than half of the files.
const LITTLE_ROOM: [&str; 2] = ["--max-store-bytes", "5500KiB"];

/// Nodes that reach each other over lines which count.
#[derive(Default)]
struct Ring {
    ip: String,
    nodes: Vec<Process>,
    lines: Vec<Line>,
}

impl Ring {
    /// Two nodes, A and C, which hold all files.
    fn with_files() -> Self {
        let mut ring = Self { ip: own_ip(), ..Self::default() };
        ring.add(None, &[]);
        ring.add(Some(0), &[]);
        for i in 0..FILES {
            let answer = ring.nodes[0].client().put(&name(i), &content(i));
            assert_eq!(answer.key("copies"), Some("2"), "{}", answer.line);
        }
        ring
    }

    /// Starts a node right after another one, and waits until it is ready. It prints every CHECK.
    fn add(&mut self, prev: Option<usize>, options: &[&str]) {
        let prev = prev.map(|prev| self.lines[prev].near.to_string());
        let mut all = vec!["--verbose"];
        all.extend(prev.iter().flat_map(|prev| ["--prev", prev]));
        all.extend(options);
        let (line, node) = Line::with_node(&self.ip, 1 << 30, &all);
        until("it is ready", || (node.client().ask("INFO").key("ready")? == "1").then_some(()));
        self.lines.push(line);
        self.nodes.push(node);
    }

    /// Adds a node between A and C that has room for less than half of the files, and waits until
    /// that is full.
    fn add_small(&mut self) -> usize {
        self.add(Some(0), &LITTLE_ROOM);
        let small = self.nodes.len() - 1;
        self.nodes[small].wait_for("it is full", |line| {
            line.starts_with("full: ") && line.contains("--max-store-bytes")
        });
        small
    }

    fn info(&self, i: usize) -> Answer {
        self.nodes[i].client().ask("INFO")
    }

    /// What the table of another node says about this one.
    fn shown(&self, asked: usize, member: SocketAddr) -> String {
        let ring = self.nodes[asked].client().ask("RING");
        let own = member.to_string();
        let mut rows = ring.text().lines();
        let row = rows.find(|row| row.split(' ').next() == Some(&own));
        row.expect("it is a member").to_owned()
    }

    /// What a full node holds does not change any more.
    fn wait_until_it_is_full_for_good(&self, small: usize) {
        let held = || self.info(small).key("digest").map(str::to_owned);
        until("what it holds stays", || {
            let before = held();
            self.wait_for_checks(2);
            (held() == before).then_some(())
        });
    }

    /// Waits until CHECKs of every node have gone round this often, as they do once a second.
    fn wait_for_checks(&self, count: usize) {
        for _ in 0..count {
            for node in &self.nodes {
                let before = cycles(node);
                until("a CHECK goes round", || (cycles(node) > before).then_some(()));
            }
        }
    }

    fn carried_bytes(&self) -> usize {
        self.lines.iter().map(Line::carried_bytes).sum()
    }
}

fn cycles(node: &Process) -> usize {
    node.lines().iter().filter(|line| line.text.starts_with("CHECK performed")).count()
}

fn name(i: usize) -> String {
    format!("file/{i:02}")
}

fn content(i: usize) -> Vec<u8> {
    vec![i as u8; FILE_BYTES]
}

/// The names that a node lists.
fn list(client: &mut Client) -> Vec<String> {
    let answer = client.ask("LIST");
    assert_eq!(answer.status(), 200, "{}", answer.line);
    let names = answer.text().lines().map(|line| line.split(' ').next().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_member_without_room_answers_for_all_files_and_pulls_none_of_them_twice() {
    let mut ring = Ring::with_files();
    let small = ring.add_small();
    let names: Vec<_> = (0..FILES).map(name).collect();
    let info = ring.info(small);
    assert_eq!((info.key("ready"), info.key("full")), (Some("1"), Some("1")), "{}", info.line);
    let held: usize = info.key("files").unwrap().parse().unwrap();
    assert!((1..FILES / 2).contains(&held), "it holds what it has room for: {}", info.line);
    until("the others say that it is full and ready", || {
        let row = ring.shown(0, ring.lines[small].near);
        (row.contains(" full=1") && row.contains(" ready=1 ")).then_some(())
    });

    // One that joins after it still has everything.
    ring.add(Some(small), &[]);
    let behind = ring.nodes.len() - 1;
    let info = ring.info(behind);
    assert_eq!((info.key("files"), info.key("full")), (Some("12"), Some("0")), "{}", info.line);
    for asked in [small, behind] {
        let mut client = ring.nodes[asked].client();
        assert_eq!(list(&mut client), names);
        (0..FILES).for_each(|i| assert!(client.get(&name(i)) == content(i), "{i} at {asked}"));
        assert_eq!(client.ask("GET nothing").status(), 404);
    }

    ring.wait_until_it_is_full_for_good(small);
    let before = ring.carried_bytes();
    ring.wait_for_checks(4);
    let carried = ring.carried_bytes() - before;
    println!("four CHECKs of each of {} nodes: {carried} bytes", ring.nodes.len());
    assert!(carried < FILE_BYTES / 2, "{carried} bytes were carried while nothing happened");
}

#[test]
fn a_write_that_a_member_has_no_room_for_names_that_member() {
    let mut ring = Ring::with_files();
    let small = ring.add_small();
    let full = format!("{} is full", ring.lines[small].near);

    let answer = ring.nodes[0].client().put("more", &content(77));
    assert_eq!(answer.status(), 507, "{}", answer.line);
    assert!(answer.line.contains(&full), "{}", answer.line);
    assert!(answer.line.contains("--max-store-bytes"), "{}", answer.line);
    for node in &ring.nodes {
        assert!(node.client().get("more") == content(77), "the others keep it, and all answer it");
    }

    let answer = ring.nodes[small].client().put("most", &content(88));
    assert_eq!(answer.status(), 507, "{}", answer.line);
    assert!(answer.line.contains(&full), "{}", answer.line);
    assert!(answer.line.contains("--max-store-bytes"), "{}", answer.line);
    for node in &ring.nodes {
        assert_eq!(node.client().ask("GET most").status(), 404, "it is stored nowhere");
    }
}

#[test]
fn a_member_that_has_room_again_catches_up_and_says_so() {
    let mut ring = Ring::with_files();
    let small = ring.add_small();
    // Each write that is small makes room where the file was held, and needs little elsewhere.
    let mut a = ring.nodes[0].client();
    for i in 0..FILES - 3 {
        let answer = a.put(&name(i), format!("small {i}").as_bytes());
        assert_eq!((answer.status(), answer.key("copies")), (200, Some("3")), "{}", answer.line);
    }
    ring.nodes[small].wait_for("it has room", |line| line.starts_with("no longer full"));
    let digest = ring.info(0).key("digest").unwrap().to_owned();
    until("it holds all files", || {
        let info = ring.info(small);
        let is_same = info.key("digest") == Some(&digest);
        (is_same && info.key("full") == Some("0") && info.key("ready") == Some("1")).then_some(())
    });
    until("the others say so", || {
        let row = ring.shown(1, ring.lines[small].near);
        (row.contains(" full=0") && row.contains(" files=12")).then_some(())
    });
}

#[test]
fn a_full_member_that_is_left_alone_does_not_say_that_a_file_never_was() {
    let mut ring = Ring::with_files();
    let small = ring.add_small();
    ring.nodes[0].kill();
    for other in [1, small] {
        ring.nodes[other].wait_for_list(&[ring.lines[1].near, ring.lines[small].near]);
    }
    ring.nodes[1].kill();
    ring.nodes[small].wait_for_list(&[ring.lines[small].near]);
    let mut client = ring.nodes[small].client();
    assert_eq!(list(&mut client).len(), FILES, "it knows of all of them");
    let statuses = (0..FILES).map(|i| client.ask(&format!("GET {}", name(i))).status());
    let statuses: Vec<_> = statuses.collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert_eq!(client.ask("GET nothing").status(), 404);
}
