//! Files of any size in a ring whose nodes keep them on disks: what they cost, what an interrupted one leaves
//! behind, and for how long they keep others waiting.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cluster::{Answer, Client, until},
    disks::DiskRing,
};

const MIB: usize = 1 << 20;
/// What any process may have in memory, whatever the size of the file.
const PEAK_BYTES_MAX: u64 = 48 << 20;

/// A file of this many bytes, most of them zeros that take no room on the disk.
fn sparse(path: &Path, bytes: u64) {
    let file = File::create(path).unwrap();
    file.set_len(bytes).unwrap();
    for at in (0..bytes).step_by(16 * MIB) {
        file.write_at(format!("here is byte {at}").as_bytes(), at).unwrap();
    }
}

fn ring_client(node: &Client, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ring-client"));
    let node = node.stream.get_ref().peer_addr().unwrap().to_string();
    command.args(words).args(["--node", &node]).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Waits for the end of a process. Returns the most memory that it had.
fn peak_until_exit(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
    peak
}

/// All files of the stores, by their paths.
fn stored(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| stored(folder)));
    files
}

fn drafts(ring: &DiskRing) -> Vec<PathBuf> {
    let files = (0..3).flat_map(|i| stored(&ring.folder(i)));
    files.filter(|path| path.to_string_lossy().contains("transfer-")).collect()
}

#[test]
fn two_gibibytes_go_round_in_little_memory_while_small_files_are_answered() {
    const BYTES: u64 = 2 << 30;
    let ring = DiskRing::start();
    let path = ring.folder(3);
    sparse(&path, BYTES);
    let mut small = ring.client(1);
    small.put("small", b"small");
    let (is_over, first) = (AtomicBool::new(false), ring.client(0));
    let mut put = ring_client(&first, &["put", path.to_str().unwrap(), "--name", "image"]);
    let mut put = put.spawn().unwrap();
    let (peak, answered) = thread::scope(|scope| {
        let gets = scope.spawn(|| {
            let mut answered = 0;
            while !is_over.load(SeqCst) {
                assert_eq!(small.get("small"), b"small");
                answered += 1;
            }
            answered
        });
        let peak = peak_until_exit(&mut put);
        is_over.store(true, SeqCst);
        (peak, gets.join().unwrap())
    });
    println!("ring-client put: {} MiB; {answered} small GETs meanwhile", peak >> 20);
    assert!(answered > 10, "{answered} GETs were answered meanwhile");
    let mut get = ring_client(&ring.client(2), &["get", "image"]).spawn().unwrap();
    let (mut got, mut file) =
        (get.stdout.take().unwrap(), BufReader::new(File::open(&path).unwrap()));
    let (mut left, mut here, mut there) = (BYTES as usize, vec![0; MIB], vec![0; MIB]);
    while left > 0 {
        let piece = left.min(MIB);
        got.read_exact(&mut here[..piece]).expect("all of it comes");
        file.read_exact(&mut there[..piece]).unwrap();
        assert!(here[..piece] == there[..piece], "{left} bytes before the end");
        left -= piece;
    }
    assert_eq!(got.read(&mut here).unwrap(), 0);
    assert!(get.wait().unwrap().success());
    let peaks = ring.nodes.iter().map(|node| node.peak_bytes().expect("this system tells"));
    for peak in peaks.chain([peak]) {
        assert!(peak < PEAK_BYTES_MAX, "{} MiB", peak >> 20);
    }
}

#[test]
fn what_is_not_sent_to_its_end_leaves_nothing_behind_at_any_node() {
    let ring = DiskRing::start();
    // A client that breaks off, and one that is interrupted by its user.
    let mut client = ring.client(0);
    client.send(format!("PUT broken len={}\n", 64 * MIB));
    client.send(vec![7; 20 * MIB]);
    until("all nodes have some of it", || (drafts(&ring).len() == 3).then_some(()));
    drop(client);
    until("all have forgotten it", || drafts(&ring).is_empty().then_some(()));
    let path = ring.folder(3);
    sparse(&path, 4 << 30);
    let first = ring.client(0);
    let mut put = ring_client(&first, &["put", path.to_str().unwrap(), "--name", "interrupted"]);
    let mut put = put.stderr(Stdio::null()).spawn().unwrap();
    until("all nodes have some of it", || (drafts(&ring).len() == 3).then_some(()));
    kill_process(Pid::from_child(&put), Signal::INT).unwrap();
    assert_eq!(put.wait().unwrap().code(), Some(130));
    until("all have forgotten it", || drafts(&ring).is_empty().then_some(()));
    let contents = || (0..3).flat_map(|i| stored(&ring.folder(i).join("files"))).count();
    until("no content is there", || (contents() == 0).then_some(()));
    for node in &ring.nodes {
        assert_eq!(node.client().ask("INFO").key("files"), Some("0"));
    }
}

