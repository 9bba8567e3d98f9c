//! Tar archives, as tar, bsdtar and Python's tarfile write and read them. The headers are tar-core's; the
//! bytes move here: a small file as a whole, a large one in parts.

mod read;
mod write;

pub(super) use self::{
    read::{ArchiveError, ArchiveReader, Entry, EntryKind},
    write::ArchiveWriter,
};

/// The unit of an archive: headers are this long, and contents are filled up to a multiple of it.
const BLOCK_BYTES: usize = 512;
