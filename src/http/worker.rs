//! hyper as a thread's connections use it: its settings, and the first turn of h2c's streams.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Waker},
    time::Duration,
};

use hyper::{
    rt::Executor,
    server::conn::{http1, http2},
};
use smol::{LocalExecutor, future::FutureExt};
use smol_hyper::rt::SmolTimer;

use super::{front::ThreadFronts, shared::HttpShared};
use crate::serve::Options;

/// Bytes that hyper buffers for a connection, if the head may not be longer than that.
const BUFFER_BYTES_MIN: usize = 64 << 10;
/// How often a silent h2c peer is pinged, and how long it may take to answer.
const H2_PING: Duration = Duration::from_secs(20);
/// Bytes of one h2c answer that wait for the client.
const H2_SEND_BYTES_MAX: usize = 128 << 10;
/// Requests of one h2c connection that are handled before their answers are written: more mean
/// fewer writes, fewer let the client begin sooner.
const STREAMS_A_TURN: usize = 16;
/// Requests in progress on one h2c connection.
const STREAMS_MAX: u32 = 100;

/// What serves the connections of one thread.
pub(super) struct Worker {
    pub(super) shared: Rc<HttpShared>,
    pub(super) fronts: Rc<ThreadFronts>,
    pub(super) h1: http1::Builder,
    pub(super) h2: http2::Builder<Streams>,
    pub(super) streams: Streams,
}

impl Worker {
    pub(super) fn new(
        shared: HttpShared,
        fronts: ThreadFronts,
        executor: Weak<LocalExecutor<'static>>,
    ) -> Self {
        let options = &shared.options;
        // hyper's bound is a second one: a target may have become longer by percent-encoding.
        let head_bytes_max = options.head_bytes_max + options.url_bytes_max;
        let mut h1 = http1::Builder::new();
        // A client may end its side and still wait for its answer: `printf … | nc` does.
        h1.half_close(true)
            .title_case_headers(true)
            .header_read_timeout(None)
            .max_header_size(head_bytes_max)
            .max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN));
        if options.headers_max != Options::default().headers_max {
            h1.max_headers(options.headers_max);
        }
        let streams = Streams { fresh: Rc::default(), executor };
        let mut h2 = http2::Builder::new(streams.clone());
        h2.timer(SmolTimer::new())
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(H2_PING)
            .max_concurrent_streams(STREAMS_MAX)
            .max_send_buf_size(H2_SEND_BYTES_MAX)
            .max_header_list_size(options.head_bytes_max as u32);
        Self { shared: Rc::new(shared), fronts: Rc::new(fronts), h1, h2, streams }
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
    /// Gives some of the streams that have just come their first turn; after that, what they
    /// answered should be written. False: there were none.
    pub(super) fn turn(&self) -> bool {
        for given in 0..STREAMS_A_TURN {
            let Some(mut stream) = self.fresh.borrow_mut().pop_front() else { return given > 0 };
            // A stream that has to wait is polled again by the task that it then gets.
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
