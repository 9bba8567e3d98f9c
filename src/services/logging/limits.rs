//! Every fixed bound of the logging service, with its unit in its name. The size of the log is an
//! option.

use std::time::Duration;

/// Bytes of an id.
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of a message.
pub const MSG_BYTES_MAX: usize = 1 << 20;
/// What an entry counts against the size of the log, beside its id and its message.
pub const ENTRY_OVERHEAD_BYTES: u64 = 128;
/// The size of a log in memory, unless an option says otherwise.
pub const MEMORY_BYTES_DEFAULT: u64 = 64 << 20;
/// The size of a log on a disk or in Redis, unless an option says otherwise.
pub const DURABLE_BYTES_DEFAULT: u64 = 1 << 30;
/// Bytes of entries that are read from the store at a time.
pub const PAGE_BYTES: usize = 64 << 10;
/// Bytes of all messages in one answer over gRPC, which has to be built whole: as much as clients
/// take unless they are told otherwise.
pub const LIST_BYTES_MAX: usize = 4 << 20;
/// Bytes that each message counts in it besides its own.
pub const LIST_OVERHEAD_BYTES: usize = 5;
/// Such answers that are being built or, if they are longer than a page, sent. Further ones wait until
/// another is done.
pub const LISTS_MAX: usize = 16;
/// Followers of the log at a time.
pub const FOLLOWERS_MAX: usize = 256;
/// How often a follower is sent a sign that it is still connected.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Bytes of a message that are shown on stdout.
pub const SHOWN_BYTES_MAX: usize = 16 << 10;
/// Messages that are queued for the disk or for Redis. Further ones wait until there is room.
pub const QUEUE_APPENDS_MAX: usize = 256;
/// Messages that one commit of the disk or one call of Redis takes.
pub const BATCH_APPENDS_MAX: usize = 256;
/// Bytes of such a batch after which no other message is added.
pub const BATCH_BYTES: usize = 4 << 20;
/// Bytes of the file that the disk store holds in memory.
pub const DISK_CACHE_BYTES: usize = 8 << 20;
/// How often a disk that was full is tried again.
pub const DISK_RETRY: Duration = Duration::from_secs(1);
/// How long Redis may take for any answer, connecting included.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long Redis waits for new entries before it answers that there are none.
pub const REDIS_BLOCK: Duration = Duration::from_secs(1);
