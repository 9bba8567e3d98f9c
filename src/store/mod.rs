//! KEEPS the contents of files: in memory, or on a disk.
//!
//! The node's index knows which files there are; a store knows contents by their tickets and nothing
//! else.

pub mod disk;
mod memory;

use std::path::Path;

use self::disk::{DiskOptions, DiskStore, Durability, Found, FoundKind, OpenError, Opened};
pub use self::memory::MemoryStore;
use crate::ring::index::{EntryKind, Index, IndexEntry, Kept};

/// A disk store, and what is in it.
#[derive(Debug)]
pub struct OpenedStore {
    /// The store.
    pub store: DiskStore,
    /// The versions that count.
    pub index: Index,
    /// What opening has shown besides.
    pub opened: Opened,
    /// Whether all is there that was ever confirmed.
    pub is_whole: bool,
}

/// Opens the folder of a node, and enters what is in it into an index that takes `bytes_max` bytes
/// and `versions_max` versions of a name. What that does not take is discarded. Blocks; see
/// [`DiskStore::open`].
pub fn open(
    folder: &Path,
    options: DiskOptions,
    bytes_max: usize,
    versions_max: usize,
) -> Result<OpenedStore, OpenError> {
    let mut index = Index::new(bytes_max, versions_max);
    let mut dead = Vec::new();
    let is_synced = options.durability == Durability::Sync;
    let (store, opened) = DiskStore::open(folder, options, |found| {
        let Found { ticket, name, version, kind } = found;
        let kind = match kind {
            FoundKind::Content { hash, bytes } => EntryKind::File { hash, bytes: bytes as usize },
            FoundKind::Tombstone => EntryKind::Tombstone,
        };
        let (kept, dropped) = index.put(&name, IndexEntry { version, kind, ticket });
        dead.extend(dropped.into_iter().map(|(_, it)| it.ticket));
        if matches!(kept, Kept::Old | Kept::Full) {
            dead.push(ticket);
        }
    })?;
    // In the order of the versions that they end, so that none comes back before its tombstone.
    dead.sort_unstable();
    dead.into_iter().for_each(|ticket| store.discard(ticket));
    let is_whole = is_synced && opened.remarks.is_empty();
    Ok(OpenedStore { store, index, opened, is_whole })
}
