//! The disk of a node, as its driver uses it.

use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::{
    streamed::{Piece, Streamed},
    transfers::{Place, SharedPlace, Transfers},
};
use crate::{
    ring::{
        Node, StoreFault,
        item::{ArrivalId, Body, Content, Item, ItemValue, Ticket, Value},
        message::{Answer, Refusal, Status},
        name::Name,
        version::Version,
    },
    store::disk::{
        DiskStats, DiskStore, Read, ReadError, Report, SavedNode, TransferId, Write, WriteValue,
    },
};

/// A store on a disk.
pub(super) struct Disk {
    store: DiskStore,
    transfers: Transfers,
}

impl Disk {
    pub(super) fn new(store: DiskStore) -> Self {
        Self { store, transfers: Transfers::default() }
    }

    // ---- contents that come in pieces

    /// Begins one of so many bytes, or goes on with it.
    pub(super) fn begin(&self, arrival: ArrivalId, bytes: usize) {
        self.transfers.begin(&self.store, arrival, bytes);
    }

    pub(super) fn append(&self, arrival: ArrivalId, bytes: Bytes) {
        self.transfers.append(&self.store, arrival, bytes);
    }

    /// Whether the disk may be given more of it.
    pub(super) fn has_room(&self, arrival: ArrivalId) -> bool {
        self.transfers.has_room(arrival)
    }

    /// The same. If not, the task is woken.
    pub(super) fn poll_room(
        &self,
        cx: &Context<'_>,
        arrival: ArrivalId,
    ) -> Poll<Result<(), StoreFault>> {
        self.transfers.poll_room(cx, arrival)
    }

    /// Waits until the disk may be given more of it.
    pub(super) async fn room(&self, arrival: ArrivalId) -> Result<(), StoreFault> {
        self.transfers.room(arrival).await
    }

    /// Waits until all that has come is written. Returns how much that is.
    pub(super) async fn written(&self, arrival: ArrivalId) -> Result<u64, StoreFault> {
        self.transfers.written(arrival).await
    }

    /// All has come.
    pub(super) fn finish(&self, arrival: ArrivalId) {
        self.transfers.finish(&self.store, arrival);
    }

    /// What it is, once all of it is on the disk.
    pub(super) fn poll_finished(
        &self,
        cx: &Context<'_>,
        arrival: ArrivalId,
    ) -> Poll<Result<blake3::Hash, StoreFault>> {
        self.transfers.poll_finished(cx, arrival)
    }

    /// Where one is, for those who send it on.
    pub(super) fn place(&self, body: &Body) -> Option<SharedPlace> {
        match *body {
            Body::Stored { ticket, .. } => Some(Rc::new(Cell::new(Place::Stored(ticket)))),
            Body::Arrived { arrival, .. } => self.transfers.place(arrival),
            _ => None,
        }
    }

    pub(super) fn abort(&self, arrival: ArrivalId) {
        self.transfers.abort(&self.store, arrival);
    }

    /// The next piece of what is sent piece by piece.
    pub(super) fn piece(&self, cx: &Context<'_>, streamed: &Streamed) -> Piece {
        let (at, most) = (streamed.at(), streamed.piece_bytes());
        let (read, arrival) = match streamed.place() {
            Place::Stored(ticket) => (self.store.read(ticket, at, most), None),
            Place::Arriving(arrival, id) => (self.store.read_transfer(id, at, most), Some(arrival)),
            Place::Gone => return Piece::Now(Err(ReadError::Gone)),
        };
        match (read, arrival) {
            (Read::Now(Ok(bytes)), Some(arrival)) if bytes.is_empty() => {
                self.transfers.watch(cx, arrival);
                Piece::NotYet
            }
            (Read::Now(read), _) => Piece::Now(read),
            (Read::Later(read), _) => Piece::Later(Box::pin(read.result())),
        }
    }

    // ---- versions

