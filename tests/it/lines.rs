//! Lines to nodes, which are as slow as a test wants them to be, and count what they carry.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::cluster::Process;

/// A line to a node: a connection to its near end is connected to the node at its far end. In each
/// direction it carries a number of bytes per second, for all connections together.
pub struct Line {
    /// Where others reach the node: its `--advertise`.
    pub near: SocketAddr,
    far: Arc<OnceLock<SocketAddr>>,
    carried_bytes: Arc<AtomicUsize>,
}

impl Line {
    pub fn new(ip: &str, bytes_per_second: usize) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port is free");
        // A line holds little of what it has not yet carried.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 32 << 10).unwrap();
        let near = listener.local_addr().expect("it is bound");
        let far = Arc::<OnceLock<SocketAddr>>::default();
        let carried_bytes = Arc::<AtomicUsize>::default();
        let (to, count) = (far.clone(), carried_bytes.clone());
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
                    let (free, count) = (free.clone(), count.clone());
                    thread::spawn(move || carry(from, to, bytes_per_second, &free, &count));
                }
            }
        });
        Self { near, far, carried_bytes }
    }

    /// Starts a node at the far end of a new line, which others reach only through it.
    pub fn with_node(ip: &str, bytes_per_second: usize, options: &[&str]) -> (Self, Process) {
        let line = Self::new(ip, bytes_per_second);
        let advertise = line.near.to_string();
        let own = ["--ip", ip, "--port", "0", "--advertise", &advertise];
        let node = Process::start(&[&own, options].concat(), &[]);
        line.leads_to(node.address());
        (line, node)
    }

    /// Says where its far end is.
    pub fn leads_to(&self, node: SocketAddr) {
        self.far.set(node).expect("it is set once");
    }

    /// What it has carried so far, in both directions.
    pub fn carried_bytes(&self) -> usize {
        self.carried_bytes.load(Ordering::Relaxed)
    }
}

/// Carries bytes until one end is closed. `free` is when the line has carried what it has.
fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    bytes_per_second: usize,
    free: &Mutex<Instant>,
    count: &AtomicUsize,
) {
    let mut buffer = [0; 8 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let carried = {
            let mut free = free.lock().unwrap();
            let takes = Duration::from_secs_f64(read as f64 / bytes_per_second as f64);
            *free = (*free).max(Instant::now()) + takes;
            *free
        };
        // This does not wait for an event: it makes the line slow.
        thread::sleep(carried.saturating_duration_since(Instant::now()));
        count.fetch_add(read, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
