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
    content::Body,
    error::Error,
    meter::Meter,
    node::Node,
    pieces::{Pour, Supply},
    reply::{Opening, Reply, opening},
};
use crate::{
    connect::connect_within,
    ring::{limits::FILE_BYTES_CEILING, wire::reply::text_line},
};

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
    /// What this side takes to read or write a file does not count.
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
        let answer = self.begin(line, &mut Body::Bytes(content)).await?;
        self.rest(answer).await
    }

    /// Sends a request and reads the line of the answer. What follows that line is to be taken by
    /// [`rest`](Self::rest) or [`rest_into`](Self::rest_into).
    pub(super) async fn begin(
        &mut self,
        line: &[u8],
        body: &mut Body<'_>,
    ) -> Result<Answer, Error> {
        if !self.usable {
            return Err(Error::Closed { node: self.node.clone() });
        }
        // If this future is dropped half-way, half a message has been sent.
        self.usable = false;
        let progress = Progress::new(self.timeouts.silence, body.bytes());
        let receiving = receive_line(self.stream.clone(), &mut self.buffer, &progress);
        let sending = async {
            match send(self.stream.clone(), line, body, &progress).await {
                Ok(()) => progress.is_sent.set(true),
                Err(NotSent::Unread(error)) => return Err(Broken::Unread(error)),
                // A last answer may have arrived nevertheless: `receiving` finds that, or the end of
                // the stream.
                Err(NotSent::Io) => {}
            }
            future::pending().await
        };
        let result = future::or(receiving, future::or(sending, progress.expire())).await;
        let is_sent = progress.is_sent.get();
        let (opening, line) = result.map_err(|broken| self.error(broken))?;
        Ok(Answer { status: opening.status, line, bytes: opening.body_bytes, is_sent })
    }

    /// The rest of an answer, as a whole.
    pub(super) async fn rest(&mut self, answer: Answer) -> Result<Reply, Error> {
        let Answer { status, line, bytes, is_sent } = answer;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= FILE_BYTES_CEILING);
        let bytes = bytes.ok_or_else(|| self.bad("a len= beyond all limits".into()))?;
        let progress = Progress::new(self.timeouts.silence, bytes as u64);
        let receiving = receive_whole(self.stream.clone(), &mut self.buffer, bytes, &progress);
        let result = future::or(receiving, progress.expire()).await;
        let body = result.map_err(|broken| self.error(broken))?;
        self.usable = is_sent;
        Ok(Reply { status, line, body })
    }

    /// The rest of an answer, in pieces: all but the first bytes, which are left out. Ends early
    /// where no piece is taken any more; the connection is not [usable](Self::usable) then.
    pub(super) async fn rest_into(
        &mut self,
        answer: &Answer,
        left_out: u64,
        pour: Pour,
        mut note: impl FnMut(usize),
    ) -> Result<(), Error> {
        let progress = Progress::new(self.timeouts.silence, answer.bytes);
        let parts = Parts { left: answer.bytes, left_out };
        let receiving = receive_pieces(
            self.stream.clone(),
            &mut self.buffer,
            parts,
            pour,
            &mut note,
            &progress,
        );
        let result = future::or(receiving, progress.expire()).await;
        let is_whole = result.map_err(|broken| self.error(broken))?;
        self.usable = answer.is_sent && is_whole;
        Ok(())
    }

    fn error(&self, broken: Broken) -> Error {
        match broken {
            Broken::Closed => Error::Closed { node: self.node.clone() },
            Broken::TimedOut(after) => Error::TimedOut { node: self.node.clone(), after },
            Broken::Bad(what) => self.bad(what.to_owned()),
            Broken::Unread(error) => error,
        }
    }

    pub(super) fn bad(&self, what: String) -> Error {
        Error::BadAnswer { node: self.node.clone(), what }
    }
}

/// The line of an answer, without its line end, and what follows it.
pub(super) struct Answer {
    pub status: u16,
    pub line: String,
    /// Bytes that follow.
    pub bytes: u64,
    /// The whole request has been sent.
    is_sent: bool,
}

/// Why no answer came.
enum Broken {
    Closed,
    TimedOut(Duration),
    Bad(&'static str),
    /// What was to be sent could not be read.
    Unread(Error),
}

/// Why not all of a request was sent.
enum NotSent {
    Io,
    /// It could not be read.
    Unread(Error),
}

impl From<io::Error> for NotSent {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

/// When bytes last moved, and by when the whole request must be over.
struct Progress {
    silence: Duration,
    begun: Instant,
    moved: Cell<Instant>,
    bytes: u64,
    /// The whole request has been given to the system.
    is_sent: Cell<bool>,
    /// It is this side that is waited for: its disk, or whoever reads what it writes.
    is_here: Cell<bool>,
    /// How long that has been so, in units of the silence.
    waited_here: Cell<Duration>,
}

impl Progress {
    fn new(silence: Duration, content_bytes: u64) -> Self {
        let now = Instant::now();
        Self {
            silence,
            begun: now,
            moved: Cell::new(now),
            bytes: content_bytes,
            is_sent: Cell::new(false),
            is_here: Cell::new(false),
            waited_here: Cell::new(Duration::ZERO),
        }
    }

