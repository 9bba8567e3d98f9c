//! KEEPS the versions of files on a disk: a log to append to, with an index in memory.
//!
//! This is Bitcask (Sheehy and Smith, 2010): every write is appended to a log, where it is is known in
//! memory, and what counts of old logs is copied to new ones. Writes are sequential, so many of them share
//! one write and one sync of the disk, and opening reads the logs, or what is left of them without the
//! contents.
//!
//! # What is in the folder
//!
//! ```text
//! lock              who has the folder open
//! node.json         what the node wants to know of itself when it starts again
//! log/7.log         records: a version with its name and a small content; or deaths
//! log/7.heads       the same without contents, for a log that is complete: opening reads this
//! files/ab/ab34…    a content of 64 KiB or more, named by its BLAKE3; versions with equal bytes share it
//! aside-1700…/      an earlier folder that was set aside
//! ```
//!
//! # A write
//!
//! The [`DiskStore`] queues it, and it can be read at once. The disk thread takes all that has queued up.
//! It writes each large content under another name, syncs it, renames it, and syncs its folder; then all
//! records with one write, and syncs the log; then all are confirmed. What a record names is on the disk
//! before it, and a folder is synced before anything in it is needed.
//!
//! # Names and places
//!
//! The store does not keep names in memory: the node's index does. What it has for each version is a place
//! of 12 bytes, by a ticket of 4. Deaths are therefore places too: "the record at this offset of this log counts no
//! more". They go with the next batch, and they are kept as long as the log of the dead record: not by
//! names, and not by which version is newer. So a tombstone needs no rule of its own: when it is
//! discarded after the versions that it has ended, these are dead before it is. After a loss of power the
//! discards of the last moments may be undone, but always the last ones first.
//!
//! # Damage
//!
//! Nothing that is on the disk is trusted. Each head of a record has a check under a key that only its log
//! knows; each content is checked against its hash whenever it is read, a large one block by block. The
//! newest log may end in a write that was torn when the power was lost; that is cut off, since it was never
//! confirmed. What cannot be read anywhere else is damage: it is reported, the rest is used, and the ring
//! has what is missing.
//!
//! # What is absent
//!
//! - Reading by name, and order: that is the index's.
//! - A snapshot of everything: each log has its own heads, which never become wrong.
//! - Room in reserve. On a full disk writes are answered with
//!   [`StoreFault::Full`](crate::ring::StoreFault), deaths and compaction wait as well, and go on once there
//!   is room.
//! - A bound on the number of logs: each has a file open. The caller bounds how much it keeps.

mod arrivals;
mod background;
mod cache;
mod contents;
mod engine;
mod error;
mod file;
mod heads;
pub mod limits;
mod live;
mod lock;
mod node;
mod open;
mod places;
mod queue;
mod read;
mod record;
mod scan;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod threads;
mod transfers;
mod tree;
mod types;

pub use error::{OpenError, ReadError};
pub use store::{DiskStore, LaterRead, Read};
pub use types::{
    DiskOptions, DiskStats, Durability, Found, FoundKind, Opened, Report, SavedNode, TransferId,
    Write, WriteValue,
};
