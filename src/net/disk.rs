//! The disk of a node, as its driver uses it.

use bytes::{Bytes, BytesMut};

use super::{
    streamed::{Piece, Streamed},
    transfers::{self, Transfers},
};
use crate::{
    ring::{
        Node, StoreFault,
        item::{ArrivalId, Body, Content, Item, ItemValue, Ticket, Value},
        message::{Answer, Refusal, Status},
        name::Name,
        version::Version,
    },
    store::disk::{DiskStore, Read, ReadError, Report, SavedNode, TransferId, Write, WriteValue},
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

    /// Begins one, or goes on with it. Returns how much of it is here.
    pub(super) async fn begin(&self, arrival: ArrivalId) -> Result<u64, StoreFault> {
        self.transfers.begin(&self.store, arrival).await
    }

    pub(super) fn append(&self, arrival: ArrivalId, bytes: Bytes) {
        self.transfers.append(&self.store, arrival, bytes);
    }

    /// Waits until no more than `ahead` bytes are still to be written. Returns how many are.
    pub(super) async fn written(&self, arrival: ArrivalId, ahead: u64) -> Result<u64, StoreFault> {
        self.transfers.written(arrival, ahead).await
    }

    /// All has come. Returns its hash.
    pub(super) async fn finish(&self, arrival: ArrivalId) -> Result<blake3::Hash, StoreFault> {
        self.transfers.finish(&self.store, arrival).await
    }

    pub(super) fn abort(&self, arrival: ArrivalId) {
        self.transfers.abort(&self.store, arrival);
    }

    /// The next piece of what is sent piece by piece; `body` is where it is at the moment.
    pub(super) fn piece(&self, streamed: &Streamed, body: &Body) -> Piece {
        let (at, most) = (streamed.at(), streamed.piece_bytes());
        let (read, may_grow) = match *body {
            Body::Stored { ticket, .. } => (self.store.read(ticket, at, most), false),
            Body::Arrived { arrival, .. } => {
                (self.store.read_transfer(transfers::id(arrival), at, most), true)
            }
            _ => return Piece::Now(Err(ReadError::Gone)),
        };
        match read {
            Read::Now(Ok(bytes)) if bytes.is_empty() && may_grow => Piece::NotYet,
            Read::Now(read) => Piece::Now(read),
            Read::Later(read) => Piece::Later(Box::pin(read.result())),
        }
    }

    // ---- versions

    pub(super) fn write(&self, ticket: Ticket, name: Name, version: Version, value: Value) {
        let value = match value {
            Value::Arrived { arrival, hash, bytes } => {
                let ArrivalId(id) = arrival;
                let transfer = TransferId(id);
                self.transfers.end(arrival);
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
