//! The versions of one name that a node holds: the newest, and a few before it.

use super::{digest::Digest, entry::IndexEntry, item::Ticket, name::Name, version::Version};

/// At least one version, in order.
#[derive(Debug)]
pub struct Versions {
    newest: IndexEntry,
    newest_digest: Digest,
    /// Those before it, the newest of them first.
    older: Vec<IndexEntry>,
}

impl Versions {
    pub(super) fn new(entry: IndexEntry, digest: Digest) -> Self {
        Self { newest: entry, newest_digest: digest, older: Vec::new() }
    }

    /// The newest version.
    pub fn newest(&self) -> &IndexEntry {
        &self.newest
    }

    /// The digest of the newest version.
    pub(super) fn newest_digest(&self) -> Digest {
        self.newest_digest
    }

    /// All versions, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &IndexEntry> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.older.len()
    }

    /// This version, if it is held.
    pub fn find(&self, version: Version) -> Option<&IndexEntry> {
        self.iter().find(|held| held.version == version)
    }

    /// The oldest version, unless that is the only one.
    pub(super) fn oldest(&self) -> Option<&IndexEntry> {
        self.older.last()
    }

    /// Takes out the oldest version, unless that is the only one.
    pub(super) fn pop_oldest(&mut self) -> Option<IndexEntry> {
        self.older.pop()
    }

    /// Whether a version would be among the newest `most`, and is not held yet.
    pub(super) fn takes(&self, version: Version, most: usize) -> bool {
        let newer = self.iter().take_while(|held| held.version > version).count();
        newer < most && self.iter().nth(newer).is_none_or(|held| held.version != version)
    }

    /// Enters a version that it [takes](Self::takes).
    pub(super) fn insert(&mut self, entry: IndexEntry, digest: Digest) {
        if entry.version > self.newest.version {
            self.newest_digest = digest;
            self.older.insert(0, std::mem::replace(&mut self.newest, entry));
        } else {
            let newer = self.older.iter().take_while(|held| held.version > entry.version);
            let at = newer.count();
            self.older.insert(at, entry);
        }
    }

    /// Takes out one version of this name. `Err`: it is the only one, and stays.
    pub(super) fn remove(&mut self, name: &Name, ticket: Ticket) -> Result<Option<IndexEntry>, ()> {
        if self.newest.ticket == ticket {
            if self.older.is_empty() {
                return Err(());
            }
            let next = self.older.remove(0);
            self.newest_digest = Digest::of(name, next.version);
            return Ok(Some(std::mem::replace(&mut self.newest, next)));
        }
        let at = self.older.iter().position(|held| held.ticket == ticket);
        Ok(at.map(|at| self.older.remove(at)))
    }
}
