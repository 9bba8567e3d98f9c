//! The writing side: batches into logs, and what follows if that fails.
//!
//! Everything here runs on the disk thread, and blocks. It has no threads, no clock and no chance but
//! the keys of new logs, so tests run it step by step on a disk that loses power at any of them.
//!
//! A batch is one write and one sync. If the write fails, the log is cut back to what it was. If that
//! fails as well, or the sync fails, its end is in an unknown state: the log is not written to any
//! more, and the next one says in its header how much of it counts. What a failed sync was to keep is
//! never just synced again: the writes of the batch are answered with a fault, and deaths and moved
//! records are written again, to a new log. With [`Durability::Os`] earlier writes may be unsynced in
//! that log too: all that counts in it is copied to a new one.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::Hash;

use super::{
    contents::{Contents, Large},
    file::{Disk, fault},
    limits::{BUFFER_BYTES_KEPT, DEATHS_PER_RECORD_MAX},
    record::{HEADER_BYTES, Head, LogHeader, RecordKind, RecordValue, Spot},
    table::{OpenLog, Place, SharedTable, Table},
    transfers::Transfers,
    types::{DiskOptions, DiskStats, Durability, Write, WriteValue},
};
use crate::{
    random,
    ring::{
        StoreFault,
        item::{Ticket, Value},
    },
};

/// The writing side of a store.
#[derive(Debug)]
pub struct Engine {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) options: DiskOptions,
    pub(super) table: SharedTable,
    pub(super) contents: Contents,
    pub(super) transfers: Transfers,
    pub(super) logs: BTreeMap<u32, LogState>,
    /// The log that is written to.
    pub(super) active: Option<u32>,
    /// The log that was last written to, and how much of it counts.
    pub(super) newest: Spot,
    pub(super) next_number: u32,
    /// Deaths that no log says yet.
    pub(super) deaths: Vec<Spot>,
    /// Contents that may be removed once these deaths are synced.
    pub(super) dead_files: Vec<Hash>,
    buffer: Vec<u8>,
    syncs: u64,
    faults: u64,
}

/// What the writing side knows of a log.
#[derive(Clone, Debug)]
pub struct LogState {
    /// How much of it counts.
    pub bytes: u32,
    /// How much of that is surely on the disk.
    pub synced: u32,
    /// Bytes of records that are in the table.
    pub live_bytes: u64,
    /// Deaths that it says, by the log in which the dead are.
    pub deaths: BTreeMap<u32, u32>,
    /// Whether there is nothing more to be gained from writing its heads into a file.
    pub has_heads: bool,
    /// Whether there may be more in its file than what counts.
    pub has_rest: bool,
    /// Whether a sync of it has failed: what counts in it has to be copied elsewhere.
    pub is_suspect: bool,
}

impl LogState {
    /// A log of this length, all of it on the disk, of which nothing counts yet.
    pub fn new(bytes: u32) -> Self {
        Self {
            bytes,
            synced: bytes,
            live_bytes: 0,
            deaths: BTreeMap::new(),
            has_heads: false,
            has_rest: false,
            is_suspect: false,
        }
    }

    /// Notes deaths that this log says.
    pub fn add_deaths(&mut self, deaths: &[Spot]) {
        for spot in deaths {
            *self.deaths.entry(spot.log).or_default() += 1;
        }
    }

    /// How much of it counts no more.
    pub fn dead_bytes(&self) -> u64 {
        let deaths: u64 = self.deaths.values().map(|count| 8 * u64::from(*count)).sum();
        u64::from(self.bytes).saturating_sub(u64::from(HEADER_BYTES) + self.live_bytes + deaths)
    }
}

/// Records that are being put together, to be written at once.
pub(super) struct Batch {
    number: u32,
    log: OpenLog,
    synced: u32,
    base: u32,
    deaths: Vec<Spot>,
}

impl Engine {
    /// The writing side of an empty store.
    pub fn new(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: DiskOptions,
        table: SharedTable,
    ) -> Self {
        Self {
            contents: Contents::new(disk.clone(), folder.join("files")),
            transfers: Transfers::new(
                disk.clone(),
                &folder.join("files"),
                options.durability == Durability::Sync,
            ),
            disk,
            folder: folder.into(),
            options,
            table,
            logs: BTreeMap::new(),
            active: None,
            newest: Spot { log: 0, offset: 0 },
            next_number: 1,
            deaths: Vec::new(),
            dead_files: Vec::new(),
            buffer: Vec::new(),
            syncs: 0,
            faults: 0,
        }
    }

