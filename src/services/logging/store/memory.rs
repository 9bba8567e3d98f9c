//! The log in memory: gone with the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{End, Entry, Outcome, Pending, Store, StoreError, Witness, cost};

/// A log in memory, of a bounded size. Nothing in it blocks for longer than a page takes to copy.
pub struct Memory {
    log: Mutex<Log>,
    end: End,
    bytes_max: u64,
    witness: Witness,
}

#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// Where an id's entry is in `entries`.
    places: HashMap<Arc<str>, usize>,
    bytes: u64,
}

impl Memory {
    /// An empty log that takes entries of `bytes_max` in all.
    pub fn new(bytes_max: u64, witness: Witness) -> Self {
        Self { log: Mutex::default(), end: End::at(0), bytes_max, witness }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, id: &str, msg: &str) -> Result<Outcome, StoreError> {
        let mut log = self.log();
        let outcome = match log.places.get(id) {
            Some(&place) if *log.entries[place].msg == *msg => Outcome::Duplicate,
            Some(_) => Outcome::Conflict,
            None => {
                log.push(id, msg, self.bytes_max)?;
                Outcome::Logged
            }
        };
        // With the lock in hand, so that lines stand in the order of the log.
        (self.witness)(id, msg, outcome);
        self.end.set(log.entries.len() as u64);
        Ok(outcome)
    }
}

impl Log {
    fn push(&mut self, id: &str, msg: &str, bytes_max: u64) -> Result<(), StoreError> {
        let bytes = self.bytes + cost(id, msg);
        if bytes > bytes_max {
            return Err(StoreError::Full);
        }
        self.bytes = bytes;
        let place = self.entries.len();
        let id: Arc<str> = id.into();
        self.places.insert(id.clone(), place);
        self.entries.push(Entry { position: place as u64 + 1, id, msg: msg.into() });
        Ok(())
    }

    fn page(&self, position: u64, bytes: usize) -> Vec<Entry> {
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

    fn read(&self, position: u64, bytes: usize) -> Pending<'_, Result<Vec<Entry>, StoreError>> {
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
