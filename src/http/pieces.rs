//! Bodies on their way to and from hyper, in pieces that are passed on as they came.

use std::{
    collections::VecDeque,
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body as HttpBody, Bytes, SizeHint};
use smol::io::{AsyncBufRead, AsyncRead};

/// Bytes that are passed on in one piece.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// A piece of a request's body that is shorter than this is copied next to its neighbours: a client
/// that sends single bytes must not cost an allocation for each.
const COPIED_CHUNK_BYTES_MAX: usize = 4 << 10;

/// A request's body that is all here, as a reader.
#[derive(Debug, Default)]
pub(super) struct Received {
    pieces: VecDeque<Bytes>,
    /// Short pieces, one after another; the last of all.
    short: Vec<u8>,
    bytes: usize,
}

impl Received {
    /// Adds what has come. A piece of some length is kept as it is, and short ones are joined.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        let is_first = self.pieces.is_empty() && self.short.is_empty();
        if is_first || piece.len() > COPIED_CHUNK_BYTES_MAX {
            self.seal();
            self.pieces.push_back(piece);
        } else {
            self.short.extend_from_slice(&piece);
            if self.short.len() >= CHUNK_BYTES_MAX {
                self.seal();
            }
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// As a reader of so many bytes, when all has come.
    pub(super) fn into_reader(mut self) -> (Self, usize) {
        self.seal();
        let bytes = self.bytes;
        (self, bytes)
    }

    fn seal(&mut self) {
        if !self.short.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.short).into());
        }
    }
}

impl AsyncBufRead for Received {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let first = self.get_mut().pieces.front();
        Poll::Ready(Ok(first.map(|piece| &piece[..]).unwrap_or_default()))
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        if let Some(first) = self.pieces.front_mut() {
            let _ = first.split_to(bytes.min(first.len()));
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

impl AsyncRead for Received {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_buffered(self, cx, out)
    }
}

/// Reads from something that has a buffer of its own.
pub(super) fn poll_buffered(
    mut from: Pin<&mut impl AsyncBufRead>,
    cx: &mut Context<'_>,
    out: &mut [u8],
) -> Poll<io::Result<usize>> {
    let buffer = ready!(from.as_mut().poll_fill_buf(cx))?;
    let bytes = buffer.len().min(out.len());
    out[..bytes].copy_from_slice(&buffer[..bytes]);
    from.consume(bytes);
    Poll::Ready(Ok(bytes))
}

/// What a body is read from.
pub(super) type Reader = Box<dyn AsyncBufRead + Unpin + Send + Sync>;

/// A body on its way to hyper.
pub(crate) enum Pieces {
    /// From memory, in one piece.
    Whole(Bytes),
    /// From a reader; the number is what is still to come, if that is known. What the reader has
    /// beyond it is not sent.
    Reader(Reader, Option<u64>),
}

impl Pieces {
    /// A copy of it, if it is in memory.
    pub(super) fn copy(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Reader(..) => None,
        }
    }

    /// The next piece; empty at the end. A reader that ends before the length that it promised is
    /// an error: the receiver must not take half a body for a whole one.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (reader, left) = match self {
            Self::Whole(bytes) => return Poll::Ready(Ok(std::mem::take(bytes))),
            Self::Reader(reader, left) => (reader, left),
        };
        let most = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        let from = ready!(Pin::new(&mut *reader).poll_fill_buf(cx))?;
        let piece = Bytes::copy_from_slice(&from[..from.len().min(most).min(CHUNK_BYTES_MAX)]);
        Pin::new(reader).consume(piece.len());
        match left {
            Some(1..) if piece.is_empty() => {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it is shorter than the length that was given for it",
                )));
            }
            Some(left) => *left -= piece.len() as u64,
            None => {}
        }
        Poll::Ready(Ok(piece))
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Reader(_, left) => *left == Some(0),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Reader(_, Some(left)) => SizeHint::with_exact(*left),
            Self::Reader(_, None) => SizeHint::default(),
        }
    }
}

/// Where the bytes of an answer come from.
pub(crate) enum Source {
    /// In one piece, or from a reader.
    Pieces(Pieces),
    /// From a protocol that makes its own frames, and maybe trailers.
    Frames(Frames),
    /// From something that stays on this thread.
    Own(OwnFrames),
}

impl Source {
    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Pieces(pieces) => pieces.size_hint(),
            Self::Frames(frames) => frames.size_hint(),
            Self::Own(frames) => frames.size_hint(),
        }
    }
}

/// A body that makes its own frames.
pub(crate) type Frames = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>;

/// The same on one thread.
pub(crate) type OwnFrames = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError>>>;

/// Any error.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use smol::{future::block_on, io::AsyncReadExt};

    use super::*;

    #[test]
    fn a_body_reads_as_it_came_however_it_was_cut() {
        for cut in [1, 3, 1000, COPIED_CHUNK_BYTES_MAX + 1, 100_000] {
            let content: Vec<u8> = (0..200_000u64).map(|i| ((i * i) >> 3) as u8).collect();
            let mut received = Received::default();
            content.chunks(cut).for_each(|it| received.push(Bytes::copy_from_slice(it)));
            assert_eq!(received.len(), content.len());
            let mut out = Vec::new();
            let (mut reader, bytes) = received.into_reader();
            assert_eq!(bytes, content.len());
            block_on(reader.read_to_end(&mut out)).unwrap();
            assert!(out == content, "cut into {cut}");
        }
    }

    #[test]
    fn single_bytes_do_not_cost_a_piece_each() {
        let mut received = Received::default();
        (0..100_000).for_each(|_| received.push(Bytes::from_static(b"x")));
        assert!(received.pieces.len() <= 2);
    }
}
