//! A body that is made while it is sent: the next piece when the client has taken the last.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use smol::{
    io::{AsyncBufRead, AsyncRead},
    stream::Stream,
};
use tide::Body;

/// A body of these pieces. An error cuts the answer off, so that no client takes it for complete.
pub(super) fn body(pieces: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static) -> Body {
    let pieces = Mutex::new(Box::pin(pieces) as Pieces);
    Body::from_reader(StreamedBody { pieces, piece: Vec::new(), taken: 0 }, None)
}

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Vec<u8>>> + Send>>;

struct StreamedBody {
    /// Never locked. tide wants a body that is `Sync`, and the mutex makes it so.
    pieces: Mutex<Pieces>,
    piece: Vec<u8>,
    taken: usize,
}

impl AsyncBufRead for StreamedBody {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.taken == this.piece.len() {
            let pieces = this.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(pieces.as_mut().poll_next(cx)) {
                Some(piece) => (this.piece, this.taken) = (piece?, 0),
                None => return Poll::Ready(Ok(&[])),
            }
        }
        Poll::Ready(Ok(&this.piece[this.taken..]))
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.piece.len());
    }
}

impl AsyncRead for StreamedBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let bytes = piece.len().min(out.len());
        out[..bytes].copy_from_slice(&piece[..bytes]);
        self.consume(bytes);
        Poll::Ready(Ok(bytes))
    }
}
