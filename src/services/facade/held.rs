//! A long answer, which holds its place among those in progress until it is sent: a client that
//! reads slowly keeps it in memory.

use std::{
    io::{self, BufRead as _, Cursor, Read as _},
    pin::Pin,
    task::{Context, Poll},
};

use smol::{
    io::{AsyncBufRead, AsyncRead},
    lock::SemaphoreGuardArc,
};

use super::limits::PIECE_BYTES_MAX;

/// The bytes, and the permit that they hold. They are shown a piece at a time: what is shown whole
/// is copied whole, and let go of.
pub(super) struct Held {
    bytes: Cursor<Vec<u8>>,
    _permit: SemaphoreGuardArc,
}

impl Held {
    pub(super) fn new(bytes: Vec<u8>, permit: SemaphoreGuardArc) -> Self {
        Self { bytes: Cursor::new(bytes), _permit: permit }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        piece: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.bytes.read(piece))
    }
}

impl AsyncBufRead for Held {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let rest = self.get_mut().bytes.fill_buf()?;
        Poll::Ready(Ok(&rest[..rest.len().min(PIECE_BYTES_MAX)]))
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.bytes.consume(bytes);
    }
}
