//! A connection as hyper reads and writes it.
//!
//! The system call comes first, and the reactor is asked only where it would block; a read that
//! did not fill the buffer is not tried again before the reactor has said that there is more. So
//! a request costs one read, one write and one re-arming of the reactor.
//!
//! hyper itself answers what it cannot parse, with a bare status line. That answer is not sent:
//! when hyper has ended, the connection's task says the same in the form of all other answers.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::TcpStream,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::{
    body::Bytes,
    rt::{Read, ReadBufCursor, Write},
};

use super::{connection::HttpConnection, readiness::poll_read};

/// Bytes of an answer that are gathered into one piece before they are written.
const GATHERED_BYTES_MAX: usize = 1 << 10;

/// One connection, owned by hyper.
pub(super) struct Socket {
    connection: Rc<HttpConnection>,
    /// What was read before hyper took over.
    first: Bytes,
    may_be_readable: bool,
}

impl Socket {
    pub(super) fn new(connection: Rc<HttpConnection>, first: Bytes) -> Self {
        Self { connection, first, may_be_readable: false }
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
            self.connection.state.touch();
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
            let mut space = connection.shared.read_buffer.borrow_mut();
            let most = space.len().min(out.remaining());
            let bytes = stream.read(&mut space[..most])?;
            connection.state.received(&space[..bytes]);
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
        if self.connection.state.writes_refusal() {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_call(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.connection.state.writes_refusal() {
            return Poll::Ready(Ok(total));
        }
        // One short piece is cheaper for the kernel than several.
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.state.flushed();
        Poll::Ready(Ok(()))
    }

    /// The connection's task decides how it ends.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
