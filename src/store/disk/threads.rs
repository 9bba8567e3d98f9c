//! The two threads of a store.
//!
//! The disk thread writes: all that has queued up, with one sync. The reading thread serves the reads
//! that have to wait for the disk. They are two because a sync takes as long as the disk likes, and a
//! read that had to wait behind it would make the slowest reads of a node as slow as its writes.

use std::{
    path::Path,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    background::{Background, write_last_heads},
    engine::Engine,
    file::fault,
    limits::{COMPACTION_PAUSE, DEATHS_WAIT, DEATHS_WAITING_MAX},
    node,
    queue::{Shared, Work},
    read::read_waiting,
    types::{DiskStats, Report},
};

/// Serves reads until the store is closed.
pub fn serve_reads(shared: &Shared) {
    while let Some(read) = shared.next_read() {
        if !read.reader.is_closed() {
            let result = read_waiting(&shared.table, &*shared.disk, &shared.files, read.span);
            let _ = read.reader.try_send(result);
        }
    }
}

/// Ends the reports when the thread ends, even if that is by a panic: else those who wait for one would
/// wait for ever.
struct EndOfReports<'a>(&'a Shared);

impl Drop for EndOfReports<'_> {
    fn drop(&mut self) {
        self.0.end_reports();
    }
}

/// The disk thread: what it does when.
pub struct DiskThread<'a> {
    engine: Engine,
    background: Background,
    shared: &'a Shared,
    /// When the deaths that wait are to be written.
    deaths_due: Option<Instant>,
    /// When there may be work in the background again.
    background_due: Instant,
}

impl<'a> DiskThread<'a> {
    /// A thread with this writing side.
    pub fn new(engine: Engine, shared: &'a Shared) -> Self {
        let (background, background_due) = (Background::default(), Instant::now());
        Self { engine, background, shared, deaths_due: None, background_due }
    }

    /// Works until the store is closed, and all that was queued is written.
    pub fn run(mut self) {
        let _end = EndOfReports(self.shared);
        self.publish(None);
        loop {
            let background = self.background.has_work(&self.engine).then_some(self.background_due);
            let until = [background, self.deaths_due].into_iter().flatten().min();
            let work = self.shared.work(until);
            let is_last = work.is_last;
            self.carry_out(work);
            if is_last {
                break;
            }
            self.write_deaths_in_time();
            self.work_in_background();
        }
        // What fails now costs time at the next opening, and nothing else.
        let _ = write_last_heads(&mut self.engine);
    }

    fn carry_out(&mut self, work: Work) {
        let Work { arrivals, writes, discards, aborts, node, .. } = work;
        let arrived = arrivals.into_iter().filter_map(|it| self.engine.arrive(it));
        self.shared.report(arrived);
        if !writes.is_empty() {
            let began = Instant::now();
            let results = self.engine.commit(&writes);
            self.publish(Some(began.elapsed()));
            let tickets = writes.iter().map(|write| write.ticket);
            let reports = tickets.zip(results);
            self.shared.report(reports.map(|(ticket, result)| Report::Written { ticket, result }));
        }
        discards.into_iter().for_each(|ticket| self.engine.discard(ticket));
        for abort in aborts {
            self.engine.arrive(abort);
        }
        if let Some(node) = node {
            let folder: &Path = &self.engine.folder;
            let result = node::write(&*self.engine.disk, folder, &node);
            let result = result.map_err(|error| fault(&error));
            self.shared.report([Report::Saved { result }]);
        }
    }

    fn write_deaths_in_time(&mut self) {
        let now = Instant::now();
        let waiting = self.engine.deaths_waiting();
        let due = *self.deaths_due.get_or_insert(now + DEATHS_WAIT);
        if waiting == 0 {
            self.deaths_due = None;
        } else if now >= due || (waiting > DEATHS_WAITING_MAX && due <= now + DEATHS_WAIT) {
            let result = self.engine.write_deaths();
            self.deaths_due = result.is_err().then_some(now + COMPACTION_PAUSE);
            self.publish(None);
        }
    }

    fn work_in_background(&mut self) {
        let now = Instant::now();
        if now < self.background_due || !self.background.has_work(&self.engine) {
            return;
        }
        let mut damaged = Vec::new();
        let pause = match self.background.step(&mut self.engine, &mut damaged) {
            Ok(bytes) => {
                let rate = self.engine.options.compaction_bytes_per_second;
                Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate)
            }
            Err(_) => COMPACTION_PAUSE,
        };
        self.background_due = now + pause;
        self.shared.report(damaged.into_iter().map(|ticket| Report::Damaged { ticket }));
        self.publish(None);
    }

    /// Says how the store is doing.
    fn publish(&self, batch: Option<Duration>) {
        let mut stats = self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut commits = stats.commits;
        batch.inspect(|batch| commits.add(batch.as_micros() as u64));
        *stats = DiskStats { commits, ..self.engine.stats() };
    }
}
