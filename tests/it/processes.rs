//! A ring of real processes with default settings: killed, stopped, restarted, and under load.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use rustix::process::Signal;

use crate::cluster::{Client, Process, Ring, own_ip, until};

/// Bytes that no other client would write: they depend on the writer and the number of the write.
fn content(writer: usize, number: usize, bytes: usize) -> Vec<u8> {
    let mut state = (writer as u64) << 32 | number as u64;
    let mut content = format!("{writer} {number} {bytes}\n").into_bytes();
    content.resize_with(content.len() + bytes, || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    content
}

/// Whether these bytes are some [`content`], whole and unmixed.
fn is_whole(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let numbers: Vec<usize> = words.filter_map(|word| word.parse().ok()).collect();
    matches!(numbers[..], [writer, number, size] if content(writer, number, size) == bytes)
}

#[test]
fn a_put_right_after_a_kill_is_answered_and_is_at_both_others() {
    let mut ring = Ring::start(3, &[]);
    // Each node dies once: as the successor of the one that is asked, and as its predecessor.
    for dead in 0..3 {
        let others = [(dead + 1) % 3, (dead + 2) % 3];
        let mut clients = others.map(|other| ring.nodes[other].client());
        ring.nodes[dead].signal(Signal::KILL);
        let killed = Instant::now();
        for (i, client) in clients.iter_mut().enumerate() {
            let answer = client.put(&format!("{dead}/{i}"), &content(dead, i, 100));
            assert_eq!(answer.status(), 200, "{}", answer.line);
        }
        println!("two PUTs were answered {:?} after the kill", killed.elapsed());
        for client in &mut clients {
            for i in 0..2 {
                assert_eq!(client.get(&format!("{dead}/{i}")), content(dead, i, 100));
            }
        }
        let live = others.map(|other| ring.nodes[other].address());
        for other in others {
            let listed = ring.nodes[other].wait_for_list(&live);
            println!("the list of one was right {:?} after the kill", listed - killed);
        }
        ring.nodes[dead].kill();
        ring.restart(dead, Some(others[0]));
        ring.settle();
    }
}

#[test]
fn a_stopped_node_leaves_the_lists_and_comes_back_with_what_it_missed() {
    let ring = Ring::start(3, &[]);
    let addresses = ring.addresses();
    let mut clients = [ring.nodes[0].client(), ring.nodes[2].client()];
    ring.nodes[1].signal(Signal::STOP);
    let stopped = Instant::now();
    for (i, client) in clients.iter_mut().enumerate() {
        let answer = client.put(&format!("missed/{i}"), &content(1, i, 1000));
        assert_eq!(answer.status(), 200, "{}", answer.line);
        println!("a PUT was answered {:?} after the stop", stopped.elapsed());
    }
    for node in [0, 2] {
        let listed = ring.nodes[node].wait_for_list(&[addresses[0], addresses[2]]);
        println!("it had left a list {:?} after the stop", listed - stopped);
    }
    for i in 2..50 {
        assert_eq!(clients[i % 2].put(&format!("missed/{i}"), &content(1, i, 1000)).status(), 200);
    }
    ring.nodes[1].signal(Signal::CONT);
    let continued = Instant::now();
    ring.settle();
    println!("it was back, with everything, {:?} after it went on", continued.elapsed());
    let mut client = ring.nodes[1].client();
    for i in 0..50 {
        assert_eq!(client.get(&format!("missed/{i}")), content(1, i, 1000));
    }
}

#[test]
fn two_of_three_are_stopped_and_the_third_goes_on_alone() {
    let ring = Ring::start(3, &[]);
    let address = ring.nodes[0].address();
    ring.nodes[1].signal(Signal::STOP);
    ring.nodes[2].signal(Signal::STOP);
    let mut client = ring.nodes[0].client();
    let answer = client.put("alone", b"1");
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("1")), "{}", answer.line);
    ring.nodes[0].wait_for_list(&[address]);
    assert_eq!(client.put("alone", b"2").key("copies"), Some("1"));
    ring.nodes[2].signal(Signal::CONT);
    ring.nodes[1].signal(Signal::CONT);
    ring.settle();
    for node in &ring.nodes {
        assert_eq!(node.client().get("alone"), b"2");
    }
}

