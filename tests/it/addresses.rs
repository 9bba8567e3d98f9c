//! Members that cannot be reached: wrong addresses, one-sided networks, members that are stopped.
//! The others go on writing.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    cluster::{Process, Ring, free_addresses, own_ip, settle, until},
    traffic::Traffic,
};

/// A listener that takes no connection, and whose queue is full: it does not even answer.
fn black_hole(ip: &str) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((ip, 0)).expect("a port is free");
    rustix::net::listen(&listener, 0).expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queue.push(stream);
    }
    (listener, queue)
}

fn changes(node: &Process) -> usize {
    node.lines_with("(WS1)").len()
}

#[test]
fn a_node_with_a_wrong_address_is_told_so_and_the_others_write_on() {
    let ring = Ring::start(2, &[]);
    let (nodes, ip) = (ring.addresses(), ring.nodes[0].address().ip().to_string());
    let [nobody] = free_addresses(&ip);
    let (hole, _queue) = black_hole(&ip);
    let hole = hole.local_addr().expect("it is bound");
    let wrong = [nobody, hole, ring.nodes[1].address()];
    let before = ring.nodes.iter().map(changes).collect::<Vec<_>>();
    let traffic = Traffic::during(&[&nodes[..1], &nodes[1..]], &nodes, |traffic| {
        let prev = nodes[0].to_string();
        let start = |advertise: &SocketAddr| {
            let advertise = advertise.to_string();
            let options = ["--ip", &ip, "--port", "0", "--advertise", &advertise, "--prev", &prev];
            Process::start(&options, &[])
        };
        let newcomers: Vec<_> = wrong.iter().map(start).collect();
        for (newcomer, advertise) in newcomers.iter().zip(wrong) {
            let line = newcomer.wait_for("what is wrong", |text| {
                text.starts_with("waiting: ") && text.contains(&advertise.to_string())
            });
            println!("{}", line.text);
            let answer = newcomer.client().put("a", b"1");
            assert_eq!(answer.status(), 503, "{}", answer.line);
        }
        // They keep asking.
        newcomers[0].client().hears_nothing_for(Duration::from_secs(5));
        for (newcomer, advertise) in newcomers.iter().zip(wrong) {
            let lines = newcomer.lines_with("waiting: ");
            assert!(lines.len() <= 3, "it is not said again and again: {lines:#?}");
            let lines = ring.nodes[0].lines_with(&format!("{advertise} is turned away"));
            assert!(lines.len() <= 2, "it is not said again and again: {lines:#?}");
        }
        traffic.await_writes(20);
    });
    let after = ring.nodes.iter().map(changes).collect::<Vec<_>>();
    assert_eq!(after, before, "the lists have not changed");
    println!("wrong addresses: the longest pause of a writer was {:?}", traffic.longest_pause());
}

/// A proxy to a node, through which all nodes connect except those that are shut out: their
/// connections are closed. Its first line, MEET, tells which node connects.
struct Relay {
    near: SocketAddr,
    far: Arc<OnceLock<SocketAddr>>,
    shut_out: Arc<Mutex<Vec<SocketAddr>>>,
    open: Arc<Mutex<Vec<(SocketAddr, TcpStream)>>>,
}

