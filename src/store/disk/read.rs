//! Reading a content: at once if no disk is needed for it, or waiting for the disk.
//!
//! Whatever comes from the disk is checked against the hash of the content.

use std::{path::Path, sync::Arc};

use bytes::Bytes;

use super::{
    contents::{Large, LargeFile},
    error::ReadError,
    file::{Disk, DiskFile},
    limits::BLOCK_BYTES,
    record::{Head, RecordKind, RecordValue},
    table::{OpenLog, Place, SharedTable},
    types::{TransferId, WriteValue},
};
use crate::ring::item::{Ticket, Value};

/// A content, or what may become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A version.
    Version(Ticket),
    /// What has come of a transfer.
    Transfer(TransferId),
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which content.
    pub source: Source,
    /// The first byte.
    pub from: u64,
    /// The most bytes.
    pub bytes_max: usize,
}

/// Where a content is.
enum Whereabouts {
    Memory(Bytes),
    Log(OpenLog, Place),
    File(Large, Option<Arc<LargeFile>>),
    /// A file that is not checked, and how many bytes it has.
    Transfer(Arc<dyn DiskFile>, u64),
}

/// Reads without waiting for the disk. `None`: that is not possible.
pub fn read_now(table: &SharedTable, span: Span) -> Result<Option<Bytes>, ReadError> {
    let result = match find(table, span.source)? {
        Whereabouts::Memory(content) => return Ok(Some(part(content, span))),
        Whereabouts::Transfer(file, bytes) => {
            let mut piece = piece_of(bytes, span);
            return Ok(file.read_now(&mut piece, span.from)?.then(|| piece.into()));
        }
        Whereabouts::File(_, None) => return Ok(None),
        Whereabouts::File(_, Some(file)) => file.read_now(span.from, span.bytes_max),
        Whereabouts::Log(log, place) => {
            let mut record = vec![0; place.bytes as usize];
            match log.file.read_now(&mut record, place.spot.offset.into()) {
                Ok(true) => small(table, &log, place, record, span).map(Some),
                Ok(false) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    };
    note_damage(table, span.source, result)
}

/// Reads, and waits for the disk.
pub fn read_waiting(
    table: &SharedTable,
    disk: &dyn Disk,
    files: &Path,
    span: Span,
) -> Result<Bytes, ReadError> {
    let result = match find(table, span.source)? {
        Whereabouts::Memory(content) => return Ok(part(content, span)),
        Whereabouts::Transfer(file, bytes) => {
            let mut piece = piece_of(bytes, span);
            let read = file.read_at(&mut piece, span.from)?;
            piece.truncate(read);
            return Ok(piece.into());
        }
        Whereabouts::File(_, Some(file)) => file.read(span.from, span.bytes_max),
        Whereabouts::File(large, None) => LargeFile::open(disk, files, large).and_then(|file| {
            let file = Arc::new(file);
            table.lock().open_files.put(file.clone());
            file.read(span.from, span.bytes_max)
        }),
        Whereabouts::Log(log, place) => {
            let mut record = vec![0; place.bytes as usize];
            match log.file.read_at(&mut record, place.spot.offset.into()) {
                Ok(read) => {
                    record.truncate(read);
                    small(table, &log, place, record, span)
                }
                Err(error) => Err(error.into()),
            }
        }
    };
    note_damage(table, span.source, result)
}

fn find(table: &SharedTable, source: Source) -> Result<Whereabouts, ReadError> {
    let mut table = table.lock();
    let (ticket, transfer) = match source {
        Source::Transfer(transfer) => (None, Some(transfer)),
        Source::Version(ticket) => match table.pending.get(&ticket.0) {
            Some(WriteValue::Here(Value::Content { content, .. })) => {
                return Ok(Whereabouts::Memory(content.bytes().clone()));
            }
            Some(WriteValue::Transferred { transfer, .. }) => (None, Some(*transfer)),
            _ => (Some(ticket), None),
        },
    };
    if let Some(transfer) = transfer {
        let (file, bytes) = table.transfers.get(&transfer).ok_or(ReadError::Gone)?;
        return Ok(Whereabouts::Transfer(file.clone(), *bytes));
    }
    let ticket = ticket.ok_or(ReadError::Gone)?;
    if table.damaged.contains(&ticket.0) {
        return Err(ReadError::Damaged);
    }
    if let Some(content) = table.cache.get(ticket.0) {
        return Ok(Whereabouts::Memory(content));
    }
    if let Some(large) = table.large.get(&ticket.0).copied() {
        return Ok(Whereabouts::File(large, table.open_files.get(large.hash)));
    }
    let place = table.places.get(ticket.0).ok_or(ReadError::Gone)?;
    let log = table.logs.get(&place.spot.log).ok_or(ReadError::Gone)?;
    Ok(Whereabouts::Log(log.clone(), place))
}

/// The content of a record.
fn small(
    table: &SharedTable,
    log: &OpenLog,
    place: Place,
    record: Vec<u8>,
    span: Span,
) -> Result<Bytes, ReadError> {
    let decoded = Head::decode(&record, &log.key, place.spot.offset);
    let (head, head_bytes) = decoded.ok_or(ReadError::Damaged)?;
    let RecordKind::Version { value, .. } = head.kind else { return Err(ReadError::Damaged) };
    let content = &record[head_bytes..];
    match value {
        RecordValue::Small { hash, .. } if blake3::hash(content) == hash => {}
        // There is nothing to read.
        RecordValue::Tombstone => return Err(ReadError::Gone),
        _ => return Err(ReadError::Damaged),
    }
    let content = Bytes::copy_from_slice(content);
    let mut table = table.lock();
    if let Source::Version(ticket) = span.source
        && table.places.contains(ticket.0)
    {
        table.cache.put(ticket.0, content.clone());
    }
    Ok(part(content, span))
}

/// Notes damage, unless the content was discarded meanwhile.
fn note_damage<T>(
    table: &SharedTable,
    source: Source,
    result: Result<T, ReadError>,
) -> Result<T, ReadError> {
    if let (Err(ReadError::Damaged), Source::Version(ticket)) = (&result, source) {
        let mut table = table.lock();
        if !table.places.contains(ticket.0) && !table.damaged.contains(&ticket.0) {
            return Err(ReadError::Gone);
        }
        table.damage(ticket.0);
    }
    result
}

/// A buffer for what is to be read of a file of this length.
fn piece_of(bytes: u64, span: Span) -> Vec<u8> {
    let left = bytes.saturating_sub(span.from).min(span.bytes_max as u64);
    vec![0; left.min(BLOCK_BYTES as u64) as usize]
}

fn part(content: Bytes, span: Span) -> Bytes {
    let from = span.from.min(content.len() as u64) as usize;
    content.slice(from..from.saturating_add(span.bytes_max).min(content.len()))
}