    pub(super) fn write(&self, ticket: Ticket, name: Name, version: Version, value: Value) {
        let value = match value {
            Value::Arrived { arrival, hash, bytes } => {
                // Of one that is not there, the write fails.
                let transfer = self.transfers.end(arrival, ticket).unwrap_or(TransferId(0));
                WriteValue::Transferred { transfer, hash, bytes: bytes as u64 }
            }
            value => value.into(),
        };
        self.store.write(Write { ticket, name, version, value });
    }

    pub(super) fn discard(&self, ticket: Ticket) {
        self.store.discard(ticket);
    }

    /// Reads the content of a file, unless it is here. Returns whether it is then: it may have to be
    /// read from the disk, which takes time.
    pub(super) fn read_now(&self, item: &mut Item) -> Result<bool, ReadError> {
        let Some((ticket, bytes)) = stored(item) else { return Ok(true) };
        let mut content = BytesMut::new();
        loop {
            match self.store.read(ticket, content.len() as u64, bytes - content.len()) {
                Read::Now(read) => {
                    let read = read?;
                    if read.len() == bytes {
                        complete(item, read);
                        return Ok(true);
                    }
                    if read.is_empty() {
                        return Err(ReadError::Damaged);
                    }
                    content.extend_from_slice(&read);
                }
                Read::Later(_) => return Ok(false),
            }
            if content.len() >= bytes {
                complete(item, content.freeze());
                return Ok(true);
            }
        }
    }

    /// Reads the content of a file from the disk.
    pub(super) async fn read(&self, item: &mut Item) -> Result<(), ReadError> {
        let Some((ticket, bytes)) = stored(item) else { return Ok(()) };
        let mut content = BytesMut::with_capacity(bytes);
        while content.len() < bytes {
            let read = self.store.read(ticket, content.len() as u64, bytes - content.len());
            let read = match read {
                Read::Now(read) => read?,
                Read::Later(read) => read.result().await?,
            };
            if read.is_empty() {
                return Err(ReadError::Damaged);
            }
            content.extend_from_slice(&read);
        }
        complete(item, content.freeze());
        Ok(())
    }

    /// What became of writes, in their order. Waits for the first.
    pub(super) async fn reports(&self) -> Vec<(Ticket, Result<(), StoreFault>)> {
        loop {
            let reports = self.store.reports().await.into_iter();
            let reports = reports.inspect(|report| self.transfers.note(report));
            let written: Vec<_> = reports
                .filter_map(|report| match report {
                    Report::Written { ticket, result } => Some((ticket, result)),
                    _ => None,
                })
                .collect();
            if !written.is_empty() {
                return written;
            }
        }
    }

    /// Notes what the node knows of its ring, for when it starts again. A node that is not in its ring
    /// knows nothing new.
    pub(super) fn save(&self, node: &Node) {
        if let Some((incarnation, members, alive_ms)) = node.to_remember() {
            let (ring, address) = (node.ring_name().to_owned(), node.address());
            self.store.save_node(SavedNode { ring, address, incarnation, members, alive_ms });
        }
    }

    /// How the store is doing.
    pub(super) fn stats(&self) -> DiskStats {
        self.store.stats()
    }

    pub(super) fn close(&self) {
        self.store.close();
    }
}

/// Where the content is, if it is in the store.
fn stored(item: &Item) -> Option<(Ticket, usize)> {
    match item.body() {
        Some(&Body::Stored { ticket, bytes }) => Some((ticket, bytes)),
        _ => None,
    }
}

fn complete(item: &mut Item, bytes: Bytes) {
    if let ItemValue::File { hash, body } = &mut item.value {
        *body = Body::Whole(Content::hashed(bytes, Some(*hash)));
    }
}

/// The name of its content in the store, if it is there.
pub(super) fn ticket_of(item: &Item) -> Option<Ticket> {
    stored(item).map(|(ticket, _)| ticket)
}

/// The answer to a GET of a content that cannot be read.
pub(super) fn unreadable(why: &ReadError) -> Answer {
    let reason = format!("{why}; try another node");
    Answer::Refused(Refusal::new(Status::Unavailable, reason))
}
