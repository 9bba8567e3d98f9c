//! Contents that come in pieces, before it is known what they are.
//!
//! Each is in a file of its own under another name, so it is no content yet. What has come can be read.
//! When all has come, the hash is known, and a version can be written that has this content: then the
//! file gets its name. What is in memory of a transfer is one hash for each block.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::Hash;

use super::{
    contents::{DRAFT, Large},
    file::{Disk, DiskFile, fault},
    limits::{TRANSFER_SYNC_BYTES, TRANSFERS_MAX},
    tree::{LEAF_BYTES, Leaves},
    types::TransferId,
};
use crate::ring::StoreFault;

/// The transfers that are under way, and those that are complete and not written yet.
#[derive(Debug)]
pub struct Transfers {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Whether a transfer is on the disk before it is said to be complete.
    syncs: bool,
    made: u64,
    all: BTreeMap<TransferId, Result<Transfer, StoreFault>>,
}

#[derive(Debug)]
struct Transfer {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    bytes: u64,
    unsynced: usize,
    /// `None`: it is complete.
    leaves: Option<Leaves>,
    hash: Option<Hash>,
}

impl Transfers {
    /// None yet; their files come into this folder.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path, syncs: bool) -> Self {
        Self { disk, folder: folder.into(), syncs, made: 0, all: BTreeMap::new() }
    }

    /// Begins a transfer of so many bytes. Returns its file; without one, all that follows fails.
    pub fn begin(&mut self, id: TransferId, bytes: u64) -> Option<Arc<dyn DiskFile>> {
        let begun = self.create(bytes);
        let file = begun.as_ref().ok().map(|it| it.file.clone());
        if let Some(Ok(old)) = self.all.insert(id, begun) {
            let _ = self.disk.remove(&old.path);
        }
        file
    }

    /// Adds bytes. Returns how many there are now.
    pub fn append(&mut self, id: TransferId, bytes: &[u8]) -> Result<u64, StoreFault> {
        self.run(id, |transfer, _| {
            let leaves = transfer.leaves.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
            transfer.file.write_at(bytes, transfer.bytes)?;
            leaves.update(bytes);
            transfer.bytes += bytes.len() as u64;
            transfer.unsynced += bytes.len();
            // So that no sync is a long one.
            if transfer.unsynced >= TRANSFER_SYNC_BYTES {
                transfer.file.sync()?;
                transfer.unsynced = 0;
            }
            Ok(transfer.bytes)
        })
    }

    /// All has come. Returns what content it is.
    pub fn finish(&mut self, id: TransferId) -> Result<Large, StoreFault> {
        self.run(id, |transfer, syncs| {
            let leaves = transfer.leaves.take().ok_or(io::ErrorKind::InvalidInput)?;
            let (leaves, hash) = leaves.finish();
            if !leaves.is_empty() {
                debug_assert_eq!(leaves[0].len(), LEAF_BYTES);
                transfer.file.write_at(&leaves.concat(), transfer.bytes)?;
            }
            if syncs {
                transfer.file.sync()?;
            }
            transfer.hash = Some(hash);
            Ok(Large { hash, bytes: transfer.bytes })
        })
    }

    /// Forgets a transfer.
    pub fn abort(&mut self, id: TransferId) {
        if let Some(Ok(transfer)) = self.all.remove(&id) {
            let _ = self.disk.remove(&transfer.path);
        }
    }

    /// Hands over the file of a transfer that is complete and has this content.
    pub fn take(&mut self, id: TransferId, large: Large) -> Option<PathBuf> {
        let Some(Ok(transfer)) = self.all.get(&id) else { return None };
        let is_it = transfer.hash == Some(large.hash) && transfer.bytes == large.bytes;
        let taken = if is_it { self.all.remove(&id) } else { None };
        taken?.ok().map(|transfer| transfer.path)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    fn create(&mut self, bytes: u64) -> Result<Transfer, StoreFault> {
        // It must not first fill the disk, in the way of all others.
        let has_room = self.disk.free_bytes(&self.folder).map_or(true, |free| bytes <= free);
        if self.all.len() >= TRANSFERS_MAX || !has_room {
            return Err(StoreFault::Full);
        }
        self.made += 1;
        let path = self.folder.join(format!("transfer-{}{DRAFT}", self.made));
        let file = self.disk.create(&path).map_err(|error| fault(&error))?;
        let leaves = Some(Leaves::default());
        Ok(Transfer { file, path, bytes: 0, unsynced: 0, leaves, hash: None })
    }

    /// Does something with a transfer. If it fails, so does all that follows, and its room is given
    /// back.
    fn run<T>(
        &mut self,
        id: TransferId,
        act: impl FnOnce(&mut Transfer, bool) -> io::Result<T>,
    ) -> Result<T, StoreFault> {
        let Some(entry) = self.all.get_mut(&id) else { return Err(StoreFault::Broken) };
        let transfer = entry.as_mut().map_err(|fault| *fault)?;
        match act(transfer, self.syncs) {
            Ok(result) => Ok(result),
            Err(error) => {
                let _ = self.disk.remove(&transfer.path);
                let fault = fault(&error);
                *entry = Err(fault);
                Err(fault)
            }
        }
    }
}
