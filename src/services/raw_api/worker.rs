//! One thread that accepts and serves, and drains at the end.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Instant,
};

use async_io::Timer;
use async_net::TcpListener;
use smol::{LocalExecutor, future};

use super::{
    Routes,
    answer::Clock,
    connection::{self, Connection},
};
use crate::http::{
    Options, Post,
    limits::{ACCEPT_RETRY, IDLE_MIN, READ_BYTES_MAX},
    listener::{canonical, is_of_the_client},
    log::Log,
};

/// What all connections of one thread share.
pub(super) struct Worker {
    pub(super) options: Arc<Options>,
    pub(super) routes: Routes,
    pub(super) log: Log,
    pub(super) clock: Clock,
    /// One buffer for all reads: nothing stays in it from one read to the next.
    pub(super) space: RefCell<Vec<u8>>,
    /// Of request bodies that are not complete.
    pub(super) bodies_bytes: Cell<usize>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    draining: Cell<Option<Instant>>,
    /// Waits for a connection to end.
    waits_for_an_end: RefCell<Option<Waker>>,
}

/// Serves until the shutdown is complete. Returns how many connections were cut off.
pub(super) fn run(post: Post, routes: Routes) -> io::Result<usize> {
    let Post { options, log, listener, shutdown, beside, others } = post;
    let executor = Rc::new(LocalExecutor::new());
    let listener = TcpListener::try_from(listener)?;
    let worker = Rc::new(Worker {
        options,
        routes,
        log,
        clock: Clock::default(),
        space: RefCell::new(vec![0; READ_BYTES_MAX]),
        bodies_bytes: Cell::new(0),
        connections: RefCell::default(),
        draining: Cell::new(None),
        waits_for_an_end: RefCell::new(None),
    });
    executor.spawn(beside).detach();
    let accepting = {
        let (worker, listener, weak) = (worker.clone(), listener.clone(), Rc::downgrade(&executor));
        executor.spawn(async move {
            while let Some(executor) = weak.upgrade() {
                let accepted = {
                    drop(executor);
                    listener.accept().await
                };
                worker.room().await;
                let Some(executor) = weak.upgrade() else { return };
                if !worker.take(&executor, accepted) {
                    Timer::after(ACCEPT_RETRY).await;
                }
                // Many who connect must not keep those waiting who are connected.
                future::yield_now().await;
            }
        })
    };
    let serve = async {
        shutdown.draining().await;
        accepting.cancel().await;
        // What the kernel has accepted for us already may have a request in it.
        while let Some(accepted) = future::poll_once(listener.accept()).await {
            if !worker.take(&executor, accepted) {
                break;
            }
        }
        drop(listener);
        worker.draining.set(Some(Instant::now()));
        worker.connections.borrow().values().for_each(|it| it.wake());
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
    drop(executor);
    Ok(cut)
}

impl Worker {
    /// Serves a connection. Returns whether it is worth while to go on accepting at once.
    fn take(
        self: &Rc<Self>,
        executor: &LocalExecutor<'static>,
        accepted: io::Result<(async_net::TcpStream, std::net::SocketAddr)>,
    ) -> bool {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return is_of_the_client(&error),
        };
        let _ = stream.set_nodelay(true);
        let connection = Rc::new(Connection::new(self.clone(), canonical(peer)));
        // Unique for as long as the connection is there, which is as long as this is held.
        let id = Rc::as_ptr(&connection) as u64;
        self.connections.borrow_mut().insert(id, connection.clone());
        let worker = self.clone();
        let task = async move {
            connection::run(&connection, stream).await;
            worker.connections.borrow_mut().remove(&id);
            if let Some(waker) = worker.waits_for_an_end.take() {
                waker.wake();
            }
        };
        executor.spawn(task).detach();
        true
    }

    /// Ends when there is room for another connection. Idle ones are closed for that, one by one.
    async fn room(&self) {
        let most = self.options.connections_max.div_ceil(self.options.threads);
        while self.connections.borrow().len() >= most {
            let longest = {
                let connections = self.connections.borrow();
                let idle = connections.values().filter_map(|it| Some((it.idle_since()?, it)));
                idle.min_by_key(|(since, _)| *since).map(|(since, it)| (since, it.clone()))
            };
            if let Some((since, idle)) = longest
                && since.elapsed() >= IDLE_MIN
            {
                idle.give_way();
            }
            let retry = async {
                Timer::after(IDLE_MIN).await;
            };
            future::or(self.fewer_than(most), retry).await;
        }
    }

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

    /// Since when nothing more is accepted.
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }
}
