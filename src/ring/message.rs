//! Every message of the protocol: what clients ask and hear, what nodes say to each other.
//!
//! How each looks on the wire is in [`codec`](super::codec).

use std::{collections::BTreeMap, fmt, net::SocketAddr, ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    coverage::{Covers, Lacks},
    limits::INCARNATION_MAX,
    name::Name,
    table::Digest,
    version::{Stamp, Version},
    view::{Member, View, ViewHash},
};

/// The bytes of a file. Cheap to clone: the bytes themselves are shared.
#[derive(Clone, Default)]
pub struct Content {
    bytes: Bytes,
    /// Its BLAKE3, where that was made while it arrived.
    hash: Option<blake3::Hash>,
}

impl Content {
    /// Bytes of which the hash is known.
    pub fn hashed(bytes: Bytes, hash: Option<blake3::Hash>) -> Self {
        Self { bytes, hash }
    }

    /// The bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// BLAKE3 of the bytes. Goes through them only if nobody has done so yet.
    pub fn hash(&self) -> blake3::Hash {
        self.hash.unwrap_or_else(|| blake3::hash(&self.bytes))
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Content {}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        Self::hashed(bytes.into(), None)
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// One version of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Which write this is.
    pub version: Version,
    /// BLAKE3 of the content; made where the file entered the ring, checked wherever it arrives.
    pub hash: blake3::Hash,
    /// The bytes.
    pub content: Content,
}

/// What decodes from a connection: a client's request, or another node's message.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// From a client.
    Request(Request),
    /// From a node.
    Peer(Envelope),
}

/// What a client asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Keep this file on every node.
    Put {
        /// The file's name.
        name: Name,
        /// The file's bytes.
        content: Content,
    },
    /// Give me this file.
    Get {
        /// The file's name.
        name: Name,
    },
    /// Which files are there?
    List {
        /// Only names that begin so; it may end anywhere in a name.
        prefix: String,
        /// Only names after this one.
        after: String,
        /// How many at most.
        limit: usize,
    },
    /// Who is in the ring?
    Ring,
    /// Are you there?
    Ping,
    /// Who are you, and what are your limits?
    Info,
    /// Do not seek this member any more: it will not return.
    Forget {
        /// The member, which must be gone.
        address: SocketAddr,
    },
    /// Close this connection, once everything asked before is answered.
    Quit,
}

/// What a client hears.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The PUT's circle has closed.
    Stored {
        /// The version that the file now has.
        version: Version,
        /// How many live members hold it.
        copies: usize,
    },
    /// The file.
    Found(Item),
    /// A page of names.
    Listing {
        /// Name, bytes and version of each.
        files: Vec<(Name, usize, Version)>,
        /// Whether there are more.
        more: bool,
    },
    /// The members, live ones first and in the order of the ring.
    Ring {
        /// What is known of each.
        members: Vec<Row>,
        /// The node that answers.
        me: SocketAddr,
    },
    /// The member is not sought any more.
    Forgotten {
        /// The member.
        address: SocketAddr,
    },
    /// The node is there.
    Pong {
        /// Its address.
        me: SocketAddr,
    },
    /// The node and its limits.
    Info(Box<Info>),
    /// Answer to QUIT.
    Bye,
    /// Everything that is not 200.
    Refused(Refusal),
}

/// What RING says of one member.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Its name.
    pub address: SocketAddr,
    /// Its entry in the view.
    pub member: Member,
    /// What it said of itself in the last CHECK, if it is alive and there was one.
    pub report: Option<Report>,
    /// How far its clock is ahead of the ring's, in milliseconds; negative: behind.
    pub clock_off_ms: Option<i64>,
}

/// What a member says of itself when a CHECK passes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its wall clock, in milliseconds since 1970.
    pub clock_ms: u64,
    /// Whether it holds all that the ring holds.
    pub ready: bool,
    /// Whether it had to refuse a file for want of room.
    pub full: bool,
    /// Files that it holds.
    pub files: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Whether it is about to leave.
    pub leaving: bool,
}

