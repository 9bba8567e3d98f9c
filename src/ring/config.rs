//! How a node is set up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::release::Release;

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where other nodes reach this one; its name in the ring.
    pub address: SocketAddr,
    /// Members to be inserted after, each `HOST:PORT` as people write it. If the first of them is
    /// this node itself, it begins a ring where it finds none; without any it begins one at once.
    pub prevs: Vec<String>,
    /// The name of the ring. Nodes of another ring are refused.
    pub ring: Arc<str>,
    /// The operator says that no ring exists yet that remembers this node.
    pub bootstrap: bool,
    /// How often the next node is checked.
    pub check_interval: Duration,
    /// After this long without an answer to CHECK the next node counts as dead, however slow it has
    /// been. One that has been quick is given less.
    pub check_timeout: Duration,
    /// After this long a request is answered 504; a second later for each
    /// [`BYTES_PER_SECOND_MIN`](super::limits::BYTES_PER_SECOND_MIN) bytes of its content.
    pub request_timeout: Duration,
    /// How long a member that is gone is remembered and sought.
    pub forget_after: Duration,
    /// How long a node waits for gone members that alone have what it lacks.
    pub give_up_after: Duration,
    /// A PUT is refused while fewer members than this are alive.
    pub min_copies: usize,
    /// The largest file that a client may put.
    pub max_file_bytes: usize,
    /// Where all members keep files on disks, a content of this length or more is not sent with its
    /// message: those that lack it pull it.
    pub apart_bytes: usize,
    /// And a content of this length or more is offered to them while its client is still sending it.
    pub offer_bytes: usize,
    /// How long a tombstone is held, by the time of its write. It should be the same at all members.
    pub tombstone_ttl: Duration,
    /// Whether the store keeps files on a disk: a PUT is then answered when it is there.
    pub keeps: bool,
    /// The ring that this node was in when it ended, if it keeps that: it goes back to it.
    pub last_seen: Option<LastSeen>,
    /// Seed of everything random that this node does.
    pub seed: u64,
    /// The wall clock at [`Time`](super::version::Time) zero, in milliseconds since 1970. The incarnation of a new node
    /// begins here, so a restarted node is newer than its earlier life.
    pub started_ms: u64,
    /// Which release of the program this is, for others to know.
    pub release: Option<Release>,
}

/// What a node knew of its ring when it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastSeen {
    /// The other members that had not left.
    pub members: Vec<SocketAddr>,
    /// When it was last known to be in the ring, in milliseconds since 1970.
    pub alive_ms: u64,
    /// Whether it has all that was acknowledged with it: the store has lost nothing that it had
    /// confirmed.
    pub is_whole: bool,
}
