//! Reading a socket with as few system calls as possible.

use std::{
    io,
    net::TcpStream,
    task::{Context, Poll, ready},
};

use async_io::Async;

/// Reads once, when the reactor says so, or at once if the last read left something. `read` says
/// whether it did.
pub(super) fn poll_read(
    stream: &Async<TcpStream>,
    may_be_readable: &mut bool,
    cx: &mut Context<'_>,
    mut read: impl FnMut(&TcpStream) -> io::Result<bool>,
) -> Poll<io::Result<()>> {
    loop {
        if *may_be_readable {
            match read(stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done.map(|has_more| *may_be_readable = has_more)),
            }
        }
        *may_be_readable = false;
        ready!(stream.poll_readable(cx))?;
        *may_be_readable = true;
    }
}
