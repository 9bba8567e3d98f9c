//! One connection to one node: bytes out, answers in, within time limits.

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use async_io::Timer;
use async_net::TcpStream;
use smol::{
    future,
    io::{AsyncReadExt, AsyncWriteExt},
};

use super::{
    error::Error,
    node::Node,
    reply::{Head, Reply, head},
};
use crate::{connect::connect_within, ring::wire::reply::text_line};

/// Bytes that one read takes at most.
const READ_BYTES: usize = 64 << 10;
/// Contents up to this size leave in one write with their line.
const ONE_WRITE_BYTES: usize = 16 << 10;
/// The content of a file may move this slowly before its request is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// How long a connection waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the name lookup, which is made again while the name is not known, and the TCP handshake.
    pub connect: Duration,
    /// For the next byte to move, in either direction. A whole request may last this long, and
    /// for each 64 KiB of its content a second more on the way to the node and one round the ring.
    pub silence: Duration,
}

impl Timeouts {
    /// Waits `silence` for an answer, and at most 5 s for a connection.
    pub fn new(silence: Duration) -> Self {
        Self { connect: silence.min(Duration::from_secs(5)), silence }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::new(Duration::from_secs(15))
    }
}

/// An open connection to a node. Requests are made one after the other.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    pub(super) node: String,
    timeouts: Timeouts,
    /// Bytes that were read beyond the last answer.
    buffer: Vec<u8>,
    usable: bool,
}

impl Connection {
    /// Connects to a node, to the first of its addresses that answers.
    pub async fn open(node: &Node, timeouts: Timeouts) -> Result<Self, Error> {
        let stream = connect_within(timeouts.connect, (node.host.as_str(), node.port)).await;
        let stream = stream.and_then(|it| it.get_ref().set_nodelay(true).map(|()| it.into()));
        let node = node.to_string();
        match stream {
            Ok(stream) => Ok(Self { stream, node, timeouts, buffer: Vec::new(), usable: true }),
            Err(cause) => Err(Error::Unreachable { node, cause: cause.to_string() }),
        }
    }

    /// The TCP stream; what was read beyond the last answer is lost.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Whether another request can be made. After an error that left half a message on its way
    /// it cannot.
    pub fn usable(&self) -> bool {
        self.usable
    }

    /// Sends any request line, its LF included, with the content that belongs to it, and reads
    /// the answer. Every status is `Ok` here.
    ///
    /// An answer that comes while the content is still being sent (413, 503) ends the sending;
    /// the connection is not [usable](Self::usable) after it.
    pub async fn request(&mut self, line: &str, content: &[u8]) -> Result<Reply, Error> {
        self.exchange(line.as_bytes(), content).await
    }

    /// Like [`request`](Self::request), for a line that is known to be valid.
    pub(super) async fn exchange(&mut self, line: &[u8], content: &[u8]) -> Result<Reply, Error> {
        if !self.usable {
            return Err(Error::Closed { node: self.node.clone() });
        }
        // If this future is dropped half-way, half a message has been sent.
        self.usable = false;
        let progress = Progress::new(self.timeouts.silence, content.len());
        let receiving = receive(self.stream.clone(), &mut self.buffer, &progress);
        let sending = async {
            let result = send(self.stream.clone(), line, content, &progress).await;
            progress.is_sent.set(result.is_ok());
            // Even when sending failed, a last answer may have arrived: `receiving` finds that, or
            // the end of the stream.
            future::pending().await
        };
        let result = future::or(receiving, future::or(sending, progress.expire())).await;
        self.usable = progress.is_sent.get() && result.is_ok();
        result.map_err(|broken| match broken {
            Broken::Closed => Error::Closed { node: self.node.clone() },
            Broken::TimedOut(after) => Error::TimedOut { node: self.node.clone(), after },
            Broken::Bad(what) => self.bad(what.to_owned()),
        })
    }

    pub(super) fn bad(&self, what: String) -> Error {
        Error::BadAnswer { node: self.node.clone(), what }
    }
}

