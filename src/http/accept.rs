//! One thread and its clients: it accepts while there is room, makes room, and lets them end in order.
//!
//! What a client is answered is not known here, so everything that serves on a thread of its own
//! begins with [`run`]. Threads share the listening sockets and nothing else: no task ever moves.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    panic::AssertUnwindSafe,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use async_io::{Async, Timer};
use smol::{
    LocalExecutor,
    future::{self, FutureExt},
};

use super::{
    Post,
    limits::{ACCEPT_RETRY, IDLE_MIN},
    listener::canonical,
};
use crate::listening::is_of_the_client;

/// A connection, as the thread that accepted it sees it.
pub(crate) trait Guest {
    /// Since when there has been nothing to do, if there is nothing.
    fn idle_since(&self) -> Option<Instant>;

    /// Ends the connection if it is still idle when its task looks.
    fn give_way(&self);

    /// Lets the task look at its deadline anew.
    fn wake(&self);
}

/// Everyone who is connected to one thread, by whichever of its ports.
#[derive(Default)]
pub(crate) struct Guests {
    here: RefCell<HashMap<u64, Rc<dyn Guest>>>,
    /// Those of all times.
    count: Cell<u64>,
    draining: Cell<Option<Instant>>,
    /// Waits for a guest to leave.
    waits_for_an_end: RefCell<Option<Waker>>,
}

