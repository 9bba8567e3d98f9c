//! The task of a connection, from the first byte to the last: which HTTP it speaks, its deadlines,
//! its end. Which waits there are, and what ends each, is in `state.rs`.
//!
//! One timer per connection checks the state now and then: no request touches a timer unless its
//! handler has to wait.

use std::{
    future::Future,
    io::{self, Read},
    net::Shutdown,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Instant,
};

use async_io::Timer;
use hyper::{StatusCode, body::Bytes, service::service_fn};
use smol::{future, io::AsyncWriteExt};

use super::{
    answer::answer,
    connection::HttpConnection,
    front::ThreadFronts,
    limits::{LINGER, LINGER_BYTES_MAX},
    log::AccessEntry,
    refusal,
    shared::HttpShared,
    socket::Socket,
    worker::Worker,
};
use crate::serve::{
    thread::{self, AcceptedConnection, ServingThread},
    time::within,
};

/// What an HTTP/2 client with prior knowledge sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves on this thread until the shutdown is complete. Returns the number of connections that
/// were cut off in the middle of something.
pub(super) fn run(thread: ServingThread, fronts: ThreadFronts) -> io::Result<usize> {
    let ServingThread { options, lines, metrics, shutdown, .. } = &thread;
    let (options, lines, shutdown) = (options.clone(), lines.clone(), shutdown.clone());
    let metrics = metrics.clone();
    thread::run(thread, |connections, executor| {
        let shared = HttpShared::new(options, lines, metrics, shutdown, connections);
        let worker = Rc::new(Worker::new(shared, fronts, executor));
        move |stream, peer| {
            let connection = Rc::new(HttpConnection::new(worker.shared.clone(), stream, peer));
            let accepted: Rc<dyn AcceptedConnection> = connection.clone();
            let task = Task::new(worker.clone(), connection, Vec::new());
            (accepted, move || task.run())
        }
    })
}

/// One connection.
pub(super) struct Task {
    worker: Rc<Worker>,
    connection: Rc<HttpConnection>,
    /// What was read of it before.
    read: Vec<u8>,
}

impl Task {
    pub(super) fn new(worker: Rc<Worker>, connection: Rc<HttpConnection>, read: Vec<u8>) -> Self {
        Self { worker, connection, read }
    }

    /// Serves the connection until its end.
    pub(super) async fn run(mut self) {
        let read = std::mem::take(&mut self.read);
        let state = &self.connection.state;
        let first = match self.guard(self.first_bytes(read)).await {
            Some(Ok(first)) if !first.is_empty() => first,
            Some(_) => return,
            None => return self.time_out().await,
        };
        let socket = Socket::new(self.connection.clone(), first);
        let ended = match state.is_h2() {
            true => self.serve_h2(socket).await,
            false => {
                let service = service_fn(|request| {
                    answer(self.connection.clone(), self.worker.fronts.clone(), request)
                });
                self.guard(self.worker.h1.serve_connection(socket, service)).await
            }
        };
        let (refused, is_over) = {
            let intake = self.connection.intake.borrow();
            (intake.head_refusal(), intake.is_over())
        };
        match (ended, refused) {
            (None, _) => self.time_out().await,
            (Some(_), Some(refused)) if !state.is_last() => {
                self.refuse(refusal::status_of(refused), Some(refused.cause)).await;
            }
            (Some(ended), _) if state.is_refusing() => {
                let status =
                    ended.err().as_ref().map_or(StatusCode::BAD_REQUEST, refusal::status_of_hyper);
                self.refuse(status, None).await;
            }
            // The client has closed it, and has been answered everything.
            (Some(Ok(())), _) if !state.is_last() && !is_over => {}
            (Some(_), _) => self.linger().await,
        }
    }

    /// Serves requests of HTTP/2 until the connection's end (`Some`) or its deadline (`None`).
    async fn serve_h2(&self, socket: Socket) -> Option<hyper::Result<()>> {
        let (connection, fronts) = (self.connection.clone(), self.worker.fronts.clone());
        let service =
            service_fn(move |request| answer(connection.clone(), fronts.clone(), request));
        let mut work = pin!(self.worker.h2.serve_connection(socket, service));
        let mut is_ending = false;
        let work = future::poll_fn(|cx| {
            loop {
                if !is_ending && self.connection.must_end() {
                    is_ending = true;
                    work.as_mut().graceful_shutdown();
                }
                let polled = work.as_mut().poll(cx);
                let has_answered = self.worker.streams.turn();
                if polled.is_ready() || !has_answered {
                    while self.worker.streams.turn() {}
                    // The client is told at once which request was the last.
                    if polled.is_pending() && !is_ending && self.connection.must_end() {
                        continue;
                    }
                    return polled;
                }
            }
        });
        self.guard(work).await
    }

