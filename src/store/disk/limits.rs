//! The bounds of the disk store, with their units last in their names.

use std::time::Duration;

/// The format that this code writes. It reads this one and no later one.
pub const FORMAT: u32 = 1;
/// The default of [`DiskOptions::log_bytes_max`](super::DiskOptions::log_bytes_max).
pub const LOG_BYTES_MAX: u32 = 64 << 20;
/// No option makes a log longer than this: offsets are 32 bits.
pub const LOG_BYTES_CEILING: u32 = 1 << 30;
/// The default of [`DiskOptions::file_bytes_min`](super::DiskOptions::file_bytes_min).
pub const FILE_BYTES_MIN: usize = 64 << 10;
/// The largest content in a log, whatever the options say.
pub const SMALL_BYTES_CEILING: usize = 1 << 20;
/// The default of [`DiskOptions::cache_bytes`](super::DiskOptions::cache_bytes).
pub const CACHE_BYTES: usize = 1 << 20;
/// Contents that are written together with one sync; what is queued beyond waits for the next one.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Writes that are written together with one sync.
pub const BATCH_WRITES_MAX: usize = 4096;
/// The buffer of the disk thread is given back when it is larger than this.
pub const BUFFER_BYTES_KEPT: usize = 256 << 10;
/// What is read of a log at a time, at opening and for compaction.
pub const WINDOW_BYTES: usize = 256 << 10;
/// A content in a file of its own is read, and checked against its hash, in blocks of this size.
pub const BLOCK_BYTES: usize = 64 << 10;
/// Deaths in one record of a log.
pub const DEATHS_PER_RECORD_MAX: usize = 4096;
/// Deaths that wait for the next batch before they are written without one.
pub const DEATHS_WAITING_MAX: usize = 1024;
/// How long deaths wait for the next batch before they are written without one.
pub const DEATHS_WAIT: Duration = Duration::from_secs(1);
/// Damages that are described one by one when a folder is opened; of further ones the number.
pub const REMARKS_MAX: usize = 32;
/// Contents in files of their own that are open at the same time.
pub const OPEN_FILES_MAX: usize = 32;
/// The hashes of their blocks that are held in memory.
pub const OPEN_TREES_BYTES_MAX: usize = 4 << 20;
/// Transfers at the same time: each has a file open.
pub const TRANSFERS_MAX: usize = 256;
/// What comes of a transfer between two syncs.
pub const TRANSFER_SYNC_BYTES: usize = 4 << 20;
/// The default of
/// [`DiskOptions::compaction_bytes_per_second`](super::DiskOptions::compaction_bytes_per_second).
pub const COMPACTION_BYTES_PER_SECOND: u64 = 32 << 20;
/// What compaction reads and copies before it lets writes have their turn.
pub const COMPACTION_STEP_BYTES: usize = 256 << 10;
/// How long compaction pauses after it has failed.
pub const COMPACTION_PAUSE: Duration = Duration::from_secs(5);
/// The longest node.json that is read.
pub const NODE_JSON_BYTES_MAX: u64 = 256 << 10;
