//! A node on a port: bind, announce, serve, leave.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
};

use async_io::Async;

use super::{
    clock,
    connection::Role,
    disk::Disk,
    driver::Driver,
    handle::{MakeFace, NodeHandle},
    limits::{
        ACCEPTS_PER_TURN_MAX, CLIENTS_MAX, DESCRIPTORS_KEPT, FLIGHT_BYTES_MAX_DEFAULT,
        STORE_BYTES_MAX_DEFAULT,
    },
    link, task,
};
use crate::{
    ring::{
        Config, Event, Input, LastSeen, Node, index::Index, limits::KEEP_VERSIONS, release::Release,
    },
    serve::{accept::Acceptor, descriptors, listener::bind, systemd::Given},
    store::OpenedStore,
};

/// Where a first node listens if it is not told otherwise.
pub const DEFAULT_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
/// The port it tries first.
pub const DEFAULT_PORT: u16 = 4043;
/// How many ports from [`DEFAULT_PORT`] on are tried.
const PORTS_TRIED: u16 = 1000;

/// How much memory a node takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For files that are kept, 128 bytes for each included.
    pub store_bytes_max: usize,
    /// For everything that is on its way: files of which only a part has arrived, and what waits
    /// to be sent to other nodes and to clients. When it is used up, clients that want to put
    /// something wait. One file of the largest size goes on even then, so it should be several
    /// times that.
    pub flight_bytes_max: usize,
    /// Versions of a name that are kept.
    pub keep_versions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            store_bytes_max: STORE_BYTES_MAX_DEFAULT,
            flight_bytes_max: FLIGHT_BYTES_MAX_DEFAULT,
            keep_versions: KEEP_VERSIONS,
        }
    }
}

/// The sockets of a node that does not serve yet.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    /// How many of the listeners were handed over besides the one at the address.
    others: usize,
    face: Option<MakeFace>,
}

impl Bound {
    /// Takes the sockets that a service manager has opened, if there are any: all are served, and the
    /// first with an IP address is where the other nodes reach this one.
    pub(crate) fn given(given: Given) -> io::Result<Option<Self>> {
        let listeners: Vec<_> = given.listeners.into();
        if listeners.is_empty() {
            return Ok(None);
        }
        let address = listeners.iter().find_map(|it| it.local_addr().ok());
        let without = || io::Error::other("none of the sockets of LISTEN_FDS has an IP address");
        let (address, others) = (address.ok_or_else(without)?, listeners.len() - 1);
        Ok(Some(Self { listeners, address, others, face: None }))
    }

    /// Binds `ip:port`. A node on a loopback address also answers on 127.0.0.1 at its port, where
    /// that is free. Without a port, the first from [`DEFAULT_PORT`] on that is free on both;
    /// without an address, [`DEFAULT_IP`], or 127.0.0.1 where the host has no such address.
    ///
    /// Does not block. The error is the operating system's, and does not name the address.
    pub fn new(ip: Option<IpAddr>, port: Option<u16>) -> io::Result<Self> {
        match Self::at(ip.unwrap_or(DEFAULT_IP), port) {
            Err(error) if ip.is_none() && error.kind() == io::ErrorKind::AddrNotAvailable => {
                Self::at(Ipv4Addr::LOCALHOST.into(), port)
            }
            bound => bound,
        }
    }

