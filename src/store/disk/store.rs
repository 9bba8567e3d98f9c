//! The store as the node's driver uses it: nothing here waits for the disk, but opening and closing.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use smol::channel::{self, Receiver};

use super::{
    arrivals::Arrival,
    engine::Engine,
    error::{OpenError, ReadError, failed},
    file::{Disk, RealDisk},
    lock::{FolderLock, make_folders},
    node,
    open::{ASIDE, check_folder, open},
    queue::{Command, Shared, WaitingRead},
    read::{Source, Span, read_now},
    table::{SharedTable, Table},
    threads::{DiskThread, serve_reads},
    types::{DiskOptions, DiskStats, Found, Opened, Report, SavedNode, TransferId, Write},
};
use crate::ring::item::Ticket;

/// The versions of files that one node keeps, in a folder.
///
/// Any thread may use it. Its memory grows with the number of versions, by some 45 bytes for each, and
/// with what is queued: who queues bounds that.
pub struct DiskStore {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// What ends when the store is closed. The lock is given up last.
struct Running {
    threads: Vec<JoinHandle<()>>,
    _lock: Option<FolderLock>,
}

/// What reading gives.
#[derive(Debug)]
pub enum Read {
    /// It was in memory, the system's included.
    Now(Result<Bytes, ReadError>),
    /// It is being read from the disk.
    Later(LaterRead),
}

/// A read that waits for the disk. If it is dropped, nothing is read.
#[derive(Debug)]
pub struct LaterRead(Receiver<Result<Bytes, ReadError>>);

impl LaterRead {
    /// What was read.
    pub async fn result(self) -> Result<Bytes, ReadError> {
        // Without an answer, the store was closed meanwhile.
        self.0.recv().await.unwrap_or(Err(ReadError::Gone))
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("files", &self.shared.files).finish_non_exhaustive()
    }
}

impl DiskStore {
    /// Opens a folder, which is made if it is not there, and hands each version that is in it to
    /// `on_found`. Versions come in no order; two versions of one name may both be there, but none comes
    /// twice. A version that was discarded shortly before the end of the process may be found again: then
    /// it is to be discarded again.
    ///
    /// Blocks: for some 100,000 versions a second if the store was closed, and otherwise for as long as it
    /// takes to read up to [`DiskOptions::log_bytes_max`] as well.
    ///
    /// # Errors
    ///
    /// The folder cannot be used; the error says why, and what a user can do. Nothing in it was changed
    /// then. Damage of single contents is no error: see [`Opened::remarks`].
    pub fn open(
        folder: &Path,
        options: DiskOptions,
        mut on_found: impl FnMut(Found),
    ) -> Result<(Self, Opened), OpenError> {
        let lock = take(folder)?;
        Self::start(Arc::new(RealDisk), folder, options, Some(lock), &mut on_found)
    }

    pub(super) fn start(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: DiskOptions,
        lock: Option<FolderLock>,
        on_found: &mut dyn FnMut(Found),
    ) -> Result<(Self, Opened), OpenError> {
        let options = options.bounded();
        let table = SharedTable::new(Table::new(options.cache_bytes));
        let (engine, opened) = open(disk.clone(), folder, options, table.clone(), on_found)?;
        let shared = Arc::new(Shared::new(table, disk, folder.join("files")));
        let threads = start_threads(engine, &shared).map_err(failed(folder))?;
        let running = Mutex::new(Some(Running { threads, _lock: lock }));
        Ok((Self { shared, running }, opened))
    }

    /// What was last saved about the node that used this folder; nothing if that is damaged or not there.
    /// The folder may be in use. Blocks.
    pub fn saved_node(folder: &Path) -> Result<Option<SavedNode>, OpenError> {
        Ok(node::read(&RealDisk, folder)?.unwrap_or(None))
    }

    /// Moves all that is in a folder into a new one in it, so that it can be opened as an empty one, and
    /// returns where it is now. Blocks.
    pub fn set_aside(folder: &Path, now_ms: u64) -> Result<PathBuf, OpenError> {
        let _lock = take(folder)?;
        let names = (0..).map(|more: u64| folder.join(format!("{ASIDE}{}", now_ms + more)));
        let aside = names.into_iter().find(|it| !it.exists()).expect("some name is free");
        RealDisk.make_folder(&aside).map_err(failed(&aside))?;
        let mut entries = RealDisk.list(folder).map_err(failed(folder))?;
        entries.retain(|entry| {
            let stays = |name: &str| ["lock", "lost+found"].contains(&name);
            !entry.text().is_some_and(|name| stays(name) || name.starts_with(ASIDE))
        });
        // What says how old all this is goes last: without it, what is left would pass for new.
        entries.sort_by_key(|entry| entry.text() == Some("node.json"));
        for entry in entries {
            if entry.text() == Some("node.json") {
                sync_both(&aside, folder)?;
            }
            let (from, to) = (folder.join(&entry.name), aside.join(&entry.name));
            RealDisk.rename(&from, &to).map_err(failed(&from))?;
        }
        sync_both(&aside, folder)?;
        Ok(aside)
    }