/// What INFO answers.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the names say it, and PROTOCOL.md has the units")]
pub struct Info {
    pub me: SocketAddr,
    pub ring: Arc<str>,
    pub state: &'static str,
    pub started_ms: u64,
    pub clock_off_ms: i64,
    pub ready: bool,
    pub full: bool,
    pub members: usize,
    pub files: usize,
    pub bytes: usize,
    pub digest: Digest,
    pub max_file_bytes: usize,
    pub max_store_bytes: usize,
    pub min_copies: usize,
    pub request_timeout: Duration,
}

/// A request that was not done, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// HTTP's number for it.
    pub status: Status,
    /// What happened and what to do, on one line.
    pub reason: String,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// The status of a refusal. The numbers are HTTP's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "PROTOCOL.md says when each is used")]
pub enum Status {
    BadRequest,
    NotFound,
    RequestTimeout,
    LengthRequired,
    ContentTooLarge,
    Unavailable,
    Timeout,
    InsufficientStorage,
}

impl Status {
    const ALL: [Self; 8] = [
        Self::BadRequest,
        Self::NotFound,
        Self::RequestTimeout,
        Self::LengthRequired,
        Self::ContentTooLarge,
        Self::Unavailable,
        Self::Timeout,
        Self::InsufficientStorage,
    ];

    /// The number and the words of the status line.
    pub fn words(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "BAD REQUEST"),
            Self::NotFound => (404, "NOT FOUND"),
            Self::RequestTimeout => (408, "REQUEST TIMEOUT"),
            Self::LengthRequired => (411, "LENGTH REQUIRED"),
            Self::ContentTooLarge => (413, "CONTENT TOO LARGE"),
            Self::Unavailable => (503, "UNAVAILABLE"),
            Self::Timeout => (504, "TIMEOUT"),
            Self::InsufficientStorage => (507, "INSUFFICIENT STORAGE"),
        }
    }

    /// The status with this number.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| u64::from(status.words().0) == code)
    }
}

/// Names an operation all round the ring: the node that created it, and its count there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OpId {
    /// The node that the circle ends at.
    pub creator: SocketAddr,
    /// Counts that node's operations.
    pub count: u64,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.creator, self.count)
    }
}

/// What one node says to another, with the highest stamp that it knows.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// The receiver's next version is later than this.
    pub stamp: Stamp,
    /// The message itself.
    pub message: Peer,
}

/// What one node says to another.
#[derive(Clone, PartialEq, Debug)]
pub enum Peer {
    /// The first line of every link, in both directions.
    Meet(Box<Greeting>),
    /// The answer to a MEET that leads to nothing; the sender closes the link.
    Refuse {
        /// The sender.
        node: SocketAddr,
        /// The sender is itself still joining: try again.
        is_joining: bool,
        /// Why, for people.
        reason: String,
    },
    /// Goes round the ring and stops at its creator.
    Check(Box<Check>),
    /// The next node's answer to CHECK; with its view, if that differs from the CHECK's.
    Checked {
        /// Which CHECK.
        op: OpId,
        /// The receiver's view, where it differs.
        view: Option<View>,
    },
    /// A PUT on its way round.
    ForwardPut(Box<ForwardPut>),
    /// A GET on its way round.
    ForwardGet(Box<ForwardGet>),
    /// A node catching up with its predecessor.
    Sync(Sync),
}

impl Peer {
    /// Whether it speaks of a time, or has a number, that no member could overcome.
    pub fn is_absurd(&self) -> bool {
        let is_absurd = |number: u64| number >= INCARNATION_MAX;
        let others = match self {
            Self::Meet(greeting) => is_absurd(greeting.knew) || is_absurd(greeting.clock_ms),
            Self::Check(check) => check.reports.values().any(|report| is_absurd(report.clock_ms)),
            _ => false,
        };
        others || self.view().is_some_and(View::is_absurd)
    }

