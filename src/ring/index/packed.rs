//! The versions of one name as an index holds them: a node has some for each of its files, so they are
//! small.

use super::nodes::{Nodes, PackedEntry};
use crate::ring::{entry::IndexEntry, item::Ticket};

/// At least one version, in order.
#[derive(Debug)]
pub(in crate::ring) struct PackedVersions {
    newest: PackedEntry,
    /// Most names have one version, so this is one word.
    older: Option<Box<Older>>,
}

/// Those before the newest, the newest of them first. There is one at least.
#[derive(Debug)]
struct Older(Vec<PackedEntry>);

impl PackedVersions {
    /// The first version of a name.
    pub fn new(newest: PackedEntry) -> Self {
        Self { newest, older: None }
    }

    /// The newest version.
    pub fn newest(&self) -> &PackedEntry {
        &self.newest
    }

    /// Those before it, the newest of them first.
    pub fn older(&self) -> &[PackedEntry] {
        self.older.as_deref().map_or(&[], |older| &older.0)
    }

    /// Takes out the oldest version, unless that is the only one.
    pub fn pop_oldest(&mut self) -> Option<PackedEntry> {
        self.change_older(Vec::pop)
    }

    /// Enters a version that is not here.
    pub fn insert(&mut self, entry: &IndexEntry, nodes: &mut Nodes) {
        let packed = nodes.pack(entry);
        if entry.version > nodes.version(&self.newest) {
            let before = std::mem::replace(&mut self.newest, packed);
            self.change_older(|older| older.insert(0, before));
        } else {
            let is_newer = |held: &&PackedEntry| nodes.version(held) > entry.version;
            let at = self.older().iter().take_while(is_newer).count();
            self.change_older(|older| older.insert(at, packed));
        }
    }

    /// Takes out one version. `Err`: it is the only one, and stays.
    pub fn remove(&mut self, ticket: Ticket) -> Result<Option<PackedEntry>, ()> {
        if self.newest.ticket == ticket.0 {
            let next = self.change_older(|older| (!older.is_empty()).then(|| older.remove(0)));
            return Ok(Some(std::mem::replace(&mut self.newest, next.ok_or(())?)));
        }
        let at = self.older().iter().position(|held| held.ticket == ticket.0);
        Ok(at.map(|at| self.change_older(|older| older.remove(at))))
    }

    fn change_older<T>(&mut self, change: impl FnOnce(&mut Vec<PackedEntry>) -> T) -> T {
        let mut older = self.older.take().unwrap_or_else(|| Box::new(Older(Vec::new())));
        let result = change(&mut older.0);
        self.older = Some(older).filter(|older| !older.0.is_empty());
        result
    }
}