#[test]
fn a_restarted_node_has_every_file() {
    let mut ring = Ring::start(3, &[]);
    let mut client = ring.nodes[0].client();
    let big = content(0, 0, 8 << 20);
    assert_eq!(client.put("big", &big).status(), 200);
    for i in 0..500 {
        assert_eq!(client.put(&format!("small/{i}"), &content(1, i, i)).status(), 200);
    }
    for prev in [Some(0), None] {
        ring.nodes[1].kill();
        ring.nodes[0].wait_for_list(&[ring.nodes[0].address(), ring.nodes[2].address()]);
        let begun = Instant::now();
        // Without --prev it begins a ring of its own, until the others find it again.
        ring.restart(1, prev);
        let mut client = ring.nodes[1].client();
        until("the restarted node has all files", || {
            (client.ask("INFO").key("files") == Some("501")).then_some(())
        });
        println!("{prev:?}: every file was there {:?} after the start", begun.elapsed());
        ring.settle();
        assert!(client.get("big") == big);
        for i in 0..500 {
            assert_eq!(client.get(&format!("small/{i}")), content(1, i, i));
        }
    }
}

#[test]
fn a_newcomer_stands_right_after_the_node_that_it_named() {
    let mut ring = Ring::start(3, &[]);
    ring.add(0);
    ring.settle();
    let [a, b, c, d] = ring.addresses()[..] else { panic!("four nodes were started") };
    for node in &ring.nodes {
        assert_eq!(node.list_from(a), [a, d, b, c]);
    }
}

/// One of 64 clients. It writes files of its own at one node and reads them at another.
fn mixed_requests(me: usize, requests: usize, nodes: &[SocketAddr]) {
    let mut writer = Client::connect(nodes[me % 3]).expect("it connects");
    let mut reader = Client::connect(nodes[(me + 1) % 3]).expect("it connects");
    let mut last = BTreeMap::new();
    for number in 0..requests {
        let own = format!("own/{me}/{}", number % 7);
        let bytes = if number % 50 == 0 { 40_000 } else { number * 13 % 3000 };
        match number % 5 {
            0 | 1 => {
                let answer = writer.put(&own, &content(me, number, bytes));
                assert_eq!(answer.status(), 200, "{}", answer.line);
                assert_eq!(answer.key("copies"), Some("3"));
                let version = answer.key("version").expect("it has a version").to_owned();
                let before = last.insert(own, (version.clone(), content(me, number, bytes)));
                assert!(before.is_none_or(|(before, _)| before < version));
            }
            2 => {
                let answer = reader.ask(&format!("GET {own}"));
                match last.get(&own) {
                    None => assert_eq!(answer.status(), 404, "{}", answer.line),
                    Some((version, content)) => {
                        assert_eq!(answer.key("version"), Some(version.as_str()));
                        assert!(answer.body == *content, "{own} at request {number} of {me}");
                    }
                }
            }
            3 => {
                let shared = format!("shared/{}", number % 11);
                assert_eq!(writer.put(&shared, &content(me, number, bytes)).status(), 200);
                assert!(is_whole(&reader.get(&shared)), "{shared} is mixed up");
            }
            _ => {
                let nothing = format!("nothing/{me}/{number}");
                let answer = reader.ask(&format!("GET {nothing}"));
                assert!(answer.status() == 404 && answer.line.contains(&nothing), "{answer:?}");
            }
        }
    }
}

#[test]
fn sixty_four_clients_at_once_each_get_their_own_answers() {
    const CLIENTS: usize = 64;
    const REQUESTS: usize = 20_000;
    let ring = Ring::start(3, &[]);
    let nodes = ring.addresses();
    let begun = Instant::now();
    thread::scope(|scope| {
        for me in 0..CLIENTS {
            let nodes = &nodes;
            let requests = REQUESTS / CLIENTS + usize::from(me < REQUESTS % CLIENTS);
            scope.spawn(move || mixed_requests(me, requests, nodes));
        }
    });
    println!("{REQUESTS} requests of {CLIENTS} clients took {:?}", begun.elapsed());
    ring.settle();
    for node in &ring.nodes {
        let lists = node.lines().iter().filter(|line| line.text.contains("gone")).count();
        assert_eq!(lists, 0, "nobody died of the load");
    }
}

