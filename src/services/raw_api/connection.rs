//! One connection: bytes in, requests to the routes, bytes out.
//!
//! What is read is parsed in place, in the buffer that all connections share; only half a line or
//! half a body is kept. All answers to one read leave in one write. Every wait has an end:
//!
//! | it waits for | at most | then |
//! |---|---|---|
//! | the first byte | the head timeout; one second in a shutdown | closed |
//! | the rest of a head | the head timeout | 408, closed |
//! | the rest of a body | the body timeout | 408, closed |
//! | the client to take its answers | the request timeout, without a byte | closed |
//! | the next request | the keep-alive time; one second in a shutdown | closed |
//!
//! One timer per connection checks the deadline now and then, so that no request has to arm one.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    net::{self, Shutdown},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use async_io::{Async, Timer};
use async_net::TcpStream;
use smol::{
    future,
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
};

use super::{
    answer::{self, AnswerOptions},
    shared::RawShared,
};
use crate::{
    http::{
        limits::{BODIES_BYTES_MAX, DRAIN_IDLE, LINGER, LINGER_BYTES_MAX},
        log::{AccessEntry, Said},
        refusal::BODIES_FULL,
    },
    http1::request::{Parser, Refusal, Request, RequestLimits, Stage},
    serve::{
        Peer,
        thread::{AcceptedConnection, Spare},
        time::within,
    },
};

/// A request as the access log shows it.
struct Asked<'a> {
    method: &'a str,
    url: &'a str,
    said: Option<&'a Said>,
    client: Peer,
}

