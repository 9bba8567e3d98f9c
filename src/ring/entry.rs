//! What an index knows of one version of a name.

use super::{
    item::{Body, Item, ItemValue, Ticket},
    version::Version,
};

/// What an index knows of one version of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Which write this is.
    pub version: Version,
    /// What it has written.
    pub kind: EntryKind,
    /// Its record in the store.
    pub ticket: Ticket,
}

/// What a write has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A file.
    File {
        /// BLAKE3 of the content.
        hash: blake3::Hash,
        /// Length of the content.
        bytes: usize,
    },
    /// Nothing: the name was deleted.
    Tombstone,
}

impl EntryKind {
    /// The length of the content of a file; `None` for a tombstone.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::File { bytes, .. } => Some(bytes),
            Self::Tombstone => None,
        }
    }

    /// The hash of the content of a file.
    pub fn hash(self) -> Option<blake3::Hash> {
        match self {
            Self::File { hash, .. } => Some(hash),
            Self::Tombstone => None,
        }
    }
}

impl IndexEntry {
    /// This version, with its content in the store.
    pub fn item(&self) -> Item {
        let value = match self.kind {
            EntryKind::File { hash, bytes } => {
                ItemValue::File { hash, body: Body::Stored { ticket: self.ticket, bytes } }
            }
            EntryKind::Tombstone => ItemValue::Tombstone,
        };
        Item { version: self.version, value }
    }

    /// Whether it says that the name was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.kind == EntryKind::Tombstone
    }
}
