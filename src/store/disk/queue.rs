//! What passes between the threads of a store: what it is given, what it reports, what is to be read.

use std::{
    collections::VecDeque,
    future::poll_fn,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use smol::channel::Sender;

use super::{
    arrivals::Arrival,
    error::ReadError,
    file::Disk,
    limits::{BATCH_BYTES_MAX, BATCH_WRITES_MAX},
    read::Span,
    table::SharedTable,
    types::{DiskStats, Report, SavedNode, Write, WriteValue},
};
use crate::ring::item::{Ticket, Value};

/// What the threads of one store share.
#[derive(Debug)]
pub struct Shared {
    /// Where each version is.
    pub table: SharedTable,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The folder of the contents in files.
    pub files: PathBuf,
    /// What is known of the writing side.
    pub stats: Mutex<DiskStats>,
    commands: Mutex<Commands>,
    has_command: Condvar,
    reads: Mutex<Reads>,
    has_read: Condvar,
    reports: Mutex<Reports>,
}

/// What the disk thread has to do.
#[derive(Debug)]
pub enum Command {
    /// Keep a version.
    Write(Write),
    /// Forget one.
    Discard(Ticket),
    /// Go on with a transfer.
    Arrive(Arrival),
}

#[derive(Default, Debug)]
struct Commands {
    queue: VecDeque<Command>,
    /// The newest that was not saved.
    node: Option<SavedNode>,
    is_closing: bool,
}

/// What is done together.
#[derive(Default, Debug)]
pub struct Work {
    /// What comes of transfers.
    pub arrivals: Vec<Arrival>,
    /// Versions to be kept with one sync.
    pub writes: Vec<Write>,
    /// Versions to be forgotten after that.
    pub discards: Vec<Ticket>,
    /// Transfers to be forgotten after that.
    pub aborts: Vec<Arrival>,
    /// What is to be saved of the node.
    pub node: Option<SavedNode>,
    /// Whether nothing more comes.
    pub is_last: bool,
}

impl Work {
    fn len(&self) -> usize {
        self.arrivals.len() + self.writes.len()
    }
}

/// A read that waits for the disk.
#[derive(Debug)]
pub struct WaitingRead {
    /// What is to be read.
    pub span: Span,
    /// Where it goes.
    pub reader: Sender<Result<Bytes, ReadError>>,
}

#[derive(Default, Debug)]
struct Reads {
    queue: VecDeque<WaitingRead>,
    is_closing: bool,
}

#[derive(Default, Debug)]
struct Reports {
    reports: Vec<Report>,
    waker: Option<Waker>,
    is_closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Nothing to do yet.
    pub fn new(table: SharedTable, disk: Arc<dyn Disk>, files: PathBuf) -> Self {
        Self {
            table,
            disk,
            files,
            stats: Mutex::default(),
            commands: Mutex::default(),
            has_command: Condvar::new(),
            reads: Mutex::default(),
            has_read: Condvar::new(),
            reports: Mutex::default(),
        }
    }

    // ---- to the disk thread

    /// Queues something for the disk thread.
    pub fn command(&self, command: Command) {
        let mut commands = lock(&self.commands);
        commands.queue.push_back(command);
        self.has_command.notify_one();
    }

    /// Queues what is to be saved of the node, in place of what was queued before.
    pub fn save_node(&self, node: SavedNode) {
        lock(&self.commands).node = Some(node);
        self.has_command.notify_one();
    }

    /// What has queued up. Waits for it, but not beyond this time.
    pub fn work(&self, until: Option<Instant>) -> Work {
        let mut commands = lock(&self.commands);
        while commands.queue.is_empty() && commands.node.is_none() && !commands.is_closing {
            commands = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(wait) if wait.is_zero() => return Work::default(),
                Some(wait) => {
                    let waited = self.has_command.wait_timeout(commands, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.has_command.wait(commands).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let mut work = Work { node: commands.node.take(), ..Work::default() };
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX && work.len() < BATCH_WRITES_MAX {
            match commands.queue.pop_front() {
                Some(Command::Discard(ticket)) => work.discards.push(ticket),
                Some(Command::Arrive(abort @ Arrival::Abort(_))) => work.aborts.push(abort),
                Some(Command::Arrive(arrival)) => {
                    if let Arrival::Append(_, more) = &arrival {
                        bytes += more.len();
                    }
                    work.arrivals.push(arrival);
                }
                Some(Command::Write(write)) => {
                    if let WriteValue::Here(Value::Content { content, .. }) = &write.value {
                        bytes += content.len();
                    }
                    work.writes.push(write);
                }
                None => break,
            }
        }
        work.is_last = commands.is_closing && commands.queue.is_empty();
        work
    }

    /// Nothing more will be queued, for no thread.
    pub fn close(&self) {
        lock(&self.commands).is_closing = true;
        self.has_command.notify_all();
        lock(&self.reads).is_closing = true;
        self.has_read.notify_all();
    }

    // ---- to the reading thread

    /// Queues a read.
    pub fn read_later(&self, read: WaitingRead) {
        let mut reads = lock(&self.reads);
        // Once the store is closed, nobody serves it: it is dropped, and the reader learns that.
        if !reads.is_closing {
            reads.queue.push_back(read);
            self.has_read.notify_one();
        }
    }

    /// How many reads wait.
    pub fn reads_waiting(&self) -> usize {
        lock(&self.reads).queue.len()
    }

    /// The next read; waits for it. `None`: none will come.
    pub fn next_read(&self) -> Option<WaitingRead> {
        let mut reads = lock(&self.reads);
        loop {
            if let Some(read) = reads.queue.pop_front() {
                return Some(read);
            }
            if reads.is_closing {
                return None;
            }
            reads = self.has_read.wait(reads).unwrap_or_else(PoisonError::into_inner);
        }
    }

    // ---- from the disk thread

    /// Hands out reports.
    pub fn report(&self, new: impl IntoIterator<Item = Report>) {
        let mut reports = lock(&self.reports);
        reports.reports.extend(new);
        if !reports.reports.is_empty()
            && let Some(waker) = reports.waker.take()
        {
            drop(reports);
            waker.wake();
        }
    }

    /// There will be no more reports.
    pub fn end_reports(&self) {
        let mut reports = lock(&self.reports);
        reports.is_closed = true;
        if let Some(waker) = reports.waker.take() {
            drop(reports);
            waker.wake();
        }
    }

    /// All reports since the last time. Waits until there is one. None: there will be no more.
    pub async fn reports(&self) -> Vec<Report> {
        poll_fn(|cx| {
            let mut reports = lock(&self.reports);
            if reports.reports.is_empty() && !reports.is_closed {
                reports.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut reports.reports))
        })
        .await
    }

    /// What is known of the writing side.
    pub fn stats(&self) -> DiskStats {
        *lock(&self.stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{table::Table, tests::sim::SimDisk, types::TransferId};

    #[test]
    fn a_transfer_is_forgotten_only_after_the_writes_that_were_queued_before() {
        let table = SharedTable::new(Table::new(0));
        let shared = Shared::new(table, SimDisk::new().shared(), "/files".into());
        let id = TransferId(1);
        for arrival in [Arrival::Begin(id, 0), Arrival::Finish(id), Arrival::Abort(id)] {
            shared.command(Command::Arrive(arrival));
        }
        shared.command(Command::Discard(Ticket(1)));
        let work = shared.work(None);
        assert_eq!((work.arrivals.len(), work.aborts.len(), work.discards.len()), (2, 1, 1));
        assert!(!work.is_last);
        shared.close();
        assert!(shared.work(None).is_last);
    }
}