    fn at(ip: IpAddr, port: Option<u16>) -> io::Result<Self> {
        if let Some(port) = port {
            let first = bind((ip, port).into())?;
            let second = second_listener(&first).unwrap_or_default();
            return Self::of(first, second);
        }
        let mut last = io::ErrorKind::AddrInUse.into();
        for port in DEFAULT_PORT..DEFAULT_PORT + PORTS_TRIED {
            let first = bind((ip, port).into());
            let both = first.and_then(|first| second_listener(&first).map(|it| (first, it)));
            match both {
                Ok((first, second)) => return Self::of(first, second),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn of(first: TcpListener, second: Option<TcpListener>) -> io::Result<Self> {
        let address = first.local_addr()?;
        let listeners = [first].into_iter().chain(second).collect();
        Ok(Self { listeners, address, others: 0, face: None })
    }

    /// Has connections that do not speak the line protocol served by what this makes.
    pub(crate) fn with_face(self, face: Option<MakeFace>) -> Self {
        Self { face, ..self }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it also listens on 127.0.0.1, because its address is another one of loopback.
    pub fn has_localhost(&self) -> bool {
        self.others == 0 && self.listeners.len() > 1
    }

    /// How many sockets it listens at that were handed over besides the one at its address.
    pub fn others(&self) -> usize {
        self.others
    }

    /// Runs the node on this thread until `leave` ends and the node has left the ring gracefully.
    /// When `retire` ends, which is before, the node says from then on that it is not ready. `on_event` is called on this thread, between two messages: it must not block.
    ///
    /// `data` is where it keeps files; without, in memory. `config.started_ms`, `config.release`, `config.seed`,
    /// `config.keeps` and `config.last_seen` are set here. Errors come from setting up the sockets.
    pub fn serve(
        self,
        mut config: Config,
        limits: Limits,
        data: Option<OpenedStore>,
        retire: impl Future<Output = ()>,
        leave: impl Future<Output = ()>,
        on_event: impl FnMut(&Event) + 'static,
    ) -> io::Result<()> {
        let clients_max = CLIENTS_MAX.min(descriptors::for_clients(DESCRIPTORS_KEPT));
        config.started_ms = clock::wall_ms();
        config.release = Release::own();
        config.seed = config.started_ms << 20 ^ u64::from(std::process::id()) << 40;
        let file_bytes_max = config.max_file_bytes;
        config.keeps = data.is_some();
        let (disk, index) = match data {
            Some(OpenedStore { store, index, opened, is_whole }) => {
                config.last_seen = opened.node.map(|it| LastSeen {
                    members: it.members.into_iter().filter(|it| *it != config.address).collect(),
                    alive_ms: it.alive_ms,
                    is_whole,
                });
                (Some(Disk::new(store)), index)
            }
            None => (None, Index::new(limits.store_bytes_max, limits.keep_versions)),
        };
        let node = Node::new(config, index);
        let flight_bytes_max = limits.flight_bytes_max;
        let on_event = Box::new(on_event);
        let driver = Driver::new(
            node,
            file_bytes_max,
            flight_bytes_max,
            clients_max,
            Box::new(link::open),
            disk,
            on_event,
        );
        if let Some(face) = self.face {
            driver.set_face(face.make(NodeHandle::new(driver.clone())));
        }
        let executor = &driver.executor;
        let acceptor = Rc::new(Acceptor::new(self.listeners)?);
        let accepting = {
            let (acceptor, driver) = (acceptor.clone(), driver.clone());
            // It always accepts: `register` closes an idle client for a new one.
            let room = async || ();
            executor.spawn(async move {
                let take = |stream, _| welcome(&driver, stream);
                let close_one = async || driver.close_one().await;
                acceptor.accept(ACCEPTS_PER_TURN_MAX, room, close_one, take).await;
            })
        };
        executor.spawn(driver.clone().keep_time()).detach();
        executor.spawn(driver.clone().sweep()).detach();
        executor.spawn(driver.clone().watch_disk()).detach();
        let leaving = async {
            retire.await;
            driver.drive(Input::Retire);
            leave.await;
            driver.drive(Input::Leave);
            driver.left().await;
            accepting.cancel().await;
            acceptor.accept_the_rest(|stream, _| welcome(&driver, stream));
            drop(acceptor);
            driver.farewell().await;
        };
        smol::block_on(executor.run(leaving));
        driver.close_disk();
        Ok(())
    }
}

/// The listener on 127.0.0.1 beside one on another loopback address.
fn second_listener(first: &TcpListener) -> io::Result<Option<TcpListener>> {
    let address = first.local_addr()?;
    if !address.ip().is_loopback() || address.ip() == Ipv4Addr::LOCALHOST {
        return Ok(None);
    }
    bind((Ipv4Addr::LOCALHOST, address.port()).into()).map(Some)
}

fn welcome(driver: &Rc<Driver>, stream: Async<TcpStream>) {
    let Some(connection) = driver.register(Role::Client) else { return };
    driver.executor.spawn(task::run(driver.clone(), connection, stream)).detach();
}
