//! The log in a file of redb: what was acknowledged outlives the process and the machine.
//!
//! One thread writes. It takes all appends that have queued up into one transaction, so that they
//! share one fsync, and answers them after it. Reads see the last commit, and wait for no writer.
//!
//! When the disk is full, redb must be closed and opened again, and the writer tries that until it
//! succeeds. After any other error it is unknown which of the unwritten pages the system still has,
//! and going on could lose what is acknowledged later: so the store stays broken until the process
//! is restarted.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use uuid::Uuid;

use super::{
    contract::{CannotOpen, OnAppend, Outcome, Pending, Store, StoreEntry, StoreError, cost},
    end::LogEnd,
    queue::{Append, Batches, Queue},
};
use crate::{
    http::within,
    services::logging::limits::{DISK_CACHE_BYTES, DISK_RETRY},
};

/// Position -> id and message.
const ENTRIES: TableDefinition<u64, (&str, &str)> = TableDefinition::new("log-entries-1");
/// Id -> position.
const IDS: TableDefinition<&str, u64> = TableDefinition::new("log-ids-1");
/// The cost of all entries together, under the key ().
const BYTES: TableDefinition<(), u64> = TableDefinition::new("log-bytes-1");

/// A log in a file, which belongs to one process at a time.
pub struct Disk {
    queue: Queue,
    shared: Arc<DiskShared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct DiskShared {
    path: PathBuf,
    bytes_max: u64,
    end: LogEnd,
    on_append: OnAppend,
    /// The open file, or why it is closed.
    database: Mutex<Result<Arc<Database>, StoreError>>,
}

impl Disk {
    /// Opens the log in the file at `path`, or makes one; it takes entries of `bytes_max` in all.
    /// Blocks; after a crash for as long as redb takes to check the file.
    pub fn open(path: &Path, bytes_max: u64, on_append: OnAppend) -> Result<Self, CannotOpen> {
        let opened = create(path).and_then(|database| Ok((last(&database)?, database)));
        let (last, database) = opened.map_err(|error| cannot_open(path, &error))?;
        let shared = Arc::new(DiskShared {
            path: path.into(),
            bytes_max,
            end: LogEnd::at(last),
            on_append,
            database: Mutex::new(Ok(Arc::new(database))),
        });
        let (queue, batches) = Queue::new();
        let writes = shared.clone();
        let writer = thread::Builder::new()
            .name("log-disk".into())
            .spawn(move || smol::block_on(writes.write_all(&batches)))
            .map_err(|error| CannotOpen(format!("cannot start a thread: {error}")))?;
        Ok(Self { queue, shared, writer: Mutex::new(Some(writer)) })
    }
}

impl Store for Disk {
    fn append<'a>(&'a self, id: &'a str, msg: &'a str) -> Pending<'a, Result<Outcome, StoreError>> {
        Box::pin(self.queue.append(id, msg))
    }

    fn read(
        &self,
        position: u64,
        bytes: usize,
    ) -> Pending<'_, Result<Vec<StoreEntry>, StoreError>> {
        let shared = self.shared.clone();
        Box::pin(smol::unblock(move || {
            let database = shared.database()?;
            page(&database, position, bytes).map_err(|error| shared.fail(&database, &error))
        }))
    }

    fn last(&self) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(async { self.shared.database().map(|_| self.shared.end.last()) })
    }

    fn arrival(&self, position: u64) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.shared.end.beyond(position).await;
            Ok(())
        })
    }

    /// Writes what has queued up, and closes the file so that the next start need not check it.
    fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        *self.shared.state() = Err(StoreError::Broken("it is closed".into()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

impl DiskShared {
    fn state(&self) -> MutexGuard<'_, Result<Arc<Database>, StoreError>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.state().clone()
    }

    /// Closes the database after an error, unless it has been replaced by now.
    fn fail(&self, database: &Arc<Database>, error: &redb::Error) -> StoreError {
        let why = explain(&self.path, error);
        let mut state = self.state();
        if state.as_ref().is_ok_and(|open| Arc::ptr_eq(open, database)) {
            *state = Err(why.clone());
        }
        why
    }

    /// The writer: batch by batch, and when the disk is full, again and again.
    async fn write_all(&self, batches: &Batches) {
        loop {
            let is_closed = self.database().is_err();
            let batch = match is_closed {
                true => within(DISK_RETRY, batches.next()).await.unwrap_or(Some(Vec::new())),
                false => batches.next().await,
            };
            let Some(batch) = batch else { return };
            if is_closed {
                self.reopen();
            }
            self.write(&batch);
        }
    }

    fn reopen(&self) {
        if !matches!(self.database(), Err(StoreError::Unavailable(_))) {
            return;
        }
        let opened = open(&self.path).and_then(|database| Ok((last(&database)?, database)));
        match opened {
            Ok((last, database)) => {
                *self.state() = Ok(Arc::new(database));
                self.end.set(last);
            }
            // A read from the failed database is still under way.
            Err(redb::Error::DatabaseAlreadyOpen) => {}
            Err(error) => *self.state() = Err(explain(&self.path, &error)),
        }
    }

    fn write(&self, batch: &[Append]) {
        let committed = self.database().and_then(|database| {
            commit(&database, batch, self.bytes_max).map_err(|error| self.fail(&database, &error))
        });
        match committed {
            Ok((last, outcomes)) => {
                for (append, outcome) in batch.iter().zip(&outcomes) {
                    if let Ok(outcome) = outcome {
                        (self.on_append)(&append.id, &append.msg, *outcome);
                    }
                }
                self.end.set(last);
                batch.iter().zip(outcomes).for_each(|(append, outcome)| append.answer(outcome));
            }
            Err(error) => {
                // Its entries may be readable even if nothing can be added.
                self.reopen();
                batch.iter().for_each(|append| append.answer(Err(error.clone())));
            }
        }
    }
}

/// Opens the file, or makes it, and syncs its folder: redb syncs the file, but not the folder's entry
/// for it.
fn create(path: &Path) -> Result<Database, redb::Error> {
    if !path.exists() {
        // If this fails, opening reports why, or does not need it.
        let _ = make(path);
    }
    let database = redb::Builder::new().set_cache_size(DISK_CACHE_BYTES).create(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    let begun = database.begin_write()?;
    begun.open_table(ENTRIES)?;
    begun.open_table(IDS)?;
    begun.open_table(BYTES)?;
    begun.commit()?;
    Ok(database)
}

/// Makes the file under another name, and links it to its own name when it is complete: redb writes
/// its magic number last, and a file that is left without it can never be opened.
fn make(path: &Path) -> Result<(), redb::Error> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", Uuid::new_v4()));
    let made = redb::Builder::new().create(&draft).map_err(redb::Error::from);
    // Unlike a rename, a link does not replace a file that another process has made meanwhile.
    let named = made.and_then(|_complete| Ok(fs::hard_link(&draft, path)?));
    let _ = fs::remove_file(&draft);
    named
}

/// Opens a file that is a log already.
fn open(path: &Path) -> Result<Database, redb::Error> {
    Ok(redb::Builder::new().set_cache_size(DISK_CACHE_BYTES).open(path)?)
}

fn last(database: &Database) -> Result<u64, redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    // Positions have no gaps.
    Ok(entries.len()?)
}

