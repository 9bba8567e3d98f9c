//! Nodes that keep files on a disk: killed at any time, all at once too, started again on their folders
//! in any order; and folders and disks that are not as they should be.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    cluster::{Client, Process, free_addresses, own_ip, settle, until},
    traffic::Traffic,
};

/// Quick checks, so that a ring of which all members were killed is soon back.
const QUICK: [&str; 4] = ["--check-interval", "100ms", "--check-timeout", "1s"];
/// How often nodes are killed.
const KILLS: u64 = 36;

/// Three nodes, each with a folder.
pub struct DiskRing {
    folders: TempDir,
    pub addresses: [SocketAddr; 3],
    options: &'static [&'static str],
    pub nodes: Vec<Process>,
}

impl DiskRing {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &'static [&'static str]) -> Self {
        let folders = TempDir::new().expect("there is room");
        let addresses = free_addresses(&own_ip());
        let mut ring = Self { folders, addresses, options, nodes: Vec::new() };
        for i in 0..3 {
            let prev = ring.addresses[0].to_string();
            let prev: &[&str] = if i == 0 { &[] } else { &["--prev", &prev] };
            let node = ring.node(i, prev);
            node.address();
            ring.nodes.push(node);
        }
        ring.settle();
        ring
    }

    pub fn folder(&self, i: usize) -> PathBuf {
        self.folders.path().join(i.to_string())
    }

    fn node(&self, i: usize, options: &[&str]) -> Process {
        let folder = self.folder(i).display().to_string();
        let (ip, port) = (self.addresses[i].ip().to_string(), self.addresses[i].port().to_string());
        let own = ["--ip", &ip, "--port", &port, "--data", &folder];
        Process::start(&[&own, &QUICK[..], self.options, options].concat(), &[])
    }

    /// Starts a node on its folder, and tells it of no other.
    pub fn restart(&mut self, i: usize) {
        self.nodes[i] = self.node(i, &[]);
    }

    pub fn kill(&mut self, i: usize) {
        self.nodes[i].signal(Signal::KILL);
        self.nodes[i].kill();
    }

    pub fn settle(&self) {
        settle(&self.nodes.iter().collect::<Vec<_>>(), &self.addresses);
    }

    pub fn client(&self, i: usize) -> Client {
        Client::connect(self.addresses[i]).expect("it is there")
    }
}

#[test]
fn what_was_acknowledged_survives_the_death_of_any_node_and_of_all_at_once() {
    let mut ring = DiskRing::start();
    let [a, b, c] = ring.addresses;
    let orders: [&[SocketAddr]; 3] = [&[a, b, c], &[b, c, a], &[c, a, b]];
    let writers: Vec<&[SocketAddr]> = (0..16).map(|i| orders[i % 3]).collect();
    let mut random = fastrand::Rng::new();
    let mut killed = 0;
    let traffic = Traffic::during(&writers, &ring.addresses.clone(), |traffic| {
        while killed < KILLS {
            traffic.await_writes(random.usize(1..40));
            let mut all = [0, 1, 2];
            random.shuffle(&mut all);
            let dead = match random.u8(0..3) {
                0 => &all[..],
                _ => &all[..1],
            };
            dead.iter().for_each(|&i| ring.kill(i));
            dead.iter().for_each(|&i| ring.restart(i));
            killed += dead.len() as u64;
            // Those that were not killed may be waiting for the others' pulse; all come back.
            ring.settle();
        }
    });
    println!("{killed} times a node was killed");
    ring.addresses.iter().for_each(|&node| traffic.must_be_at(node));
    (0..3).for_each(|i| ring.kill(i));
    [2, 0, 1].into_iter().for_each(|i| ring.restart(i));
    ring.settle();
    ring.addresses.iter().for_each(|&node| traffic.must_be_at(node));
}

