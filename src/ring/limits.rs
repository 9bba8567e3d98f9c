//! Every bound of the ring, with its unit last in its name.
//!
//! What a peer, a client or time can make grow is bounded here or by a field of
//! [`Config`](super::Config).

use std::time::Duration;

/// Longest line of the protocol, its LF included.
pub const LINE_BYTES_MAX: usize = 4096;
/// Longest name of a file, decoded. Percent-encoded it still fits a line.
pub const NAME_BYTES_MAX: usize = 1024;
/// Members that a view holds at most, live and gone ones together.
pub const MEMBERS_MAX: usize = 128;
/// Names that one LIST answers at most.
pub const LIST_NAMES_MAX: usize = 1000;
/// Largest body of a message between nodes that is not a file: views, digests, lists of names.
pub const PEER_BODY_BYTES_MAX: usize = 1 << 20;
/// Largest file that a node takes from another, whatever its own `max_file_bytes` says to clients.
pub const FILE_BYTES_CEILING: usize = 256 << 20;
/// A version this far ahead of the own clock is refused.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);
/// How long a gone member stays known, so that it can be found again.
pub const GONE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// A view that speaks of a time this far ahead of the own clock is refused.
pub const VIEW_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Operations that one node has on their way round the ring at most; more are answered 503.
pub const OPERATIONS_MAX: usize = 16_384;
/// Bytes of PUTs that one node has on their way round the ring before it stops reading requests.
/// They are kept in the table in any case.
pub const OPERATION_BYTES_MAX: usize = 256 << 20;
/// MEETs that one link carries before it is taken for a quarrel and closed.
pub const MEETS_PER_LINK_MAX: u32 = 64;
/// Links that other nodes may have open to this one.
pub const PEER_LINKS_MAX: usize = 2 * MEMBERS_MAX;
/// How often CHECK goes round at the least: the longest interval that a node may be given.
pub const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(20);
/// A link that another node keeps to this one, and that has carried nothing for so long, is dead.
pub const LINK_SILENCE_MAX: Duration = CHECK_INTERVAL_MAX.saturating_mul(3);
/// Bytes of files that one synchronisation has asked for and not yet got.
pub const SYNC_WINDOW_BYTES: usize = 4 << 20;
/// Requests that one synchronisation has not yet had answered.
pub const SYNC_WINDOW_REQUESTS: usize = 64;
/// Bytes that an entry of the table costs beyond its name and its content.
pub const ENTRY_BYTES: usize = 128;
/// Names that one answer of a synchronisation lists at most.
pub const SYNC_NAMES_MAX: usize = 256;
/// A synchronisation that found nothing is not repeated sooner than this many check intervals,
/// doubled each time up to this many doublings.
pub const SYNC_DOUBLINGS_MAX: u32 = 5;