    fn note(&self) {
        self.moved.set(Instant::now());
    }

    /// Waits for this side, however long that takes.
    async fn wait_here<T>(&self, wait: impl Future<Output = T>) -> T {
        self.is_here.set(true);
        let done = wait.await;
        self.is_here.set(false);
        self.note();
        done
    }

    /// Ends when nothing has moved for too long, or all of it has taken too long.
    async fn expire<T>(&self) -> Result<T, Broken> {
        loop {
            let whole = Duration::from_secs(self.bytes / SLOWEST_BYTES_PER_SECOND);
            // What has been sent must still go round the ring, perhaps over slower lines.
            let silence = if self.is_sent.get() { self.silence + whole } else { self.silence };
            let all = self.silence + whole * 2 + self.waited_here.get();
            let limit = (self.moved.get() + silence).min(self.begun + all);
            if Instant::now() < limit {
                Timer::at(limit).await;
            } else if self.is_here.get() {
                self.waited_here.set(self.waited_here.get() + self.silence);
                self.note();
            } else {
                return Err(Broken::TimedOut(self.begun.elapsed().max(self.silence)));
            }
        }
    }
}

async fn send(
    mut stream: TcpStream,
    line: &[u8],
    body: &mut Body<'_>,
    progress: &Progress,
) -> Result<(), NotSent> {
    let content = match body {
        Body::Bytes(content) => *content,
        Body::Supply(supply, meter) => {
            send_bytes(&mut stream, line, progress).await?;
            return send_pieces(&mut stream, supply, meter, progress).await;
        }
    };
    let mut first = line.to_vec();
    let inline = if content.len() <= ONE_WRITE_BYTES { content.len() } else { 0 };
    first.extend_from_slice(&content[..inline]);
    send_bytes(&mut stream, &first, progress).await?;
    Ok(send_bytes(&mut stream, &content[inline..], progress).await?)
}

async fn send_bytes(
    stream: &mut TcpStream,
    mut bytes: &[u8],
    progress: &Progress,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = stream.write(bytes).await?;
        bytes = &bytes[written..];
        progress.note();
    }
    Ok(())
}

async fn send_pieces(
    stream: &mut TcpStream,
    supply: &mut Supply,
    meter: &Meter,
    progress: &Progress,
) -> Result<(), NotSent> {
    while supply.sent < supply.bytes {
        let piece = progress.wait_here(supply.next()).await.ok_or(NotSent::Io)?;
        let piece = piece.map_err(NotSent::Unread)?;
        let mut bytes = piece.bytes();
        while !bytes.is_empty() {
            let written = stream.write(bytes).await?;
            bytes = &bytes[written..];
            progress.note();
            supply.sent += written as u64;
            meter.moved(written as u64);
        }
        supply.give_back(piece);
    }
    Ok(())
}

async fn receive_line(
    mut stream: TcpStream,
    buffer: &mut Vec<u8>,
    progress: &Progress,
) -> Result<(Opening, String), Broken> {
    let opening = loop {
        match opening(buffer).map_err(Broken::Bad)? {
            Some(opening) => break opening,
            None => fill(&mut stream, buffer, READ_BYTES, progress).await?,
        }
    };
    let rest = buffer.split_off(opening.line_bytes);
    let line = std::mem::replace(buffer, rest);
    let line = text_line(&line[..opening.line_bytes - 1]).map_err(Broken::Bad)?;
    Ok((opening, line.to_owned()))
}

async fn receive_whole(
    mut stream: TcpStream,
    buffer: &mut Vec<u8>,
    bytes: usize,
    progress: &Progress,
) -> Result<Vec<u8>, Broken> {
    let mut body = std::mem::take(buffer);
    while body.len() < bytes {
        let missing = bytes - body.len();
        fill(&mut stream, &mut body, missing.min(READ_BYTES), progress).await?;
    }
    *buffer = body.split_off(bytes);
    Ok(body)
}

/// What is still to come of a content, and how much of that is left out.
struct Parts {
    left: u64,
    left_out: u64,
}

/// Whether all of it was taken.
async fn receive_pieces(
    mut stream: TcpStream,
    buffer: &mut Vec<u8>,
    parts: Parts,
    pour: Pour,
    note: &mut impl FnMut(usize),
    progress: &Progress,
) -> Result<bool, Broken> {
    let Parts { mut left, mut left_out } = parts;
    while left > 0 {
        let Some(mut piece) = progress.wait_here(pour.empty()).await else { return Ok(false) };
        while left > 0 {
            let room = piece.room(left);
            if room.is_empty() {
                break;
            }
            let read = match buffer.len().min(room.len()) {
                0 => stream.read(room).await.unwrap_or(0),
                there => {
                    room[..there].copy_from_slice(&buffer[..there]);
                    buffer.drain(..there);
                    there
                }
            };
            if read == 0 {
                // What has come is of use where the rest can follow.
                pour.push(piece).await;
                return Err(Broken::Closed);
            }
            progress.note();
            let without = left_out.min(read as u64);
            piece.add(read, without as usize);
            left -= read as u64;
            left_out -= without;
            note(read - without as usize);
        }
        pour.push(piece).await;
    }
    Ok(true)
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