/// Why no answer came.
enum Broken {
    Closed,
    TimedOut(Duration),
    Bad(&'static str),
}

/// When bytes last moved, and by when the whole request must be over.
struct Progress {
    silence: Duration,
    begun: Instant,
    moved: Cell<Instant>,
    bytes: Cell<usize>,
    /// The whole request has been given to the system.
    is_sent: Cell<bool>,
}

impl Progress {
    fn new(silence: Duration, content_bytes: usize) -> Self {
        let now = Instant::now();
        let (moved, bytes) = (Cell::new(now), Cell::new(content_bytes));
        Self { silence, begun: now, moved, bytes, is_sent: Cell::new(false) }
    }

    fn note(&self) {
        self.moved.set(Instant::now());
    }

    /// More bytes are to come than was known before, so the request may take longer.
    fn expect(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// Ends when nothing has moved for too long, or all of it has taken too long.
    async fn expire<T>(&self) -> Result<T, Broken> {
        loop {
            let whole = Duration::from_secs(self.bytes.get() as u64 / SLOWEST_BYTES_PER_SECOND);
            // What has been sent must still go round the ring, perhaps over slower lines.
            let silence = if self.is_sent.get() { self.silence + whole } else { self.silence };
            let limit = (self.moved.get() + silence).min(self.begun + self.silence + whole * 2);
            if Instant::now() >= limit {
                return Err(Broken::TimedOut(self.begun.elapsed().max(self.silence)));
            }
            Timer::at(limit).await;
        }
    }
}

async fn send(
    mut stream: TcpStream,
    line: &[u8],
    content: &[u8],
    progress: &Progress,
) -> io::Result<()> {
    let mut first = line.to_vec();
    let inline = if content.len() <= ONE_WRITE_BYTES { content.len() } else { 0 };
    first.extend_from_slice(&content[..inline]);
    for mut bytes in [first.as_slice(), &content[inline..]] {
        while !bytes.is_empty() {
            let written = stream.write(bytes).await?;
            bytes = &bytes[written..];
            progress.note();
        }
    }
    Ok(())
}

async fn receive(
    mut stream: TcpStream,
    buffer: &mut Vec<u8>,
    progress: &Progress,
) -> Result<Reply, Broken> {
    let Head { status, line_bytes, body_bytes } = loop {
        match head(buffer).map_err(Broken::Bad)? {
            Some(head) => break head,
            None => fill(&mut stream, buffer, READ_BYTES, progress).await?,
        }
    };
    progress.expect(body_bytes);
    let mut body = buffer.split_off(line_bytes);
    let line = text_line(&buffer[..line_bytes - 1]).map_err(Broken::Bad)?.to_owned();
    while body.len() < body_bytes {
        let missing = body_bytes - body.len();
        fill(&mut stream, &mut body, missing.min(READ_BYTES), progress).await?;
    }
    *buffer = body.split_off(body_bytes);
    Ok(Reply { status, line, body })
}

/// Appends what one read brings, `limit` bytes at most.
async fn fill(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    limit: usize,
    progress: &Progress,
) -> Result<(), Broken> {
    let filled = bytes.len();
    bytes.resize(filled + limit, 0);
    let read = stream.read(&mut bytes[filled..]).await.unwrap_or(0);
    bytes.truncate(filled + read);
    progress.note();
    if read == 0 { Err(Broken::Closed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::{TcpListener, TcpStream},
        thread::{self, JoinHandle},
    };

    use super::*;
    use crate::{
        client::{Client, Error},
        ring::name::Name,
    };

    const ALICE: &str = "200 OK len=5 version=0000000000000001@127.0.0.1:1 blake3=";

    /// A node that takes one connection, reads one line and passes the stream to `act`.
    fn node(act: impl FnOnce(TcpStream) + Send + 'static) -> (Node, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            // One byte at a time, so that nothing beyond the line is taken.
            BufReader::with_capacity(1, &stream).read_line(&mut line).unwrap();
            act(stream);
        });
        (Node { host: "127.0.0.1".into(), port }, thread)
    }

