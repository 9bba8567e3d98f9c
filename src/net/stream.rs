//! What the task of a connection needs of its stream. Tests run the same task over a stream of their own.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    task::{Context, Poll},
};

use async_io::Async;
use rustix::net::sockopt::set_socket_send_buffer_size;

use super::limits::LINK_SYSTEM_BYTES;

/// A stream whose reads and writes never block.
pub(super) trait Stream {
    /// Reads and writes at once, or fails with [`io::ErrorKind::WouldBlock`].
    fn io(&self) -> impl Read + Write;

    /// Waits until there is something to read.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until something can be written.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Tells the other end that nothing more is written.
    fn end_writing(&self) -> io::Result<()>;

    /// The other end is a node: its progress must be noticed soon.
    fn becomes_link(&self);

    /// The socket itself, for what speaks another protocol on it.
    fn into_socket(self) -> Option<Async<TcpStream>>;
}

impl Stream for Async<TcpStream> {
    fn io(&self) -> impl Read + Write {
        self.get_ref()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_readable(self, cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_writable(self, cx)
    }

    fn end_writing(&self) -> io::Result<()> {
        self.get_ref().shutdown(Shutdown::Write)
    }

    fn becomes_link(&self) {
        // Where the system ignores this, progress on a slow line is noticed less often.
        let _ = set_socket_send_buffer_size(self.get_ref(), LINK_SYSTEM_BYTES);
    }

    fn into_socket(self) -> Option<Async<TcpStream>> {
        Some(self)
    }
}