/// Serves on this thread until the shutdown is complete. Returns the number of connections that
/// were cut off in the middle of something.
///
/// `prepare` makes what receives a connection: it is told by which listener it came, and returns
/// it as a guest, with what serves it.
pub(crate) fn run<R, W, S>(
    post: Post,
    prepare: impl FnOnce(Rc<Guests>, Weak<LocalExecutor<'static>>) -> R,
) -> io::Result<usize>
where
    R: Fn(usize, Async<TcpStream>, SocketAddr) -> (Rc<dyn Guest>, W) + 'static,
    W: FnOnce() -> S + 'static,
    S: Future<Output = ()> + 'static,
{
    let Post { options, listeners, shutdown, beside, others, .. } = post;
    let most = options.connections_max.div_ceil(options.threads);
    let doors = Doors::new(listeners)?;
    let executor = Rc::new(LocalExecutor::new());
    let guests = Rc::new(Guests::default());
    let receive = prepare(guests.clone(), Rc::downgrade(&executor));
    let house = Rc::new(House { guests: guests.clone(), doors, receive });
    executor.spawn(beside).detach();
    // A task of its own: the future that `run` is given is polled at every turn.
    let accepting = executor.spawn(house.clone().accept(Rc::downgrade(&executor), most));
    let serve = async {
        shutdown.draining().await;
        accepting.cancel().await;
        house.accept_the_rest(&executor);
        drop(house);
        guests.drain();
        let all = async {
            guests.fewer_than(1).await;
            others.await;
            0
        };
        let cut = async {
            shutdown.ended().await;
            guests.here.borrow().len()
        };
        future::or(all, cut).await
    };
    let cut = smol::block_on(executor.run(serve));
    // With the executor, all that still runs is dropped; and here the sockets are closed.
    drop(executor);
    drop(guests.here.take());
    Ok(cut)
}

impl Guests {
    /// Since when nothing more is accepted.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// From now on every answer is its connection's last.
    fn drain(&self) {
        self.draining.set(Some(Instant::now()));
        self.here.borrow().values().for_each(|guest| guest.wake());
    }

    /// Ends when there are fewer guests than this. Idle ones are closed for that, one by one;
    /// those that are in the middle of something are waited for.
    async fn make_room(&self, most: usize) {
        while self.here.borrow().len() >= most {
            let idle = {
                let here = self.here.borrow();
                let idle = here.values().filter_map(|it| Some((it.idle_since()?, it)));
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

    /// Ends when there are fewer guests than this.
    async fn fewer_than(&self, most: usize) {
        future::poll_fn(|cx| {
            if self.here.borrow().len() < most {
                return Poll::Ready(());
            }
            *self.waits_for_an_end.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn left(&self, id: u64) {
        self.here.borrow_mut().remove(&id);
        if let Some(waker) = self.waits_for_an_end.take() {
            waker.wake();
        }
    }
}

/// Who comes in, by where, and what becomes of them.
struct House<R> {
    guests: Rc<Guests>,
    doors: Doors,
    receive: R,
}

impl<R, W, S> House<R>
where
    R: Fn(usize, Async<TcpStream>, SocketAddr) -> (Rc<dyn Guest>, W) + 'static,
    W: FnOnce() -> S + 'static,
    S: Future<Output = ()> + 'static,
{
    /// Accepts for ever, while there is room. One task for all doors, so that room for one is
    /// not taken by two.
    async fn accept(self: Rc<Self>, executor: Weak<LocalExecutor<'static>>, most: usize) {
        loop {
            if self.guests.here.borrow().len() >= most {
                // Nobody has to go unless somebody waits.
                let _ = future::poll_fn(|cx| self.doors.poll_knock(cx)).await;
                self.guests.make_room(most).await;
            }
            let (door, accepted) = future::poll_fn(|cx| self.doors.poll_accept(cx)).await;
            let Some(executor) = executor.upgrade() else { return };
            match accepted {
                Ok((stream, peer)) => self.welcome(&executor, door, stream, peer),
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
    fn accept_the_rest(&self, executor: &LocalExecutor<'static>) {
        for door in 0..self.doors.listeners.len() {
            loop {
                match self.doors.try_accept(door) {
                    Ok((stream, peer)) => self.welcome(executor, door, stream, peer),
                    Err(error) if is_of_the_client(&error) => {}
                    Err(_) => break,
                }
            }
        }
    }

    fn welcome(
        &self,
        executor: &LocalExecutor<'static>,
        door: usize,
        stream: Async<TcpStream>,
        peer: SocketAddr,
    ) {
        let _ = stream.get_ref().set_nodelay(true);
        let id = self.guests.count.get();
        self.guests.count.set(id + 1);
        let (guest, work) = (self.receive)(door, stream, canonical(peer));
        self.guests.here.borrow_mut().insert(id, guest);
        let guests = self.guests.clone();
        // The work begins in its task: given to it, it would lie there twice.
        let task = async move {
            // A handler's panic is caught where it is called; this is for what it leaves behind.
            // The connection is lost, and no other.
            let _ = AssertUnwindSafe(work()).catch_unwind().await;
            guests.left(id);
        };
        executor.spawn(task).detach();
    }
}

/// The listening sockets of a thread. They take turns: none keeps the clients of another waiting.
struct Doors {
    listeners: Vec<Async<TcpListener>>,
    /// The one that comes first next time.
    next: Cell<usize>,
}

type Accepted = io::Result<(Async<TcpStream>, SocketAddr)>;

impl Doors {
    fn new(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(Async::new_nonblocking);
        Ok(Self { listeners: listeners.collect::<io::Result<_>>()?, next: Cell::new(0) })
    }

    fn try_accept(&self, door: usize) -> Accepted {
        let (stream, peer) = self.listeners[door].get_ref().accept()?;
        Ok((Async::new(stream)?, peer))
    }

    /// Ready with a new connection, and by which door it came.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<(usize, Accepted)> {
        loop {
            for turn in 0..self.listeners.len() {
                let door = (self.next.get() + turn) % self.listeners.len();
                match self.try_accept(door) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    accepted => {
                        self.next.set(door + 1);
                        return Poll::Ready((door, accepted));
                    }
                }
            }
            if let Err(error) = ready!(self.poll_knock(cx)) {
                return Poll::Ready((self.next.get(), Err(error)));
            }
        }
    }

    /// Ready when somebody may wait at a door.
    fn poll_knock(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut knock = Poll::Pending;
        for listener in &self.listeners {
            // All of them: each has to know whom to wake.
            if let Poll::Ready(result) = listener.poll_readable(cx) {
                knock = Poll::Ready(result);
            }
        }
        knock
    }
}