#[test]
fn a_large_file_that_would_be_refused_is_before_it_is_sent() {
    let ring = DiskRing::with(&["--max-store-bytes", "64MiB", "--max-file-bytes", "40MiB"]);
    let mut client = ring.client(0);
    let version = client.put("here", b"here").key("version").unwrap().to_owned();
    let reads = |client: &mut Client, line: &str, content: usize, status: u16| {
        client.send(format!("{line}\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{}", answer.line);
        // The rest is skipped, and the connection goes on.
        client.send(vec![b'\n'; content]);
        assert_eq!(client.ask("PING").status(), 200);
    };
    reads(&mut client, "PUT here len=10000000 if-version=none", 10_000_000, 412);
    reads(&mut client, "PUT there len=50000000", 50_000_000, 413);
    let fits = client.put(&format!("here if-version={version}"), &vec![1; 30 * MIB]);
    assert_eq!(fits.status(), 200, "{}", fits.line);
    let fits = client.put("more", &vec![2; 20 * MIB]);
    assert_eq!(fits.status(), 200, "{}", fits.line);
    reads(&mut client, "PUT more/still len=30000000", 30_000_000, 507);
    until("nothing is left of those", || drafts(&ring).is_empty().then_some(()));
}

#[test]
fn requests_behind_a_large_file_are_asked_after_it() {
    let ring = DiskRing::start();
    let mut client = ring.client(0);
    for bytes in [64 << 10, MIB, 3 * MIB + 1] {
        let (first, second) = (vec![1; bytes], vec![2; bytes]);
        let put = |content: &[u8]| [format!("PUT a len={bytes}\n").as_bytes(), content].concat();
        client.send([put(&first), put(&second), b"PING\nLIST\n".to_vec()].concat());
        let versions = [client.answer(), client.answer()].map(|answer: Answer| {
            assert_eq!(
                (answer.status(), answer.key("copies")),
                (200, Some("3")),
                "{}",
                answer.line
            );
            answer.key("version").unwrap().to_owned()
        });
        assert!(versions[0] < versions[1], "{versions:?}");
        assert_eq!(client.answer().status(), 200);
        assert_eq!(client.answer().status(), 200);
        for node in &ring.nodes {
            assert!(node.client().get("a") == second);
        }
    }
}

#[test]
fn slow_clients_with_large_files_keep_nobody_out() {
    let ring = DiskRing::start();
    // More than are offered at the same time, and more bytes than may be in flight.
    let mut slow: Vec<_> = (0..80).map(|_| ring.client(0)).collect();
    for (i, client) in slow.iter_mut().enumerate() {
        client.send(format!("PUT slow/{i} len={}\n", 16 * MIB));
        client.send(vec![7; 200_000]);
    }
    let mut client = ring.client(0);
    let large = vec![8; 16 * MIB];
    for node in [0, 1] {
        let mut other = ring.client(node);
        assert_eq!(other.put("small", b"small").key("copies"), Some("3"));
        assert_eq!(other.put("large", &large).key("copies"), Some("3"));
    }
    assert!(ring.client(2).get("large") == large);
    for client in [79, 0].map(|i| slow.swap_remove(i)).iter_mut() {
        client.send(vec![7; 16 * MIB - 200_000]);
        let answer = client.answer();
        assert_eq!(answer.key("copies"), Some("3"), "{}", answer.line);
    }
    assert!(client.get("slow/79") == vec![7; 16 * MIB]);
    for node in &ring.nodes {
        let peak = node.peak_bytes().expect("this system tells");
        assert!(peak < 2 * PEAK_BYTES_MAX, "{} MiB", peak >> 20);
    }
}

#[test]
fn a_node_that_dies_while_a_file_is_sent_costs_the_others_nothing() {
    let mut ring = DiskRing::start();
    let content: Vec<u8> = (0..40 * MIB as u64).map(|i| ((i * i) >> 9) as u8).collect();
    let mut client = ring.client(0);
    client.send(format!("PUT film len={}\n", content.len()));
    let (first, rest) = content.split_at(10 * MIB);
    client.send(first);
    until("all nodes have some of it", || (drafts(&ring).len() == 3).then_some(()));
    let members = ring.client(0).members();
    let first = members.iter().position(|it| *it == ring.addresses[0]).unwrap();
    let next = members[(first + 1) % 3];
    let next = ring.addresses.iter().position(|it| *it == next).unwrap();
    ring.kill(next);
    let mut stream = client.stream.get_ref();
    stream.write_all(rest).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("2")), "{}", answer.line);
    let other = 3 - next;
    assert!(ring.client(other).get("film") == content);
    ring.restart(next);
    ring.settle();
    assert!(ring.client(next).get("film") == content);
}