/// Appends the whole batch in one transaction. Returns the last position, and each append's outcome.
fn commit(
    database: &Database,
    batch: &[Append],
    bytes_max: u64,
) -> Result<(u64, Vec<Result<Outcome, StoreError>>), redb::Error> {
    let transaction = database.begin_write()?;
    let mut outcomes = Vec::with_capacity(batch.len());
    let (before, mut last, mut bytes);
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut ids = transaction.open_table(IDS)?;
        let mut sum = transaction.open_table(BYTES)?;
        before = entries.len()?;
        last = before;
        bytes = sum.get(())?.map_or(0, |bytes| bytes.value());
        for Append { id, msg, .. } in batch {
            let known = ids.get(id.as_str())?.map(|position| position.value());
            outcomes.push(if let Some(position) = known {
                let entry = entries.get(position)?;
                let is_same = entry.is_some_and(|entry| entry.value().1 == msg);
                Ok(if is_same { Outcome::Duplicate } else { Outcome::Conflict })
            } else if bytes + cost(id, msg) > bytes_max {
                Err(StoreError::Full)
            } else {
                bytes += cost(id, msg);
                last += 1;
                entries.insert(last, (id.as_str(), msg.as_str()))?;
                ids.insert(id.as_str(), last)?;
                Ok(Outcome::Logged)
            });
        }
        sum.insert((), bytes)?;
    }
    if last == before {
        transaction.abort()?;
    } else {
        transaction.commit()?;
    }
    Ok((last, outcomes))
}

fn page(database: &Database, position: u64, bytes: usize) -> Result<Vec<StoreEntry>, redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    let mut left = bytes as u64;
    let mut page = Vec::new();
    for entry in entries.range(position.saturating_add(1)..)? {
        let (position, entry) = entry?;
        let (id, msg) = entry.value();
        let cost = cost(id, msg);
        if cost > left && !page.is_empty() {
            break;
        }
        left = left.saturating_sub(cost);
        page.push(StoreEntry { position: position.value(), id: id.into(), msg: msg.into() });
    }
    Ok(page)
}

/// Why this file could not be opened as a log.
fn cannot_open(path: &Path, error: &redb::Error) -> CannotOpen {
    let path = path.display();
    CannotOpen(match error {
        redb::Error::DatabaseAlreadyOpen => format!(
            "{path} is in use by another process: end that one, or give another file with --data"
        ),
        redb::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => {
            format!("{path} is no log: give another file with --data ({cause})")
        }
        redb::Error::Io(cause) => {
            format!("cannot open {path}: {cause}. Give another file with --data")
        }
        other => format!("cannot open {path}: {other}. Give another file with --data"),
    })
}

/// The error for a store that has stopped working, with what a user can do about it.
fn explain(path: &Path, error: &redb::Error) -> StoreError {
    let path = path.display();
    match error {
        redb::Error::Io(cause) if is_full(cause) => {
            StoreError::Unavailable(format!("the disk of {path} is full ({cause}); make room"))
        }
        redb::Error::Io(cause) => StoreError::Broken(format!(
            "{path}: {cause}. What was acknowledged is kept; look at the disk, then restart"
        )),
        other => StoreError::Broken(format!("{path}: {other}. Look at the disk, then restart")),
    }
}

/// Whether the disk is full, or the user's quota of it, or a file has its largest size.
fn is_full(cause: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
