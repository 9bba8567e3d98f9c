//! The heads of a log in a file of their own, so that opening need not read the contents (Bitcask calls
//! them hint files).
//!
//! ```text
//! header  "smolhead"  number u32  covers u32
//! heads   of all records that count, and of deaths, as they are in the log
//! check   [8]  BLAKE3 of all before, under the key of the log
//! ```
//!
//! A log is never changed, so its heads cannot become wrong, only old: what was discarded since is found
//! again, and what was appended since is read from the log. If the file is missing or damaged, all is
//! read from the log.

use std::{io, path::Path, sync::Arc};

use super::{
    engine::{Engine, heads_name},
    file::{Disk, DiskFile},
    limits::WINDOW_BYTES,
    live::Live,
    record::{HEADER_BYTES as LOG_HEADER_BYTES, Head, RecordKind, u32_at, whole_heads},
    scan::Window,
    table::OpenLog,
};

const MAGIC: &[u8; 8] = b"smolhead";
const HEADER_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;
/// What the names of files that are not complete end in.
const DRAFT: &str = "heads.new";

/// The heads of a log, up to an offset. They were checked, and are read again piece by piece: of a log
/// with many small files they are half of it.
#[derive(Debug)]
pub struct Heads {
    file: Arc<dyn DiskFile>,
    end: u64,
    /// How much of the log they cover.
    pub covers: u32,
}

/// Looks at the heads of a log of this length. `None`: they are not there, damaged, or of another log.
/// Blocks.
pub fn read(
    disk: &dyn Disk,
    folder: &Path,
    number: u32,
    key: &[u8; 32],
    log_bytes: u32,
) -> Option<Heads> {
    let file = disk.open(&folder.join(heads_name(number))).ok()?;
    let bytes = file.bytes().ok()?;
    let end = bytes.checked_sub(CHECK_BYTES as u64)?;
    // What is in it is in the log as well.
    if end > u64::from(log_bytes) + HEADER_BYTES as u64 {
        return None;
    }
    let mut header = [0; HEADER_BYTES];
    if end < HEADER_BYTES as u64 || file.read_at(&mut header, 0).ok()? < HEADER_BYTES {
        return None;
    }
    let covers = u32_at(&header, 12);
    if header[..8] != *MAGIC || u32_at(&header, 8) != number || covers > log_bytes {
        return None;
    }
    let mut window = Window::new(&*file, bytes);
    let (mut at, mut hasher) = (0, blake3::Hasher::new_keyed(key));
    while at < end {
        let piece = window.at(at, WINDOW_BYTES.min((end - at) as usize)).ok()?;
        if piece.is_empty() {
            return None;
        }
        hasher.update(piece);
        at += piece.len() as u64;
    }
    let hash = hasher.finalize();
    let is_valid = *window.at(end, CHECK_BYTES).ok()? == hash.as_bytes()[..CHECK_BYTES];
    drop(window);
    is_valid.then_some(Heads { file, end, covers })
}

impl Heads {
    /// Hands on all heads, some at a time, one behind the other.
    pub fn each(&self, mut on_some: impl FnMut(&[u8])) -> io::Result<()> {
        let mut window = Window::new(&*self.file, self.end);
        let mut at = HEADER_BYTES as u64;
        while at < self.end {
            let some = window.at(at, WINDOW_BYTES)?;
            let whole = whole_heads(some);
            if whole == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            on_some(&some[..whole]);
            at += whole as u64;
        }
        Ok(())
    }
}

/// Writes the heads of a log, step by step.
#[derive(Debug)]
pub struct HeadsWriter {
    number: u32,
    log: OpenLog,
    live: Live,
    at: u32,
    covers: u32,
    draft: Arc<dyn DiskFile>,
    written: u64,
    /// Of all that was written.
    hasher: blake3::Hasher,
}

