//! Slow lines between nodes: a large file takes longer than anybody would wait for a dead node.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use crate::cluster::{Process, own_ip, until};

const MIB: usize = 1 << 20;

/// A line to a node: whoever connects to its near end is connected to the node at its far end.
/// In each direction it carries so many bytes a second, of all connections together.
struct Line {
    near: SocketAddr,
    far: Arc<OnceLock<SocketAddr>>,
}

impl Line {
    fn new(ip: &str, bytes_per_second: usize) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port is free");
        // A line holds little of what it has not yet carried.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 32 << 10).unwrap();
        let near = listener.local_addr().expect("it is bound");
        let far = Arc::<OnceLock<SocketAddr>>::default();
        let to = far.clone();
        let directions = [(); 2].map(|()| Arc::new(Mutex::new(Instant::now())));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(other) = to.get().and_then(|to| TcpStream::connect(to).ok()) else {
                    continue;
                };
                let ends = [(&stream, &other), (&other, &stream)];
                for ((from, to), free) in ends.into_iter().zip(&directions) {
                    let from = from.try_clone().expect("it is a socket");
                    let to = to.try_clone().expect("it is a socket");
                    let free = free.clone();
                    thread::spawn(move || carry(from, to, bytes_per_second, &free));
                }
            }
        });
        Self { near, far }
    }
}

/// Carries bytes until one end is closed. `free` is when the line is done with what it has.
fn carry(mut from: TcpStream, mut to: TcpStream, bytes_per_second: usize, free: &Mutex<Instant>) {
    let mut buffer = [0; 8 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let carried = {
            let mut free = free.lock().unwrap();
            let takes = Duration::from_secs_f64(read as f64 / bytes_per_second as f64);
            *free = (*free).max(Instant::now()) + takes;
            *free
        };
        // This is no wait for an event: it is what makes the line slow.
        thread::sleep(carried.saturating_duration_since(Instant::now()));
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Two nodes that reach each other only over lines of so many Mbit/s.
fn two_nodes(mbit_per_second: usize) -> [Process; 2] {
    let ip = own_ip();
    let lines = [(); 2].map(|()| Line::new(&ip, mbit_per_second * 1_000_000 / 8));
    let prev = lines[0].near.port().to_string();
    let mut nodes = Vec::new();
    for line in &lines {
        let advertise = line.near.to_string();
        let mut options = vec!["--ip", &ip, "--port", "0", "--advertise", &advertise];
        if !nodes.is_empty() {
            options.extend(["--prev-ip", &ip, "--prev-port", &prev]);
        }
        let node = Process::start(&options, &[]);
        line.far.set(node.address()).expect("it is set once");
        nodes.push(node);
    }
    for node in &nodes {
        node.wait_for_list(&lines.each_ref().map(|line| line.near));
        until("it is ready", || (node.client().ask("INFO").key("ready")? == "1").then_some(()));
    }
    nodes.try_into().ok().expect("two were started")
}

fn deaths(nodes: &[Process]) -> Vec<String> {
    let lines = nodes.iter().flat_map(Process::lines).map(|line| line.text);
    lines.filter(|text| text.contains("is gone") || text.contains("broke")).collect()
}

fn put_over_a_slow_line(mbit_per_second: usize) {
    let nodes = two_nodes(mbit_per_second);
    let film = vec![7; 16 * MIB];
    let mut client = nodes[0].client();
    let begun = Instant::now();
    let answer = client.put("film", &film);
    println!("{mbit_per_second} Mbit/s: {:?}: {}", begun.elapsed(), answer.line);
    assert_eq!(deaths(&nodes), [""; 0], "nobody died of a large file");
    assert_eq!((answer.status(), answer.key("copies")), (200, Some("2")), "{}", answer.line);
    assert!(nodes[1].client().get("film") == film);
}

#[test]
fn nobody_is_called_dead_while_a_large_file_is_on_a_slow_line() {
    let nodes = two_nodes(10);
    let mut client = nodes[0].client();
    client.send(format!("PUT film len={}\n", 16 * MIB));
    client.send(vec![7; 16 * MIB]);
    let mut other = nodes[1].client();
    thread::spawn(move || client.try_answer());
    until("the file is there", || (other.ask("INFO").key("files")? == "1").then_some(()));
    assert_eq!(deaths(&nodes), [""; 0]);
}

#[test]
fn a_large_file_is_put_over_ten_megabit() {
    put_over_a_slow_line(10);
}

#[test]
fn a_large_file_is_put_over_five_megabit() {
    put_over_a_slow_line(5);
}
