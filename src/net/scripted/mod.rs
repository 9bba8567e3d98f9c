//! The driver and the tasks of connections over streams in memory, whose other ends are scripted:
//! what they send and when, how much they take, and how they end. No socket is opened, and time
//! passes only as a test says.

mod network;
mod ring;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, Read, Write},
    net::TcpStream,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use async_io::Async;

use super::{
    connection::{NetConnection, Role, Stage},
    driver::Driver,
    limits::{STALL, TURN_REQUESTS_MAX, UNREAD_ANSWER_BYTES_MAX},
    link,
    stream::Stream,
    task,
};
use crate::ring::{
    Config, Event, Input, Node,
    index::Index,
    limits::{FORGET_AFTER, GIVE_UP_AFTER, KEEP_VERSIONS, TOMBSTONE_TTL},
};

const MIB: usize = 1 << 20;
const FILE_BYTES_MAX: usize = 4 * MIB;
const MEET: &str = "MEET node=127.0.1.2:4043 as=visitor protocol=3 ring=scripted len=0\n";

/// What both ends of a stream share.
#[derive(Default)]
struct Wire {
    to_node: RefCell<VecDeque<u8>>,
    from_node: RefCell<Vec<u8>>,
    /// How many more bytes are taken from the node.
    room: Cell<usize>,
    /// The scripted end sends nothing more.
    has_ended: Cell<bool>,
    is_broken: Cell<bool>,
    /// The node has dropped its end.
    is_dropped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The node's end.
struct NodeEnd(Rc<Wire>);

impl Wire {
    fn check(&self) -> io::Result<()> {
        if self.is_broken.get() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn poll(&self, is_ready: bool, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if is_ready || self.is_broken.get() {
            return Poll::Ready(Ok(()));
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Read for &Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let mut bytes = self.to_node.borrow_mut();
        if bytes.is_empty() && !self.has_ended.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        bytes.read(buffer)
    }
}

impl Write for &Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let taken = bytes.len().min(self.room.get());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.set(self.room.get() - taken);
        self.from_node.borrow_mut().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for NodeEnd {
    fn io(&self) -> impl Read + Write {
        &*self.0
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(self.0.has_ended.get() || !self.0.to_node.borrow().is_empty(), cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(self.0.room.get() > 0, cx)
    }

    fn end_writing(&self) -> io::Result<()> {
        self.0.check()
    }

    fn becomes_link(&self) {}

    fn into_socket(self) -> Option<Async<TcpStream>> {
        None
    }
}

impl Drop for NodeEnd {
    fn drop(&mut self) {
        self.0.is_dropped.set(true);
    }
}

/// A node alone in its ring.
struct Alone(Rc<Driver>);

impl Alone {
    fn new() -> Self {
        let config = Config {
            address: ([127, 0, 1, 1], 4043).into(),
            prevs: Vec::new(),
            ring: "scripted".into(),
            bootstrap: true,
            check_interval: Duration::from_secs(1),
            check_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            forget_after: FORGET_AFTER,
            give_up_after: GIVE_UP_AFTER,
            min_copies: 1,
            max_file_bytes: FILE_BYTES_MAX,
            apart_bytes: usize::MAX,
            offer_bytes: usize::MAX,
            tombstone_ttl: TOMBSTONE_TTL,
            keeps: false,
            last_seen: None,
            seed: 1,
            started_ms: 1_700_000_000_000,
            release: None,
        };
        let node = Node::new(config, Index::new(64 * MIB, KEEP_VERSIONS));
        let on_event = Box::new(|_: &Event| {});
        let driver =
            Driver::new(node, FILE_BYTES_MAX, 16 * MIB, 64, Box::new(link::open), None, on_event);
        driver.drive(Input::Wake);
        Self(driver)
    }

    /// Lets every task do what it can.
    fn settle(&self) {
        while self.0.executor.try_tick() {}
    }

    /// Connects, and takes up to `room` bytes.
    fn connect(&self, room: usize) -> Other<'_> {
        let wire = Rc::new(Wire { room: Cell::new(room), ..Wire::default() });
        let connection = self.0.register(Role::Client).expect("there are few");
        let stream = NodeEnd(wire.clone());
        let run = task::run(self.0.clone(), connection.clone(), stream);
        self.0.executor.spawn(run).detach();
        self.settle();
        Other { node: self, connection, wire }
    }
}

/// The other end of a stream, and the node's connection for it.
struct Other<'a> {
    node: &'a Alone,
    connection: Rc<NetConnection>,
    wire: Rc<Wire>,
}

impl Other<'_> {
    fn send(&self, bytes: impl AsRef<[u8]>) {
        self.wire.to_node.borrow_mut().extend(bytes.as_ref());
        self.wake();
    }

    /// Takes this many bytes more.
    fn take(&self, bytes: usize) {
        self.wire.room.set(self.wire.room.get() + bytes);
        self.wake();
    }

    /// The connection breaks; what is under way is lost.
    fn break_off(&self) {
        self.wire.is_broken.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.wire.waker.take().into_iter().for_each(Waker::wake);
        self.node.settle();
    }

    fn received(&self) -> String {
        String::from_utf8_lossy(&self.wire.from_node.borrow()).into_owned()
    }

