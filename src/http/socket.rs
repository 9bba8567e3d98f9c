//! A connection as hyper reads and writes it.
//!
//! The system call comes first, and the reactor is asked only where it would block; a read that
//! did not fill the buffer is not tried again before the reactor has said that there is more. So
//! a request costs one read, one write and one re-arming of the reactor.
//!
//! Over HTTP/1 what is read goes through `intake.rs` first. When that has refused something, hyper is
//! told that the client sends nothing more; it answers what it has, and ends.
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
    /// What hyper may have, and had no room for.
    ready: Bytes,
    may_be_readable: bool,
}

impl Socket {
    pub(super) fn new(connection: Rc<HttpConnection>, first: Bytes) -> Self {
        Self { connection, first, ready: Bytes::new(), may_be_readable: false }
    }

    /// Gives hyper what has come over HTTP/2, as it is.
    fn poll_read_h2(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            give(&mut self.first, out);
            return Poll::Ready(Ok(()));
        }
        let Self { connection, may_be_readable, .. } = self;
        poll_read(&connection.stream, may_be_readable, cx, |mut stream| {
            let mut space = connection.shared.read_buffer.borrow_mut();
            let most = space.len().min(out.remaining());
            let bytes = stream.read(&mut space[..most])?;
            out.put_slice(&space[..bytes]);
            Ok(bytes == most)
        })
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
        if self.connection.state.is_h2() {
            return self.poll_read_h2(cx, &mut out);
        }
        let Self { connection, first, ready, may_be_readable } = &mut *self;
        if !first.is_empty() {
            let first = std::mem::take(first);
            let (has_bytes, has_ended) = take(connection, &first, &mut out, ready);
            if has_bytes || has_ended {
                return Poll::Ready(Ok(()));
            }
        }
        if !ready.is_empty() {
            give(ready, &mut out);
            return Poll::Ready(Ok(()));
        }
        let (mut has_bytes, mut has_ended) = (false, connection.intake.borrow().has_refused());
        while !has_bytes && !has_ended {
            ready!(poll_read(&connection.stream, may_be_readable, cx, |mut stream| {
                let mut space = connection.shared.read_buffer.borrow_mut();
                let most = space.len().min(out.remaining());
                let bytes = stream.read(&mut space[..most])?;
                (has_bytes, has_ended) = match bytes {
                    0 => (false, true),
                    _ => take(connection, &space[..bytes], &mut out, ready),
                };
                Ok(bytes == most)
            }))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes bytes of HTTP/1, and gives hyper what it may have of them. What it has no room for is put
/// into `ready`. Returns whether hyper got anything, and whether it gets nothing more.
fn take(
    connection: &HttpConnection,
    input: &[u8],
    out: &mut ReadBufCursor<'_>,
    ready: &mut Bytes,
) -> (bool, bool) {
    let mut intake = connection.intake.borrow_mut();
    let mut has_bytes = false;
    let mut more = Vec::new();
    let has_request = intake.take(input, |bytes| {
        let (now, later) = bytes.split_at(bytes.len().min(out.remaining()));
        has_bytes |= !now.is_empty();
        out.put_slice(now);
        more.extend_from_slice(later);
    });
    if !more.is_empty() {
        *ready = more.into();
    }
    if has_request {
        connection.state.received(intake.stage());
    }
    (has_bytes, intake.has_refused())
}

/// Gives hyper as much of this as it has room for.
fn give(bytes: &mut Bytes, out: &mut ReadBufCursor<'_>) {
    let taken = bytes.len().min(out.remaining());
    out.put_slice(&bytes.split_to(taken));
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
