//! The body of a request, in pieces that are passed on as they came.

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
use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::http::{bodies::pieces, pieces::Pieces};

/// The body of a request. hyper reads it.
pub(super) struct Upload {
    pieces: Pieces,
    /// Set while the caller's reader is waited for.
    waits: Arc<AtomicBool>,
}

impl Upload {
    /// A body in memory is taken at once.
    pub(super) fn new(body: http_types::Body, waits: Arc<AtomicBool>) -> io::Result<Self> {
        Ok(Self { pieces: pieces(body)?, waits })
    }

    /// A copy of it, if it is in memory.
    pub(super) fn copy(&self) -> Option<Self> {
        Some(Self { pieces: self.pieces.copy()?, waits: self.waits.clone() })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.pieces.poll_piece(cx);
        self.waits.store(piece.is_pending(), Relaxed);
        Poll::Ready(match ready!(piece) {
            Ok(piece) if piece.is_empty() => None,
            piece => Some(piece.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint()
    }
}
