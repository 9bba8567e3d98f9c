//! One thread and its connections: it accepts while there is room, makes room, and closes the
//! connections gracefully.
//!
//! This file does not know what clients are answered, so everything that serves on a thread of its
//! own begins with [`run`]. Threads share the listening sockets and nothing else: no task ever
//! moves.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    io,
    net::{TcpListener, TcpStream},
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use smol::{
    LocalExecutor,
    future::{self, FutureExt},
};

use super::{
    accept::Acceptor, descriptors, drain::Shutdown, lines::Lines, metrics::Metrics,
    options::Options, place::Peer,
};

/// When all connections are taken and another client waits, one that has nothing to do is closed, if
/// that has lasted for this long.
const IDLE_MIN: Duration = Duration::from_millis(100);
/// The same for one that has sent a part of a head: a client may be slow.
const HALF_HEAD_MIN: Duration = Duration::from_secs(1);
/// Descriptors that are kept for connections to others, files and the runtime; on a host that allows
/// few, half of those that the runtime leaves.
const DESCRIPTORS_KEPT: usize = 64;
/// Connections that are accepted before the thread's other tasks have their turn. With more, one of
/// several threads would get all clients that come together.
const ACCEPTS_IN_A_ROW: u32 = 1;

/// What one thread of a server needs, whatever protocol it speaks.
pub(crate) struct ServingThread {
    pub(crate) options: Arc<Options>,
    pub(crate) lines: Lines,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
    /// In the order in which they were opened.
    pub(super) listeners: Vec<TcpListener>,
    /// Runs beside the connections, for as long as they do.
    pub(super) beside: Background,
    /// The thread does not end before this future does, unless it is cut off.
    pub(super) others: Background,
}

/// Something that is done beside the connections.
pub(super) type Background = Pin<Box<dyn Future<Output = ()>>>;

/// What a connection waits for that may be closed for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    /// For its first byte.
    Unused,
    /// For the rest of a head.
    HalfHead,
    /// For its next request.
    Idle,
}

impl Spare {
    fn lasts_at_least(self) -> Duration {
        match self {
            Self::Unused | Self::Idle => IDLE_MIN,
            Self::HalfHead => HALF_HEAD_MIN,
        }
    }
}

/// A connection, as the thread that accepted it sees it.
pub(crate) trait AcceptedConnection {
    /// What it waits for, and since when, if it may be closed for another.
    fn spare_since(&self) -> Option<(Spare, Instant)>;

    /// Whether a client loses something if the connection ends now.
    fn is_in_use(&self) -> bool;

    /// Ends the connection if that is still so when its task looks.
    fn give_way(&self);

    /// Makes the task look at its deadline again.
    fn wake(&self);
}

/// All connections of one thread, on all its ports.
#[derive(Default)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, Rc<dyn AcceptedConnection>>>,
    /// How many there have ever been.
    made: Cell<u64>,
    draining: Cell<Option<Instant>>,
    /// Waits for one of them to end.
    waits_for_an_end: RefCell<Option<Waker>>,
}

