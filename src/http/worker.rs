//! One thread that serves: it accepts, runs the connections that it accepted, and drains them.
//!
//! Threads share the listening socket and nothing else that a request touches: no lock, but for
//! the one of the access log, and no task ever moves.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    panic::AssertUnwindSafe,
    rc::{Rc, Weak},
    sync::{Arc, atomic::AtomicUsize},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use hyper::{
    rt::Executor,
    server::conn::{http1, http2},
};
use smol::{
    LocalExecutor,
    future::{self, FutureExt},
};
use smol_hyper::rt::SmolTimer;

use super::{
    Options, Post,
    connection::{self, Connection},
    convert::Urls,
    exchange::Handler,
    limits::{
        ACCEPT_RETRY, BUFFER_BYTES_MIN, DRAIN_IDLE, H2_PING, IDLE_MIN, READ_BYTES_MAX, STREAMS_MAX,
    },
    listener::{canonical, is_of_the_client},
    log::Log,
    shutdown::Shutdown,
    streamed::Streamed,
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
    pub(super) h2: http2::Builder<Spawner>,
    /// One buffer for all reads: nothing stays in it from one poll of a task to the next.
    pub(super) read_buffer: RefCell<Vec<u8>>,
    pub(super) urls: RefCell<Urls>,
    /// Of request bodies that are here.
    pub(super) bodies_bytes: Arc<AtomicUsize>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    connections_made: Cell<u64>,
    draining: Cell<Option<Instant>>,
    /// Waits for a connection to end.
    waits_for_an_end: RefCell<Option<Waker>>,
}

/// Serves on this thread until the shutdown is complete. Returns the number of connections that
/// were cut off in the middle of something.
pub(super) fn run(post: Post, handler: Handler, streamed: Option<Streamed>) -> io::Result<usize> {
    let Post { options, log, listener, shutdown, beside, others } = post;
    let executor = Rc::new(LocalExecutor::new());
    let listener = Rc::new(Async::new_nonblocking(listener)?);
    let worker = Rc::new(Worker {
        streamed,
        ..Worker::new(options, handler, log, &shutdown, Spawner(Rc::downgrade(&executor)))
    });
    executor.spawn(beside).detach();
    // A task of its own: the future that `run` is given is polled at every turn.
    let accepting =
        executor.spawn(worker.clone().accept(Rc::downgrade(&executor), listener.clone()));
    let serve = async {
        shutdown.draining().await;
        accepting.cancel().await;
        worker.accept_the_rest(&executor, &listener);
        drop(listener);
        worker.drain();
        let all = async {
            worker.fewer_than(1).await;
            others.await;
            0
        };
        let cut = async {
            shutdown.ended().await;
            worker.connections.borrow().len()
        };
        future::or(all, cut).await
    };
    let cut = smol::block_on(executor.run(serve));
    // With the executor, all that still runs is dropped; and here the sockets are closed.
    drop(executor);
    drop(worker.connections.take());
    Ok(cut)
}

impl Worker {
    fn new(
        options: Arc<Options>,
        handler: Handler,
        log: Log,
        shutdown: &Shutdown,
        spawner: Spawner,
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
        let mut h2 = http2::Builder::new(spawner);
        h2.timer(SmolTimer::new())
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(H2_PING)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(options.head_bytes_max as u32);
        Self {
            options,
            handler,
            streamed: None,
            shutdown: shutdown.clone(),
            log,
            h1,
            h2,
            read_buffer: RefCell::new(vec![0; READ_BYTES_MAX]),
            urls: RefCell::new(Urls::new()),
            bodies_bytes: Arc::default(),
            connections: RefCell::default(),
            connections_made: Cell::new(0),
            draining: Cell::new(None),
            waits_for_an_end: RefCell::new(None),
        }
    }

