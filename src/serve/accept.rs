//! Accepting connections at one or more listening sockets, for everything that serves.

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_io::{Async, Timer};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{AddressFamily, accept, getsockname},
};
use smol::future;

use super::{descriptors, place::Peer};

/// The time between two attempts to accept when something is wrong, or when the process has no more
/// descriptors and no connection ends.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The listening sockets of a thread. They take turns: the clients of one do not keep the clients of
/// another waiting.
pub(crate) struct Acceptor {
    listeners: Vec<Listener>,
    /// The one that is tried first next time.
    next: Cell<usize>,
}

/// A socket that listens. One of Unix is held, accepts and is read and written like one of TCP: the
/// system calls are the same. Only what is asked about addresses and delays fails.
struct Listener {
    socket: Async<TcpListener>,
    is_unix: bool,
}

type Accepted = io::Result<(Async<TcpStream>, Peer)>;

impl Acceptor {
    /// Over sockets that listen. Sets them non-blocking.
    pub(crate) fn new(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(|listener| {
            let is_unix = getsockname(&listener)?.address_family() == AddressFamily::UNIX;
            Ok(Listener { socket: Async::new(listener)?, is_unix })
        });
        Ok(Self { listeners: listeners.collect::<io::Result<_>>()?, next: Cell::new(0) })
    }

    /// Accepts for ever, and gives each connection to `take`. `room` is awaited before each.
    ///
    /// One loop for all sockets, so that the room for one connection is not taken by two. After
    /// `in_a_row` connections the thread's other tasks have their turn. Where the process has no
    /// descriptor for a client that waits, `close_one` is called: it closes an idle connection, and
    /// returns when that may be done.
    pub(crate) async fn accept(
        &self,
        in_a_row: u32,
        room: impl AsyncFn(),
        close_one: impl AsyncFn(),
        take: impl Fn(Async<TcpStream>, Peer),
    ) {
        let mut accepted = 0;
        loop {
            room().await;
            match future::poll_fn(|cx| self.poll_accept(cx)).await {
                Ok((stream, peer)) => take(stream, peer),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) if descriptors::are_used_up(&error) => {
                    // The error comes without any client, too.
                    self.client_waits().await;
                    future::or(close_one(), retry()).await;
                }
                Err(_) => retry().await,
            }
            accepted = (accepted + 1) % in_a_row;
            if accepted == 0 {
                future::yield_now().await;
            }
        }
    }

    /// Takes the connections that the kernel has accepted already: these clients may have sent a
    /// request. Does not wait.
    pub(crate) fn accept_the_rest(&self, take: impl Fn(Async<TcpStream>, Peer)) {
        for listener in &self.listeners {
            loop {
                match listener.try_accept() {
                    Ok((stream, peer)) => take(stream, peer),
                    Err(error) if is_of_the_client(&error) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Ends when a client may be waiting at one of the sockets.
    pub(crate) async fn client_waits(&self) {
        // If something is wrong with a socket, `accept` reports it.
        let _ = future::poll_fn(|cx| self.poll_readable(cx)).await;
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted> {
        loop {
            for turn in 0..self.listeners.len() {
                let number = (self.next.get() + turn) % self.listeners.len();
                match self.listeners[number].try_accept() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    accepted => {
                        self.next.set(number + 1);
                        return Poll::Ready(accepted);
                    }
                }
            }
            if let Err(error) = ready!(self.poll_readable(cx)) {
                return Poll::Ready(Err(error));
            }
        }
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut readable = Poll::Pending;
        for listener in &self.listeners {
            // All of them: each must know which task to wake.
            if let Poll::Ready(result) = listener.socket.poll_readable(cx) {
                readable = Poll::Ready(result);
            }
        }
        readable
    }
}

async fn retry() {
    Timer::after(ACCEPT_RETRY).await;
}

impl Listener {
    /// A connection that sends small answers at once (no Nagle delay), and its client's address.
    fn try_accept(&self) -> Accepted {
        if self.is_unix {
            let stream = accept(&self.socket)?;
            fcntl_setfd(&stream, FdFlags::CLOEXEC)?;
            return Ok((Async::new(as_tcp(stream))?, Peer::Unix));
        }
        let (stream, peer) = self.socket.get_ref().accept()?;
        let _ = stream.set_nodelay(true);
        Ok((Async::new(stream)?, Peer::Ip(canonical(peer))))
    }
}

/// See [`Listener`].
fn as_tcp(stream: OwnedFd) -> TcpStream {
    stream.into()
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The connection was gone before it was accepted; the next one need not be.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
