//! One connection from its first byte to its last: which HTTP it speaks, its deadlines, its end.
//!
//! At any moment a connection waits for one of these, and each wait but the second has an end:
//!
//! | it waits for | at most | then |
//! |---|---|---|
//! | the first byte, the rest of a head | the head timeout | 408, closed |
//! | the body, the handler | their own timers, in `exchange` | 408, closed |
//! | the client to take an answer | the request timeout, without a byte | closed |
//! | the next request | the keep-alive time; one second in a shutdown | closed |
//!
//! An idle connection is closed earlier if all connections are taken and another client waits.
//!
//! A state changes by setting a cell, and one timer a connection looks at the cells now and then:
//! no request touches a timer unless its handler has to wait.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io::{self, Read},
    net::{Shutdown, SocketAddr, TcpStream},
    pin::{Pin, pin},
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use hyper::{StatusCode, body::Bytes, service::service_fn};
use smol::{future, io::AsyncWriteExt};

use super::{
    exchange,
    limits::{DRAIN_IDLE, LINGER, LINGER_BYTES_MAX},
    log::Entry,
    socket::Socket,
    worker::Worker,
};
use crate::serve::{Options, time::within};

/// What an HTTP/2 client that knows that we speak it says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The state of a connection, which its task, its socket and its exchanges share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: Async<TcpStream>,
    pub(super) peer: SocketAddr,
    pub(super) peer_text: String,
    is_h2: Cell<bool>,
    requests: Cell<u64>,
    /// Exchanges that are not over.
    in_flight: Cell<u32>,
    /// Those of them in which the client waits for us.
    busy: Cell<u32>,
    /// An answer is complete, but not all of it has gone to the kernel.
    is_unflushed: Cell<bool>,
    /// A request has begun to come, and its head is not complete.
    has_half_a_head: Cell<bool>,
    /// A wait began in this turn of the task, and has no time yet; most end before they need one.
    is_fresh: Cell<bool>,
    /// What was read last ends in an empty line, as a request without a body does.
    ends_in_blank: Cell<bool>,
    /// It is closed for another client, unless it has something to do by now.
    gives_way: Cell<bool>,
    /// No request after the one in progress.
    is_closing: Cell<bool>,
    /// When the present wait began.
    since: Cell<Instant>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(worker: Rc<Worker>, stream: Async<TcpStream>, peer: SocketAddr) -> Self {
        Self {
            worker,
            stream,
            peer,
            peer_text: peer.to_string(),
            is_h2: Cell::new(false),
            requests: Cell::new(0),
            in_flight: Cell::new(0),
            busy: Cell::new(0),
            is_unflushed: Cell::new(false),
            has_half_a_head: Cell::new(false),
            is_fresh: Cell::new(false),
            ends_in_blank: Cell::new(false),
            gives_way: Cell::new(false),
            is_closing: Cell::new(false),
            since: Cell::new(Instant::now()),
            waker: RefCell::new(None),
        }
    }

    /// Serves the connection until its end.
    pub(super) async fn run(self: Rc<Self>) {
        let first = match self.guard(self.first_bytes()).await {
            Some(Ok(first)) if !first.is_empty() => first,
            Some(_) => return,
            None => return self.time_out().await,
        };
        let socket = Socket::new(self.clone(), first);
        let service = {
            let connection = self.clone();
            service_fn(move |request| exchange::answer(connection.clone(), request))
        };
        let ended = if self.is_h2.get() {
            let mut work = pin!(self.worker.h2.serve_connection(socket, service));
            let mut is_leaving = false;
            let work = future::poll_fn(|cx| {
                if !is_leaving && self.must_leave() {
                    is_leaving = true;
                    work.as_mut().graceful_shutdown();
                }
                loop {
                    let polled = work.as_mut().poll(cx);
                    let has_answered = self.worker.streams.turn();
                    if polled.is_ready() || !has_answered {
                        while self.worker.streams.turn() {}
                        return polled;
                    }
                }
            });
            self.guard(work).await
        } else {
            self.guard(self.worker.h1.serve_connection(socket, service)).await
        };
        match ended {
            None => self.time_out().await,
            // The client has ended it, and has had all that it asked for.
            Some(Ok(())) if !self.is_closing.get() => {}
            Some(_) => self.linger().await,
        }
    }

    /// Reads until it is clear which HTTP this is. Nothing: the client has gone.
    async fn first_bytes(&self) -> io::Result<Bytes> {
        let mut first = Vec::new();
        loop {
            let read = {
                let mut space = self.worker.read_buffer.borrow_mut();
                self.stream.get_ref().read(&mut space).inspect(|&bytes| {
                    self.received(&space[..bytes]);
                    first.extend_from_slice(&space[..bytes]);
                })
            };
            match read {
                Ok(0) => return Ok(first.into()),
                Ok(_) => {
                    let known = first.len().min(PREFACE.len());
                    self.is_h2.set(first[..known] == PREFACE[..known]);
                    if !self.is_h2.get() || known == PREFACE.len() {
                        return Ok(first.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.readable().await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs `work` until it ends (`Some`) or the connection's deadline passes (`None`).
    async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut timer = Timer::never();
        let mut is_set = false;
        let mut was_draining = false;
        future::poll_fn(|cx| {
            if self.waker.borrow().is_none() {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
            }
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.is_fresh.replace(false) {
                self.touch();
            }
            let is_draining = self.worker.draining_since().is_some();
            is_set &= is_draining == was_draining && !self.gives_way.get();
            was_draining = is_draining;
            while !is_set || Pin::new(&mut timer).poll(cx).is_ready() {
                let now = Instant::now();
                // A wait that begins later than now ends later than this.
                let shortest = now + self.worker.shortest_wait();
                match self.deadline() {
                    Some(deadline) if deadline <= now => return Poll::Ready(None),
                    Some(deadline) => timer.set_at(deadline.min(shortest)),
                    None => timer.set_at(shortest),
                }
                is_set = false;
                if Pin::new(&mut timer).poll(cx).is_pending() {
                    is_set = true;
                    break;
                }
            }
            Poll::Pending
        })
        .await
    }

    /// When the present wait is over.
    fn deadline(&self) -> Option<Instant> {
        let options = &self.worker.options;
        let since = self.since.get();
        if self.busy.get() > 0 {
            None
        } else if self.in_flight.get() > 0 || self.is_unflushed.get() {
            Some(since + options.request_timeout)
        } else if self.has_half_a_head.get() && !self.is_h2.get() {
            Some(since + options.head_timeout())
        } else if self.gives_way.get() {
            Some(since)
        } else if let Some(draining) = self.worker.draining_since() {
            Some(since.max(draining) + DRAIN_IDLE)
        } else if self.requests.get() == 0 {
            Some(since + options.head_timeout())
        } else {
            Some(since + options.keep_alive)
        }
    }

    /// The deadline has passed. Says so where a request has begun, or where none ever did.
    async fn time_out(&self) {
        let may_wait = self.worker.draining_since().is_none() && !self.gives_way.get();
        let is_first = self.requests.get() == 0 && may_wait;
        let is_asked = self.has_half_a_head.get() || is_first;
        if self.is_between_exchanges() && is_asked && !self.is_h2.get() {
            let refusal = self.refusal(StatusCode::REQUEST_TIMEOUT);
            let _ = within(LINGER, (&self.stream).write_all(&refusal)).await;
            self.linger().await;
        }
    }

    /// Ends our side, and throws away what still comes: a socket that is closed with bytes unread
    /// resets the connection, and the client may lose the answer.
    async fn linger(&self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        let rest = async {
            let mut bytes = 0;
            while bytes < LINGER_BYTES_MAX {
                let read = {
                    let mut space = self.worker.read_buffer.borrow_mut();
                    self.stream.get_ref().read(&mut space)
                };
                match read {
                    Ok(0) => return,
                    Ok(more) => bytes += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.stream.readable().await.is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                }
            }
        };
        within(LINGER, rest).await;
    }

    /// A whole answer of HTTP/1 that refuses a request and closes the connection; it is logged.
    pub(super) fn refusal(&self, status: StatusCode) -> Bytes {
        self.is_closing.set(true);
        self.worker.log.access(&Entry {
            method: "-",
            url: "-",
            status: Some(status.as_u16()),
            grpc_status: None,
            bytes: exchange::reason(status).len() as u64,
            duration: self.since.get().elapsed(),
            client: self.peer,
            service: self.worker.options.service,
            trace: None,
        });
        exchange::refusal(status, self.worker.options.error_type)
    }

    /// Nothing is being answered, and every answer has gone to the kernel.
    pub(super) fn is_between_exchanges(&self) -> bool {
        self.in_flight.get() == 0 && !self.is_unflushed.get()
    }

    /// Since when there has been nothing to do, if there is nothing.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_asked = self.has_half_a_head.get() && !self.is_h2.get();
        let is_idle = self.is_between_exchanges() && !is_asked;
        (is_idle && !self.is_closing.get()).then(|| self.since.get())
    }

    /// Ends the connection if it is still idle when its task looks.
    pub(super) fn give_way(&self) {
        self.gives_way.set(true);
        self.wake();
    }

    /// Notes what has been read.
    pub(super) fn received(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.ends_in_blank.set(bytes.ends_with(b"\n\r\n") || bytes.ends_with(b"\n\n"));
        if self.in_flight.get() == 0 && !self.has_half_a_head.replace(true) {
            self.is_fresh.set(true);
        }
    }

    /// Notes that a request's head is complete.
    pub(super) fn exchange_begins(&self) {
        self.requests.set(self.requests.get() + 1);
        self.in_flight.set(self.in_flight.get() + 1);
        self.busy.set(self.busy.get() + 1);
        self.has_half_a_head.set(false);
        self.gives_way.set(false);
    }

    /// Notes whether one exchange more, or less, has the client waiting.
    pub(super) fn count_busy(&self, is_busy: bool) {
        let busy = self.busy.get();
        self.busy.set(if is_busy { busy + 1 } else { busy - 1 });
        self.is_fresh.set(true);
    }

    /// Notes that an exchange is over. What was read behind a request without a body is the
    /// beginning of the next one.
    pub(super) fn exchange_ended(&self, now: Instant, had_body: bool) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.is_unflushed.set(true);
        self.has_half_a_head.set(!had_body && !self.ends_in_blank.get());
        self.since.set(now);
        self.is_fresh.set(false);
    }

    /// Notes that the kernel has all that was written.
    pub(super) fn flushed(&self) {
        self.is_unflushed.set(false);
    }

    /// A new wait begins.
    pub(super) fn touch(&self) {
        self.since.set(Instant::now());
    }

    /// After the present answer the connection is closed, if `closes`.
    pub(super) fn closes_if(&self, closes: bool) {
        if closes {
            self.is_closing.set(true);
        }
    }

    /// Whether the answer that is made now is the last one; if so, no other will be.
    pub(super) fn is_last_answer(&self) -> bool {
        self.closes_if(self.must_leave());
        self.is_closing.get()
    }

    fn must_leave(&self) -> bool {
        self.worker.draining_since().is_some()
            || self.requests.get() >= self.worker.options.requests_max
    }

    /// Lets the task look at its deadline anew.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// The shortest of all waits.
pub(super) fn shortest_wait(options: &Options) -> Duration {
    options.request_timeout.min(options.head_timeout()).min(options.keep_alive)
}