/// Puts files into any node that takes them, and notes those that were acknowledged.
fn write_until(
    done: &AtomicBool,
    me: usize,
    nodes: &[SocketAddr],
    kept: &Mutex<Vec<(String, Vec<u8>)>>,
) {
    let mut client = None;
    for number in 0.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let node = nodes[(me + number) % nodes.len()];
        let Some(open) = client.take().or_else(|| Client::connect(node).ok()) else { continue };
        let mut open: Client = open;
        let (name, bytes) = (format!("{me}/{number}"), content(me, number, number % 500));
        if let Ok(answer) = open.try_put(&name, &bytes)
            && answer.status() == 200
        {
            kept.lock().unwrap().push((name, bytes));
            client = Some(open);
        }
    }
}

#[test]
fn a_rolling_restart_under_load_loses_nothing_that_was_acknowledged() {
    let mut ring = Ring::start(3, &[]);
    let nodes = ring.addresses();
    let (done, kept) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let kept_so_far = || kept.lock().unwrap().len();
    thread::scope(|scope| {
        for me in 0..4 {
            let (done, nodes, kept) = (&done, &nodes, &kept);
            scope.spawn(move || write_until(done, me, nodes, kept));
        }
        let _ends_with_us = Finally(&done);
        for (signal, i) in
            [Signal::TERM, Signal::KILL].into_iter().flat_map(|it| (0..3).map(move |i| (it, i)))
        {
            let before = kept_so_far();
            until("files are being acknowledged", || (kept_so_far() > before + 100).then_some(()));
            ring.nodes[i].signal(signal);
            let status = ring.nodes[i].wait_for_exit();
            assert!(signal == Signal::KILL || status.success(), "{status}");
            ring.restart(i, Some((i + 1) % 3));
            ring.nodes[i].wait_for("ready", |line| line.starts_with("ready"));
        }
    });
    ring.settle();
    let kept = kept.into_inner().unwrap();
    println!("{} files were acknowledged", kept.len());
    for node in &ring.nodes {
        let mut client = node.client();
        for (name, bytes) in &kept {
            assert!(client.get(name) == *bytes, "{name} has other bytes");
        }
    }
}

/// Sets a flag when it goes out of scope, also in a panic.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn sigterm_sigint_and_sighup_leave_the_ring_in_order() {
    let mut ring = Ring::start(4, &[]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut leaving = ring.nodes.remove(1);
        let told = Instant::now();
        leaving.signal(signal);
        let rest = ring.addresses();
        for node in &ring.nodes {
            println!("{signal:?}: the others knew after {:?}", node.wait_for_list(&rest) - told);
        }
        let status = leaving.wait_for_exit();
        println!("{signal:?}: it had ended after {:?}", told.elapsed());
        assert_eq!(status.code(), Some(0));
        let lines = leaving.lines();
        assert!(lines.iter().all(|line| !line.is_error), "{lines:?}");
        // A node that leaves gracefully is not found dead.
        let all = ring.nodes.iter().flat_map(Process::lines);
        assert_eq!(all.filter(|line| line.text.contains("is gone:")).count(), 0);
    }
    let answer = ring.nodes[0].client().put("last", b"one");
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("1")));
}