    /// What was received, without what differs from one run to the next.
    fn words(&self) -> Vec<String> {
        let words = |text: String| text.split([' ', '\n']).map(str::to_owned).collect::<Vec<_>>();
        let is_same = |word: &String| {
            !["version=", "clock=", "knew=", "stamp="].iter().any(|it| word.starts_with(it))
        };
        words(self.received()).into_iter().filter(is_same).collect()
    }
}

fn put(name: &str, bytes: usize) -> Vec<u8> {
    let mut request = format!("PUT {name} len={bytes}\n").into_bytes();
    request.resize(request.len() + bytes, b'x');
    request
}

#[test]
fn a_message_may_be_cut_at_every_byte() {
    let requests =
        [put("a", 7), b"GET a\r\nGET b\nLIST\nPING\nnonsense\nGET a\n".to_vec()].concat();
    for whole in [requests, format!("{MEET}SYNC BUCKETS\nSYNC NAMES bucket=1\n").into_bytes()] {
        let at_once = {
            let node = Alone::new();
            let other = node.connect(MIB);
            other.send(&whole);
            other.words()
        };
        assert!(at_once.len() > 10, "{at_once:?}");
        for cut in 1..whole.len() {
            let node = Alone::new();
            let other = node.connect(MIB);
            other.send(&whole[..cut]);
            other.send(&whole[cut..]);
            assert_eq!(other.words(), at_once, "cut after {cut} bytes");
        }
    }
}

#[test]
fn answers_leave_whole_however_few_bytes_are_taken_at_a_time() {
    let node = Alone::new();
    let other = node.connect(0);
    other.send([put("a", 40_000), b"GET a\nGET b\n".to_vec()].concat());
    while other.connection.outbox.borrow().bytes() > 0 {
        other.take(997);
    }
    let received = other.received();
    assert!(
        received.starts_with("200 OK version=") && received.ends_with(" has b\n"),
        "{received}"
    );
    assert!(received.len() > 40_000);
}

#[test]
fn one_that_takes_nothing_is_not_read_beyond_a_bound() {
    const BYTES: usize = 30_000;
    const GETS: usize = 100;
    const MORE: usize = 500;
    let node = Alone::new();
    node.connect(MIB).send(put("a", BYTES));
    let other = node.connect(0);
    other.send("GET a\n".repeat(GETS));
    let waiting = other.connection.outbox.borrow().bytes();
    // The task checks for room only after `TURN_REQUESTS_MAX` requests.
    let bound = UNREAD_ANSWER_BYTES_MAX + TURN_REQUESTS_MAX * (BYTES + 200);
    assert!((UNREAD_ANSWER_BYTES_MAX..bound).contains(&waiting), "{waiting} bytes wait");
    // What it asks beyond that stays where it is.
    other.send("GET a\n".repeat(MORE));
    assert_eq!(other.connection.outbox.borrow().bytes(), waiting);
    assert_eq!(other.wire.to_node.borrow().len(), MORE * "GET a\n".len(), "it is read on");
    // Others are served meanwhile, and one that takes its answers gets all of them.
    let third = node.connect(MIB);
    third.send("GET a\n");
    assert!(third.received().len() > BYTES);
    other.take(usize::MAX / 2);
    let answers = other.received().matches("200 OK").count();
    assert_eq!(answers, GETS + MORE);
}

#[test]
fn one_that_stalls_in_the_middle_of_a_content_is_told_and_costs_others_nothing() {
    let node = Alone::new();
    let (one, other) = (node.connect(MIB), node.connect(MIB));
    let request = put("large", 3 * MIB);
    one.send(&request[..2 * MIB]);
    one.connection.check_stall(Instant::now() + STALL / 2);
    assert_eq!(one.connection.stage.get(), Stage::Open, "it still has time");
    one.connection.check_stall(Instant::now() + STALL + Duration::from_secs(1));
    node.settle();
    assert!(one.received().starts_with("408 "), "{}", one.received());
    other.send(put("large", 3 * MIB));
    assert!(other.received().starts_with("200 OK"), "{}", other.received());
    // It is closed when it has closed its end, or some time later.
    one.wire.has_ended.set(true);
    one.wake();
    assert!(one.wire.is_dropped.get());
}

#[test]
fn a_link_that_dies_with_half_a_message_each_way_leaves_nothing_behind() {
    let node = Alone::new();
    let link = node.connect(MIB);
    link.send(MEET);
    assert!(matches!(link.connection.role.get(), Role::Link(_)));
    // The digests of all buckets are some KiB, of which it takes the beginning.
    let met = link.received().len();
    link.wire.room.set(100);
    link.send("SYNC BUCKETS\nSYNC NAM");
    assert_eq!(link.received().len(), met + 100);
    assert!(link.connection.outbox.borrow().bytes() > 1000);
    link.break_off();
    assert!(link.wire.is_dropped.get(), "its task has ended");
    assert_eq!(Rc::strong_count(&link.connection), 1, "nobody else knows the connection");
    // The node goes on, and a new link starts from the beginning.
    let again = node.connect(MIB);
    again.send(format!("{MEET}SYNC BUCKETS\n"));
    assert!(again.received().contains("SYNC DIGESTS"), "{}", again.received());
    let client = node.connect(MIB);
    client.send(put("a", 10));
    assert!(client.received().starts_with("200 OK"), "{}", client.received());
}