/// Serves on this thread until the shutdown is complete. Returns the number of connections that
/// were cut off in the middle of something.
///
/// `prepare` makes what receives a connection: it returns the connection, and what serves it.
pub(crate) fn run<R, W, S>(
    thread: ServingThread,
    prepare: impl FnOnce(Rc<Connections>, Weak<LocalExecutor<'static>>) -> R,
) -> io::Result<usize>
where
    R: Fn(Async<TcpStream>, Peer) -> (Rc<dyn AcceptedConnection>, W) + 'static,
    W: FnOnce() -> S + 'static,
    S: Future<Output = ()> + 'static,
{
    let ServingThread { options, listeners, shutdown, beside, others, .. } = thread;
    let most = options.connections_max.min(descriptors::for_clients(DESCRIPTORS_KEPT));
    let most = most.div_ceil(options.threads);
    let acceptor = Rc::new(Acceptor::new(listeners)?);
    let executor = Rc::new(LocalExecutor::new());
    let connections = Rc::new(Connections::default());
    let receive = Rc::new(prepare(connections.clone(), Rc::downgrade(&executor)));
    executor.spawn(beside).detach();
    let accept = {
        let (acceptor, receive) = (acceptor.clone(), receive.clone());
        let (connections, executor) = (connections.clone(), Rc::downgrade(&executor));
        async move {
            let room = async || connections.make_room(&acceptor, most).await;
            let take = |stream, peer| {
                if let Some(executor) = executor.upgrade() {
                    connections.serve(&executor, &*receive, stream, peer);
                }
            };
            let close_one = async || {
                let open = connections.open.borrow().len();
                connections.make_room(&acceptor, open).await;
            };
            acceptor.accept(ACCEPTS_IN_A_ROW, room, close_one, take).await;
        }
    };
    // A task of its own: the future that `run` is given is polled at every turn.
    let accepting = executor.spawn(accept);
    let serve = async {
        shutdown.draining().await;
        accepting.cancel().await;
        acceptor.accept_the_rest(|stream, peer| {
            connections.serve(&executor, &*receive, stream, peer);
        });
        drop((acceptor, receive));
        connections.drain();
        let all = async {
            connections.fewer_than(1).await;
            others.await;
            0
        };
        let cut = async {
            shutdown.ended().await;
            connections.open.borrow().values().filter(|it| it.is_in_use()).count()
        };
        future::or(all, cut).await
    };
    let cut = smol::block_on(executor.run(serve));
    // With the executor, all that still runs is dropped; and here the sockets are closed.
    drop(executor);
    drop(connections.open.take());
    Ok(cut)
}

impl Connections {
    /// Since when nothing more is accepted.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// From now on every answer is its connection's last.
    pub(crate) fn drain(&self) {
        self.draining.set(Some(Instant::now()));
        self.open.borrow().values().for_each(|it| it.wake());
    }

    fn serve<W, S>(
        self: &Rc<Self>,
        executor: &LocalExecutor<'static>,
        receive: &impl Fn(Async<TcpStream>, Peer) -> (Rc<dyn AcceptedConnection>, W),
        stream: Async<TcpStream>,
        peer: Peer,
    ) where
        W: FnOnce() -> S + 'static,
        S: Future<Output = ()> + 'static,
    {
        let id = self.made.get();
        self.made.set(id + 1);
        let (connection, work) = receive(stream, peer);
        self.open.borrow_mut().insert(id, connection);
        let connections = self.clone();
        // The work is created inside its task: passed in, it would be in memory twice.
        let task = async move {
            // A handler's panic is caught where it is called; this is for panics that follow from
            // that. Only this connection is lost.
            let _ = AssertUnwindSafe(work()).catch_unwind().await;
            connections.ended(id);
        };
        executor.spawn(task).detach();
    }

    /// Ends when there are fewer connections than `most`. If there are not, and another client
    /// waits, some are closed, one by one: first those that have not sent a whole head, then idle ones,
    /// of each the oldest. Those in the middle of something are waited for.
    async fn make_room(&self, acceptor: &Acceptor, most: usize) {
        if self.open.borrow().len() >= most {
            acceptor.client_waits().await;
        }
        while self.open.borrow().len() >= most {
            let spare = {
                let open = self.open.borrow();
                let spare = open.values().filter_map(|it| {
                    let (spare, since) = it.spare_since()?;
                    let is_old = since.elapsed() >= spare.lasts_at_least();
                    is_old.then_some(((spare == Spare::Idle, since), it))
                });
                spare.min_by_key(|(order, _)| *order).map(|(_, it)| it.clone())
            };
            if let Some(spare) = spare {
                spare.give_way();
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
            if self.open.borrow().len() < most {
                return Poll::Ready(());
            }
            *self.waits_for_an_end.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn ended(&self, id: u64) {
        self.open.borrow_mut().remove(&id);
        if let Some(waker) = self.waits_for_an_end.take() {
            waker.wake();
        }
    }
}