    /// Queues a version to be kept. From now on it can be read. A [`Report::Written`] follows.
    ///
    /// Tickets must grow from write to write, and be greater than those that were found. What is queued
    /// stays in memory; the caller bounds it.
    pub fn write(&self, write: Write) {
        let (ticket, value) = (write.ticket.0, write.value.clone());
        self.shared.table.lock().pending.insert(ticket, value);
        self.shared.command(Command::Write(write));
    }

    /// Forgets a version, in the order of the writes. Its room is given back in time. This is on the disk
    /// a second later at the latest, or with the next writes that are confirmed.
    pub fn discard(&self, ticket: Ticket) {
        self.shared.command(Command::Discard(ticket));
    }

    /// Reads a content, or a part of it: from this byte on, up to so many bytes. Never blocks.
    ///
    /// Fewer bytes may come, but none only at the end of the content: a large one is read block by block,
    /// so one ends where its block ends. A damaged content is never handed out, not even in part.
    pub fn read(&self, ticket: Ticket, from: u64, bytes_max: usize) -> Read {
        self.read_span(Span { source: Source::Version(ticket), from, bytes_max })
    }

    fn read_span(&self, span: Span) -> Read {
        match read_now(&self.shared.table, span).transpose() {
            Some(result) => Read::Now(result),
            None => {
                let (reader, later) = channel::bounded(1);
                self.shared.read_later(WaitingRead { span, reader });
                Read::Later(LaterRead(later))
            }
        }
    }

    // ---- contents that come in pieces

    /// Begins a content of so many bytes that comes in pieces. Where the disk has no room for all of
    /// them, it fails at once: the first [`Report::Appended`] says so. It is not one before a version is written that has it
    /// ([`WriteValue::Transferred`](super::WriteValue::Transferred)), and what is left of it at the end of the process is removed.
    pub fn begin(&self, transfer: TransferId, bytes: u64) {
        self.shared.command(Command::Arrive(Arrival::Begin(transfer, bytes)));
    }

    /// Adds bytes to a transfer. A [`Report::Appended`] follows, with which the caller bounds what is
    /// queued.
    pub fn append(&self, transfer: TransferId, bytes: Bytes) {
        self.shared.command(Command::Arrive(Arrival::Append(transfer, bytes)));
    }

    /// Ends a transfer of which all bytes have come. A [`Report::Finished`] follows.
    pub fn finish(&self, transfer: TransferId) {
        self.shared.command(Command::Arrive(Arrival::Finish(transfer)));
    }

    /// Forgets a transfer, complete or not, and gives its room back. Nothing happens to one that a version
    /// was written with.
    pub fn abort(&self, transfer: TransferId) {
        self.shared.command(Command::Arrive(Arrival::Abort(transfer)));
    }

    /// Reads what has come of a transfer: from this byte on, up to so many bytes. Never blocks. None come
    /// where none have arrived yet. They are not checked, since it is not known yet what they are: who is
    /// sent them checks the whole.
    pub fn read_transfer(&self, transfer: TransferId, from: u64, bytes_max: usize) -> Read {
        self.read_span(Span { source: Source::Transfer(transfer), from, bytes_max })
    }

    // ---- what the store says

    /// All reports since the last time, in order. Waits until there is one. None at all: the store is
    /// closed, and all that was written was reported. One task at a time may wait.
    pub async fn reports(&self) -> Vec<Report> {
        self.shared.reports().await
    }

    /// Saves what the node wants to know of itself. If several wait, only the newest is saved. A
    /// [`Report::Saved`] follows.
    pub fn save_node(&self, node: SavedNode) {
        self.shared.save_node(node);
    }

    /// How the store is doing.
    pub fn stats(&self) -> DiskStats {
        DiskStats {
            queued_writes: self.shared.table.lock().pending.len() as u64,
            queued_reads: self.shared.reads_waiting() as u64,
            ..self.shared.stats()
        }
    }

    /// Writes all that is queued, and what makes the next opening quick, and gives up the folder. Blocks
    /// until that is done. What is given to the store afterwards is forgotten, without a report.
    pub fn close(&self) {
        self.shared.close();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { threads, _lock }) = running {
            for thread in threads {
                // If it has panicked, it has said so on stderr.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes a folder, checks that nothing else is in it, and locks it.
fn take(folder: &Path) -> Result<FolderLock, OpenError> {
    make_folders(folder)?;
    check_folder(&RealDisk, folder)?;
    FolderLock::take(folder)
}

/// Syncs a folder and the one that it is in.
fn sync_both(inner: &Path, outer: &Path) -> Result<(), OpenError> {
    RealDisk.sync_folder(inner).map_err(failed(inner))?;
    RealDisk.sync_folder(outer).map_err(failed(outer))
}

fn start_threads(engine: Engine, shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let (writes, reads) = (shared.clone(), shared.clone());
    let reader = thread::Builder::new().name("disk-read".into());
    let reader = reader.spawn(move || serve_reads(&reads))?;
    let writer = thread::Builder::new().name("disk".into());
    match writer.spawn(move || DiskThread::new(engine, &writes).run()) {
        Ok(writer) => Ok(vec![writer, reader]),
        Err(error) => {
            shared.close();
            Err(error)
        }
    }
}