#[test]
fn the_third_signal_ends_a_node_at_once_and_a_copy_does_not() {
    let mut ring = Ring::start(3, &["--check-timeout", "20s"]);
    // The stopped node holds up the PUT, and that holds up the end.
    ring.nodes[2].signal(Signal::STOP);
    let mut client = ring.nodes[0].client();
    client.send("PUT held len=2\nup");
    until("the PUT is stored", || {
        (ring.nodes[0].client().ask("INFO").key("files") == Some("1")).then_some(())
    });
    ring.nodes[0].signal(Signal::INT);
    ring.nodes[0].wait_for("it leaves", |line| line.starts_with("received SIGINT, leaving"));
    // As of a parent that passes it on.
    ring.nodes[0].signal(Signal::INT);
    assert_eq!(ring.nodes[0].client().ask("PING").status(), 200, "it has not ended yet");
    ring.nodes[0].signal(Signal::TERM);
    assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(1));
    let last = "ring-node: received SIGTERM as well, and ended at once";
    assert!(ring.nodes[0].lines().iter().any(|line| line.is_error && line.text == last));
}

#[test]
fn a_node_that_was_started_by_nohup_stays_when_its_terminal_closes() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ring-node")]);
    let mut node = Process::of(shell.args(["--ip", &own_ip(), "--port", "0"]), &[]);
    let mut client = node.client();
    node.signal(Signal::HUP);
    // After these it would have heard of it.
    (0..100).for_each(|_| assert_eq!(client.ask("PING").status(), 200));
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    let received = node.wait_for("why it ends", |line| line.starts_with("received "));
    assert!(received.text.starts_with("received SIGTERM"), "{received:?}");
}

#[test]
fn every_line_begins_with_the_time_in_a_form_that_sorts() {
    let date = |form: &str| crate::service::tool("date", &["-u", form]).trim().to_owned();
    let before = date("+%FT%T");
    let mut ring = Ring::start(3, &["--verbose"]);
    ring.nodes[2].kill();
    ring.nodes[0].wait_for_list(&[ring.nodes[0].address(), ring.nodes[1].address()]);
    ring.nodes[0].wait_for("a complete cycle", |line| line.contains("cycle of 2 members"));
    ring.nodes[0].signal(Signal::TERM);
    ring.nodes[0].wait_for_exit();
    let lines = ring.nodes[0].lines();
    let times: Vec<_> = lines.iter().map(|line| line.time.as_deref().unwrap_or_default()).collect();
    assert!(times.is_sorted(), "{times:#?}");
    let shape = |time: &str| time.replace(|it: char| it.is_ascii_digit(), "0");
    assert!(times.iter().all(|time| shape(time) == "0000-00-00T00:00:00.000Z"), "{times:#?}");
    let (first, last) = (times[0], times[times.len() - 1]);
    // A point comes before a Z.
    assert!(*before < *first && *last < *date("+%FT%TZ"), "{before} {times:#?}");
}

#[test]
fn a_put_that_is_under_way_when_its_node_is_told_to_leave_is_answered() {
    let mut ring = Ring::start(3, &[]);
    // The stopped node holds the PUT up until it is passed over.
    ring.nodes[2].signal(Signal::STOP);
    let mut client = ring.nodes[0].client();
    client.send("PUT held len=2\nup");
    until("the PUT is stored", || {
        (ring.nodes[0].client().ask("INFO").key("files") == Some("1")).then_some(())
    });
    ring.nodes[0].signal(Signal::TERM);
    let answer = client.answer();
    println!("{}", answer.line);
    assert!([200, 504].contains(&answer.status()), "{}", answer.line);
    assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(0));
    ring.nodes[2].signal(Signal::CONT);
    ring.nodes.remove(0);
    ring.settle();
    assert_eq!(ring.nodes[0].client().get("held"), b"up");
}

#[test]
fn an_answer_that_is_on_its_way_when_its_node_is_told_to_leave_arrives_whole() {
    let mut ring = Ring::start(2, &[]);
    let file = content(3, 3, 15 << 20);
    let mut client = ring.nodes[0].client();
    assert_eq!(client.put("film", &file).status(), 200);
    client.send("GET film\nPING\n");
    ring.nodes[0].signal(Signal::TERM);
    ring.nodes[1].wait_for_list(&[ring.nodes[1].address()]);
    // It has left its ring, and what it said to its clients is more than the system holds.
    assert!(client.answer().body == file);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(0));
}

