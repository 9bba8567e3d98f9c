//! Reading a log from one end to the other: what is valid in it, what is damaged, where it ends.

use std::io;

use super::{
    file::DiskFile,
    limits::{DEATHS_PER_RECORD_MAX, WINDOW_BYTES},
    record::{Head, RECORD_BYTES_MIN, RecordKind, RecordValue, may_be_head},
};

/// The longest head of all.
const HEAD_BYTES: usize = RECORD_BYTES_MIN + 8 * DEATHS_PER_RECORD_MAX;

/// A file that is read from front to back, in large pieces.
pub struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Nothing behind this is looked at.
    end: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Reads the first `end` bytes of a file.
    pub fn new(file: &'a dyn DiskFile, end: u64) -> Self {
        Self { file, end, start: 0, buffer: Vec::new() }
    }

    /// This many bytes from here on, or fewer if the file ends before.
    pub fn at(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let wanted = bytes.min(self.end.saturating_sub(offset) as usize);
        let has =
            offset >= self.start && offset + wanted as u64 <= self.start + self.buffer.len() as u64;
        if !has {
            let whole = self.end.saturating_sub(offset).min(wanted.max(WINDOW_BYTES) as u64);
            self.buffer.resize(whole as usize, 0);
            self.start = offset;
            let read = self.file.read_at(&mut self.buffer, offset);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let from = (offset - self.start) as usize;
        let to = self.buffer.len().min(from + wanted);
        Ok(&self.buffer[from.min(to)..to])
    }

    /// The record that begins here: its head and the length of that. `None`: there is none.
    pub fn head(&mut self, offset: u32, key: &[u8; 32]) -> io::Result<Option<(Head, usize)>> {
        Ok(Head::decode(self.at(u64::from(offset), HEAD_BYTES)?, key, offset))
    }

    /// The first valid head at or after this offset.
    pub fn next_head(&mut self, from: u32, key: &[u8; 32]) -> io::Result<Option<u32>> {
        let mut at = u64::from(from);
        while at < self.end {
            let bytes = self.at(at, WINDOW_BYTES)?;
            let places = bytes.len().saturating_sub(RECORD_BYTES_MIN - 1);
            let is_likely = |&it: &usize| may_be_head(&bytes[it..], (at + it as u64) as u32);
            let likely: Vec<u64> = (0..places).filter(is_likely).map(|it| at + it as u64).collect();
            let next = at + places.max(1) as u64;
            for offset in likely {
                if self.head(offset as u32, key)?.is_some() {
                    return Ok(Some(offset as u32));
                }
            }
            at = next;
        }
        Ok(None)
    }
}

/// What is to be read of a log.
pub struct LogPart<'a> {
    /// The file.
    pub file: &'a dyn DiskFile,
    /// The key of its checks.
    pub key: [u8; 32],
    /// Where a record begins.
    pub from: u32,
    /// Where to stop.
    pub to: u32,
    /// What is before this is known to have been on the disk.
    pub synced: u32,
    /// Whether this is the newest log, so that it may end in a write that was torn.
    pub is_newest: bool,
}

/// Bytes of a log that are no records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Where they begin.
    pub from: u32,
    /// Where they end.
    pub to: u32,
}

/// What a log contains.
#[derive(Default, Debug)]
pub struct Scanned {
    /// The heads of all valid records, one behind the other, as they are in the log.
    pub heads: Vec<u8>,
    /// Where the log is to be continued.
    pub end: u32,
    /// Damage.
    pub gaps: Vec<Gap>,
    /// Whether reading failed, and the rest is unknown.
    pub is_unreadable: bool,
}

/// Reads all records, and checks heads and contents. Blocks.
pub fn scan(part: &LogPart<'_>) -> Scanned {
    let mut scanned = Scanned { end: part.to, ..Scanned::default() };
    let mut window = Window::new(part.file, u64::from(part.to));
    // With each gap, how long the heads before it are.
    let mut gaps: Vec<(Gap, usize)> = Vec::new();
    let (mut at, mut synced) = (part.from, part.synced);
    while at < part.to {
        let read = take(&mut window, part, at, &mut scanned.heads, &mut synced);
        let (next, is_valid) = match read {
            Ok(Some(taken)) => taken,
            Ok(None) => match window.next_head(at + 1, &part.key) {
                Ok(next) => (next.unwrap_or(part.to), false),
                Err(_) => (part.to, false),
            },
            Err(_) => (part.to, false),
        };
        scanned.is_unreadable |= read.is_err();
        if !is_valid {
            match gaps.last_mut() {
                Some((last, _)) if last.to == at => last.to = next,
                _ => gaps.push((Gap { from: at, to: next }, scanned.heads.len())),
            }
        }
        at = next;
    }
    if part.is_newest
        && !scanned.is_unreadable
        && let Some(torn) = gaps.iter().position(|(gap, _)| gap.from >= synced)
    {
        scanned.end = gaps[torn].0.from;
        scanned.heads.truncate(gaps[torn].1);
        gaps.truncate(torn);
    }
    scanned.gaps = gaps.into_iter().map(|(gap, _)| gap).collect();
    scanned
}

/// Takes one record: where the next one begins, and whether this one is valid. `None`: there is no
/// head here.
fn take(
    window: &mut Window<'_>,
    part: &LogPart<'_>,
    at: u32,
    heads: &mut Vec<u8>,
    synced: &mut u32,
) -> io::Result<Option<(u32, bool)>> {
    let Some((head, head_bytes)) = window.head(at, &part.key)? else { return Ok(None) };
    let bytes = head_bytes + head.content_bytes() as usize;
    if bytes as u64 > u64::from(part.to - at) {
        return Ok(None);
    }
    *synced = (*synced).max(head.synced);
    let record = window.at(u64::from(at), bytes)?;
    if record.len() < bytes {
        return Ok(None);
    }
    let is_valid = match &head.kind {
        RecordKind::Version { value: RecordValue::Small { hash, .. }, .. } => {
            blake3::hash(&record[head_bytes..]) == *hash
        }
        _ => true,
    };
    if is_valid {
        heads.extend_from_slice(&record[..head_bytes]);
    }
    Ok(Some((at + bytes as u32, is_valid)))
}
