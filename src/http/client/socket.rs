//! A connection as hyper reads and writes it.
//!
//! A write is tried at once, and the reactor is asked only where it would block. A read waits for
//! the reactor first, because an answer is never there before its request; a read that did not
//! fill the buffer is not tried again before the reactor has said that there is more.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_io::Async;
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::http::readiness::poll_read;

/// Bytes that one read takes at most.
const READ_BYTES_MAX: usize = 16 << 10;

/// The socket and what has gone through it, as hyper's side and ours share it.
#[derive(Debug)]
pub(super) struct Link {
    stream: Async<TcpStream>,
    opened: Instant,
    /// Since the present exchange began.
    received_bytes: AtomicU64,
    /// Since the present exchange began.
    sent_bytes: AtomicU64,
    /// When a byte was last received or sent, in nanoseconds since `opened`.
    moved_nanos: AtomicU64,
}

impl Link {
    pub(super) fn new(stream: Async<TcpStream>) -> Self {
        Self {
            stream,
            opened: Instant::now(),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            moved_nanos: AtomicU64::new(0),
        }
    }

    /// Resets the counts: a new exchange begins.
    pub(super) fn begin(&self) {
        self.received_bytes.store(0, Relaxed);
        self.sent_bytes.store(0, Relaxed);
    }

    pub(super) fn has_received(&self) -> bool {
        self.received_bytes.load(Relaxed) > 0
    }

    pub(super) fn has_sent(&self) -> bool {
        self.sent_bytes.load(Relaxed) > 0
    }

    /// When a byte was last received or sent.
    pub(super) fn moved(&self) -> Instant {
        self.opened + Duration::from_nanos(self.moved_nanos.load(Relaxed))
    }

    /// Whether an idle connection is open and silent, as it should be: a server that closes it
    /// has ended the stream, or said why.
    pub(super) fn is_quiet(&self) -> bool {
        let peeked = self.stream.get_ref().peek(&mut [0]);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn count(&self, counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Relaxed);
        let nanos = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.moved_nanos.store(nanos, Relaxed);
    }
}

/// A connection, owned by hyper.
pub(super) struct Socket {
    link: Arc<Link>,
    may_be_readable: bool,
}

impl Socket {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, may_be_readable: false }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match call(self.link.stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The server takes no more, but it may have said why. hyper would not look: it
                // gives up when a write fails. So the failure is left to the reading side, which
                // ends by itself when all has been read.
                Err(error) if is_ended(&error) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    self.link.count(&self.link.sent_bytes, bytes);
                    return Poll::Ready(Ok(bytes));
                }
            }
            ready!(self.link.stream.poll_writable(cx))?;
        }
    }
}

fn is_ended(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { link, may_be_readable } = &mut *self;
        poll_read(&link.stream, may_be_readable, cx, |mut stream| {
            let mut space = [0; READ_BYTES_MAX];
            let most = space.len().min(out.remaining());
            let bytes = stream.read(&mut space[..most])?;
            link.count(&link.received_bytes, bytes);
            out.put_slice(&space[..bytes]);
            Ok(bytes == most)
        })
    }
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |mut stream| stream.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.link.stream.get_ref().shutdown(Shutdown::Write))
    }
}
