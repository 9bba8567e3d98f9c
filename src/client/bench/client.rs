//! One client of a benchmark: a loop on one connection, without an allocation per request.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use fastrand::Rng;

use super::{
    report::{Kind, Tally},
    work::{SentRequest, Workload},
};
use crate::{
    client::{
        connection::{Connection, Timeouts},
        node::Node,
        reply::{Head, head},
    },
    ring::limits::LINE_BYTES_MAX,
};

/// How long a client waits before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a client's buffer for answers: room for at least two whole ones.
pub(super) fn input_bytes(size_bytes: usize) -> usize {
    (2 * (size_bytes + LINE_BYTES_MAX)).max(64 << 10)
}

/// A client and its buffers.
pub(super) struct Runner<'a> {
    work: &'a Workload,
    tally: &'a RefCell<Tally>,
    /// Which client this is.
    number: usize,
    /// When to stop.
    end: Instant,
    random: Rng,
    /// Requests of this round, and how much of them is written.
    out: Vec<u8>,
    written: usize,
    asked: Vec<SentRequest>,
    answered: usize,
    /// What was read and not yet consumed is `input[taken..filled]`.
    input: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl<'a> Runner<'a> {
    pub fn new(work: &'a Workload, tally: &'a RefCell<Tally>, number: usize, end: Instant) -> Self {
        Self {
            work,
            tally,
            number,
            end,
            random: Rng::with_seed(number as u64 + 1),
            out: Vec::new(),
            written: 0,
            asked: Vec::with_capacity(work.pipeline),
            answered: 0,
            input: vec![0; input_bytes(work.size_bytes)],
            taken: 0,
            filled: 0,
        }
    }

    /// Sends requests until the time is over. When the connection breaks, that is counted, and
    /// the client goes on at the next node.
    pub async fn run(mut self, stream: Arc<Async<TcpStream>>, nodes: &[Node], timeouts: Timeouts) {
        let mut stream = stream;
        for node in nodes.iter().cycle().skip(self.number + 1) {
            match self.rounds(&stream).await {
                Ok(()) => return,
                Err(kind) => self.tally.borrow_mut().broken(kind, self.asked.len() - self.answered),
            }
            Timer::after(RECONNECT_PAUSE).await;
            if Instant::now() >= self.end {
                return;
            }
            match Connection::open(node, timeouts).await {
                Ok(connection) => stream = connection.into_stream().into(),
                Err(_) => self.tally.borrow_mut().broken(Kind::Unreachable, 0),
            }
        }
    }

    async fn rounds(&mut self, stream: &Async<TcpStream>) -> Result<(), Kind> {
        (self.taken, self.filled) = (0, 0);
        while Instant::now() < self.end {
            self.round(stream).await?;
        }
        Ok(())
    }

    /// Writes one pipeline of requests and reads all its answers.
    async fn round(&mut self, stream: &Async<TcpStream>) -> Result<(), Kind> {
        self.out.clear();
        self.asked.clear();
        (self.written, self.answered) = (0, 0);
        for _ in 0..self.work.pipeline {
            self.asked.push(self.work.ask(&mut self.random, &mut self.out));
        }
        self.tally.borrow_mut().sent(self.asked.len());
        let begun = Instant::now();
        loop {
            self.write(stream.get_ref())?;
            // No answer can be there yet right after the write, so the wait comes first.
            ready(stream, self.written < self.out.len()).await.map_err(|_| Kind::Closed)?;
            if self.read(stream.get_ref())? {
                self.take_answers(begun)?;
                if self.answered == self.asked.len() {
                    return Ok(());
                }
            }
        }
    }

    /// Writes as much as the socket takes.
    fn write(&mut self, mut socket: &TcpStream) -> Result<(), Kind> {
        while self.written < self.out.len() {
            match socket.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Kind::Closed),
            }
        }
        Ok(())
    }

    /// Reads once; returns whether anything came.
    fn read(&mut self, mut socket: &TcpStream) -> Result<bool, Kind> {
        if self.taken > 0 {
            self.input.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        match socket.read(&mut self.input[self.filled..]) {
            Ok(0) => Err(Kind::Closed),
            Ok(read) => {
                self.filled += read;
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            Err(_) => Err(Kind::Closed),
        }
    }

    /// Checks all answers that are whole. `Err`: the stream can no longer be followed.
    fn take_answers(&mut self, begun: Instant) -> Result<(), Kind> {
        let now = Instant::now();
        let mut tally = self.tally.borrow_mut();
        while self.answered < self.asked.len() {
            let input = &self.input[self.taken..self.filled];
            let Some(head) = head(input).map_err(|_| Kind::BadAnswer)? else { return Ok(()) };
            if head.body_bytes > self.work.size_bytes {
                return Err(Kind::Length);
            }
            let whole = head.line_bytes + head.body_bytes;
            let Some(body) = input.get(head.line_bytes..whole) else { return Ok(()) };
            let checked = check(self.work, self.asked[self.answered], head, body);
            self.taken += whole;
            self.answered += 1;
            tally.answered(checked, now - begun, now <= self.end);
        }
        // An answer without a request would be taken for the answer to the next request.
        if self.taken == self.filled { Ok(()) } else { Err(Kind::BadAnswer) }
    }
}

fn check(work: &Workload, asked: SentRequest, head: Head, body: &[u8]) -> Result<(), Kind> {
    if head.status != 200 {
        return Err(Kind::Status(head.status));
    }
    let expected = if asked.put { &[] } else { work.content(asked.index) };
    if body.len() != expected.len() {
        return Err(Kind::Length);
    }
    if body == expected { Ok(()) } else { Err(Kind::Content) }
}

/// Waits until there is something to read, or, if `writing`, room to write.
async fn ready(stream: &Async<TcpStream>, writing: bool) -> io::Result<()> {
    poll_fn(|context| {
        if writing && let Poll::Ready(result) = stream.poll_writable(context) {
            return Poll::Ready(result);
        }
        stream.poll_readable(context)
    })
    .await
}