    /// Keeps these versions, and says of each whether it is kept. With them go the deaths that wait.
    pub fn commit(&mut self, writes: &[Write]) -> Vec<Result<(), StoreFault>> {
        let mut results: Vec<_> = writes.iter().map(|write| self.write_large(write)).collect();
        if let Err(error) = self.append_all(writes, &results) {
            self.faults += 1;
            for (write, result) in writes.iter().zip(&mut results) {
                if let (Ok(()), Some(large)) = (&result, self.large(write)) {
                    self.contents.release(large.hash);
                    // The record may be on the disk for all that, until another log says how much
                    // of this one counts.
                    match self.logs.get(&self.newest.log).is_some_and(|log| log.has_rest) {
                        true => self.dead_files.push(large.hash),
                        false => self.contents.remove_unused(large.hash),
                    }
                }
                *result = result.and(Err(fault(&error)));
            }
        }
        let mut table = self.table.lock();
        for (write, result) in writes.iter().zip(&results) {
            if result.is_err() {
                table.pending.remove(&write.ticket.0);
            }
            if let WriteValue::Transferred { transfer, .. } = write.value {
                table.transfers.remove(&transfer);
            }
        }
        results
    }

    /// This version counts no more.
    pub fn discard(&mut self, ticket: Ticket) {
        let mut table = self.table.lock();
        table.damaged.remove(&ticket.0);
        table.cache.remove(ticket.0);
        let large = table.large.remove(&ticket.0);
        let place = table.places.remove(ticket.0);
        drop(table);
        if let Some(large) = large {
            self.contents.release(large.hash);
            self.dead_files.push(large.hash);
        }
        if let Some(place) = place {
            self.deaths.push(place.spot);
            if let Some(log) = self.logs.get_mut(&place.spot.log) {
                log.live_bytes -= u64::from(place.bytes);
            }
        }
    }

    /// How many deaths wait for the next batch.
    pub fn deaths_waiting(&self) -> usize {
        self.deaths.len() + self.dead_files.len()
    }

    /// Writes the deaths that wait.
    pub fn write_deaths(&mut self) -> io::Result<()> {
        if self.deaths_waiting() == 0 {
            return Ok(());
        }
        let result = self.append_all(&[], &[]);
        self.faults += u64::from(result.is_err());
        result
    }

    /// How the store is doing, as far as this side knows.
    pub fn stats(&self) -> DiskStats {
        DiskStats {
            versions: self.table.lock().places.len() as u64,
            logs: self.logs.len() as u64,
            log_bytes: self.logs.values().map(|log| u64::from(log.bytes)).sum(),
            dead_bytes: self.logs.values().map(LogState::dead_bytes).sum(),
            file_bytes: self.contents.bytes(),
            transfers: self.transfers.len() as u64,
            syncs: self.syncs,
            faults: self.faults,
            ..DiskStats::default()
        }
    }

