//! A network in memory between drivers on one thread: bytes arrive in pieces of any size, routes
//! stand still for a while, connections break at any byte, and hosts go down.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use async_io::Async;

use crate::net::{
    clock::{self, Alarm},
    connection::Role,
    driver::Driver,
    link,
    stream::Stream,
    task,
};

/// Bytes that a connection takes in each direction before the sender has to wait.
const CAPACITY: usize = 24 << 10;
const LATENCY: Duration = Duration::from_millis(1);

/// What one end has written and the other has not yet read.
#[derive(Default)]
struct Pipe {
    /// Still on the way; and arrived.
    sent: VecDeque<u8>,
    arrived: VecDeque<u8>,
    /// Nothing more is written.
    has_ended: bool,
    is_broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.sent.len() + self.arrived.len())
    }

    fn is_readable(&self) -> bool {
        self.is_broken || !self.arrived.is_empty() || (self.has_ended && self.sent.is_empty())
    }

    fn check(&self) -> io::Result<()> {
        if self.is_broken { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

type Shared = Rc<RefCell<Pipe>>;

/// One end of a connection.
pub struct End {
    to_other: Shared,
    from_other: Shared,
}

struct Io<'a>(&'a End);

impl Read for Io<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.from_other.borrow_mut();
        pipe.check()?;
        if !pipe.is_readable() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = pipe.arrived.read(buffer)?;
        pipe.writer.take().into_iter().for_each(Waker::wake);
        Ok(read)
    }
}

impl Write for Io<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.to_other.borrow_mut();
        pipe.check()?;
        let taken = bytes.len().min(pipe.room());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.sent.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for End {
    fn io(&self) -> impl Read + Write {
        Io(self)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.from_other.borrow_mut();
        if pipe.is_readable() {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.to_other.borrow_mut();
        if pipe.is_broken || pipe.room() > 0 {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn end_writing(&self) -> io::Result<()> {
        let mut pipe = self.to_other.borrow_mut();
        pipe.check()?;
        pipe.has_ended = true;
        pipe.wake();
        Ok(())
    }

    fn becomes_link(&self) {}

    fn into_socket(self) -> Option<Async<TcpStream>> {
        None
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut out = self.to_other.borrow_mut();
        out.has_ended = true;
        out.wake();
        let mut back = self.from_other.borrow_mut();
        back.is_broken = true;
        back.wake();
    }
}

/// A connection between two places: the index of a host, or none for a client.
struct Route {
    places: [Option<usize>; 2],
    pipes: [Shared; 2],
}

impl Route {
    fn is_of(&self, host: usize) -> bool {
        self.places.contains(&Some(host))
    }

    fn break_off(&self) {
        for pipe in &self.pipes {
            let mut pipe = pipe.borrow_mut();
            pipe.is_broken = true;
            pipe.wake();
        }
    }
}

/// All hosts and connections.
pub struct Network {
    pub rng: RefCell<fastrand::Rng>,
    /// The driver of each host that runs.
    pub hosts: RefCell<Vec<Option<Rc<Driver>>>>,
    routes: RefCell<Vec<Route>>,
    /// Two hosts between which nothing moves, until when.
    frozen: Cell<Option<(usize, usize, Instant)>>,
}

impl Network {
    pub fn new(hosts: usize, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            hosts: RefCell::new(vec![None; hosts]),
            routes: RefCell::default(),
            frozen: Cell::new(None),
        })
    }

    pub fn address(host: usize) -> SocketAddr {
        ([10, 0, 0, host as u8 + 1], 4043).into()
    }

    /// A number below `bound`.
    pub fn below(&self, bound: usize) -> usize {
        self.rng.borrow_mut().usize(..bound)
    }

    /// True once in so many times.
    pub fn once_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// How a host opens links.
    pub fn opener(self: &Rc<Self>, host: usize) -> link::OpenLink {
        let network = self.clone();
        Box::new(move |driver, connection, to| {
            let network = network.clone();
            let is_dead =
                network.hosts.borrow()[host].as_ref().is_none_or(|it| !Rc::ptr_eq(it, driver));
            let connecting = async move {
                if is_dead {
                    return Err(io::ErrorKind::NetworkDown.into());
                }
                Alarm::after(LATENCY).await;
                let is_there = |it: &usize| Self::address(*it).to_string() == to;
                let other = (0..network.hosts.borrow().len()).find(is_there);
                let other = other.ok_or(io::ErrorKind::HostUnreachable)?;
                while network.is_frozen(host, other) {
                    Alarm::after(LATENCY).await;
                }
                network.connect(Some(host), other)
            };
            driver.executor.spawn(link::run(driver.clone(), connection, connecting)).detach();
        })
    }

    /// Connects to a host, from another one or as a client.
    pub fn connect(&self, from: Option<usize>, to: usize) -> io::Result<End> {
        let driver = self.hosts.borrow()[to].clone().ok_or(io::ErrorKind::ConnectionRefused)?;
        let connection = driver.register(Role::Client).ok_or(io::ErrorKind::ConnectionReset)?;
        let pipes: [Shared; 2] = Default::default();
        let near = End { to_other: pipes[0].clone(), from_other: pipes[1].clone() };
        let far = End { to_other: pipes[1].clone(), from_other: pipes[0].clone() };
        self.routes.borrow_mut().push(Route { places: [from, Some(to)], pipes });
        driver.executor.spawn(task::run(driver.clone(), connection, far)).detach();
        Ok(near)
    }

    fn is_frozen(&self, one: usize, other: usize) -> bool {
        self.frozen.get().is_some_and(|(a, b, until)| {
            clock::now() < until && [(a, b), (b, a)].contains(&(one, other))
        })
    }

    /// For a while nothing moves between two hosts.
    pub fn freeze(&self, one: usize, other: usize, time: Duration) {
        self.frozen.set(Some((one, other, clock::now() + time)));
    }

    pub fn is_any_frozen(&self) -> bool {
        self.frozen.get().is_some_and(|(.., until)| clock::now() < until)
    }

    /// Breaks one connection of two hosts.
    pub fn break_one(&self) {
        let routes = self.routes.borrow();
        let between: Vec<_> = routes.iter().filter(|it| it.places[0].is_some()).collect();
        if !between.is_empty() {
            between[self.below(between.len())].break_off();
        }
    }

    /// A host goes down without a word, and forgets everything.
    pub fn kill(&self, host: usize) {
        let driver = self.hosts.borrow_mut()[host].take().expect("it runs");
        let routes = self.routes.borrow();
        routes.iter().filter(|it| it.is_of(host)).for_each(Route::break_off);
        drop(routes);
        // The tasks of its connections end, and with them what they hold.
        while driver.executor.try_tick() {}
    }

    /// Lets some of what is on its way arrive, cut anywhere.
    pub fn deliver(&self) {
        let mut routes = self.routes.borrow_mut();
        routes.retain(|it| it.pipes.iter().any(|pipe| Rc::strong_count(pipe) > 1));
        for route in routes.iter() {
            if let [Some(one), Some(other)] = route.places
                && self.is_frozen(one, other)
            {
                continue;
            }
            for pipe in &route.pipes {
                let mut pipe = pipe.borrow_mut();
                let waiting = pipe.sent.len();
                let count = if self.once_in(2) { waiting } else { self.below(waiting + 1) };
                let arrived: Vec<u8> = pipe.sent.drain(..count).collect();
                pipe.arrived.extend(arrived);
                if pipe.is_readable() {
                    pipe.reader.take().into_iter().for_each(Waker::wake);
                }
            }
        }
    }
}
