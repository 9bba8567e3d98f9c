//! The bytes of an answer: from memory without a copy, or from the disk as they are taken.

use std::{
    any::Any,
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use smol::stream::{self, Stream};

use crate::{
    http::pieces::{BoxError, Pieces as HttpPieces, Source},
    net::handle::{NodeHandle, Pieces, StreamedFile},
};

use super::limits::{TURN_BYTES_MAX, UNCOUNTED_BYTES_MAX};

/// A content that is to be sent, or some of it.
pub(super) enum FileContent {
    Whole(Bytes),
    Streamed(StreamedFile),
}

/// Several pieces, one after another.
pub(super) struct PartsBody {
    parts: VecDeque<Part>,
    /// Bytes that are still to come.
    left: u64,
    /// Bytes that were given since others had their turn.
    turn: usize,
    /// What lives as long as it does.
    _held: Option<Box<dyn Any>>,
}

enum Part {
    Bytes(Bytes),
    Pieces(Box<Pieces>),
}

/// All of a text.
pub(super) fn text(text: impl Into<Bytes>) -> Source {
    Source::Pieces(HttpPieces::Whole(text.into()))
}

/// Nothing.
pub(super) fn empty() -> Source {
    text(Bytes::new())
}

/// A text that is counted somewhere as long as it is here.
pub(super) fn held(text: impl Into<Bytes>, held: impl Any) -> Source {
    let mut body = PartsBody::new(Some(Box::new(held)));
    body.push_bytes(text.into());
    body.into_source()
}

/// Pieces that are made one after another: each only when the one before was taken.
pub(super) fn unfolded<S: 'static, F: Future<Output = Option<(Bytes, S)>> + 'static>(
    state: S,
    next: impl FnMut(S) -> F + 'static,
) -> Source {
    Source::Own(Box::pin(Unfolded(Box::pin(stream::unfold(state, next)))))
}

/// Such pieces; how many there will be is not known.
struct Unfolded(Pin<Box<dyn Stream<Item = Bytes>>>);

impl Body for Unfolded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl FileContent {
    /// The bytes from `from` on, up to and without `to`.
    pub(super) fn part(&self, node: &NodeHandle, from: u64, to: u64) -> Source {
        match self {
            Self::Whole(bytes) if bytes.len() <= UNCOUNTED_BYTES_MAX => {
                text(bytes.slice(from as usize..to as usize))
            }
            _ => {
                let mut body = self.begin(node);
                body.push(self, from, to);
                body.into_source()
            }
        }
    }

    /// A body that counts a content in memory as waiting for a client.
    pub(super) fn begin(&self, node: &NodeHandle) -> PartsBody {
        PartsBody::new(match self {
            Self::Whole(bytes) => Some(Box::new(node.hold(bytes))),
            Self::Streamed(_) => None,
        })
    }
}

impl PartsBody {
    fn new(held: Option<Box<dyn Any>>) -> Self {
        Self { parts: VecDeque::new(), left: 0, turn: 0, _held: held }
    }

    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.left += bytes.len() as u64;
        self.parts.push_back(Part::Bytes(bytes));
    }

    /// Appends the bytes of a content from `from` on, up to and without `to`.
    pub(super) fn push(&mut self, content: &FileContent, from: u64, to: u64) {
        match content {
            FileContent::Whole(bytes) => self.push_bytes(bytes.slice(from as usize..to as usize)),
            FileContent::Streamed(file) => {
                self.left += to - from;
                self.parts.push_back(Part::Pieces(Box::new(file.part(from, to))));
            }
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.left
    }

    pub(super) fn into_source(self) -> Source {
        Source::Own(Box::pin(self))
    }
}

impl Body for PartsBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.turn >= TURN_BYTES_MAX {
            // A client that takes bytes as fast as they come must not keep the thread from the ring.
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let piece = match self.parts.front_mut() {
                None => return Poll::Ready(None),
                Some(Part::Bytes(bytes)) => bytes.split_to(bytes.len().min(TURN_BYTES_MAX)),
                Some(Part::Pieces(pieces)) => match pieces.poll_next(cx) {
                    Poll::Ready(None) => Bytes::new(),
                    Poll::Ready(Some(Ok(piece))) => piece,
                    // Its length was promised, so the connection can only break.
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                    Poll::Pending => {
                        self.turn = 0;
                        return Poll::Pending;
                    }
                },
            };
            if piece.is_empty() {
                self.parts.pop_front();
                continue;
            }
            self.left = self.left.saturating_sub(piece.len() as u64);
            self.turn += piece.len();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn others_have_their_turn_after_some_of_a_large_content() {
        let content = Bytes::from(vec![7; 10 * TURN_BYTES_MAX + 1]);
        let mut body = PartsBody::new(None);
        body.push_bytes(content.clone());
        let mut body = Box::pin(body);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut come, mut since) = (Vec::new(), 0);
        loop {
            match body.as_mut().poll_frame(&mut cx) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => {
                    let piece = frame.unwrap().into_data().unwrap();
                    since += piece.len();
                    assert!(since <= TURN_BYTES_MAX, "{since}");
                    come.extend_from_slice(&piece);
                }
                Poll::Pending => since = 0,
            }
        }
        assert!(come == content);
    }
}
