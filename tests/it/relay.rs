//! A place between a client and a server, whose connections can go silent: they stay open, and
//! nothing comes out of them any more, as when a firewall has forgotten them.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

pub struct Relay {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// The first connection that is not silent.
    first_open: Arc<AtomicUsize>,
}

impl Relay {
    /// Passes everything on to a port of this machine. Its threads end with the test process.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Self { address, connections: Arc::default(), first_open: Arc::default() };
        let (connections, first_open) = (relay.connections.clone(), relay.first_open.clone());
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let number = connections.fetch_add(1, SeqCst);
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                for (from, to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    let first_open = first_open.clone();
                    thread::spawn(move || pass_on(from, to, || number < first_open.load(SeqCst)));
                }
            }
        });
        relay
    }

    /// All connections that there are go silent.
    pub fn silence(&self) {
        self.first_open.store(self.connections(), SeqCst);
    }

    /// How many there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_silent: impl Fn() -> bool) {
    let mut space = [0; 64 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut space) {
        if !is_silent() && to.write_all(&space[..bytes]).is_err() {
            return;
        }
    }
    if !is_silent() {
        let _ = to.shutdown(std::net::Shutdown::Write);
    }
}