impl HeadsWriter {
    /// Begins with a log that does not change any more.
    pub fn begin(engine: &Engine, number: u32) -> io::Result<Self> {
        let log = engine.table.lock().logs[&number].clone();
        let covers = engine.logs[&number].bytes;
        let path = engine.log_folder().join(heads_name(number)).with_extension(DRAFT);
        let draft = engine.disk.create(&path)?;
        let hasher = blake3::Hasher::new_keyed(&log.key);
        let live = Live::in_log(&engine.table, number);
        let at = LOG_HEADER_BYTES;
        let mut writer = Self { number, log, live, at, covers, draft, written: 0, hasher };
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(&covers.to_le_bytes());
        writer.write(&header)?;
        Ok(writer)
    }

    /// The log.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Reads one more piece of the log. Returns how many bytes that were, and whether it was the last
    /// one.
    pub fn step(&mut self, engine: &Engine) -> io::Result<(usize, bool)> {
        let (start, mut heads) = (self.at, Vec::new());
        let mut window = Window::new(&*self.log.file, u64::from(self.covers));
        while self.at < self.covers && ((self.at - start) as usize) < WINDOW_BYTES {
            let Some((head, head_bytes)) = window.head(self.at, &self.log.key)? else {
                self.at = window.next_head(self.at + 1, &self.log.key)?.unwrap_or(self.covers);
                continue;
            };
            let is_live = self.live.take(self.at).is_some();
            match &head.kind {
                RecordKind::Version { .. } if !is_live => {
                    if let Some(source) = head.moved_from {
                        let kind = RecordKind::Deaths(vec![source]);
                        let ended = Head { moved_from: None, kind, ..head.clone() };
                        ended.encode(&self.log.key, &mut heads);
                    }
                }
                _ => heads.extend_from_slice(window.at(u64::from(self.at), head_bytes)?),
            }
            self.at = self.at.saturating_add(head_bytes as u32 + head.content_bytes());
        }
        self.write(&heads)?;
        let is_last = self.at >= self.covers;
        if is_last {
            self.finish(engine)?;
        }
        Ok(((self.at - start) as usize, is_last))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.draft.write_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn finish(&mut self, engine: &Engine) -> io::Result<()> {
        let hash = *self.hasher.finalize().as_bytes();
        self.write(&hash[..CHECK_BYTES])?;
        self.draft.sync()?;
        let path = engine.log_folder().join(heads_name(self.number));
        // Whether this outlives a power loss does not matter.
        engine.disk.rename(&path.with_extension(DRAFT), &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{
        Durability,
        record::heads,
        tests::{
            rig::Rig,
            sim::{Fault, SimDisk},
        },
    };

    #[test]
    fn they_are_not_written_while_deaths_cannot_be() {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        rig.put(&[(1, 1, Some(250)), (2, 1, Some(250))]);
        rig.discard(1, 1);
        let next = rig.disk.operations() + 1;
        rig.disk.set_fault(Fault::Once(next, io::ErrorKind::StorageFull));
        assert!(!rig.close());
        assert!(rig.disk.files().iter().all(|(path, _)| path.extension().unwrap() == "log"));
        assert!(rig.close());
    }

    #[test]
    fn they_are_those_of_the_records_that_count() {
        let mut rig = Rig::new(SimDisk::new(), Durability::Sync);
        rig.put(&[(1, 1, Some(250)), (2, 1, Some(900)), (3, 1, None), (4, 1, Some(250))]);
        rig.discard(1, 1);
        rig.discard(3, 1);
        rig.close();
        let (log, state) = (&rig.engine.table.lock().logs[&1].clone(), &rig.engine.logs[&1]);
        let folder = rig.engine.log_folder();
        let read = |number, bytes| read(&rig.disk, &folder, number, &log.key, bytes);
        let all = read(1, state.bytes).unwrap();
        assert_eq!(all.covers, state.bytes);
        let mut kinds = Vec::new();
        let is_version = |(head, _): (Head, _)| matches!(head.kind, RecordKind::Version { .. });
        all.each(|some| kinds.extend(heads(some).map(is_version))).unwrap();
        assert_eq!(kinds, [true, true, false], "two versions, and the deaths");
        assert!(read(2, state.bytes).is_none());
        assert!(read(1, state.bytes - 1).is_none(), "they tell of more than the log has");
    }
}
