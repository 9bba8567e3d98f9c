//! Reading a content: at once if no disk is needed for it, or waiting for the disk.
//!
//! Whatever comes from the disk is checked against the hash of the content.

use std::{path::Path, sync::Arc};

use bytes::Bytes;

use super::{
    contents::{Large, LargeFile},
    error::ReadError,
    file::Disk,
    record::{Head, RecordKind, RecordValue},
    table::{OpenLog, Place, SharedTable},
};
use crate::ring::item::{Ticket, Value};

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which content.
    pub ticket: Ticket,
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
}

/// Reads without waiting for the disk. `None`: that is not possible.
pub fn read_now(table: &SharedTable, span: Span) -> Result<Option<Bytes>, ReadError> {
    let result = match find(table, span.ticket)? {
        Whereabouts::Memory(content) => return Ok(Some(part(content, span))),
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
    note_damage(table, span.ticket, result)
}

/// Reads, and waits for the disk.
pub fn read_waiting(
    table: &SharedTable,
    disk: &dyn Disk,
    files: &Path,
    span: Span,
) -> Result<Bytes, ReadError> {
    let result = match find(table, span.ticket)? {
        Whereabouts::Memory(content) => return Ok(part(content, span)),
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
    note_damage(table, span.ticket, result)
}

fn find(table: &SharedTable, ticket: Ticket) -> Result<Whereabouts, ReadError> {
    let mut table = table.lock();
    if let Some(Value::Content { content, .. }) = table.pending.get(&ticket.0) {
        return Ok(Whereabouts::Memory(content.bytes().clone()));
    }
    if table.damaged.contains(&ticket.0) {
        return Err(ReadError::Damaged);
    }
    if let Some(content) = table.cache.get(ticket.0) {
        return Ok(Whereabouts::Memory(content));
    }
    if let Some(large) = table.large.get(&ticket.0).copied() {
        return Ok(Whereabouts::File(large, table.open_files.get(large.hash)));
    }
    let place = *table.places.get(&ticket.0).ok_or(ReadError::Gone)?;
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
    if table.places.contains_key(&span.ticket.0) {
        table.cache.put(span.ticket.0, content.clone());
    }
    Ok(part(content, span))
}

/// Notes damage, unless the content was discarded meanwhile.
fn note_damage<T>(
    table: &SharedTable,
    ticket: Ticket,
    result: Result<T, ReadError>,
) -> Result<T, ReadError> {
    if matches!(result, Err(ReadError::Damaged)) {
        let mut table = table.lock();
        if !table.places.contains_key(&ticket.0) && !table.damaged.contains(&ticket.0) {
            return Err(ReadError::Gone);
        }
        table.damage(ticket.0);
    }
    result
}

fn part(content: Bytes, span: Span) -> Bytes {
    let from = span.from.min(content.len() as u64) as usize;
    content.slice(from..from.saturating_add(span.bytes_max).min(content.len()))
}
