//! One connection of a [`Channel`](super::Channel), and whether it still works.
//!
//! A connection may go silent without an end: a firewall forgets it, a host loses its power, a proxy
//! stops. The system reports that after a quarter of an hour, and HTTP/2's pings after
//! [`PING_INTERVAL`]. So a call whose deadline passes makes its connection suspect, unless something
//! was heard on it meanwhile: then the call was slow, and not the connection.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use async_net::TcpStream;
use hyper::{
    client::conn::http2::{self, SendRequest},
    rt::Executor,
};
use smol_hyper::rt::{FuturesIo, SmolTimer};
use tonic::body::Body;

use super::limits::{HEADERS_BYTES_MAX, PING_INTERVAL, PING_TIMEOUT};
use crate::connect;

pub(super) struct GrpcConnection {
    sender: SendRequest<Body>,
    stream: TcpStream,
    /// Of the server.
    address: SocketAddr,
    opened: Instant,
    /// When a part of any answer last came, in nanoseconds since `opened`.
    heard_nanos: AtomicU64,
    is_suspect: AtomicBool,
}

impl GrpcConnection {
    /// Connects to whichever of these addresses answers first.
    pub(super) async fn open(addresses: &[SocketAddr]) -> Result<Self, CannotConnect> {
        let stream = connect::race(addresses).await?;
        stream.get_ref().set_nodelay(true)?;
        let address = stream.get_ref().peer_addr()?;
        let stream = TcpStream::from(stream);
        let mut builder = http2::Builder::new(Spawner);
        builder
            .timer(SmolTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_header_list_size(HEADERS_BYTES_MAX);
        let (sender, driver) = builder.handshake(FuturesIo::new(stream.clone())).await?;
        smol::spawn(async {
            // The calls that wait for answers get the reason why it ended.
            let _ = driver.await;
        })
        .detach();
        Ok(Self {
            sender,
            stream,
            address,
            opened: Instant::now(),
            heard_nanos: AtomicU64::new(0),
            is_suspect: AtomicBool::new(false),
        })
    }

    /// What sends a call over it.
    pub(super) fn sender(&self) -> SendRequest<Body> {
        self.sender.clone()
    }

    /// The server's address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether further calls may go over it, as far as is known.
    pub(super) fn is_good(&self) -> bool {
        !self.is_suspect() && !self.sender.is_closed()
    }

    /// Whether a deadline passed while nothing came.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Relaxed)
    }

    /// A part of an answer has come.
    pub(super) fn heard(&self) {
        let nanos = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard_nanos.store(nanos, Relaxed);
    }

    /// The deadline of a call has passed, for which it had `timeout`. The connection is suspect if
    /// nothing was heard on it for the second half of that. Calls in progress go on.
    pub(super) fn late(&self, deadline: Instant, timeout: Duration) {
        let heard = self.opened + Duration::from_nanos(self.heard_nanos.load(Relaxed));
        if heard + timeout / 2 <= deadline {
            self.is_suspect.store(true, Relaxed);
        }
    }
}

impl Drop for GrpcConnection {
    /// hyper closes a connection that is no longer needed when all is written and acknowledged,
    /// which on a dead one never happens.
    fn drop(&mut self) {
        if self.is_suspect() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Why there is no connection.
pub(super) enum CannotConnect {
    Io(io::Error),
    Hyper(hyper::Error),
}

impl From<io::Error> for CannotConnect {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<hyper::Error> for CannotConnect {
    fn from(error: hyper::Error) -> Self {
        Self::Hyper(error)
    }
}

/// Runs the tasks that hyper needs beside a connection.
#[derive(Clone)]
struct Spawner;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, work: F) {
        smol::spawn(work).detach();
    }
}