    /// Accepts for ever, while there is room.
    async fn accept(
        self: Rc<Self>,
        executor: Weak<LocalExecutor<'static>>,
        listener: Rc<Async<TcpListener>>,
    ) {
        let most = self.options.connections_max.div_ceil(self.options.threads);
        loop {
            if self.connections.borrow().len() >= most {
                // Nobody has to go unless somebody waits.
                let _ = listener.readable().await;
                self.make_room(most).await;
            }
            let accepted = listener.accept().await;
            let Some(executor) = executor.upgrade() else { return };
            match accepted {
                Ok((stream, peer)) => self.serve(&executor, stream, peer),
                Err(error) if is_of_the_client(&error) => {}
                Err(_) => {
                    Timer::after(ACCEPT_RETRY).await;
                }
            }
            // Many who connect must not keep those waiting who are connected.
            future::yield_now().await;
        }
    }

    /// Takes what the kernel has accepted for us already: these clients may have sent a request.
    fn accept_the_rest(
        self: &Rc<Self>,
        executor: &LocalExecutor<'static>,
        listener: &Async<TcpListener>,
    ) {
        loop {
            match listener.get_ref().accept() {
                Ok((stream, peer)) => {
                    if let Ok(stream) = Async::new(stream) {
                        self.serve(executor, stream, peer);
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(_) => return,
            }
        }
    }

    fn serve(
        self: &Rc<Self>,
        executor: &LocalExecutor<'static>,
        stream: Async<TcpStream>,
        peer: SocketAddr,
    ) {
        let _ = stream.get_ref().set_nodelay(true);
        let id = self.connections_made.get();
        self.connections_made.set(id + 1);
        let connection = Rc::new(Connection::new(self.clone(), stream, canonical(peer)));
        self.connections.borrow_mut().insert(id, connection.clone());
        let worker = self.clone();
        let task = async move {
            // A handler's panic is caught where it is called; this is for the readers that it
            // leaves behind. The connection is lost, and no other.
            let _ = AssertUnwindSafe(connection.run()).catch_unwind().await;
            worker.connections.borrow_mut().remove(&id);
            if let Some(waker) = worker.waits_for_an_end.borrow_mut().take() {
                waker.wake();
            }
        };
        executor.spawn(task).detach();
    }

    /// Ends when there are fewer connections than this. Idle ones are closed for that, one by one;
    /// those that are in the middle of something are waited for.
    async fn make_room(&self, most: usize) {
        while self.connections.borrow().len() >= most {
            let idle = {
                let connections = self.connections.borrow();
                let idle = connections.values().filter_map(|it| Some((it.idle_since()?, it)));
                let longest = idle.min_by_key(|(since, _)| *since);
                longest.filter(|(since, _)| since.elapsed() >= IDLE_MIN).map(|(_, it)| it.clone())
            };
            if let Some(idle) = idle {
                idle.give_way();
            }
            let retry = async {
                Timer::after(IDLE_MIN).await;
            };
            future::or(self.fewer_than(most), retry).await;
        }
    }

    /// Ends when there are fewer connections than this.
    async fn fewer_than(&self, most: usize) {
        future::poll_fn(|cx| {
            if self.connections.borrow().len() < most {
                return Poll::Ready(());
            }
            *self.waits_for_an_end.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// From now on every answer is its connection's last.
    fn drain(&self) {
        self.draining.set(Some(Instant::now()));
        self.connections.borrow().values().for_each(|connection| connection.wake());
    }

    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// No wait that begins now ends before this.
    pub(super) fn shortest_wait(&self) -> Duration {
        let shortest = connection::shortest_wait(&self.options);
        if self.draining.get().is_some() { shortest.min(DRAIN_IDLE) } else { shortest }
    }
}

/// Runs the streams of an h2c connection beside it.
#[derive(Clone)]
pub(super) struct Spawner(Weak<LocalExecutor<'static>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Spawner {
    fn execute(&self, stream: F) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(AssertUnwindSafe(stream).catch_unwind()).detach();
        }
    }
}
