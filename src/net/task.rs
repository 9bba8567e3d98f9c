//! The task of a connection: bytes in, messages to the node, bytes out.
//!
//! It reads only after the reactor has said that there is something, and does not read again after
//! a read that did not fill the buffer: a request costs one read, one write and one re-arming of
//! the reactor. The answers to many requests in one read leave in one write.

use std::{
    future::Future,
    io::{self, Read},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use smol::future;

use super::{
    clock::{self, Alarm},
    connection::{NetConnection, Role, Stage},
    driver::Driver,
    flight::Half,
    http,
    limits::{
        PIECES_PER_TURN_MAX, PIPELINE_REQUESTS_MAX, READS_PER_TURN_MAX, STREAM_AHEAD_BYTES,
        TURN_LOOK, TURN_REQUESTS_MAX, UNREAD_ANSWER_BYTES_MAX, WRITES_PER_TURN_MAX,
    },
    stream::Stream,
    streamed::Feeding,
    upload::Upload,
};
use crate::ring::{
    Input,
    codec::{Decoded, Decoder, Reject},
    message::{Message, Peer, Refusal, Request, Status},
};
use crate::store::disk::ReadError;

/// Runs a connection until its end.
pub(super) async fn run(driver: Rc<Driver>, connection: Rc<NetConnection>, stream: impl Stream) {
    let mut decoder = Decoder::new(driver.bytes_max.any);
    if connection.role.get() != Role::Client {
        decoder.trust_peer();
        stream.becomes_link();
    }
    let mut task = Task {
        driver: driver.clone(),
        connection: connection.clone(),
        stream,
        decoder,
        partial: Vec::new(),
        has_rest: false,
        is_held: false,
        is_first: true,
        is_http: false,
        is_blocked: false,
        has_ended: false,
        content: None,
        upload: None,
        retry: None,
        feeding: Feeding::default(),
    };
    let end = future::poll_fn(|cx| task.poll(cx)).await;
    match task.is_http {
        true => http::serve(&driver, &connection, task.stream, task.partial).await,
        false => drop(task),
    }
    let why = match end {
        Ok(()) => "the connection was closed".to_owned(),
        Err(error) => in_words(&error),
    };
    driver.forget(&connection, why);
}

/// The part of a connection that only its task touches.
struct Task<S> {
    driver: Rc<Driver>,
    connection: Rc<NetConnection>,
    stream: S,
    decoder: Decoder,
    /// What was read and not decoded: the beginning of a line whose end is still to come.
    partial: Vec<u8>,
    /// It has whole requests as well: there was no room for more answers.
    has_rest: bool,
    /// The first of them waits for room in the budget.
    is_held: bool,
    /// Nothing has been decoded yet.
    is_first: bool,
    /// What came first is HTTP: something else goes on with the connection.
    is_http: bool,
    /// The last write did not take everything.
    is_blocked: bool,
    /// The other end sends nothing more.
    has_ended: bool,
    /// The file that is just arriving.
    content: Option<Half>,
    /// The large file that is just arriving in pieces, or has yet to be put.
    upload: Option<Upload>,
    /// Wakes the task to ask whether that may go on.
    retry: Option<Alarm>,
    /// The next piece of an answer that leaves piece by piece.
    feeding: Feeding,
}

impl<S: Stream> Task<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.keep_waker(cx);
        loop {
            if self.is_http {
                return Poll::Ready(Ok(()));
            }
            self.feed(cx)?;
            let is_flushed = self.flush(cx)?;
            if is_flushed && self.has_more() {
                // Others have their turn before the next pieces.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.connection.stage.get() {
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Finishing if is_flushed && self.connection.answers.borrow().len() == 0 => {
                    self.connection.stage.set(Stage::Lingering);
                    if self.has_ended || self.stream.end_writing().is_err() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Finishing => return Poll::Pending,
                Stage::Open if self.upload.as_ref().is_some_and(Upload::has_ended) => {
                    ready!(self.put_upload(cx));
                    continue;
                }
                Stage::Open if self.has_ended => {
                    let is_done = is_flushed && self.connection.answers.borrow().len() == 0;
                    return if self.is_link() || is_done {
                        Poll::Ready(Ok(()))
                    } else {
                        Poll::Pending
                    };
                }
                Stage::Open if self.driver.is_closing() && !self.is_link() => {
                    if !self.take_last(cx)? {
                        return Poll::Pending;
                    }
                    continue;
                }
                Stage::Open if self.content.is_some() => {
                    // A client that sends nothing does not ask for room either.
                    ready!(self.stream.poll_readable(cx))?;
                    if !self.may_read(cx) {
                        return Poll::Pending;
                    }
                    self.read()?;
                    continue;
                }
                Stage::Open if !self.may_read(cx) => return Poll::Pending,
                Stage::Open if self.has_rest => {
                    self.decode_rest()?;
                    // Others have their turn before this one writes and goes on.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stage::Open | Stage::Lingering => {}
            }
            ready!(self.stream.poll_readable(cx))?;
            self.read()?;
        }
    }

    /// Whether more of an answer could be read from the disk at once.
    fn has_more(&self) -> bool {
        self.connection.answers.borrow().streamed.is_some() && !self.feeding.waits()
    }

    /// Reads more of an answer that leaves piece by piece, unless enough waits already.
    fn feed(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        for _ in 0..PIECES_PER_TURN_MAX {
            let mut answers = self.connection.answers.borrow_mut();
            let mut outbox = self.connection.outbox.borrow_mut();
            let Some(streamed) = &mut answers.streamed else { return Ok(()) };
            if outbox.bytes() >= STREAM_AHEAD_BYTES {
                return Ok(());
            }
            let next = |cx: &Context<'_>| self.driver.piece(cx, streamed);
            let Poll::Ready(read) = self.feeding.poll(cx, next) else {
                return Ok(());
            };
            match read {
                // Its length was promised, so the connection can only break.
                Err(why) => {
                    let streamed = streamed.clone();
                    drop((answers, outbox));
                    if matches!(why, ReadError::Damaged) {
                        self.driver.is_damaged(&streamed);
                    }
                    return Err(io::Error::other(why));
                }
                Ok(piece) if piece.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(piece) => {
                    streamed.advance(piece.len());
                    outbox.push_piece(&piece);
                    if streamed.is_done() {
                        answers.end_streamed(&mut outbox);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what the other end takes. Returns whether that was all.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        for _ in 0..WRITES_PER_TURN_MAX {
            if self.connection.outbox.borrow().bytes() == 0 {
                self.is_blocked = false;
                return Ok(true);
            }
            if self.is_blocked {
                match self.stream.poll_writable(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(result) => result?,
                }
                self.is_blocked = false;
                self.progress();
            }
            let written = self.connection.outbox.borrow_mut().write_to(self.stream.io());
            match written {
                Ok(written) => self.note_taken(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // A connection that takes bytes as fast as they are written must not keep the thread from
        // the others.
        cx.waker().wake_by_ref();
        Ok(self.connection.outbox.borrow().bytes() == 0)
    }

    /// Whether there is room for what the client may send. If not, the task will be woken.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_link() {
            return true;
        }
        if self.is_full() {
            // Nor does it count as a stall of this client that nothing more is read from it.
            self.connection.half.set(None);
            return false;
        }
        let has_room = match &self.content {
            _ if self.upload.is_some() => self.upload_may_grow(cx),
            Some(content) if content.may_grow(clock::now(), cx.waker()) => true,
            Some(_) => {
                let mut retry = Alarm::after(TURN_LOOK);
                self.retry = Pin::new(&mut retry).poll(cx).is_pending().then_some(retry);
                self.retry.is_none()
            }
            None if self.is_held && !self.driver.has_room() => {
                self.driver.flight.park(cx.waker().clone());
                false
            }
            None => true,
        };
        if !has_room {
            // Waiting for others does not count as a stall of this client.
            self.connection.active.set(clock::now());
            self.connection.half.set(None);
        }
        has_room
    }

    /// The node is about to end: what the client has sent is answered, and then the connection is
    /// closed gracefully. Returns whether that is done.
    fn take_last(&mut self, cx: &Context<'_>) -> io::Result<bool> {
        if self.is_full() {
            return Ok(false);
        }
        if self.upload.take().is_some() {
            self.refuse_last();
            return Ok(true);
        }
        let is_all = if self.has_rest {
            self.decode_rest()?;
            false
        } else {
            self.read()?
        };
        if self.connection.is_ending() || self.has_ended {
            return Ok(true);
        }
        if !is_all {
            cx.waker().wake_by_ref();
            return Ok(false);
        }
        if !self.partial.is_empty() || !self.decoder.is_between_messages() {
            self.refuse_last();
        }
        self.connection.end();
        Ok(true)
    }

    /// Answers what has not come whole before this node ends.
    fn refuse_last(&self) {
        let reason = "this node is leaving its ring; try another";
        self.connection.refuse(Refusal::new(Status::Unavailable, reason));
        self.connection.end();
    }

    /// Whether more of a large file may be read. If not, the task is woken.
    fn upload_may_grow(&mut self, cx: &Context<'_>) -> bool {
        let Some(upload) = &self.upload else { return true };
        match upload.poll_room(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(fault)) => {
                self.connection.refuse(upload.refusal(fault));
                self.upload = None;
                self.decoder.skip_file();
                true
            }
        }
    }

    /// A large file begins to arrive in pieces.
    fn begin_upload(&mut self, message: Message, bytes: usize) {
        let Message::Request(Request::Put { name, only_if, .. }) = message else { return };
        match Upload::begin(&self.driver, name, bytes, only_if) {
            Ok(upload) => self.upload = Some(upload),
            Err(refusal) => {
                self.connection.refuse(refusal);
                self.decoder.skip_file();
            }
        }
    }

    /// A large file has come: it is put when all of it is on the disk.
    fn put_upload(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(()) };
        match ready!(upload.poll_put(cx)) {
            Ok(put) => self.driver.turn().put(&self.connection, put),
            Err(fault) => self.connection.refuse(upload.refusal(fault)),
        }
        self.upload = None;
        Poll::Ready(())
    }

    fn is_link(&self) -> bool {
        self.connection.role.get() != Role::Client
    }

    /// Whether the client must take answers before it may ask more.
    fn is_full(&self) -> bool {
        self.connection.answers.borrow().len() >= PIPELINE_REQUESTS_MAX
            || self.connection.outbox.borrow().bytes() >= UNREAD_ANSWER_BYTES_MAX
    }

    /// Reads once, or a few times while a file arrives, and gives every message to the node.
    /// Returns whether there is nothing more to read for now.
    fn read(&mut self) -> io::Result<bool> {
        let driver = self.driver.clone();
        let mut buffer = driver.read_buffer.borrow_mut();
        for _ in 0..READS_PER_TURN_MAX {
            let kept = self.partial.len();
            buffer[..kept].copy_from_slice(&self.partial);
            let read = match self.stream.io().read(&mut buffer[kept..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let now = clock::now();
            if read == 0 {
                self.has_ended = true;
                self.connection.half.set(None);
                if self.connection.stage.get() == Stage::Lingering {
                    self.connection.stage.set(Stage::Ended);
                }
                return Ok(true);
            }
            if self.connection.stage.get() == Stage::Lingering {
                return Ok(false);
            }
            self.connection.active.set(now);
            driver.traffic.received(read);
            let all = kept + read;
            let taken = self.decode(&buffer[..all])?;
            self.partial.clear();
            self.partial.extend_from_slice(&buffer[taken..all]);
            self.note_half(now, read);
            if all < buffer.len() || self.connection.stage.get() != Stage::Open {
                return Ok(false);
            }
            if self.content.is_none() && !self.upload.as_ref().is_some_and(Upload::has_room) {
                return Ok(false);
            }
        }
        // A file that is just arriving may keep the buffer full for long: others have their turn.
        Ok(false)
    }

    /// Goes on with what was read earlier.
    fn decode_rest(&mut self) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.partial);
        let taken = self.decode(&rest)?;
        rest.drain(..taken);
        self.partial = rest;
        self.note_half(clock::now(), 0);
        Ok(())
    }

    fn note_half(&mut self, now: Instant, read: usize) {
        let is_between = self.partial.is_empty() && self.decoder.is_between_messages();
        let is_whole = self.has_rest || is_between;
        let half = match self.connection.half.get() {
            _ if is_whole => None,
            None => Some((now, 0)),
            Some((since, bytes)) => Some((since, bytes + read as u64)),
        };
        self.connection.half.set(half);
        if self.decoder.bytes_wanted() == 0 || self.upload.is_some() {
            self.content = None;
        } else {
            let upload = (!self.is_link()).then_some(self.connection.id);
            let content =
                self.content.get_or_insert_with(|| Half::new(self.driver.flight.clone(), upload));
            content.set(self.decoder.bytes_got());
        }
        if half.is_some() {
            self.progress();
        }
    }

    /// Decodes what has come, and returns how much of it was decoded. The rest is the beginning of
    /// a line, or requests whose answers have no room yet.
    fn decode(&mut self, input: &[u8]) -> io::Result<usize> {
        if self.is_first && http::is_http(input) && !self.is_link() {
            self.is_http = self.driver.face().is_some();
            if self.is_http || http::refuses(&self.connection, input) {
                return Ok(0);
            }
        }
        let mut taken = 0;
        let mut messages = Vec::new();
        self.has_rest = false;
        self.is_held = false;
        while self.connection.stage.get() == Stage::Open {
            if messages.len() >= TURN_REQUESTS_MAX || messages.last().is_some_and(is_long) {
                self.give(&mut messages)?;
                if self.is_full() && !self.is_link() {
                    self.has_rest = taken < input.len();
                    break;
                }
            }
            if self.must_wait(&input[taken..]) {
                (self.has_rest, self.is_held) = (true, true);
                break;
            }
            let in_pieces = |message: &_, bytes| self.driver.takes_apart(message, bytes);
            let (more, decoded) = self.decoder.decode_some(&input[taken..], in_pieces);
            if self.must_go_round(&decoded) {
                (self.has_rest, self.is_held) = (true, true);
                break;
            }
            taken += more;
            let Some(decoded) = decoded else { break };
            self.is_first = false;
            let message = match decoded {
                Ok(Decoded::Whole(message)) => Ok(message),
                Ok(Decoded::Begins(message, bytes)) => {
                    self.give(&mut messages)?;
                    self.begin_upload(message, bytes);
                    continue;
                }
                Ok(Decoded::Piece(piece)) => {
                    self.upload.iter_mut().for_each(|upload| upload.push(piece));
                    continue;
                }
                Ok(Decoded::Ends) => {
                    // It is put before what comes after it is asked.
                    self.upload.iter_mut().for_each(Upload::end);
                    self.has_rest = taken < input.len();
                    break;
                }
                Err(reject) => Err(reject),
            };
            if let Ok(Message::Peer(_)) = &message
                && self.connection.role.get() == Role::Client
            {
                self.give(&mut messages)?;
                self.become_link(message)?;
                continue;
            }
            let is_last = matches!(&message, Ok(Message::Request(Request::Quit)))
                || matches!(&message, Err(reject) if reject.close);
            messages.push(message);
            if is_last {
                self.give(&mut messages)?;
                self.connection.end();
                return Ok(input.len());
            }
        }
        self.give(&mut messages)?;
        Ok(taken)
    }

    /// Whether a PUT comes next, and there is no room for it.
    fn must_wait(&self, input: &[u8]) -> bool {
        !self.is_link() && !self.driver.has_room() && self.decoder.next_is_upload(input)
    }

    /// Whether this is a GET or a DELETE that goes round the ring, and there is no room for that. It is
    /// one line, so it can be decoded once more.
    fn must_go_round(&self, decoded: &Option<Result<Decoded<'_>, Reject>>) -> bool {
        let Some(Ok(Decoded::Whole(Message::Request(request)))) = decoded else { return false };
        let goes_round = match request {
            Request::Get { name, version } => version.is_some() || !self.driver.has(name),
            Request::Delete { .. } => true,
            _ => false,
        };
        goes_round && !self.is_link() && !self.driver.has_room()
    }

    /// Gives the node what was decoded, in one turn.
    fn give(&mut self, messages: &mut Vec<Result<Message, Reject>>) -> io::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut turn = self.driver.turn();
        for message in messages.drain(..) {
            match (message, self.connection.role.get()) {
                (Ok(Message::Request(request)), Role::Client) => {
                    turn.request(&self.connection, request);
                }
                (Ok(Message::Peer(message)), Role::Link(link)) => turn.received(link, message),
                (Err(reject), Role::Client) => self.connection.refuse(reject.refusal),
                (Err(reject), Role::Link(_)) => {
                    return Err(nonsense(&reject.refusal.reason));
                }
                (Ok(_), _) => return Err(nonsense("a client's request on a link")),
            }
        }
        Ok(())
    }

    /// A client's connection turns out to be a node's. Only MEET can do that.
    fn become_link(&mut self, message: Result<Message, Reject>) -> io::Result<()> {
        let Ok(Message::Peer(message)) = message else { return Ok(()) };
        if !matches!(message.message, Peer::Meet(_)) {
            let reason = "that is for nodes, and a link between nodes must begin with MEET";
            self.connection.refuse(Refusal::new(Status::BadRequest, reason));
            return Ok(());
        }
        match self.driver.adopt(&self.connection) {
            None => {
                let reason = "too many nodes are linked to this one";
                self.connection.refuse(Refusal::new(Status::Unavailable, reason));
                self.connection.end();
            }
            Some(link) => {
                self.decoder.trust_peer();
                self.stream.becomes_link();
                self.driver.turn().received(link, message);
            }
        }
        Ok(())
    }

    fn note_taken(&self, written: usize) {
        let connection = &self.connection;
        let now = clock::now();
        connection.active.set(now);
        self.driver.traffic.sent(written);
        let (since, taken) = connection.taking.get().unwrap_or((now, 0));
        let is_all = connection.outbox.borrow().bytes() == 0;
        connection.taking.set((!is_all).then_some((since, taken + written as u64)));
    }

    fn progress(&self) {
        if let Role::Link(link) = self.connection.role.get() {
            self.driver.drive(Input::Progress { link });
        }
    }
}

/// Whether one answer may be as long as many others.
fn is_long(message: &Result<Message, Reject>) -> bool {
    matches!(message, Ok(Message::Request(Request::List { .. })))
}

/// An error as text for users, without the system's error number.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => error.to_string(),
    }
}

fn nonsense(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it does not speak as a node: {why}"))
}
