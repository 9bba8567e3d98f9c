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
/// Largest file that a node takes from another, whatever its own `max_file_bytes` says to clients.
pub const FILE_BYTES_CEILING: usize = 256 << 20;
/// A version this far ahead of the own clock is refused.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);
/// How wrong this node can be about the time of another: the ring asks for so much less than
/// [`CLOCK_AHEAD_MAX`] of nodes that create versions.
pub const CLOCK_ERROR_MAX: Duration = Duration::from_secs(2);
/// A member whose clock is this far from the ring's is named.
pub const CLOCK_OFF_NAMED: Duration = Duration::from_secs(30);
/// A CHECK that took longer than this to go round says nothing of the clocks that it has seen.
pub const CLOCK_ROUND_MAX: Duration = Duration::from_secs(1);
/// The highest incarnation, and time of a version, that is believed: in the year 5138.
pub const INCARNATION_MAX: u64 = 100_000_000_000_000;
/// How long a member that is out stays known by default, so that it can be found again.
pub const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long by default a node waits for gone members that alone have what it lacks.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long a LIST, or a GET of a name that is not here, waits for a node that is not yet ready.
pub const READY_WAIT: Duration = Duration::from_secs(3);
/// Check intervals that a node which began a ring waits for another ring to claim it.
pub const CLAIM_INTERVALS: u32 = 2;
/// The shortest time that a successor has to answer, however quick it was so far.
pub const CHECK_TIMEOUT_MIN: Duration = Duration::from_millis(250);
/// A node in a ring is woken at least so often: to notice that it was stopped before others, which give
/// it at least [`CHECK_TIMEOUT_MIN`], can have gone on without it.
pub const HEARTBEAT: Duration = Duration::from_millis(150);
/// A node that is woken so much too late has been stopped.
pub const DOUBT_AFTER: Duration = Duration::from_millis(100);
/// An operation may be under way this long before the successor is asked whether it lives.
pub const PATIENCE_MIN: Duration = Duration::from_millis(50);
/// Members behind a silent successor that are asked at the same time.
pub const SCOUTS_MAX: usize = 16;
/// Gone members that are sought at the same time.
pub const SEEKS_MAX: usize = 16;
/// The longest time between two attempts to find a gone member, in check intervals.
pub const SEEK_INTERVALS_MAX: u32 = 32;
/// Newcomers whose address is tried at the same time.
pub const VETS_MAX: usize = 16;
/// How often within [`BACKS_WITHIN`] a node comes back at once after it was declared gone.
pub const BACKS_AT_ONCE: usize = 3;
/// The time over which that is counted.
pub const BACKS_WITHIN: Duration = Duration::from_secs(60);
/// The longest time that a node stays out which was declared gone again and again.
pub const REST_MAX: Duration = Duration::from_secs(30);
/// Names whose versions are ahead of this node's clock, and of which it remembers the last version.
pub const BEYOND_MAX: usize = 1024;
/// Versions that one full node remembers to have refused.
pub const REFUSED_MAX: usize = 65_536;
/// Longest name of a ring, in bytes.
pub const RING_NAME_BYTES_MAX: usize = 64;
/// The version of the protocol between nodes; another one is refused.
pub const PROTOCOL: u64 = 2;
/// The lowest rate at which a content may arrive, from a client or round the ring.
pub const BYTES_PER_SECOND_MIN: usize = 64 << 10;
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
/// Names that one answer of a synchronisation lists at most.
pub const SYNC_NAMES_MAX: usize = 256;
/// A synchronisation that found nothing is not repeated sooner than this many check intervals,
/// doubled each time up to this many doublings.
pub const SYNC_DOUBLINGS_MAX: u32 = 5;
