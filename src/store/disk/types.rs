//! What the store is given, and what it gives.

use std::net::SocketAddr;

use blake3::Hash;

use super::limits::{
    CACHE_BYTES, COMPACTION_BYTES_PER_SECOND, FILE_BYTES_MIN, LOG_BYTES_CEILING, LOG_BYTES_MAX,
    SMALL_BYTES_CEILING,
};
pub use crate::durations::Durations;
use crate::ring::{
    StoreFault,
    item::{Ticket, Value},
    name::Name,
    version::Version,
};

/// What a confirmed write survives.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durability {
    /// The loss of power: it is synced before it is confirmed.
    #[default]
    Sync,
    /// The end of the process: the system has it, and writes it to the disk in its own time.
    Os,
}

/// How a store works.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The name of the ring. The folder of another one is refused.
    pub ring: String,
    /// What a confirmed write survives.
    pub durability: Durability,
    /// Memory for small contents that were read. 0: none.
    pub cache_bytes: usize,
    /// A log that is this long is not written to any more.
    pub log_bytes_max: u32,
    /// A content of this length or more is in a file of its own.
    pub file_bytes_min: usize,
    /// How much is read by compaction in a second.
    pub compaction_bytes_per_second: u64,
}

impl DiskOptions {
    /// The defaults, for a node of this ring.
    pub fn new(ring: &str) -> Self {
        Self {
            ring: ring.into(),
            durability: Durability::default(),
            cache_bytes: CACHE_BYTES,
            log_bytes_max: LOG_BYTES_MAX,
            file_bytes_min: FILE_BYTES_MIN,
            compaction_bytes_per_second: COMPACTION_BYTES_PER_SECOND,
        }
    }

    /// The same within the bounds of the format.
    pub(super) fn bounded(mut self) -> Self {
        self.log_bytes_max = self.log_bytes_max.min(LOG_BYTES_CEILING);
        self.file_bytes_min = self.file_bytes_min.min(SMALL_BYTES_CEILING);
        self.compaction_bytes_per_second = self.compaction_bytes_per_second.max(1);
        self
    }
}

/// A version that is to be kept.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its name in the store from now on. Later writes have greater tickets.
    pub ticket: Ticket,
    /// The file's name.
    pub name: Name,
    /// Which write of that this is.
    pub version: Version,
    /// The content, or that it was deleted.
    pub value: WriteValue,
}

/// Names a content that comes in pieces. None is used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransferId(pub u64);

/// What a version that is to be kept is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteValue {
    /// A content that is here, or a tombstone.
    Here(Value),
    /// What has come in a transfer that is complete. The transfer is over then; also if the write fails.
    Transferred {
        /// Which.
        transfer: TransferId,
        /// BLAKE3 of the content, as reported.
        hash: Hash,
        /// Its length, as reported.
        bytes: u64,
    },
}

impl From<Value> for WriteValue {
    fn from(value: Value) -> Self {
        Self::Here(value)
    }
}

/// A version that the store has, found when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its name in the store from now on.
    pub ticket: Ticket,
    /// The file's name.
    pub name: Name,
    /// Which write of that this is.
    pub version: Version,
    /// What it is.
    pub kind: FoundKind,
}

/// What a version is that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FoundKind {
    /// A content.
    Content {
        /// Its BLAKE3.
        hash: Hash,
        /// Its length.
        bytes: u64,
    },
    /// The name was deleted.
    Tombstone,
}

/// What opening a folder has shown besides the versions.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Opened {
    /// What was last saved about the node.
    pub node: Option<SavedNode>,
    /// How many versions were found. Their tickets are 1 to this number.
    pub versions: u64,
    /// Bytes at the end of the newest log that were no complete write. They were never confirmed, and
    /// are cut off.
    pub torn_bytes: u64,
    /// Damage: what, which file, where. What was damaged is not among the versions found.
    pub remarks: Vec<String>,
}

/// What a node wants to know of itself when it starts again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedNode {
    /// The name of its ring.
    pub ring: String,
    /// Its advertised address.
    pub address: SocketAddr,
    /// Its incarnation.
    pub incarnation: u64,
    /// The members that it has last seen.
    pub members: Vec<SocketAddr>,
    /// When it was last alive, in milliseconds since 1970.
    pub alive_ms: u64,
}

/// What the store reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// A write is done. There is one for each, in the order of the writes.
    Written {
        /// Which.
        ticket: Ticket,
        /// Whether it is kept. If not, the store has forgotten it; after a power loss it may still be
        /// found.
        result: Result<(), StoreFault>,
    },
    /// What was last to be saved about the node is saved, or could not be.
    Saved {
        /// Whether it is.
        result: Result<(), StoreFault>,
    },
    /// Bytes of a transfer are written, in the order in which they came.
    Appended {
        /// Which transfer.
        transfer: TransferId,
        /// How many bytes of it there are now. After a fault the transfer can only be aborted.
        result: Result<u64, StoreFault>,
    },
    /// A transfer is complete.
    Finished {
        /// Which transfer.
        transfer: TransferId,
        /// BLAKE3 and length of its content. It is on the disk, but nothing unless a version is written
        /// that has it.
        result: Result<(Hash, u64), StoreFault>,
    },
    /// Damage was found while nobody read: reading this content gives
    /// [`ReadError::Damaged`](super::ReadError::Damaged) from now on.
    Damaged {
        /// Which.
        ticket: Ticket,
    },
}

/// How the store is doing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DiskStats {
    /// Versions that it has.
    pub versions: u64,
    /// Logs.
    pub logs: u64,
    /// Their length together.
    pub log_bytes: u64,
    /// How much of that compaction could give back.
    pub dead_bytes: u64,
    /// Contents in files of their own, together.
    pub file_bytes: u64,
    /// Transfers that are neither written nor aborted.
    pub transfers: u64,
    /// Writes that are not confirmed.
    pub queued_writes: u64,
    /// Reads that wait for the disk.
    pub queued_reads: u64,
    /// How often it has synced a log.
    pub syncs: u64,
    /// How long it took to write what was written together, with the sync.
    pub commits: Durations,
    /// Writes and syncs that have failed.
    pub faults: u64,
}
