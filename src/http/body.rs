//! The body of an answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Bytes, Frame, SizeHint};
use smol::io::AsyncBufRead;

use super::{
    exchange::Exchange,
    pieces::CHUNK_BYTES_MAX,
    streamed::{BoxError, Frames},
};

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
