//! Nodes whose clocks are wrong, and are put right: real processes under libfaketime.

use std::{
    cell::RefCell,
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::{
    cluster::{Client, Process, own_ip, until},
    lines::Line,
    service::tool,
};

/// The clock of one process, which can be set while that runs. Only the time of day is wrong, as on a
/// real machine: what is waited for takes as long as it does.
struct WallClock {
    folder: TempDir,
    library: String,
    nodes: RefCell<Vec<Pid>>,
}

impl WallClock {
    /// A clock that is this many seconds ahead; negative: behind.
    fn new(off_seconds: i64) -> Self {
        let library = tool("faketime", &["-m", "-f", "+0", "printenv", "LD_PRELOAD"]);
        let folder = tempfile::tempdir().expect("a folder for the clock");
        let nodes = RefCell::default();
        let clock = Self { folder, library: library.trim().to_owned(), nodes };
        clock.set(off_seconds);
        clock
    }

    fn set(&self, off_seconds: i64) {
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("clock"));
        fs::write(&new, format!("{off_seconds:+}\n")).expect("it is written");
        fs::rename(new, file).expect("it is replaced as a whole");
    }

    /// Starts `ring-node` with this clock.
    fn start(&self, options: &[&str]) -> Process {
        let file = self.folder.path().join("clock");
        let variables = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("its path is UTF-8")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ];
        let node = Process::start(options, &variables);
        self.nodes.borrow_mut().push(node.pid());
        node
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        // The library's unused shared memory outlives a node that is killed.
        for node in self.nodes.borrow().iter().map(|pid| pid.as_raw_nonzero()) {
            for shared in [format!("faketime_shm_{node}"), format!("sem.faketime_sem_{node}")] {
                let _ = fs::remove_file(Path::new("/dev/shm").join(shared));
            }
        }
    }
}

/// A ring of which the node in the middle, B, has a clock of its own. All print every CHECK.
struct Ring {
    ip: String,
    nodes: Vec<Process>,
    clock: WallClock,
}

impl Ring {
    /// Starts A, B and perhaps C, and waits until they are one ring and ready.
    fn start(size: usize, off_seconds: i64) -> Self {
        let (ip, clock) = (own_ip(), WallClock::new(off_seconds));
        let mut ring = Self { ip, nodes: Vec::new(), clock };
        for i in 0..size {
            let prev = ring.nodes.last().map(|node| node.address().to_string());
            let mut options = vec!["--ip", &ring.ip, "--port", "0", "--verbose"];
            options.extend(prev.iter().flat_map(|prev| ["--prev", prev]));
            let node = match i {
                1 => ring.clock.start(&options),
                _ => Process::start(&options, &[]),
            };
            ring.nodes.push(node);
            ring.wait_until_ready();
        }
        ring
    }

    fn wait_until_ready(&self) {
        let addresses = self.addresses();
        for node in &self.nodes {
            node.wait_for_list(&addresses);
            until("it is ready", || is_ready(&mut node.client()).then_some(()));
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Process::address).collect()
    }

    fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(Process::client).collect()
    }

    fn b(&self) -> SocketAddr {
        self.nodes[1].address()
    }

    /// Waits until every node has said this about B's clock.
    fn wait_for_clock(&self, said: &str) {
        let line = format!("the clock of {} is {said}", self.b());
        for node in &self.nodes {
            node.wait_for(&line, |text| text == line);
        }
    }

    /// How far B's clock is off, as another node's table of members says.
    fn shown_off_ms(&self, asked: usize) -> Option<i64> {
        let ring = self.nodes[asked].client().ask("RING");
        let own = self.b().to_string();
        let mut rows = ring.text().lines();
        let row = rows.find(|row| row.split(' ').next() == Some(&own)).expect("B is a member");
        row.split(' ').find_map(|word| word.strip_prefix("clock="))?.parse().ok()
    }

    /// Waits until CHECKs of every node have gone round three times more, and asserts after each that
    /// `holds` does.
    fn for_some_checks(&self, mut holds: impl FnMut()) {
        for _ in 0..3 {
            for node in &self.nodes {
                let before = cycles(node);
                until("a CHECK goes round", || (cycles(node) > before).then_some(()));
            }
            holds();
        }
    }
}

fn cycles(node: &Process) -> usize {
    node.lines().iter().filter(|line| line.text.starts_with("CHECK performed")).count()
}

fn is_ready(client: &mut Client) -> bool {
    client.ask("INFO").key("ready") == Some("1")
}

/// PUTs at a node as long as the test goes on; each of them must be acknowledged.
fn write_until(done: &AtomicBool, node: SocketAddr, copies: &str, written: &AtomicUsize) {
    let mut client = Client::connect(node).expect("it runs");
    while !done.load(Ordering::Relaxed) {
        let number = written.fetch_add(1, Ordering::Relaxed);
        let answer = client.put(&format!("meanwhile/{}", number % 100), b"written");
        assert_eq!((answer.status(), answer.key("copies")), (200, Some(copies)), "{}", answer.line);
    }
}