#[test]
fn what_was_deleted_stays_deleted_and_older_versions_stay() {
    let mut ring = DiskRing::start();
    let mut client = ring.client(0);
    for i in 0..40 {
        assert_eq!(client.put(&format!("{i}"), format!("one {i}").as_bytes()).status(), 200);
    }
    for i in 0..40 {
        let answer = match i % 2 {
            0 => client.ask(&format!("DELETE {i}")),
            _ => client.put(&format!("{i}"), format!("two {i}").as_bytes()),
        };
        assert_eq!(answer.status(), 200, "{}", answer.line);
        if i == 20 {
            // This one misses what comes next.
            ring.kill(2);
        }
    }
    let before: Vec<_> = (0..40).map(|i| client.ask(&format!("LOG {i}")).body).collect();
    ring.kill(0);
    ring.kill(1);
    for i in [2, 1, 0] {
        ring.restart(i);
    }
    ring.settle();
    for node in 0..3 {
        let mut client = ring.client(node);
        for (i, before) in before.iter().enumerate() {
            let answer = client.ask(&format!("GET {i}"));
            match i % 2 {
                0 => assert_eq!(answer.status(), 404, "{}", answer.line),
                _ => assert_eq!(answer.body, format!("two {i}").as_bytes()),
            }
            // Older versions may come a moment later.
            until("all versions are there", || {
                (client.ask(&format!("LOG {i}")).body == *before).then_some(())
            });
        }
    }
}

#[test]
fn a_content_that_is_damaged_is_not_served_and_comes_from_another_node() {
    let mut ring = DiskRing::start();
    let contents: Vec<(String, Vec<u8>)> = [300, 5_000, 100_000, 1 << 20]
        .into_iter()
        .map(|bytes| (format!("of-{bytes}"), vec![b'A' + (bytes % 23) as u8; bytes]))
        .collect();
    for (name, content) in &contents {
        assert_eq!(ring.client(0).put(name, content).status(), 200);
    }
    ring.nodes[1].signal(Signal::TERM);
    assert!(ring.nodes[1].wait_for_exit().success());
    for (_, content) in &contents {
        damage(&ring.folder(1), &content[..200]);
    }
    ring.restart(1);
    ring.settle();
    for (name, content) in &contents {
        assert!(ring.client(1).get(name) == *content, "{name}");
    }
    // It has them again, and serves them alone.
    let has_all = |client: &mut Client| {
        let full = client.ask("INFO").key("full") == Some("0");
        (full && client.ask("LIST").key("count") == Some("4")).then_some(())
    };
    until("it has all files again", || has_all(&mut ring.client(1)));
    ring.kill(0);
    ring.kill(2);
    for (name, content) in &contents {
        until("it serves it", || {
            let answer = ring.client(1).ask(&format!("GET {name}"));
            (answer.status() == 200).then(|| assert!(answer.body == *content, "{name}"))
        });
    }
}

#[test]
fn a_node_that_catches_up_pulls_large_files_and_holds_a_few_pieces_of_them() {
    const MIB: usize = 1 << 20;
    let options = &["--max-file-bytes", "128MiB", "--max-flight-bytes", "512MiB"];
    let mut ring = DiskRing::with(options);
    let [a, b, _] = ring.addresses;
    ring.kill(2);
    ring.nodes[0].wait_for_list(&[a, b]);
    ring.nodes[1].wait_for_list(&[b, a]);
    let files: Vec<(String, Vec<u8>)> = [100 * MIB, 20 * MIB, 70_000]
        .into_iter()
        .map(|bytes| (format!("of-{bytes}"), (0..bytes).map(|i| ((i * i) >> 7) as u8).collect()))
        .collect();
    for (name, content) in &files {
        assert_eq!(ring.client(0).put(name, content).status(), 200);
    }
    ring.restart(2);
    ring.settle();
    let mut client = ring.client(2);
    for (name, content) in &files {
        assert!(client.get(name) == *content, "{name}");
    }
    // What is left of one from a byte on, as nodes ask each other for it; and what follows in one write.
    let (name, content) = &files[1];
    let log = client.ask(&format!("LOG {name}"));
    let version = log.text().split("version=").nth(1).unwrap().split(' ').next().unwrap();
    let from = content.len() - 3 * MIB - 5;
    client.send(format!("PULL {name} version={version} from={from}\nPING\nGET {name}\nPING\n"));
    let rest = client.answer();
    assert_eq!((rest.status(), rest.key("version")), (200, Some(version)));
    assert!(rest.body == content[from..], "{}", rest.body.len());
    assert_eq!(client.answer().status(), 200);
    assert!(client.answer().body == *content);
    assert_eq!(client.answer().status(), 200);
    let at_end = client.ask(&format!("PULL {name} version={version} from={}", content.len() + 1));
    assert_eq!((at_end.status(), at_end.body.len()), (200, 0));
    assert_eq!(client.ask(&format!("PULL no version={version}")).status(), 404);
    let peak = ring.nodes[2].peak_bytes().expect("this system tells");
    assert!(peak < 48 << 20, "{} MiB", peak >> 20);
}