    fn file() -> Name {
        Name::new("file").unwrap()
    }

    fn timeouts() -> Timeouts {
        Timeouts::new(Duration::from_secs(10))
    }

    #[test]
    fn an_answer_is_read_whatever_pieces_it_comes_in() {
        let answer = format!("{ALICE}{}\nalice404 NOT FOUND\n", blake3::hash(b"alice"));
        let (node, thread) = node(move |mut stream| {
            stream.set_nodelay(true).unwrap();
            answer.bytes().for_each(|byte| stream.write_all(&[byte]).unwrap());
            // Stay until the client is done: an early close would be a reset.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        smol::block_on(async {
            let mut connection = Connection::open(&node, timeouts()).await.unwrap();
            assert_eq!(connection.get(&file()).await.unwrap().content, b"alice");
            let missing = connection.get(&file()).await;
            assert!(matches!(missing, Err(Error::Status { status: 404, .. })), "{missing:?}");
        });
        thread.join().unwrap();
    }

    #[test]
    fn an_early_answer_ends_the_sending() {
        let (done, wait) = smol::channel::bounded::<()>(1);
        let (node, thread) = node(move |mut stream| {
            stream.write_all(b"413 CONTENT TOO LARGE : at most 5 bytes\n").unwrap();
            // Nothing more is read until the client has its answer.
            let _ = wait.recv_blocking();
        });
        smol::block_on(async {
            let mut connection = Connection::open(&node, timeouts()).await.unwrap();
            let refused = connection.put(&file(), &vec![0; 64 << 20]).await;
            assert!(matches!(refused, Err(Error::Status { status: 413, .. })), "{refused:?}");
            assert!(!connection.usable());
        });
        drop(done);
        thread.join().unwrap();
    }

    #[test]
    fn a_damaged_content_and_a_short_one_are_errors() {
        let wrong = format!("{ALICE}{}\nalice", blake3::hash(b"bob"));
        let (damaged, first) = node(move |mut stream| stream.write_all(wrong.as_bytes()).unwrap());
        let short = format!("{ALICE}00\nali");
        let (cut, second) = node(move |mut stream| stream.write_all(short.as_bytes()).unwrap());
        smol::block_on(async {
            let result = Client::new(vec![damaged], timeouts()).get(&file()).await;
            assert!(matches!(result, Err(Error::BadAnswer { .. })), "{result:?}");
            let result = Client::new(vec![cut], timeouts()).get(&file()).await;
            assert!(matches!(result, Err(Error::Closed { .. })), "{result:?}");
        });
        first.join().unwrap();
        second.join().unwrap();
    }

    #[test]
    fn a_node_that_hangs_is_given_up() {
        let (done, wait) = smol::channel::bounded::<()>(1);
        let (node, thread) = node(move |_stream| {
            let _ = wait.recv_blocking();
        });
        let brief = Timeouts::new(Duration::from_millis(50));
        let result = smol::block_on(Client::new(vec![node], brief).get(&file()));
        assert!(matches!(result, Err(Error::TimedOut { .. })), "{result:?}");
        drop(done);
        thread.join().unwrap();
    }

    #[test]
    fn the_next_node_is_asked_when_one_is_down_or_not_ready() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let down = Node { host: "127.0.0.1".into(), port: closed };
        let (busy, first) = node(|mut stream| stream.write_all(b"503 UNAVAILABLE\n").unwrap());
        let (broken, second) = node(drop);
        let (good, third) = node(|mut stream| stream.write_all(b"200 OK copies=1\n").unwrap());
        let mut client = Client::new(vec![down.clone(), busy, broken, good], timeouts());
        let reply = smol::block_on(client.put(&file(), b"")).unwrap();
        assert_eq!(reply.number("copies"), Ok(1));
        let nobody = smol::block_on(Client::new(vec![down], timeouts()).put(&file(), b""));
        assert!(matches!(nobody, Err(Error::Unreachable { .. })), "{nobody:?}");
        for thread in [first, second, third] {
            thread.join().unwrap();
        }
    }
}