impl Relay {
    fn new(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port is free");
        let relay = Self {
            near: listener.local_addr().expect("it is bound"),
            far: Arc::default(),
            shut_out: Arc::default(),
            open: Arc::default(),
        };
        let (far, shut_out, open) = (relay.far.clone(), relay.shut_out.clone(), relay.open.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (far, shut_out, open) = (far.clone(), shut_out.clone(), open.clone());
                thread::spawn(move || Self::carry(stream, &far, &shut_out, &open));
            }
        });
        relay
    }

    fn carry(
        stream: TcpStream,
        far: &OnceLock<SocketAddr>,
        shut_out: &Mutex<Vec<SocketAddr>>,
        open: &Mutex<Vec<(SocketAddr, TcpStream)>>,
    ) -> Option<()> {
        let mut from = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let node = line.split(' ').find_map(|word| word.strip_prefix("node=")?.parse().ok())?;
        if shut_out.lock().unwrap().contains(&node) {
            return None;
        }
        let mut other = TcpStream::connect(far.get()?).ok()?;
        open.lock().unwrap().push((node, stream.try_clone().ok()?));
        other.write_all(line.as_bytes()).ok()?;
        let (mut back, mut to) = (other.try_clone().ok()?, stream.try_clone().ok()?);
        thread::spawn(move || {
            let _ = io::copy(&mut back, &mut to);
            let _ = (back.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
        let _ = io::copy(&mut from, &mut other);
        let _ = (stream.shutdown(Shutdown::Both), other.shutdown(Shutdown::Both));
        Some(())
    }

    /// Closes the connections of a node, now and later.
    fn shut_out(&self, node: SocketAddr) {
        self.shut_out.lock().unwrap().push(node);
        for (it, stream) in self.open.lock().unwrap().iter() {
            if *it == node {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

#[test]
fn of_two_that_cannot_reach_each_other_one_stays_out_and_the_others_write_on() {
    const WATCHED: Duration = Duration::from_secs(20);
    let ip = own_ip();
    let relays = [(); 3].map(|()| Relay::new(&ip));
    let near = relays.each_ref().map(|relay| relay.near);
    let prev = near[0].to_string();
    let start = |(i, relay): (usize, &Relay)| {
        let advertise = relay.near.to_string();
        let mut options = vec!["--ip", &ip, "--port", "0", "--advertise", &advertise];
        if i > 0 {
            options.extend(["--prev", &prev]);
        }
        let node = Process::start(&options, &[]);
        relay.far.set(node.address()).expect("it is set once");
        node
    };
    let nodes: Vec<_> = relays.iter().enumerate().map(start).collect();
    settle(&nodes.iter().collect::<Vec<_>>(), &near);
    let at: Vec<_> = nodes.iter().map(Process::address).collect();
    // A writer at the third, and one that goes where it is served. A node that is cut off may
    // answer what is old, until it learns that the others went on without it; the third may not.
    let traffic = Traffic::during(&[&at[1..2], &at], &at[1..2], |traffic| {
        let before = changes(&nodes[1]);
        relays[0].shut_out(near[2]);
        relays[2].shut_out(near[0]);
        let begun = Instant::now();
        until("it was watched for long enough", || {
            traffic.await_writes(5);
            (begun.elapsed() > WATCHED / 2).then_some(())
        });
        let halfway = (changes(&nodes[1]), traffic.writes());
        until("it was watched for long enough", || {
            traffic.await_writes(5);
            (begun.elapsed() > WATCHED).then_some(())
        });
        println!(
            "a pair that cannot reach each other: the list of the third changed {} times in the \
             first {:?}, {} times in the second, in which {} writes were acknowledged",
            halfway.0 - before,
            WATCHED / 2,
            changes(&nodes[1]) - halfway.0,
            traffic.writes() - halfway.1
        );
        let says_why = |node: &Process| {
            let lines = node.lines();
            let mut waiting = lines.iter().filter(|line| line.text.starts_with("waiting: "));
            waiting.next_back().map(|line| line.text.clone())
        };
        let why = [says_why(&nodes[0]), says_why(&nodes[2])];
        println!("{why:#?}");
        assert!(why.iter().any(Option::is_some), "one of the two says why it stays out");
        let stays_out = |node: &Process| {
            node.lines().iter().filter(|line| line.text.contains("stays out of the ring")).count()
        };
        let [one, third, other] = [0, 1, 2].map(|n| stays_out(&nodes[n]));
        assert!(third < one + other, "the third can reach both: {one}, {third}, {other}");
        traffic.await_writes(50);
    });
    traffic.must_be_at(at[1]);
}

#[test]
fn a_member_that_is_stopped_holds_writes_up_for_a_moment() {
    for stopped in 0..3 {
        let ring = Ring::start(3, &[]);
        let mut rest = ring.addresses();
        rest.remove(stopped);
        let traffic = Traffic::during(&[&rest[..1], &rest[1..]], &rest, |traffic| {
            traffic.await_writes(300);
            ring.nodes[stopped].signal(Signal::STOP);
            ring.nodes[(stopped + 1) % 3].wait_for_list(&rest);
            traffic.await_writes(300);
        });
        println!("member {stopped} stopped: the longest pause was {:?}", traffic.longest_pause());
        ring.nodes[stopped].signal(Signal::CONT);
        ring.settle();
        for node in &ring.nodes {
            traffic.must_be_at(node.address());
        }
    }
}

#[test]
fn three_members_in_a_row_that_are_stopped_hold_no_write_up_for_longer_than_it_may_take() {
    let ring = Ring::start(5, &[]);
    let all = ring.addresses();
    let mut clients = [ring.nodes[0].client(), ring.nodes[4].client()];
    for client in &mut clients {
        assert_eq!(client.put("before", b"1").key("copies"), Some("5"));
    }
    ring.nodes[1..4].iter().for_each(|node| node.signal(Signal::STOP));
    let stopped = Instant::now();
    for (i, client) in clients.iter_mut().enumerate() {
        let answer = client.put(&format!("after/{i}"), b"2");
        assert_eq!((answer.status(), answer.key("copies")), (200, Some("2")), "{}", answer.line);
        println!("three in a row stopped: a write took {:?}", stopped.elapsed());
    }
    for node in [&ring.nodes[0], &ring.nodes[4]] {
        node.wait_for_list(&[all[0], all[4]]);
    }
    ring.nodes[1..4].iter().for_each(|node| node.signal(Signal::CONT));
    ring.settle();
    for node in &ring.nodes {
        assert_eq!(node.client().get("after/0"), b"2");
        assert_eq!(node.client().get("after/1"), b"2");
    }
}
