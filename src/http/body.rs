//! Bodies on their way between hyper and tide, in pieces that are handed on as they came.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Bytes, Frame, SizeHint};
use smol::io::{AsyncBufRead, AsyncRead};

use super::{
    exchange::Exchange,
    limits::{CHUNK_BYTES_MAX, COPIED_CHUNK_BYTES_MAX},
    streamed::{BoxError, Frames},
};

/// A request's body that is all here. tide reads it.
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

    /// As a reader, when all has come.
    pub(super) fn into_body(mut self) -> tide::Body {
        self.seal();
        let bytes = self.bytes;
        tide::Body::from_reader(self, Some(bytes))
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

/// Reads from what has a buffer already.
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

/// What a tide answer carries.
pub(super) type Reader = Box<dyn AsyncBufRead + Unpin + Send + Sync>;

/// Where the bytes of an answer come from.
pub(super) enum Source {
    /// From memory, in one piece.
    Whole(Bytes),
    /// From a reader; the number is what is still to come, if that is known.
    Reader(Reader, Option<u64>),
    /// From who knows more than we do.
    Frames(Frames),
}

impl Source {
    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Reader(_, left) => *left == Some(0),
            Self::Frames(frames) => frames.is_end_stream(),
        }
    }
}

/// The body of an answer. When hyper drops it, the exchange is over.
pub(super) struct Answer {
    source: Source,
    exchange: Exchange,
}

impl Answer {
    pub(super) fn new(source: Source, exchange: Exchange) -> Self {
        Self { source, exchange }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { source, exchange } = &mut *self;
        let piece = match source {
            Source::Whole(bytes) => std::mem::take(bytes),
            Source::Reader(reader, left) => {
                let piece = read_piece(reader, left, cx);
                exchange.waits(piece.is_pending());
                match ready!(piece) {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
            Source::Frames(frames) => {
                let frame = frames.as_mut().poll_frame(cx);
                exchange.waits(frame.is_pending());
                if let Poll::Ready(Some(Ok(frame))) = &frame {
                    exchange.sent(frame.data_ref().map_or(0, Bytes::len));
                    frame.trailers_ref().inspect(|trailers| exchange.ends_with(trailers));
                }
                return frame;
            }
        };
        if piece.is_empty() {
            return Poll::Ready(None);
        }
        exchange.sent(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Reader(_, Some(left)) => SizeHint::with_exact(*left),
            Source::Reader(_, None) => SizeHint::default(),
            Source::Frames(frames) => frames.size_hint(),
        }
    }
}

/// The next piece; empty at the end. A reader that ends before the length that it promised is an
/// error: the client must not take half an answer for a whole one.
fn read_piece(
    reader: &mut Reader,
    left: &mut Option<u64>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    let most = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
    let piece = if most == 0 {
        Bytes::new()
    } else {
        let from = ready!(Pin::new(&mut *reader).poll_fill_buf(cx))?;
        Bytes::copy_from_slice(&from[..from.len().min(most).min(CHUNK_BYTES_MAX)])
    };
    Pin::new(reader).consume(piece.len());
    match left {
        Some(1..) if piece.is_empty() => {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Some(left) => *left -= piece.len() as u64,
        None => {}
    }
    Poll::Ready(Ok(piece))
}

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
            let mut body = received.into_body();
            assert_eq!(body.len(), Some(content.len()));
            block_on(body.read_to_end(&mut out)).unwrap();
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