#[test]
fn too_few_copies_are_refused_before_anything_is_stored() {
    let mut ring = Ring::start(1, &["--min-copies", "2"]);
    let mut client = ring.nodes[0].client();
    let answer = client.put("a", b"1");
    assert_eq!(answer.status(), 503, "{}", answer.line);
    assert!(answer.line.contains("min-copies"), "{}", answer.line);
    assert_eq!(client.ask("GET a").status(), 404);
    ring.add(0);
    ring.settle();
    assert_eq!(client.put("a", b"1").key("copies"), Some("2"));
    ring.nodes[1].kill();
    let answer = client.put("b", b"2");
    assert!([503, 504].contains(&answer.status()), "{}", answer.line);
    ring.nodes[0].wait_for_list(&[ring.nodes[0].address()]);
    assert_eq!(client.put("c", b"3").status(), 503);
    assert_eq!(client.get("a"), b"1");
}

#[test]
fn a_full_store_is_507_and_a_large_file_413() {
    let ring = Ring::start(2, &["--max-store-bytes", "100KiB", "--max-file-bytes", "64KiB"]);
    let mut client = ring.nodes[0].client();
    assert_eq!(client.put("half", &[1; 60 << 10]).status(), 200);
    let answer = client.put("more", &[2; 60 << 10]);
    assert_eq!(answer.status(), 507, "{}", answer.line);
    let where_and_why = format!("{} is full", ring.nodes[0].address());
    assert!(answer.line.contains(&where_and_why), "it says where: {}", answer.line);
    assert!(answer.line.contains("--max-store-bytes"), "and why: {}", answer.line);
    assert_eq!(client.put("half", &[3; 64 << 10]).status(), 200, "it replaces its own bytes");
    let answer = client.put("large", &[4; (64 << 10) + 1]);
    assert_eq!(answer.status(), 413, "{}", answer.line);
    assert!(answer.line.contains("65536"), "{}", answer.line);
    // The connection goes on where the next request begins.
    assert_eq!(client.get("half"), [3; 64 << 10]);
    let info = client.ask("INFO");
    assert_eq!((info.key("files"), info.key("max-file-bytes")), (Some("1"), Some("65536")));
    ring.settle();
}

#[test]
fn a_member_that_is_full_makes_a_put_507_and_stays_in_the_ring() {
    let mut ring = Ring::start(1, &["--max-store-bytes", "10KiB"]);
    let prev = ring.nodes[0].address();
    let (ip, port) = (prev.ip().to_string(), prev.port().to_string());
    let options = ["--ip", &ip, "--port", "0", "--prev-ip", &ip, "--prev-port", &port];
    ring.nodes.push(Process::start(&options, &[]));
    ring.settle();
    let answer = ring.nodes[1].client().put("large", &[0; 20 << 10]);
    assert_eq!(answer.status(), 507, "{}", answer.line);
    assert_eq!(ring.nodes[1].client().put("small", b"fits").key("copies"), Some("2"));
    assert_eq!(ring.nodes[0].client().get("small"), b"fits");
}

#[test]
fn sixteen_mebibytes_go_round() {
    let ring = Ring::start(3, &[]);
    let size = 16 << 20;
    let mut file = content(7, 7, size);
    file.truncate(size);
    let begun = Instant::now();
    let answer = ring.nodes[0].client().put("film", &file);
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("3")), "{}", answer.line);
    println!("16 MiB had gone round after {:?}", begun.elapsed());
    for node in &ring.nodes {
        assert!(node.client().get("film") == file);
    }
    file.push(0);
    assert_eq!(ring.nodes[1].client().put("film", &file).status(), 413);
    for node in &ring.nodes {
        let gone = node.lines().iter().filter(|line| line.text.contains("is gone")).count();
        assert_eq!(gone, 0, "nobody died of a large file");
    }
}

