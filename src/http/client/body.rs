//! Bodies on their way between surf and hyper, in pieces that are handed on as they came.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use http_client::http_types;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use smol::{
    future,
    io::{AsyncBufRead, AsyncRead},
};

use super::{error::ClientError, exchange::Exchange};
use crate::http::body::poll_buffered;

/// Bytes of a request's body that are handed to hyper in one piece.
const CHUNK_BYTES_MAX: usize = 64 << 10;

type Reader = Box<dyn AsyncBufRead + Unpin + Send + Sync>;

/// The body of a request.
pub(super) enum Upload {
    /// From memory, in one piece.
    Whole(Bytes),
    /// From a reader.
    Reader {
        reader: Reader,
        /// What is still to come, if that is known. What the reader has beyond it is not sent.
        left: Option<u64>,
        /// Set while the reader is waited for.
        waits: Arc<AtomicBool>,
    },
}

impl Upload {
    /// Takes at once what is in memory.
    pub(super) async fn new(body: http_types::Body, waits: Arc<AtomicBool>) -> io::Result<Self> {
        let bytes = body.len();
        if bytes == Some(0) {
            return Ok(Self::Whole(Bytes::new()));
        }
        let mut reader = body.into_reader();
        let whole = future::poll_fn(|cx| match Pin::new(&mut reader).poll_fill_buf(cx) {
            Poll::Ready(Ok(all)) if Some(all.len()) == bytes => {
                Poll::Ready(Ok(Some(Bytes::copy_from_slice(all))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(None)),
        });
        Ok(match whole.await? {
            Some(whole) => Self::Whole(whole),
            None => Self::Reader { reader, left: bytes.map(|bytes| bytes as u64), waits },
        })
    }

    /// The same once more, if it is in memory.
    pub(super) fn copy(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Reader { .. } => None,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => Ok(std::mem::take(bytes)),
            Self::Reader { reader, left, waits } => {
                let piece = read_piece(reader, left, cx);
                waits.store(piece.is_pending(), Relaxed);
                ready!(piece)
            }
        };
        Poll::Ready(match piece {
            Ok(piece) if piece.is_empty() => None,
            piece => Some(piece.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Reader { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Reader { left: Some(left), .. } => SizeHint::with_exact(*left),
            Self::Reader { left: None, .. } => SizeHint::default(),
        }
    }
}

/// The next piece; empty at the end. A reader that ends before the length that it promised is an
/// error: the server must not take half a body for a whole one.
fn read_piece(
    reader: &mut Reader,
    left: &mut Option<u64>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
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

/// The body of an answer, with all that it takes to read it to its end. There, or when it is
/// dropped, the connection goes back to the pool, if nothing of the exchange is left in it.
pub(super) struct Download {
    /// `None` when it is over.
    going: Option<(Exchange, Incoming)>,
    piece: Bytes,
    bytes_left: u64,
    /// What is said to whoever reads on after an error.
    failed: Option<ClientError>,
}

impl Download {
    pub(super) fn new(exchange: Exchange, incoming: Incoming, bytes_max: u64) -> Self {
        let going = Some((exchange, incoming));
        Self { going, piece: Bytes::new(), bytes_left: bytes_max, failed: None }
    }

    /// The next piece is here, or the end, or an error.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        while self.piece.is_empty()
            && let Some((exchange, incoming)) = &mut self.going
        {
            let Some(frame) = ready!(exchange.poll_frame(cx, incoming))? else {
                self.end();
                break;
            };
            let Ok(piece) = frame.into_data() else { continue };
            let Some(left) = self.bytes_left.checked_sub(piece.len() as u64) else {
                return Poll::Ready(Err(exchange.too_large()));
            };
            self.bytes_left = left;
            self.piece = piece;
            // Who knows the length does not ask for the end.
            if incoming.is_end_stream() {
                self.end();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        if let Some((exchange, incoming)) = self.going.take() {
            // hyper then throws away what is left of it, if that is already here.
            drop(incoming);
            exchange.end();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncBufRead for Download {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.failed.is_none()
            && let Err(error) = ready!(this.poll_piece(cx))
        {
            // The connection is good for nothing more.
            this.going = None;
            this.failed = Some(error);
        }
        Poll::Ready(match &this.failed {
            Some(error) => Err(error.clone().into()),
            None => Ok(&this.piece),
        })
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        let bytes = bytes.min(self.piece.len());
        let _ = self.piece.split_to(bytes);
    }
}

impl AsyncRead for Download {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_buffered(self, cx, out)
    }
}
