//! Buffers for the pieces of large contents, which are used again: to give each back to the system and get a
//! fresh one costs more than to fill it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::limits::{PIECE_BYTES_MAX, TRANSFER_AHEAD_BYTES};

/// Buffers that are kept, for what one content may be ahead of the disk.
const KEPT_MAX: usize = TRANSFER_AHEAD_BYTES as usize / PIECE_BYTES_MAX + 1;

/// The buffers of one content.
#[derive(Default)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// A buffer of [`PIECE_BYTES_MAX`] bytes, with anything in it.
    pub(super) fn buffer(&mut self) -> BytesMut {
        let is_free = self.0.front().is_some_and(Bytes::is_unique);
        let used = if is_free { self.0.pop_front() } else { None };
        let used = used.and_then(|it| it.try_into_mut().ok());
        used.unwrap_or_else(|| BytesMut::zeroed(PIECE_BYTES_MAX))
    }

    /// The first so many bytes of a buffer are a piece. The buffer is used again when nothing else holds
    /// that.
    pub(super) fn piece(&mut self, buffer: BytesMut, bytes: usize) -> Bytes {
        let whole = buffer.freeze();
        let piece = whole.slice(..bytes);
        if self.0.len() < KEPT_MAX {
            self.0.push_back(whole);
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_piece_is_gone_and_not_before() {
        let mut pieces = Pieces::default();
        let buffer = pieces.buffer();
        let place = buffer.as_ptr();
        let first = pieces.piece(buffer, 10);
        let other = pieces.buffer();
        assert_ne!(other.as_ptr(), place);
        let second = pieces.piece(other, PIECE_BYTES_MAX);
        assert_eq!((first.len(), second.len()), (10, PIECE_BYTES_MAX));
        drop(first);
        let again = pieces.buffer();
        assert_eq!((again.as_ptr(), again.len()), (place, PIECE_BYTES_MAX));
    }
}