/// Sets a flag when it goes out of scope, also in a panic.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// B's clock is wrong: B takes no writes and says why, the others go on; it is corrected: B goes
/// on.
fn a_wrong_clock_is_refused(off_seconds: i64, is_wrong_from_the_start: bool, said: &str) {
    let ring = Ring::start(3, if is_wrong_from_the_start { off_seconds } else { 0 });
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let addresses = ring.addresses();
    thread::scope(|scope| {
        let _ends_with_us = Finally(&done);
        for i in [0, 2] {
            let (done, written, node) = (&done, &written, addresses[i]);
            scope.spawn(move || write_until(done, node, "3", written));
        }
        ring.clock.set(off_seconds);
        ring.wait_for_clock(said);
        let off_ms =
            until("the table of C has it", || ring.shown_off_ms(2).filter(|it| it.abs() > 30_000));
        assert!(off_ms.abs_diff(off_seconds * 1000) < 2000, "{off_ms} ms");

        let mut clients = ring.clients();
        for name in ["x", "never"] {
            let answer = clients[1].put(name, b"refused");
            let where_and_why = format!("{}'s clock is {said}", ring.b());
            assert_eq!(answer.status(), 503, "{}", answer.line);
            assert!(answer.line.contains(&where_and_why), "{}", answer.line);
        }
        let mut is_nowhere = |name: &str| {
            for client in &mut clients {
                let answer = client.ask(&format!("GET {name}"));
                assert_eq!(answer.status(), 404, "{}", answer.line);
            }
        };
        ring.for_some_checks(|| ["x", "never"].map(&mut is_nowhere).into_iter().collect());
        let before = written.load(Ordering::Relaxed);
        until("the others go on", || (written.load(Ordering::Relaxed) > before).then_some(()));

        ring.clock.set(0);
        ring.wait_for_clock("right");
        for i in [1, 0] {
            let content = format!("written at {i}");
            let answer = ring.nodes[i].client().put("x", content.as_bytes());
            assert_eq!((answer.status(), answer.key("copies")), (200, Some("3")));
            for mut client in ring.clients() {
                assert_eq!(client.get("x"), content.as_bytes());
            }
        }
        ring.for_some_checks(|| {
            is_nowhere("never");
            for mut client in ring.clients() {
                assert_eq!(client.get("x"), b"written at 0");
            }
        });
        let off_ms = ring.shown_off_ms(2);
        assert!(off_ms.is_some_and(|it| it.abs() < 2000), "{off_ms:?} ms");
    });
    println!("{} PUTs at the others", written.into_inner());
}

#[test]
fn a_clock_that_is_75_seconds_ahead_takes_no_writes_until_it_is_right() {
    needs!("faketime");
    a_wrong_clock_is_refused(75, true, "75 s ahead of the others'");
}

#[test]
fn a_clock_that_jumps_ten_minutes_ahead_takes_no_writes_until_it_is_right() {
    needs!("faketime");
    a_wrong_clock_is_refused(610, false, "10 min ahead of the others'");
}

#[test]
fn a_clock_that_is_ten_minutes_behind_takes_no_writes_until_it_is_right() {
    needs!("faketime");
    a_wrong_clock_is_refused(-610, true, "10 min behind the others'");
}

#[test]
fn of_two_nodes_the_one_that_is_ahead_takes_no_writes() {
    needs!("faketime");
    let ring = Ring::start(2, 610);
    ring.wait_for_clock("10 min ahead of the others'");
    let [a, b] = &mut ring.clients()[..] else { unreachable!() };
    let answer = b.put("x", b"refused");
    assert_eq!(answer.status(), 503, "{}", answer.line);
    assert!(answer.line.contains(&format!("{}'s clock is 10 min ahead", ring.b())));
    let answer = a.put("x", b"kept");
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("2")), "{}", answer.line);
    ring.for_some_checks(|| assert_eq!([a.get("x"), b.get("x")], [b"kept", b"kept"]));
    ring.clock.set(0);
    ring.wait_for_clock("right");
    assert_eq!(b.put("x", b"later").key("copies"), Some("2"));
    assert_eq!([a.get("x"), b.get("x")], [b"later", b"later"]);
}

#[test]
fn a_write_at_a_newcomer_whose_clock_is_behind_replaces_what_was_written_before() {
    needs!("faketime");
    let ip = own_ip();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let prev = nodes.last().map(|node: &Process| node.address().to_string());
        let mut options = vec!["--ip", &ip, "--port", "0"];
        options.extend(prev.iter().flat_map(|prev| ["--prev", prev]));
        nodes.push(Process::start(&options, &[]));
        until("it is ready", || is_ready(&mut nodes.last()?.client()).then_some(()));
    }
    let (clock, line) = (WallClock::new(-2), Line::new(&ip, 10 << 20));
    let mut a = nodes[0].client();
    for i in 0..120 {
        assert_eq!(a.put(&format!("much/{i}"), &vec![i; 256 << 10]).status(), 200);
    }
    assert_eq!(a.put("x", b"of A").key("copies"), Some("2"));

    let (advertise, prev) = (line.near.to_string(), nodes[0].address().to_string());
    let options = ["--ip", &ip, "--port", "0", "--advertise", &advertise, "--prev", &prev];
    nodes.push(clock.start(&options));
    line.leads_to(nodes[2].address());
    let mut b = nodes[2].client();
    until("B is a member", || (b.ask("INFO").key("members") == Some("3")).then_some(()));
    let answer = b.put("x", b"of B");
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("3")), "{}", answer.line);
    assert!(!is_ready(&mut b), "it was still catching up");
    let mut clients: Vec<_> = nodes.iter().map(Process::client).collect();
    let mut all_have_it = || clients.iter_mut().for_each(|it| assert_eq!(it.get("x"), b"of B"));
    until("B has caught up", || {
        all_have_it();
        is_ready(&mut b).then_some(())
    });
    until("all hold the same", || {
        all_have_it();
        let mut infos = nodes.iter().map(|node| node.client().ask("INFO"));
        let digest = infos.next()?.key("digest")?.to_owned();
        infos.all(|info| info.key("digest") == Some(&digest)).then_some(())
    });
    all_have_it();
}
