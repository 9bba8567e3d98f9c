//! A connection as hyper reads and writes it.
//!
//! The system call comes first, and the reactor is asked only where it would block; a read that
//! did not fill the buffer is not tried again before the reactor has said that there is more. So
//! a request costs one read, one write and one re-arming of the reactor.
//!
//! hyper answers what it cannot parse by itself, without a body and without us. Such an answer is
//! known by this: it is written while no exchange is going on and nothing of one is unwritten.
//! It is replaced by one that looks like all others.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::{
    StatusCode,
    body::{Buf as _, Bytes},
    rt::{Read, ReadBufCursor, Write},
};

use super::{connection::Connection, limits::GATHERED_BYTES_MAX, readiness::poll_read};

/// One connection in hyper's hands.
pub(super) struct Socket {
    connection: Rc<Connection>,
    /// What was read before hyper was there.
    first: Bytes,
    may_be_readable: bool,
    /// What is written in the place of hyper's own refusal.
    refusal: Bytes,
}

impl Socket {
    pub(super) fn new(connection: Rc<Connection>, first: Bytes) -> Self {
        Self { connection, first, may_be_readable: false, refusal: Bytes::new() }
    }

    /// Whether these bytes are hyper's own refusal. If so, ours is put in its place.
    fn replaces(&mut self, written: &[u8]) -> bool {
        const LINE: &[u8] = b"HTTP/1.1 4";
        if !self.connection.is_between_exchanges() || !written.starts_with(LINE) {
            return false;
        }
        let Some(Ok(status)) = written.get(9..12).map(StatusCode::from_bytes) else { return false };
        self.refusal = self.connection.refusal(status);
        true
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let refusal = self.refusal.clone();
            let bytes = ready!(self.poll_call(cx, |mut stream| stream.write(&refusal)))?;
            self.refusal.advance(bytes);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = &self.connection.stream;
        loop {
            match call(stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => return Poll::Ready(done),
            }
            ready!(stream.poll_writable(cx))?;
            // The client has taken something: it is alive.
            self.connection.touch();
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let bytes = self.first.len().min(out.remaining());
            out.put_slice(&self.first.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        let Self { connection, may_be_readable, .. } = &mut *self;
        poll_read(&connection.stream, may_be_readable, cx, |mut stream| {
            let mut space = connection.worker.read_buffer.borrow_mut();
            let most = space.len().min(out.remaining());
            let bytes = stream.read(&mut space[..most])?;
            connection.received(&space[..bytes]);
            out.put_slice(&space[..bytes]);
            Ok(bytes == most)
        })
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_call(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.first().is_some_and(|first| self.replaces(first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        // One short piece is cheaper for the kernel than several.
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut short = [0; GATHERED_BYTES_MAX];
        if total > short.len() {
            return self.poll_call(cx, |mut stream| stream.write_vectored(slices));
        }
        let mut end = 0;
        for slice in slices {
            short[end..][..slice.len()].copy_from_slice(slice);
            end += slice.len();
        }
        self.poll_call(cx, |mut stream| stream.write(&short[..end]))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Poll::Ready(self.connection.stream.get_ref().shutdown(Shutdown::Write))
    }
}
