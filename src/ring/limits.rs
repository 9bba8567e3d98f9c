//! The bounds of the ring that users meet, and those that more than one file needs, each with its
//! unit last in its name.
//!
//! Whatever a peer, a client or time can make grow has a bound: here, beside its use, or in a field of
//! [`Config`](super::Config).

use std::time::Duration;

/// Longest line of the protocol, its LF included.
pub const LINE_BYTES_MAX: usize = 4096;
/// Longest name of a file, decoded. Percent-encoded it still fits a line.
pub const NAME_BYTES_MAX: usize = 1024;
/// Members that a view holds at most, live and gone ones together.
pub const MEMBERS_MAX: usize = 128;
/// A content of this length or more is pulled over a connection of its own, from disk to disk, rather
/// than sent with a message.
pub const APART_BYTES: usize = 64 << 10;
/// A content of this length or more is offered while its client is still sending it, so that the others
/// pull it meanwhile.
pub const OFFER_BYTES: usize = 1 << 20;
/// Names that one LIST answers at most.
pub const LIST_NAMES_MAX: usize = 1000;
/// Largest file that a node takes from another, whatever its own `max_file_bytes` says to clients.
pub const FILE_BYTES_CEILING: usize = 256 << 20;
/// A version this far ahead of the ring's time is refused.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);
/// The highest incarnation, and time of a version, that is believed: in the year 5138.
pub const INCARNATION_MAX: u64 = 100_000_000_000_000;
/// How long a member that is out stays known by default, so that it can be found again.
pub const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a deletion is remembered by default. No less than [`FORGET_AFTER`]: two rings that have
/// been apart for longer than they know of each other do not meet by themselves.
pub const TOMBSTONE_TTL: Duration = FORGET_AFTER;
/// Writes of which a node remembers where their time went.
pub const TRACES_KEPT: usize = 64;
/// How many versions of a name are kept by default.
pub const KEEP_VERSIONS: usize = 3;
/// How many may be.
pub const KEEP_VERSIONS_MAX: usize = 64;
/// How long by default a node waits for gone members that alone have what it lacks.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long a LIST, or a GET of a name that is not here, waits for a node that is not yet ready.
pub const READY_WAIT: Duration = Duration::from_secs(3);
/// Check intervals that a node which began a ring waits for another ring to claim it.
pub const CLAIM_INTERVALS: u32 = 2;
/// The shortest time that a successor has to answer, however quick it has been.
pub const CHECK_TIMEOUT_MIN: Duration = Duration::from_millis(250);
/// Members behind a silent successor that are asked at the same time.
pub const SCOUTS_MAX: usize = 16;
/// Gone members that are sought at the same time.
pub const SEEKS_MAX: usize = 16;
/// Newcomers whose addresses are tried at the same time.
pub const VETS_MAX: usize = 16;
/// The longest time that a node stays out after it was declared gone again and again.
pub const REST_MAX: Duration = Duration::from_secs(30);
/// Longest name of a ring, in bytes.
pub const RING_NAME_BYTES_MAX: usize = 64;
/// The version of the protocol between nodes; another one is refused.
pub const PROTOCOL: u64 = 3;
/// The lowest rate at which the content of a file may arrive, from a client or round the ring.
pub const BYTES_PER_SECOND_MIN: usize = 64 << 10;
/// The most operations that one node has on their way round the ring; more are answered 503.
pub const OPERATIONS_MAX: usize = 16_384;
/// Bytes of PUTs that one node has on their way round the ring before it stops reading requests.
/// They are kept in the table in any case.
pub const OPERATION_BYTES_MAX: usize = 256 << 20;
/// Links that other nodes may have open to this one.
pub const PEER_LINKS_MAX: usize = 2 * MEMBERS_MAX;
/// The longest interval between CHECKs that a node may be given.
pub const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(20);
/// A link that another node keeps to this one, and that has carried nothing for this long, is dead.
pub const LINK_SILENCE_MAX: Duration = CHECK_INTERVAL_MAX.saturating_mul(3);
/// Requests that one synchronisation has not yet had answered.
pub const SYNC_WINDOW_REQUESTS: usize = 64;
