//! A content that leaves piece by piece, as it is read from the disk: of it, only a few pieces are in
//! memory.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::{
    limits::PIECE_BYTES_MAX,
    outbox::Outbox,
    transfers::{Place, SharedPlace},
};
use crate::{
    ring::{
        message::{push_found, push_offered},
        version::Version,
    },
    store::disk::ReadError,
};

/// What is sent piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Streamed {
    place: SharedPlace,
    /// What it is; not known yet of one whose client is still sending it.
    of: Option<(Version, blake3::Hash)>,
    /// The next byte, and how many there are.
    at: u64,
    end: u64,
}

/// A read from the disk.
type Reading = Pin<Box<dyn Future<Output = Result<Bytes, ReadError>>>>;

/// The next piece of it.
pub(super) enum Piece {
    Now(Result<Bytes, ReadError>),
    /// It is being read from the disk.
    Later(Reading),
    /// It has not come yet. The task is woken when it has.
    NotYet,
}

/// A piece that is awaited.
#[derive(Default)]
pub(super) struct Feeding {
    reading: Option<Reading>,
    /// The next piece has not come yet.
    is_behind: bool,
}

impl Streamed {
    /// A content of so many bytes, from this one on.
    pub(super) fn new(
        place: SharedPlace,
        of: Option<(Version, blake3::Hash)>,
        from: u64,
        bytes: usize,
    ) -> Self {
        let end = bytes as u64;
        Self { place, of, at: from.min(end), end }
    }

    /// Where it is at the moment.
    pub(super) fn place(&self) -> Place {
        self.place.get()
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// What it is, if that is known.
    pub(super) fn of(&self) -> Option<(Version, blake3::Hash)> {
        self.of
    }

    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The bytes from `from` on, up to and without `to`.
    pub(super) fn part(&self, from: u64, to: u64) -> Self {
        let end = to.min(self.end);
        Self { at: from.min(end), end, ..self.clone() }
    }

    /// How much is to be read next.
    pub(super) fn piece_bytes(&self) -> usize {
        (self.end - self.at).min(PIECE_BYTES_MAX as u64) as usize
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.end
    }

    /// This many bytes more have been taken.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes as u64;
    }

    /// Appends the line in front of it.
    pub(super) fn push_head(&self, outbox: &mut Outbox) {
        let (mut line, left) = (Vec::new(), self.end - self.at);
        match self.of {
            Some((version, hash)) => push_found(&mut line, left, version, hash),
            None => push_offered(&mut line, left),
        }
        outbox.push_bytes(&line);
    }
}

impl Feeding {
    /// Whether a piece is being read, or has not come yet.
    pub(super) fn waits(&self) -> bool {
        self.reading.is_some() || self.is_behind
    }

    /// The next piece, when it is there.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        next: impl Fn(&Context<'_>) -> Piece,
    ) -> Poll<Result<Bytes, ReadError>> {
        self.is_behind = false;
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                return Poll::Ready(read);
            }
            match next(cx) {
                Piece::Now(read) => return Poll::Ready(read),
                Piece::Later(reading) => self.reading = Some(reading),
                Piece::NotYet => {
                    self.is_behind = true;
                    return Poll::Pending;
                }
            }
        }
    }
}
