//! A content on its way between a disk and a connection, in pieces: the disk is read or written on
//! another thread, a few pieces ahead of the connection or behind it.

use std::cmp;

use smol::channel::{self, Receiver, Sender};

use super::error::Error;

/// A content up to this size is in memory as a whole. Larger ones go in pieces.
pub(super) const WHOLE_BYTES_MAX: usize = 256 << 10;
/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces of one content that are in memory at a time. They are used again and again.
const PIECES: usize = 4;

/// A part of a content.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Piece {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// The room that is left, of which this much is wanted at most.
    pub fn room(&mut self, wanted: u64) -> &mut [u8] {
        let room = &mut self.bytes[self.filled..];
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(room.len());
        &mut room[..wanted]
    }

    /// So many bytes have been written to the room, of which the first are left out.
    pub fn add(&mut self, bytes: usize, left_out: usize) {
        let (start, end) = (self.filled + left_out, self.filled + bytes);
        if left_out > 0 {
            self.bytes.copy_within(start..end, self.filled);
        }
        self.filled += bytes - left_out;
    }
}

/// The pieces to begin with, and the way on which they come back.
fn empty_pieces() -> (Sender<Piece>, Receiver<Piece>) {
    let (give, take) = channel::bounded(PIECES);
    for _ in 0..PIECES {
        let bytes = vec![0; PIECE_BYTES].into_boxed_slice();
        give.try_send(Piece { bytes, filled: 0 }).expect("there is room for all");
    }
    (give, take)
}

/// A content that is read while it is sent: what the connection takes.
pub(super) struct Supply {
    /// All bytes of the content.
    pub bytes: u64,
    /// Those that have been sent.
    pub sent: u64,
    full: Receiver<Result<Piece, Error>>,
    empty: Sender<Piece>,
}

/// The other end of a [`Supply`]: where its content is read.
pub(super) struct Feed {
    bytes: u64,
    full: Sender<Result<Piece, Error>>,
    empty: Receiver<Piece>,
}

/// Both ends of a content of so many bytes.
pub(super) fn supply(bytes: u64) -> (Supply, Feed) {
    let (give, full) = channel::bounded(PIECES);
    let (empty, take) = empty_pieces();
    let supply = Supply { bytes, sent: 0, full, empty };
    (supply, Feed { bytes, full: give, empty: take })
}

impl Supply {
    /// The next piece, or why there is none. `None`: there are no more.
    pub async fn next(&mut self) -> Option<Result<Piece, Error>> {
        self.full.recv().await.ok()
    }

    /// A piece that has been sent.
    pub fn give_back(&self, piece: Piece) {
        // Where nothing is read any more, nobody takes it.
        let _ = self.empty.try_send(piece);
    }
}

impl Feed {
    /// Reads the content until all of it is read, something fails, or nobody takes it any more.
    /// `read` fills all that it is given. The last piece is given away only when `check` has found
    /// the content as it should be: a node keeps nothing that is not whole. Blocks.
    pub fn run(
        self,
        mut read: impl FnMut(&mut [u8]) -> Result<(), Error>,
        check: impl FnOnce() -> Result<(), Error>,
    ) {
        let (mut left, mut check) = (self.bytes, Some(check));
        while left > 0 {
            let Ok(mut piece) = self.empty.recv_blocking() else { return };
            piece.filled = cmp::min(left, PIECE_BYTES as u64) as usize;
            left -= piece.filled as u64;
            let mut result = read(&mut piece.bytes[..piece.filled]);
            if let (0, Ok(())) = (left, &result) {
                result = check.take().map_or(Ok(()), |check| check());
            }
            let has_failed = result.is_err();
            if self.full.send_blocking(result.map(|()| piece)).is_err() || has_failed {
                return;
            }
        }
    }
}

/// Where the pieces of a content are taken to: what the connection gives to.
pub(super) struct Pour {
    full: Sender<Piece>,
    empty: Receiver<Piece>,
}

/// The other end of a [`Pour`]: where the pieces are written.
pub(super) struct Drain {
    full: Receiver<Piece>,
    empty: Sender<Piece>,
}

/// Both ends.
pub(super) fn pour() -> (Pour, Drain) {
    let (full, take) = channel::bounded(PIECES);
    let (give, empty) = empty_pieces();
    (Pour { full, empty }, Drain { full: take, empty: give })
}

impl Pour {
    /// A piece to fill. `None`: nothing is written any more, because it has failed.
    pub async fn empty(&self) -> Option<Piece> {
        let mut piece = self.empty.recv().await.ok()?;
        piece.filled = 0;
        Some(piece)
    }

    pub async fn push(&self, piece: Piece) {
        // If it has failed, that is found with the next empty piece, or at the end.
        let _ = self.full.send(piece).await;
    }
}

impl Drain {
    /// Writes all pieces that come. Blocks.
    pub fn run<E>(self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while let Ok(piece) = self.full.recv_blocking() {
            write(piece.bytes())?;
            let _ = self.empty.try_send(piece);
        }
        Ok(())
    }
}
