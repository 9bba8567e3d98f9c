//! Hosts, and the lives of the nodes on them.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    time::Duration,
};

use smolring::ring::{
    Config, LastSeen, LinkId, Node, PullFault, RequestId,
    index::Index,
    item::ArrivalId,
    limits::{FORGET_AFTER, GIVE_UP_AFTER, TOMBSTONE_TTL},
    message::Request,
};

use super::{
    network::{ConnectionId, Segment},
    pulls::{Pull, Upload},
    store::Store,
    timeline::{Micros, ms},
};

/// The wall clock when a world begins, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_700_000_000_000;
/// What most stores take: more than any test puts.
pub const STORE_BYTES_MAX: usize = 1 << 30;

/// How many versions of a name nodes keep.
pub const KEEP_VERSIONS: usize = 3;

/// A machine. It keeps its address, whatever happens to it.
pub struct Host {
    pub index: usize,
    pub address: SocketAddr,
    /// Counts its lives; 0 before the first.
    pub life: u32,
    pub state: State,
    /// The contents of what it holds.
    pub store: Store,
    /// How many versions of a name it keeps.
    pub keep_versions: usize,
    /// When it last lost what it held.
    pub lost_at: Option<Micros>,
    /// When its last life ended.
    pub down_since: Micros,
    /// What its last life knew of its ring, if it keeps that.
    pub last_seen: Option<LastSeen>,
    /// When a life of it last ended without notice.
    pub crashed_at: Option<Micros>,
    /// How far its clock is ahead of the world's.
    pub skew_ms: u64,
    /// How wrong its clock is beyond that, for a while.
    pub jump_ms: i64,
    /// When it last woke, and how often at that instant.
    pub wakes: (Micros, usize),
}

pub enum State {
    /// It does not run. What it held waits for its next life.
    Down {
        held: Box<Index>,
        /// Nor does its system answer that nothing runs there.
        is_silent: bool,
    },
    Up(Box<Running>),
}

/// A life of a host.
pub struct Running {
    pub node: Node,
    pub born: Micros,
    /// The host that it was started after.
    pub prev: Option<usize>,
    /// It handles nothing now.
    pub is_paused: bool,
    /// The end of its last pause.
    pub resumed_at: Micros,
    /// When it was asked to leave.
    pub leaves_since: Option<Micros>,
    /// What arrived while it was paused.
    pub inbox: VecDeque<Arrival>,
    /// Its connections, by the names that the node knows.
    pub links: BTreeMap<LinkId, (ConnectionId, usize)>,
    /// When its node is to be woken next.
    pub wake_at: Option<Micros>,
    /// When the store will have sent all its confirmations: it sends one after the other.
    pub stores_until: Micros,
    /// How many of them it sends at once.
    pub stored_at_once: usize,
    /// What it pulls, and what its clients have sent in pieces.
    pub pulls: BTreeMap<ArrivalId, Pull>,
    pub uploads: BTreeMap<RequestId, Upload>,
}

/// What arrives at a host.
pub enum Arrival {
    Segment {
        connection: ConnectionId,
        end: usize,
        segment: Segment,
    },
    Request {
        id: RequestId,
        request: Request,
    },
    /// The store reports what became of the oldest thing that it was given.
    Stored,
    /// A content that was pulled is here, or does not come.
    Pulled {
        arrival: ArrivalId,
        result: Result<blake3::Hash, PullFault>,
    },
    /// A large content that a client sends is there.
    Upload {
        id: RequestId,
    },
}

impl Host {
    pub fn new(index: usize, address: SocketAddr) -> Self {
        Self {
            index,
            address,
            life: 0,
            state: State::Down {
                held: Index::new(STORE_BYTES_MAX, KEEP_VERSIONS).into(),
                is_silent: false,
            },
            store: Store::default(),
            keep_versions: KEEP_VERSIONS,
            lost_at: None,
            down_since: 0,
            last_seen: None,
            crashed_at: None,
            skew_ms: 0,
            jump_ms: 0,
            wakes: (0, 0),
        }
    }

    pub fn up(&self) -> Option<&Running> {
        match &self.state {
            State::Up(up) => Some(up),
            State::Down { .. } => None,
        }
    }

    pub fn up_mut(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Up(up) => Some(up),
            State::Down { .. } => None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.up().is_some()
    }

    pub fn is_paused(&self) -> bool {
        self.up().is_some_and(|up| up.is_paused)
    }

    /// Notes what the node that runs knows of its ring, as a disk would have it.
    pub fn remember(&mut self) {
        let known = self.up().and_then(|up| up.node.to_remember());
        if let Some((_, members, alive_ms)) = known {
            self.last_seen = Some(LastSeen { members, alive_ms, is_whole: true });
        }
    }

    /// What its clock shows, in milliseconds since 1970.
    pub fn wall_ms(&self, now: Micros) -> u64 {
        (EPOCH_MS + now / ms(1) + self.skew_ms).saturating_add_signed(self.jump_ms)
    }

    /// What it holds, running or not.
    pub fn index(&self) -> &Index {
        match &self.state {
            State::Up(up) => up.node.index(),
            State::Down { held, .. } => held,
        }
    }
}

/// A node that begins a ring at once, with usual times.
pub fn lone_config(address: SocketAddr) -> Config {
    Config {
        address,
        prevs: Vec::new(),
        ring: "smolring".into(),
        bootstrap: true,
        check_interval: Duration::from_secs(1),
        check_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(10),
        forget_after: FORGET_AFTER,
        give_up_after: GIVE_UP_AFTER,
        min_copies: 1,
        max_file_bytes: 1 << 20,
        apart_bytes: usize::MAX,
        offer_bytes: usize::MAX,
        tombstone_ttl: TOMBSTONE_TTL,
        keeps: false,
        last_seen: None,
        seed: 7,
        started_ms: EPOCH_MS,
        release: None,
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.index)
    }
}

impl Running {
    pub(super) fn new(node: Node, born: Micros) -> Self {
        Self {
            node,
            born,
            prev: None,
            is_paused: false,
            resumed_at: 0,
            leaves_since: None,
            inbox: VecDeque::new(),
            links: BTreeMap::new(),
            wake_at: None,
            stores_until: 0,
            stored_at_once: 0,
            pulls: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// Whether an operator would send newcomers here: it is in a ring.
    pub fn has_joined(&self) -> bool {
        self.leaves_since.is_none() && (self.node.is_ready() || self.node.view().circle().len() > 1)
    }
}