    /// The folder of the logs.
    pub(super) fn log_folder(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn syncs(&self) -> bool {
        self.options.durability == Durability::Sync
    }

    /// What is to be in a file of its own.
    fn large(&self, write: &Write) -> Option<Large> {
        match &write.value {
            WriteValue::Here(Value::Content { hash, content })
                if content.len() >= self.options.file_bytes_min =>
            {
                Some(Large { hash: *hash, bytes: content.len() as u64 })
            }
            WriteValue::Transferred { hash, bytes, .. } => {
                Some(Large { hash: *hash, bytes: *bytes })
            }
            WriteValue::Here(_) => None,
        }
    }

    /// Writes a large content into its file, unless it is there.
    fn write_large(&mut self, write: &Write) -> Result<(), StoreFault> {
        let Some(large) = self.large(write) else { return Ok(()) };
        let came = match write.value {
            WriteValue::Here(_) => None,
            WriteValue::Transferred { transfer, .. } => {
                let came = self.transfers.take(transfer, large);
                // The caller has been told what the transfer has brought, or that it has failed.
                Some(came.ok_or(StoreFault::Broken)?)
            }
        };
        let is_damaged = self.table.lock().damaged_files.contains(&large.hash);
        let is_needed = is_damaged || !self.contents.is_here(large.hash);
        if !is_needed {
            came.iter().for_each(|path| drop(self.disk.remove(path)));
        } else {
            let syncs = self.syncs();
            let result = match (&came, &write.value) {
                (Some(path), _) => self.contents.take(large.hash, path, syncs),
                (None, WriteValue::Here(Value::Content { content, .. })) => {
                    self.contents.write(large.hash, content, syncs)
                }
                (None, _) => unreachable!("a tombstone has no content"),
            };
            if let Err(error) = result {
                self.faults += 1;
                return Err(fault(&error));
            }
            let mut table = self.table.lock();
            table.open_files.close(large.hash);
            if table.damaged_files.remove(&large.hash) {
                let Table { damaged, large: all, .. } = &mut *table;
                damaged.retain(|it| all.get(it).is_none_or(|it| it.hash != large.hash));
            }
        }
        self.contents.hold(large);
        Ok(())
    }

    /// Appends the records of the writes that have succeeded so far, and the deaths that wait.
    fn append_all(
        &mut self,
        writes: &[Write],
        results: &[Result<(), StoreFault>],
    ) -> io::Result<()> {
        if self.deaths_waiting() == 0 && !results.contains(&Ok(())) {
            return Ok(());
        }
        let mut batch = self.begin()?;
        self.push_deaths_waiting(&mut batch);
        let mut places = Vec::with_capacity(writes.len());
        for (write, result) in writes.iter().zip(results) {
            if result.is_ok() {
                places.push((write.ticket.0, self.push_write(&batch, write), self.large(write)));
            }
        }
        let number = batch.number;
        self.end(batch, self.syncs())?;
        let log = self.logs.get_mut(&number).expect("the batch is in it");
        let mut table = self.table.lock();
        for (ticket, place, large) in places {
            log.live_bytes += u64::from(place.bytes);
            table.pending.remove(&ticket);
            table.places.insert(ticket, place);
            if let Some(large) = large {
                table.large.insert(ticket, large);
            }
        }
        drop(table);
        self.deaths_are_written();
        Ok(())
    }

    fn push_write(&mut self, batch: &Batch, write: &Write) -> Place {
        let (name, version) = (write.name.clone(), write.version);
        let kind = |value| RecordKind::Version { name, version, value };
        if let Some(Large { hash, bytes }) = self.large(write) {
            return self.push(batch, None, kind(RecordValue::Large { hash, bytes }), &[]);
        }
        match &write.value {
            WriteValue::Here(Value::Content { hash, content }) => {
                let value = RecordValue::Small { hash: *hash, bytes: content.len() as u32 };
                self.push(batch, None, kind(value), content)
            }
            _ => self.push(batch, None, kind(RecordValue::Tombstone), &[]),
        }
    }

    // ---- batches

    /// Begins a batch in the log that is written to, or in a new one.
    pub(super) fn begin(&mut self) -> io::Result<Batch> {
        if let Some(number) = self.active
            && self.logs[&number].bytes >= self.options.log_bytes_max
        {
            self.seal(number);
        }
        let number = match self.active {
            Some(number) => number,
            None => self.create_log()?,
        };
        let log = self.table.lock().logs[&number].clone();
        let state = &self.logs[&number];
        self.buffer.clear();
        Ok(Batch { number, log, synced: state.synced, base: state.bytes, deaths: Vec::new() })
    }

    /// Adds a record to a batch.
    pub(super) fn push(
        &mut self,
        batch: &Batch,
        moved_from: Option<Spot>,
        kind: RecordKind,
        content: &[u8],
    ) -> Place {
        let start = self.buffer.len();
        let offset = batch.base + start as u32;
        let head = Head { offset, synced: batch.synced, moved_from, kind };
        head.encode(&batch.log.key, &mut self.buffer);
        self.buffer.extend_from_slice(content);
        let bytes = (self.buffer.len() - start) as u32;
        Place { spot: Spot { log: batch.number, offset }, bytes }
    }

    /// Adds deaths of records in logs that are still there.
    pub(super) fn push_deaths(&mut self, batch: &mut Batch, deaths: &[Spot]) {
        let needed: Vec<Spot> =
            deaths.iter().filter(|spot| self.logs.contains_key(&spot.log)).copied().collect();
        for part in needed.chunks(DEATHS_PER_RECORD_MAX) {
            self.push(batch, None, RecordKind::Deaths(part.to_vec()), &[]);
        }
        batch.deaths.extend(needed);
    }

    pub(super) fn push_deaths_waiting(&mut self, batch: &mut Batch) {
        let deaths = std::mem::take(&mut self.deaths);
        self.push_deaths(batch, &deaths);
        self.deaths = deaths;
    }

    /// The deaths that waited are in a batch that was written.
    pub(super) fn deaths_are_written(&mut self) {
        self.deaths = Vec::new();
        for hash in std::mem::take(&mut self.dead_files) {
            self.table.lock().open_files.close(hash);
            self.contents.remove_unused(hash);
        }
    }

    /// Writes a batch, and syncs it if it has to be.
    pub(super) fn end(&mut self, batch: Batch, syncs: bool) -> io::Result<()> {
        let file = &batch.log.file;
        if let Err(error) = file.write_at(&self.buffer, u64::from(batch.base)) {
            if file.cut(u64::from(batch.base)).and_then(|()| file.sync()).is_err() {
                self.give_up(batch.number);
            }
            return Err(error);
        }
        if syncs {
            self.syncs += 1;
            if let Err(error) = file.sync() {
                self.give_up(batch.number);
                return Err(error);
            }
        }
        let state = self.logs.get_mut(&batch.number).expect("it is written to");
        state.bytes = batch.base + self.buffer.len() as u32;
        state.has_heads = false;
        if syncs {
            state.synced = state.bytes;
        }
        state.add_deaths(&batch.deaths);
        self.newest = Spot { log: batch.number, offset: state.bytes };
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// The end of this log is in an unknown state: nothing more is written to it.
    fn give_up(&mut self, number: u32) {
        let state = self.logs.get_mut(&number).expect("it is written to");
        state.is_suspect = state.synced < state.bytes;
        state.has_rest = true;
        self.newest = Spot { log: number, offset: state.bytes };
        self.active = None;
    }

    /// Cuts off what does not count at the end of a log, before the log after it may be removed, which
    /// says how much counts.
    pub(super) fn cut_rest(&mut self, number: u32) -> io::Result<()> {
        let file = self.table.lock().logs[&number].file.clone();
        let state = self.logs.get_mut(&number).expect("it is one of them");
        file.cut(u64::from(state.bytes))?;
        file.sync()?;
        state.has_rest = false;
        Ok(())
    }

    /// This log is long enough.
    fn seal(&mut self, number: u32) {
        self.active = None;
        let state = self.logs.get_mut(&number).expect("it is written to");
        if state.synced < state.bytes {
            let file = self.table.lock().logs[&number].file.clone();
            match file.sync() {
                Ok(()) => state.synced = state.bytes,
                Err(_) => state.is_suspect = true,
            }
        }
    }

    fn create_log(&mut self) -> io::Result<u32> {
        let number = self.next_number;
        let mut key = [0; 32];
        key.chunks_mut(8).for_each(|part| part.copy_from_slice(&random::bits().to_le_bytes()));
        let header = LogHeader { number, key, before: self.newest };
        let path = self.log_folder().join(log_name(number));
        let created = self.disk.create(&path).and_then(|file| {
            file.write_at(&header.encode(), 0)?;
            file.sync()?;
            self.disk.sync_folder(&self.log_folder())?;
            Ok(file)
        });
        let file = created.inspect_err(|_| drop(self.disk.remove(&path)))?;
        // Until here the file counts for nothing, and the next attempt makes it anew.
        self.next_number += 1;
        self.table.lock().logs.insert(number, OpenLog { file, key });
        self.logs.insert(number, LogState::new(HEADER_BYTES));
        self.active = Some(number);
        self.newest = Spot { log: number, offset: HEADER_BYTES };
        Ok(number)
    }
}

/// The name of a log's file.
pub fn log_name(number: u32) -> String {
    format!("{number:010}.log")
}

/// The name of the file with a log's heads.
pub fn heads_name(number: u32) -> String {
    format!("{number:010}.heads")
}