/// The part of a connection that the thread's accepting side sees as well.
pub(super) struct RawConnection {
    shared: Rc<RawShared>,
    peer: Peer,
    /// When the present wait began.
    since: Cell<Instant>,
    /// What it waits for, if it may be closed for another.
    spare: Cell<Option<Spare>>,
    /// The connection is to be closed to make room for another client, unless a request comes first.
    gives_way: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl RawConnection {
    pub(super) fn new(shared: Rc<RawShared>, peer: Peer) -> Self {
        Self {
            shared,
            peer,
            since: Cell::new(Instant::now()),
            spare: Cell::new(Some(Spare::Unused)),
            gives_way: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Writes a line about the answer to a request into the access log.
    fn log(&self, request: &Request, status: u16, cause: Option<&str>, bytes: u64, began: Instant) {
        if self.shared.log.is_quiet() {
            return;
        }
        let url = match request.query.as_str() {
            "" => request.path.clone(),
            query => format!("{}?{query}", request.path),
        };
        let noted = |name| request.noted(name).map(|it| it.to_owned().into());
        let said = self.shared.log.shows_said().then(|| Said {
            protocol: if request.is_old { "HTTP/1.0" } else { "HTTP/1.1" },
            referer: noted("referer"),
            user_agent: noted("user-agent"),
        });
        let client = self.shared.client(self.peer, Some(request));
        let about = Asked { method: &request.method, url: &url, said: said.as_ref(), client };
        self.log_asked(about, status, cause, bytes, began);
    }

    fn log_asked(
        &self,
        Asked { method, url, said, client }: Asked<'_>,
        status: u16,
        cause: Option<&str>,
        bytes: u64,
        began: Instant,
    ) {
        self.shared.log.access(&AccessEntry {
            method,
            url,
            status: Some(status),
            grpc_status: None,
            bytes,
            duration: began.elapsed(),
            client,
            service: None,
            trace: None,
            cause,
            said,
        });
    }
}

impl AcceptedConnection for RawConnection {
    fn spare_since(&self) -> Option<(Spare, Instant)> {
        Some((self.spare.get()?, self.since.get()))
    }

    fn is_in_use(&self) -> bool {
        !matches!(self.spare.get(), Some(Spare::Unused | Spare::Idle))
    }

    fn give_way(&self) {
        self.gives_way.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Serves a connection until its end.
pub(super) async fn run(connection: Rc<RawConnection>, stream: TcpStream) {
    let options = &connection.shared.options;
    let limits = RequestLimits {
        head_bytes_max: options.head_bytes_max,
        headers_max: options.headers_max,
        url_bytes_max: options.url_bytes_max,
        body_bytes_max: options.body_bytes_max,
        takes_all_methods: options.takes_all_methods,
        notes_headers: true,
    };
    let mut task = RawTask {
        connection: &connection,
        readiness: stream.clone().into(),
        has_read_all: false,
        stream,
        parser: Parser::new(limits),
        timer: Timer::never(),
        timer_at: None,
        requests: 0,
        held: 0,
        out: Vec::new(),
        is_closing: false,
    };
    if task.serve().await.is_ok_and(|end| end == End::Ours) {
        task.linger().await;
    }
    task.hold(0);
}

/// Which side closes the connection.
#[derive(PartialEq, Eq)]
enum End {
    /// This side. The client's bytes may still be on their way.
    Ours,
    Theirs,
    /// This side, at once: another client needs the room.
    ForAnother,
}

enum Wait {
    Read,
    Write,
}

/// The part of a connection that only its task touches.
struct RawTask<'a> {
    connection: &'a RawConnection,
    stream: TcpStream,
    /// The same socket, as something to wait for.
    readiness: Arc<Async<net::TcpStream>>,
    /// The last read took all that there was: to read again at once would be a wasted system call.
    has_read_all: bool,
    parser: Parser,
    timer: Timer,
    /// When the timer fires, if it is set.
    timer_at: Option<Instant>,
    requests: u64,
    /// Bytes of this connection that are counted in [`RawShared::bodies_bytes`].
    held: usize,
    out: Vec<u8>,
    is_closing: bool,
}

impl RawTask<'_> {
    async fn serve(&mut self) -> io::Result<End> {
        loop {
            let Some(read) = self.read().await else {
                // Where nothing was asked, nothing is answered.
                if self.parser.stage() != Stage::Nothing {
                    self.refuse(408, None);
                    self.write().await?;
                }
                let gives_way = self.connection.gives_way.get();
                return Ok(if gives_way { End::ForAnother } else { End::Ours });
            };
            let bytes = read?;
            if bytes == 0 && self.parser.stage() == Stage::Body {
                self.refuse(400, Some("the connection ended in the middle of the body"));
            }
            self.write().await?;
            if bytes == 0 {
                return Ok(End::Theirs);
            }
            if self.is_closing {
                return Ok(End::Ours);
            }
            if !self.has_read_all {
                // There is more to read at once; the other connections come first.
                future::yield_now().await;
            }
        }
    }

    /// Reads once, parses what was read, and appends the answers to `out`. Returns how many bytes were
    /// read; `None` if none came in time.
    async fn read(&mut self) -> Option<io::Result<usize>> {
        let shared = self.connection.shared.clone();
        future::poll_fn(|cx| {
            let mut buffer = shared.read_buffer.borrow_mut();
            match self.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(bytes)) => {
                    self.has_read_all = bytes < buffer.len();
                    self.take(&buffer[..bytes]);
                    Poll::Ready(Some(Ok(bytes)))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                Poll::Pending => self.poll_late(cx, &Wait::Read).map(|()| None),
            }
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.has_read_all {
            ready!(self.readiness.poll_readable(cx))?;
            self.has_read_all = false;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    /// Writes all that is in `out`.
    async fn write(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let (mut rest, mut has_waited) = (out.as_slice(), false);
        while !rest.is_empty() {
            let bytes =
                future::poll_fn(|cx| match Pin::new(&mut self.stream).poll_write(cx, rest) {
                    Poll::Pending => {
                        has_waited = true;
                        let late = self.poll_late(cx, &Wait::Write);
                        late.map(|()| Err(io::ErrorKind::TimedOut.into()))
                    }
                    written => written,
                });
            let bytes = bytes.await?;
            rest = &rest[bytes..];
            if has_waited {
                self.connection.since.set(Instant::now());
            }
        }
        Ok(())
    }

    /// Parses what was read, and answers the requests that are complete.
    fn take(&mut self, mut input: &[u8]) {
        let (now, before) = (Instant::now(), self.parser.stage());
        let mut has_answered = false;
        while !input.is_empty() && !self.is_closing {
            match self.parser.read(input) {
                Ok((taken, request)) => {
                    input = &input[taken..];
                    if let Some(request) = request {
                        self.answer(&request, now);
                        has_answered = true;
                    }
                }
                Err(Refusal { status, cause }) => self.refuse(status, Some(cause)),
            }
        }
        let stage = self.parser.stage();
        if has_answered || stage != before {
            self.connection.since.set(now);
            self.connection.gives_way.set(false);
        }
        self.connection.spare.set(match stage {
            Stage::Nothing if self.requests == 0 => Some(Spare::Unused),
            Stage::Nothing => Some(Spare::Idle),
            Stage::Head => Some(Spare::HalfHead),
            Stage::Body => None,
        });
        if !self.hold(self.parser.body_bytes()) {
            self.refuse(503, Some(BODIES_FULL));
        }
        if self.parser.wants_continue() && !self.is_closing {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Appends the answer to a request to `out`; the request's last byte was read at `began`.
    fn answer(&mut self, request: &Request, began: Instant) {
        let shared = &self.connection.shared;
        self.requests += 1;
        let is_last =
            self.requests >= shared.options.requests_max || shared.options.keep_alive.is_zero();
        self.is_closing = !request.keeps_alive || is_last || shared.draining_since().is_some();
        shared.counts.begin();
        let (own, mut headers) = shared.about(request);
        let errors = shared.options.errors;
        let reply = own.unwrap_or_else(|| shared.routes.answer(request, errors, &mut headers));
        let is_head = request.method == "HEAD";
        let (closes, is_old) = (self.is_closing, request.is_old);
        let options = AnswerOptions { is_head, closes, is_old, headers: &headers };
        answer::write(&mut self.out, &reply, options, &shared.clock);
        let bytes = if is_head { 0 } else { reply.body.len() as u64 };
        let (status, cause) = (reply.status, reply.cause);
        shared.counts.end(Some(status), began.elapsed());
        self.connection.log(request, status, cause, bytes, began);
    }

    /// Appends the last answer of the connection, which says why there are no more.
    fn refuse(&mut self, status: u16, cause: Option<&str>) {
        if std::mem::replace(&mut self.is_closing, true) {
            return;
        }
        let RawConnection { shared, since, .. } = self.connection;
        let reply = answer::status(shared.options.errors, status, cause);
        let options = AnswerOptions { closes: true, ..AnswerOptions::default() };
        shared.counts.refused(status);
        answer::write(&mut self.out, &reply, options, &shared.clock);
        let (method, url) = self.parser.asked().unwrap_or(("-", "-"));
        let client = self.connection.peer;
        let asked = Asked { method, url, said: None, client };
        self.connection.log_asked(asked, status, cause, reply.body.len() as u64, since.get());
    }

    /// Counts the bytes of a body that is not complete. Returns whether there is room for them.
    fn hold(&mut self, bytes: usize) -> bool {
        let all = &self.connection.shared.bodies_bytes;
        all.set(all.get() - self.held + bytes);
        self.held = bytes;
        all.get() <= BODIES_BYTES_MAX
    }

    /// When the present wait is over.
    fn deadline(&self, wait: &Wait) -> Instant {
        let RawConnection { shared, since, gives_way, .. } = self.connection;
        let (options, since) = (&shared.options, since.get());
        match (wait, self.parser.stage()) {
            (Wait::Write, _) => since + options.request_timeout,
            (_, Stage::Body) => since + options.body_timeout(),
            _ if gives_way.get() => since,
            (_, Stage::Head) => since + options.head_timeout(),
            (_, Stage::Nothing) => match shared.draining_since() {
                Some(draining) => since.max(draining) + DRAIN_IDLE,
                None if self.requests == 0 => since + options.head_timeout(),
                None => since + options.keep_alive,
            },
        }
    }

    /// Ready when the deadline has passed.
    fn poll_late(&mut self, cx: &mut Context<'_>, wait: &Wait) -> Poll<()> {
        let mut waker = self.connection.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        let deadline = self.deadline(wait);
        loop {
            // A timer that is set too early is set again when it has fired, and not before.
            if self.timer_at.is_none_or(|at| at > deadline) {
                self.timer.set_at(deadline);
                self.timer_at = Some(deadline);
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer_at = None;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }

    /// Closes this side, and reads and drops what still comes: closing a socket with bytes unread
    /// resets the connection, and the client may lose the answer.
    async fn linger(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut space = vec![0; 16 << 10];
        let rest = pin!(async {
            let mut bytes = 0;
            while bytes < LINGER_BYTES_MAX {
                match self.stream.read(&mut space).await {
                    Ok(more @ 1..) => bytes += more,
                    _ => return,
                }
            }
        });
        within(LINGER, rest).await;
    }
}
