//! What the connections of one thread share: the handler, hyper's settings, buffers.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::{Rc, Weak},
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use hyper::{
    rt::Executor,
    server::conn::{http1, http2},
};
use smol::{LocalExecutor, future::FutureExt};
use smol_hyper::rt::SmolTimer;

use super::{
    connection::{self, Connection},
    convert::Urls,
    exchange::Handler,
    limits::{BUFFER_BYTES_MIN, DRAIN_IDLE, H2_PING, READ_BYTES_MAX, STREAMS_A_TURN, STREAMS_MAX},
    log::Log,
    streamed::Streamed,
};
use crate::serve::{
    Options,
    drain::Shutdown,
    thread::{self, AcceptedConnection, Connections, ServingThread},
};

/// What all connections of one thread share.
pub(super) struct Worker {
    pub(super) options: Arc<Options>,
    pub(super) handler: Handler,
    /// What takes requests before the handler does.
    pub(super) streamed: Option<Streamed>,
    pub(super) shutdown: Shutdown,
    pub(super) log: Log,
    pub(super) h1: http1::Builder,
    pub(super) h2: http2::Builder<Streams>,
    pub(super) streams: Streams,
    /// One buffer for all reads: nothing stays in it from one poll of a task to the next.
    pub(super) read_buffer: RefCell<Vec<u8>>,
    pub(super) urls: RefCell<Urls>,
    /// Of request bodies that are here.
    pub(super) bodies_bytes: Arc<AtomicUsize>,
    connections: Rc<Connections>,
}

/// Serves on this thread until the shutdown is complete. Returns the number of connections that
/// were cut off in the middle of something.
pub(super) fn run(
    thread: ServingThread,
    handler: Handler,
    streamed: Option<Streamed>,
) -> io::Result<usize> {
    let (options, log) = (thread.options.clone(), Log::new(thread.lines.clone(), &thread.options));
    let shutdown = thread.shutdown.clone();
    thread::run(thread, |connections, executor| {
        let new = Worker::new(options, handler, log, shutdown, connections, Streams::new(executor));
        let worker = Rc::new(Worker { streamed, ..new });
        move |stream, peer| {
            let connection = Rc::new(Connection::new(worker.clone(), stream, peer));
            let accepted: Rc<dyn AcceptedConnection> = connection.clone();
            (accepted, move || connection.run())
        }
    })
}

impl Worker {
    fn new(
        options: Arc<Options>,
        handler: Handler,
        log: Log,
        shutdown: Shutdown,
        connections: Rc<Connections>,
        streams: Streams,
    ) -> Self {
        let mut h1 = http1::Builder::new();
        // A client may end its side and still wait for its answer: `printf … | nc` does.
        h1.half_close(true)
            .title_case_headers(true)
            .header_read_timeout(None)
            .max_header_size(options.head_bytes_max)
            .max_buf_size(options.head_bytes_max.max(BUFFER_BYTES_MIN));
        if options.headers_max != Options::default().headers_max {
            h1.max_headers(options.headers_max);
        }
        let mut h2 = http2::Builder::new(streams.clone());
        h2.timer(SmolTimer::new())
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(H2_PING)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(options.head_bytes_max as u32);
        Self {
            options,
            handler,
            streamed: None,
            shutdown,
            log,
            h1,
            h2,
            streams,
            read_buffer: RefCell::new(vec![0; READ_BYTES_MAX]),
            urls: RefCell::new(Urls::new()),
            bodies_bytes: Arc::default(),
            connections,
        }
    }

    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.connections.draining_since()
    }

    /// No wait that begins now ends before this.
    pub(super) fn shortest_wait(&self) -> Duration {
        let shortest = connection::shortest_wait(&self.options);
        if self.draining_since().is_some() { shortest.min(DRAIN_IDLE) } else { shortest }
    }
}

impl AcceptedConnection for Connection {
    fn idle_since(&self) -> Option<Instant> {
        self.idle_since()
    }

    fn give_way(&self) {
        self.give_way();
    }

    fn wake(&self) {
        self.wake();
    }
}

/// Takes the streams of h2c connections. Most of them can be answered at once, so each gets its
/// first turn from its connection ([`Streams::turn`]), and a task only if it has to wait.
#[derive(Clone)]
pub(super) struct Streams {
    fresh: Rc<RefCell<VecDeque<Stream>>>,
    executor: Weak<LocalExecutor<'static>>,
}

type Stream = Pin<Box<dyn Future<Output = ()>>>;

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let stream = AssertUnwindSafe(stream).catch_unwind();
        self.fresh.borrow_mut().push_back(Box::pin(async { drop(stream.await) }));
    }
}

impl Streams {
    fn new(executor: Weak<LocalExecutor<'static>>) -> Self {
        Self { fresh: Rc::default(), executor }
    }

    /// Gives some of the streams that have just come their first turn; after that, what they
    /// answered should be written. False: there were none.
    pub(super) fn turn(&self) -> bool {
        for given in 0..STREAMS_A_TURN {
            let Some(mut stream) = self.fresh.borrow_mut().pop_front() else { return given > 0 };
            // Who waits is asked again by its task, which is then woken.
            let mut unwakeable = Context::from_waker(Waker::noop());
            if stream.as_mut().poll(&mut unwakeable).is_pending()
                && let Some(executor) = self.executor.upgrade()
            {
                executor.spawn(stream).detach();
            }
        }
        true
    }
}