/// Changes a byte wherever these are in the files of a folder.
fn damage(folder: &Path, bytes: &[u8]) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            damage(&entry, bytes);
            continue;
        }
        let mut content = fs::read(&entry).unwrap();
        if let Some(at) = content.windows(bytes.len()).position(|it| it == bytes) {
            content[at + bytes.len() / 2] ^= 1;
            fs::write(&entry, content).unwrap();
        }
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_one_line_and_exit_1() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("file"), "").unwrap();
    fs::create_dir(path("strange")).unwrap();
    fs::write(path("strange") + "/letter.txt", "dear").unwrap();
    let ip = own_ip();
    let mut node = Process::start(&["--ip", &ip, "--data", &path("used")], &[]);
    node.address();
    let refuses = |options: &[&str], why: &str| {
        let mut other = Process::start(&[&["--ip", &ip], options].concat(), &[]);
        assert_eq!(other.wait_for_exit().code(), Some(1), "{options:?}");
        let lines: Vec<_> = other.lines().into_iter().map(|line| line.text).collect();
        assert!(lines.len() == 1 && lines[0].contains(why), "{lines:?}");
    };
    refuses(&["--data", &path("used")], &format!("is in use by the process {}", node.pid()));
    refuses(&["--data", &path("file")], "is no folder");
    refuses(&["--data", &path("strange")], "is no data folder of smolring");
    node.signal(Signal::TERM);
    assert!(node.wait_for_exit().success());
    refuses(&["--data", &path("used"), "--ring", "other"], "belongs to the ring \"smolring\"");
}

#[test]
fn a_disk_that_is_full_refuses_puts_serves_gets_and_recovers() {
    needs!("unshare");
    let folder = TempDir::new().unwrap();
    let mount = folder.path().join("disk");
    fs::create_dir(&mount).unwrap();
    let mount = mount.display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=4m disk {mount} && exec {} --ip {} --data {mount}/data",
        env!("CARGO_BIN_EXE_ring-node"),
        own_ip(),
    );
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--user", "--mount", "sh", "-c", &script]);
    let node = Process::of(&mut command, &[]);
    node.address();
    let inside = format!("/proc/{}/root{mount}", node.pid());
    let mut client = node.client();
    let small = client.put("small", b"hello");
    assert_eq!(small.status(), 200, "{}", small.line);
    // Something else fills the disk, but for a little.
    let ballast = vec![0; 3 << 20];
    fs::write(format!("{inside}/ballast"), &ballast).unwrap();
    let mut refused = None;
    for i in 0..400 {
        let answer = client.put(&format!("{i}"), &[b'x'; 10_000]);
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the disk is full by now");
    assert_eq!(refused.status(), 507, "{}", refused.line);
    assert!(refused.line.contains("the disk of"), "{}", refused.line);
    node.wait_for("a line about it", |text| text.starts_with("the disk is full"));
    assert_eq!(client.get("small"), b"hello");
    assert_eq!(client.get("0"), [b'x'; 10_000]);
    fs::remove_file(format!("{inside}/ballast")).unwrap();
    until("there is room", || (client.put("more", b"more").status() == 200).then_some(()));
    node.wait_for("a line about that", |text| text == "the disk works again");
    assert_eq!(client.get("more"), b"more");
}
