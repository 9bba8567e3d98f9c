//! Every bound of a node's HTTP, with its unit in its name. Those that the line protocol has too are in
//! [`net::limits`](crate::net::limits).

use std::time::Duration;

/// Ranges of one request that are answered; of more, the whole file is sent.
pub const RANGES_MAX: usize = 64;
/// Names that one page of a folder shows.
pub const LISTING_NAMES_MAX: usize = 5_000;
/// Questions to the node for one page of a folder. Each skips a folder in it, or brings up to a thousand
/// names.
pub const LISTING_ASKS_MAX: usize = 1_000;
/// Names that the node is asked for where the last question ended in a folder that is skipped.
pub const LISTING_NAMES_FEW: usize = 16;
/// Pages of folders and of files that are made, or wait for their clients, at a time; over that 503.
pub const LISTINGS_MAX: usize = 64;
/// Names that one page of `/_ring/files` has at most, and by default.
pub const FILES_NAMES_MAX: usize = 1_000;
/// Questions to the node for one page of files that are searched by what their names contain.
pub const SEARCH_ASKS_MAX: usize = 20;
/// Clients that watch what happens at a node; over that 503.
pub const WATCHERS_MAX: usize = 64;
/// Parts of a form; over that it is refused.
pub const PARTS_MAX: usize = 1_000;
/// Bytes of the head of one of them.
pub const PART_HEAD_BYTES_MAX: usize = 8 << 10;
/// Bytes of a part that is no file.
pub const FIELD_BYTES_MAX: usize = 1 << 10;
/// Bytes of a content that leaves without being counted against what is in flight.
pub const UNCOUNTED_BYTES_MAX: usize = 16 << 10;
/// Bytes that one answer gives its connection before others have their turn.
pub const TURN_BYTES_MAX: usize = 256 << 10;
/// How long a write waits until the node has room for it; then 503.
pub const ROOM_WAIT: Duration = Duration::from_secs(10);
/// How often a file is asked for again whose content was replaced before it was read.
pub const READS_MAX: usize = 3;
/// How long a connection may be idle between two requests.
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Bytes of a request's target; over that 414.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