    /// The view that it brings, if any.
    pub fn view(&self) -> Option<&View> {
        match self {
            Self::Meet(greeting) => Some(&greeting.view),
            Self::Check(check) => Some(&check.view),
            Self::Checked { view, .. } => view.as_ref(),
            Self::Refuse { .. } | Self::ForwardPut(_) | Self::ForwardGet(_) | Self::Sync(_) => None,
        }
    }
}

/// In which role a node opens or answers a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// As a member of its ring: both views merge.
    Member,
    /// It wants to be taken into the ring of the other end.
    Newcomer,
    /// It only wants to know who is there, or to ask for files. Neither view changes.
    Visitor,
}

impl Role {
    /// All roles, with their words on the wire.
    pub const WORDS: [(Self, &'static str); 3] =
        [(Self::Member, "member"), (Self::Newcomer, "newcomer"), (Self::Visitor, "visitor")];
}

/// A MEET: who I am, and the ring as I know it.
#[derive(Clone, PartialEq, Debug)]
pub struct Greeting {
    /// The sender.
    pub node: SocketAddr,
    /// What it comes as.
    pub role: Role,
    /// The version of the protocol that it speaks.
    pub protocol: u64,
    /// The name of its ring.
    pub ring: Arc<str>,
    /// Its wall clock, in milliseconds since 1970.
    pub clock_ms: u64,
    /// What the receiver brought by what the sender knew before the two met: perhaps in an earlier
    /// life, of which the receiver knows nothing.
    pub knew: u64,
    /// The ring as it knows it.
    pub view: View,
    /// What it covers, and can therefore give.
    pub covers: Covers,
}

/// A CHECK on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Who began it.
    pub op: OpId,
    /// Digest of the sender's table.
    pub digest: Digest,
    /// Nodes that it has visited.
    pub hops: usize,
    /// The list of members.
    pub view: View,
    /// What the sender covers, and can therefore give.
    pub covers: Covers,
    /// What those that it has visited can give together, its creator not counted.
    pub held: Covers,
    /// What those that it has visited say of themselves.
    pub reports: BTreeMap<SocketAddr, Report>,
}

/// A PUT on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct ForwardPut {
    /// Whose PUT this is.
    pub op: OpId,
    /// The circle that it is to close: the creator's live members when it sent this.
    pub view: ViewHash,
    /// The file's name.
    pub name: Name,
    /// Its new version.
    pub version: Version,
    /// Members that hold it so far.
    pub copies: usize,
    /// The newest version that a member held already, if that is not this one.
    pub newest: Option<Version>,
    /// The first member that could not take it says so here, and the creator tells the client.
    pub refused: Option<(Status, SocketAddr)>,
    /// The file; absent on the last link, since the creator has it.
    pub item: Option<Item>,
}

/// A GET on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct ForwardGet {
    /// Whose GET this is.
    pub op: OpId,
    /// The circle that it is to close.
    pub view: ViewHash,
    /// The file's name.
    pub name: Name,
    /// Nodes that it has visited.
    pub hops: usize,
    /// What none of those that it has visited covers; absent where that does not matter, because its
    /// creator covers everything.
    pub lacks: Option<Lacks>,
    /// The newest version found so far. Every node that it passes learns it.
    pub found: Option<Item>,
}

/// Anti-entropy: a node asks its predecessor for what it lacks. Each question has one answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Sync {
    /// Question: the digests of all buckets.
    Buckets,
    /// Answer: one digest a bucket.
    Digests {
        /// In the order of the buckets.
        digests: Vec<Digest>,
    },
    /// Question: the names in a bucket.
    Names {
        /// Which bucket.
        bucket: u8,
        /// Only names after this one.
        after: Option<Name>,
    },
    /// Answer: names and versions in a bucket, in order.
    Listed {
        /// Which bucket.
        bucket: u8,
        /// Whether there are more.
        more: bool,
        /// Name, bytes and version of each.
        files: Vec<(Name, usize, Version)>,
    },
    /// Question: a file.
    Pull {
        /// Its name.
        name: Name,
    },
    /// Answer: the file, unless it is no longer there.
    Item {
        /// Its name.
        name: Name,
        /// The file.
        item: Option<Item>,
    },
}
