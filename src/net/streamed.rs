//! A content that leaves piece by piece, as it is read from the disk: of it, only a few pieces are in
//! memory.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;

use super::{clock::Alarm, limits::PIECE_BYTES_MAX, outbox::Outbox};
use crate::{
    ring::{
        item::{Body, Item, ItemValue},
        message::push_found,
        name::Name,
        version::Version,
    },
    store::disk::ReadError,
};

/// How soon it is looked again whether more has come of a content that is still arriving here.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is sent piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Streamed {
    pub(super) source: StreamSource,
    version: Version,
    hash: blake3::Hash,
    /// The next byte, and how many there are.
    at: u64,
    end: u64,
}

/// Where it is read from.
#[derive(Clone, Debug)]
pub(super) enum StreamSource {
    /// From here.
    Stored(Body),
    /// From where this version is at the moment: it may be arriving, or have just come.
    Version(Name),
}

/// A read from the disk.
type Reading = Pin<Box<dyn Future<Output = Result<Bytes, ReadError>>>>;

/// The next piece of it.
pub(super) enum Piece {
    Now(Result<Bytes, ReadError>),
    /// It is being read from the disk.
    Later(Reading),
    /// It has not come yet.
    NotYet,
}

/// A piece that is awaited.
#[derive(Default)]
pub(super) struct Feeding {
    reading: Option<Reading>,
    look_again: Option<Alarm>,
}

impl Streamed {
    /// A file that is in the store.
    pub(super) fn file(item: &Item) -> Option<Self> {
        let ItemValue::File { hash, body: body @ Body::Stored { .. } } = &item.value else {
            return None;
        };
        let (source, end) = (StreamSource::Stored(body.clone()), body.len() as u64);
        Some(Self { source, version: item.version, hash: *hash, at: 0, end })
    }

    /// The rest of a content that another node pulls.
    pub(super) fn rest(
        name: Name,
        version: Version,
        hash: blake3::Hash,
        from: u64,
        bytes: u64,
    ) -> Self {
        let source = StreamSource::Version(name);
        Self { source, version, hash, at: from.min(bytes), end: bytes }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn at(&self) -> u64 {
        self.at
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
        let mut line = Vec::new();
        push_found(&mut line, self.end - self.at, self.version, self.hash);
        outbox.push_bytes(&line);
    }
}

impl Feeding {
    /// Whether a piece is being read, or has not come yet.
    pub(super) fn waits(&self) -> bool {
        self.reading.is_some() || self.look_again.is_some()
    }

    /// The next piece, when it is there.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        next: impl Fn() -> Piece,
    ) -> Poll<Result<Bytes, ReadError>> {
        loop {
            if let Some(alarm) = &mut self.look_again {
                ready!(Pin::new(alarm).poll(cx));
                self.look_again = None;
            }
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                return Poll::Ready(read);
            }
            match next() {
                Piece::Now(read) => return Poll::Ready(read),
                Piece::Later(reading) => self.reading = Some(reading),
                Piece::NotYet => self.look_again = Some(Alarm::after(LOOK_AGAIN)),
            }
        }
    }
}