    /// Reads until it is clear which HTTP this is. Empty if the client has gone.
    async fn first_bytes(&self, mut first: Vec<u8>) -> io::Result<Bytes> {
        let state = &self.connection.state;
        loop {
            if !first.is_empty() {
                let known = first.len().min(PREFACE.len());
                state.speaks_h2(first[..known] == PREFACE[..known]);
                if !state.is_h2() || known == PREFACE.len() {
                    return Ok(first.into());
                }
            }
            let read = {
                let mut space = self.connection.shared.read_buffer.borrow_mut();
                self.connection.stream.get_ref().read(&mut space).inspect(|&bytes| {
                    first.extend_from_slice(&space[..bytes]);
                })
            };
            match read {
                Ok(0) => return Ok(first.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.stream.readable().await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs `work` until it ends (`Some`) or the connection's deadline passes (`None`).
    async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let HttpConnection { state, shared, .. } = &*self.connection;
        let mut work = pin!(work);
        let mut timer = Timer::never();
        let mut is_set = false;
        let mut was_draining = false;
        future::poll_fn(|cx| {
            self.connection.keep_waker(cx);
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            state.end_turn();
            let draining = shared.draining_since();
            is_set &= draining.is_some() == was_draining && !state.gives_way();
            was_draining = draining.is_some();
            while !is_set || Pin::new(&mut timer).poll(cx).is_ready() {
                let now = Instant::now();
                // A wait that begins later than now ends later than this.
                let shortest = now + shared.shortest_wait();
                match state.deadline(&shared.options, draining) {
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

    /// The deadline has passed. Says so where a request has begun.
    async fn time_out(&self) {
        if self.connection.state.is_told_late() {
            self.refuse(StatusCode::REQUEST_TIMEOUT, None).await;
        }
    }

    /// Answers a request of HTTP/1 that did not become an exchange, and ends the connection.
    async fn refuse(&self, status: StatusCode, cause: Option<&str>) {
        let HttpConnection { state, shared, stream, .. } = &*self.connection;
        shared.counts.refused(status.as_u16());
        let body = refusal::body(status, shared.options.errors, cause);
        self.log_refusal(status, cause, body.len());
        let refusal = refusal::bytes(status, shared.options.errors, &body);
        state.close();
        let mut stream = stream;
        let gives_way = state.gives_way();
        let _ = within(LINGER, stream.write_all(&refusal)).await;
        // Where another client needs the room, it does not wait for this one to close its side.
        if !gives_way {
            self.linger().await;
        }
    }

    fn log_refusal(&self, status: StatusCode, cause: Option<&str>, bytes: usize) {
        let HttpConnection { state, shared, peer, intake, .. } = &*self.connection;
        let intake = intake.borrow();
        let (method, url) = intake.asked().unwrap_or(("-", "-"));
        shared.log.access(&AccessEntry {
            method,
            url,
            status: Some(status.as_u16()),
            grpc_status: None,
            bytes: bytes as u64,
            duration: state.waited(),
            client: *peer,
            service: shared.options.service,
            trace: None,
            cause,
            said: None,
        });
    }

    /// Closes this side, and throws away what still comes: a socket that is closed with bytes
    /// unread resets the connection, and the client may lose the answer.
    async fn linger(&self) {
        let HttpConnection { stream, shared, .. } = &*self.connection;
        let _ = stream.get_ref().shutdown(Shutdown::Write);
        let rest = async {
            let mut bytes = 0;
            while bytes < LINGER_BYTES_MAX {
                let read = {
                    let mut space = shared.read_buffer.borrow_mut();
                    stream.get_ref().read(&mut space)
                };
                match read {
                    Ok(0) => return,
                    Ok(more) => bytes += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if stream.readable().await.is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                }
            }
        };
        within(LINGER, rest).await;
    }
}
