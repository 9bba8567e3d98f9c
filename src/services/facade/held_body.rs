//! The body of a long answer, which counts as in progress until it is sent: while its client reads
//! slowly, it stays in memory.

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

/// The bytes, and the permit that is held until they are sent. The reader sees one piece at a time:
/// otherwise it would copy all at once and drop this.
pub(super) struct HeldBody {
    bytes: Cursor<Vec<u8>>,
    _permit: SemaphoreGuardArc,
}

impl HeldBody {
    pub(super) fn new(bytes: Vec<u8>, permit: SemaphoreGuardArc) -> Self {
        Self { bytes: Cursor::new(bytes), _permit: permit }
    }
}

impl AsyncRead for HeldBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        piece: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.bytes.read(piece))
    }
}

impl AsyncBufRead for HeldBody {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let rest = self.get_mut().bytes.fill_buf()?;
        Poll::Ready(Ok(&rest[..rest.len().min(PIECE_BYTES_MAX)]))
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.bytes.consume(bytes);
    }
}
