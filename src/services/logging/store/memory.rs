//! The log in memory: gone with the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    contract::{OnAppend, Outcome, Pending, Store, StoreEntry, StoreError, cost},
    end::LogEnd,
};

/// A log in memory, of a bounded size. No call blocks for longer than a page takes to copy.
pub struct Memory {
    log: Mutex<Entries>,
    end: LogEnd,
    bytes_max: u64,
    on_append: OnAppend,
}

#[derive(Default)]
struct Entries {
    entries: Vec<StoreEntry>,
    /// The index in `entries` of an id.
    by_id: HashMap<Arc<str>, usize>,
    bytes: u64,
}

impl Memory {
    /// An empty log that takes entries of `bytes_max` in all.
    pub fn new(bytes_max: u64, on_append: OnAppend) -> Self {
        Self { log: Mutex::default(), end: LogEnd::at(0), bytes_max, on_append }
    }

    fn log(&self) -> MutexGuard<'_, Entries> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, id: &str, msg: &str) -> Result<Outcome, StoreError> {
        let mut log = self.log();
        let outcome = match log.by_id.get(id) {
            Some(&index) if *log.entries[index].msg == *msg => Outcome::Duplicate,
            Some(_) => Outcome::Conflict,
            None => {
                log.push(id, msg, self.bytes_max)?;
                Outcome::Logged
            }
        };
        // Under the lock, so that the calls come in the order of the log.
        (self.on_append)(id, msg, outcome);
        self.end.set(log.entries.len() as u64);
        Ok(outcome)
    }
}

impl Entries {
    fn push(&mut self, id: &str, msg: &str, bytes_max: u64) -> Result<(), StoreError> {
        let bytes = self.bytes + cost(id, msg);
        if bytes > bytes_max {
            return Err(StoreError::Full);
        }
        self.bytes = bytes;
        let index = self.entries.len();
        let id: Arc<str> = id.into();
        self.by_id.insert(id.clone(), index);
        self.entries.push(StoreEntry { position: index as u64 + 1, id, msg: msg.into() });
        Ok(())
    }

    fn page(&self, position: u64, bytes: usize) -> Vec<StoreEntry> {
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(self.entries.len());
        let mut left = bytes as u64;
        let mut page = Vec::new();
        for entry in &self.entries[from..] {
            let cost = cost(&entry.id, &entry.msg);
            if cost > left && !page.is_empty() {
                break;
            }
            left = left.saturating_sub(cost);
            page.push(entry.clone());
        }
        page
    }
}

impl Store for Memory {
    fn append<'a>(&'a self, id: &'a str, msg: &'a str) -> Pending<'a, Result<Outcome, StoreError>> {
        Box::pin(async move { self.append_now(id, msg) })
    }

    fn read(
        &self,
        position: u64,
        bytes: usize,
    ) -> Pending<'_, Result<Vec<StoreEntry>, StoreError>> {
        Box::pin(async move { Ok(self.log().page(position, bytes)) })
    }

    fn last(&self) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(async { Ok(self.end.last()) })
    }

    fn arrival(&self, position: u64) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.end.beyond(position).await;
            Ok(())
        })
    }
}