#[test]
fn while_a_huge_file_comes_or_goes_others_are_served() {
    const MIB: usize = 128;
    let ring = Ring::start(1, &["--max-file-bytes", "128MiB"]);
    let address = ring.nodes[0].address();
    let mut other = ring.nodes[0].client();
    // How many PINGs are answered until the work is done.
    let mut served = |work: fn(Client)| {
        thread::scope(|scope| {
            let working = scope.spawn(move || work(Client::connect(address).expect("it connects")));
            let mut pings = 0;
            while !working.is_finished() {
                assert_eq!(other.ask("PING").status(), 200);
                pings += 1;
            }
            pings
        })
    };
    let while_it_comes = served(|mut client| {
        client.send(format!("PUT huge len={}\n", MIB << 20));
        let chunk = vec![7; 1 << 20];
        (0..MIB).for_each(|_| client.send(&chunk));
        assert_eq!(client.answer().status(), 200);
    });
    let while_it_goes = served(|mut client| assert_eq!(client.get("huge").len(), MIB << 20));
    println!("{while_it_comes} PINGs while it came, {while_it_goes} while it went");
    assert!(while_it_comes.min(while_it_goes) >= 20);
}

#[test]
fn eight_large_files_at_once_go_round() {
    let ring = Ring::start(3, &[]);
    let nodes = ring.addresses();
    let sum = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for me in 0..8 {
            let (nodes, sum) = (&nodes, &sum);
            scope.spawn(move || {
                let mut client = Client::connect(nodes[me % 3]).expect("it connects");
                let file = content(me, 0, 2 << 20);
                let answer = client.put(&format!("film/{me}"), &file);
                assert_eq!(answer.key("copies"), Some("3"), "{}", answer.line);
                let mut reader = Client::connect(nodes[(me + 1) % 3]).expect("it connects");
                assert!(reader.get(&format!("film/{me}")) == file);
                sum.fetch_add(file.len(), Ordering::Relaxed);
            });
        }
    });
    println!("{} bytes had gone round after {:?}", sum.into_inner(), begun.elapsed());
}

#[test]
fn who_holds_all_leaves_only_when_the_next_has_caught_up() {
    let mut ring = Ring::start(1, &[]);
    let mut client = ring.nodes[0].client();
    let content = vec![b'x'; 1 << 20];
    for i in 0..100 {
        client.put(&format!("file {i}").replace(' ', "%20"), &content);
    }
    ring.add(0);
    ring.nodes[0].wait_for_list(&ring.addresses());
    ring.nodes[0].signal(Signal::TERM);
    assert_eq!(ring.nodes[0].wait_for_exit().code(), Some(0));
    let mut other = ring.nodes[1].client();
    until("the other has all files", || {
        let info = other.ask("INFO");
        (info.key("files") == Some("100") && info.key("ready") == Some("1")).then_some(())
    });
}

#[test]
fn a_first_node_that_restarts_empty_is_not_ready_before_it_has_caught_up() {
    let mut ring = Ring::start(2, &[]);
    let mut client = ring.nodes[1].client();
    for i in 0..50 {
        client.put(&format!("file{i}"), b"here");
    }
    ring.nodes[0].kill();
    ring.restart(0, None);
    ring.nodes[0].wait_for("it has caught up", |line| line.starts_with("caught up: 50 files"));
    ring.nodes[0].wait_for("it is ready", |line| line.starts_with("ready: "));
    assert_eq!(ring.nodes[0].client().get("file7"), b"here");
}

#[test]
fn two_that_write_one_name_without_end_both_get_on() {
    const WRITES: usize = 300;
    let ring = Ring::start(3, &[]);
    thread::scope(|scope| {
        for writer in 0..2 {
            let mut client = ring.nodes[writer].client();
            scope.spawn(move || {
                for number in 0..WRITES {
                    let answer = client.put("hot", &content(writer, number, 100));
                    assert_eq!(answer.status(), 200, "writer {writer}: {}", answer.line);
                }
            });
        }
    });
    ring.settle();
    let files: Vec<_> = ring.nodes.iter().map(|node| node.client().get("hot")).collect();
    assert!(files.iter().all(|file| *file == files[0]), "all hold the same");
    let lasts = [0, 1].map(|writer| content(writer, WRITES - 1, 100));
    assert!(lasts.contains(&files[0]), "it is the last file of one of the two");
}
