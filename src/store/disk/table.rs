//! Where each version is: what the disk thread changes and all reads look up.
//!
//! It is behind a lock that is never held while the disk is used.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blake3::Hash;

pub use super::places::Place;
use super::{
    cache::Cache,
    contents::{Large, OpenFiles},
    file::DiskFile,
    places::Places,
    types::{TransferId, WriteValue},
};

/// A log that can be read.
#[derive(Clone, Debug)]
pub struct OpenLog {
    /// The file.
    pub file: Arc<dyn DiskFile>,
    /// The key of its checks.
    pub key: [u8; 32],
}

/// What is known of all versions.
#[derive(Debug)]
pub struct Table {
    /// By ticket. Where damage was found, the place is gone and the ticket is in `damaged`.
    pub places: Places,
    /// Those with a content in a file of its own.
    pub large: BTreeMap<u64, Large>,
    /// Tickets of which the content is damaged.
    pub damaged: HashSet<u64>,
    /// Files of contents that are damaged: the next write of such a content replaces the file.
    pub damaged_files: HashSet<Hash>,
    /// All logs, by number.
    pub logs: BTreeMap<u32, OpenLog>,
    /// What was given to the store and is not written yet.
    pub pending: BTreeMap<u64, WriteValue>,
    /// Contents that come in pieces, with how many bytes have come.
    pub transfers: BTreeMap<TransferId, (Arc<dyn DiskFile>, u64)>,
    /// Small contents that were read.
    pub cache: Cache,
    /// Large contents that were read.
    pub open_files: OpenFiles,
}

impl Table {
    /// An empty one, with a cache of this size.
    pub fn new(cache_bytes: usize) -> Self {
        Self {
            places: Places::default(),
            large: BTreeMap::new(),
            damaged: HashSet::new(),
            damaged_files: HashSet::new(),
            logs: BTreeMap::new(),
            pending: BTreeMap::new(),
            transfers: BTreeMap::new(),
            cache: Cache::new(cache_bytes),
            open_files: OpenFiles::default(),
        }
    }

    /// Notes that the content of this ticket is damaged.
    pub fn damage(&mut self, ticket: u64) {
        self.damaged.insert(ticket);
        self.cache.remove(ticket);
        if let Some(large) = self.large.get(&ticket) {
            self.damaged_files.insert(large.hash);
            self.open_files.close(large.hash);
        }
    }
}

/// The table, between threads.
#[derive(Clone, Debug)]
pub struct SharedTable(Arc<Mutex<Table>>);

impl SharedTable {
    /// Shares a table.
    pub fn new(table: Table) -> Self {
        Self(Arc::new(Mutex::new(table)))
    }

    /// The table, for as long as it takes to look something up.
    pub fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
