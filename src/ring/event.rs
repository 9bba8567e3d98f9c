//! What happens to a node, what it wants done, and the events that are shown to its users.

use std::{fmt, net::SocketAddr};

use super::{
    clocks,
    item::{ArrivalId, Ticket, Value},
    message::{Answer, Condition, Envelope, PullOf, Request},
    name::Name,
    version::Version,
    view::{MemberState, View},
};

/// Names a connection between two nodes, on this side of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// Names a client's request until it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// Where a link leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkTarget {
    /// To the node of this name.
    Node(SocketAddr),
    /// To the n-th of [`Config::prevs`](super::Config::prevs), which may be the name of a host: the
    /// driver looks it up again each time.
    Prev(usize),
}

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// A client asks. Exactly one [`Output::Reply`] follows, at once or later.
    Request {
        /// For the reply.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// Another node says something.
    Received {
        /// On which link.
        link: LinkId,
        /// What.
        message: Envelope,
    },
    /// A link takes bytes or brings them: the node at its other end is not dead, only slow.
    Progress {
        /// Which link.
        link: LinkId,
    },
    /// A link could not be opened, or has ended. The node forgets its name.
    LinkDown {
        /// Which link.
        link: LinkId,
        /// The cause, in words.
        why: String,
    },
    /// The store has kept what it was given, or could not. There is one for each
    /// [`Output::Store`], in the same order.
    Stored {
        /// Which version.
        ticket: Ticket,
        /// Whether it is kept. If not, the store has forgotten it.
        result: Result<(), StoreFault>,
    },
    /// A client begins to send a file that arrives in the store in pieces. [`Input::Put`] follows, or
    /// [`Input::UploadBroken`].
    Upload {
        /// Its name in the store.
        arrival: ArrivalId,
        /// The file's name.
        name: Name,
        /// Its length.
        bytes: usize,
    },
    /// The client's file does not come, or could not be taken. What has come of it is forgotten.
    UploadBroken {
        /// Its name in the store.
        arrival: ArrivalId,
    },
    /// A client's file has arrived in the store in pieces, and is to be kept on every node. Exactly one
    /// [`Output::Reply`] follows, at once or later. If the content was not handed to the store by then
    /// ([`Output::Store`]), it is not needed.
    Put {
        /// For the reply.
        id: RequestId,
        /// The file.
        put: ArrivedPut,
    },
    /// What [`Output::Pull`] asked for is here, all of it, or does not come.
    Pulled {
        /// Which.
        arrival: ArrivalId,
        /// BLAKE3 of it, if it is here. If not, what has come so far may stay: the same may be asked for
        /// again.
        result: Result<blake3::Hash, PullFault>,
    },
    /// The store has found that the content of a file is damaged. The node goes on without it, and asks
    /// the ring for it.
    Damaged {
        /// Which content.
        ticket: Ticket,
        /// The GET that was to be answered with it, which has had no reply yet.
        asked_by: Option<RequestId>,
    },
    /// The time that [`Node::deadline`](super::Node::deadline) named has come.
    Wake,
    /// [`Input::Leave`] will come soon: say that this node is not ready, so that clients go elsewhere.
    /// Nothing else changes.
    Retire,
    /// Finish what is in flight, leave the ring gracefully, and say [`Output::Left`]: after the
    /// request timeout and the check timeout at the latest.
    Leave,
}

/// A client's PUT whose content is in the store.
#[derive(Clone, PartialEq, Debug)]
pub struct ArrivedPut {
    /// The file's name.
    pub name: Name,
    /// Its content in the store.
    pub arrival: ArrivalId,
    /// BLAKE3 of the content.
    pub hash: blake3::Hash,
    /// Its length.
    pub bytes: usize,
    /// What must be so, or nothing is written.
    pub only_if: Option<Condition>,
}

/// Why a content that was to be pulled did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PullFault {
    /// The other node was not reached, or broke off.
    Broken,
    /// The other node does not have it.
    Gone,
    /// The store could not take it.
    Store(StoreFault),
}

/// Why a store could not keep the content of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreFault {
    /// It has no room.
    Full,
    /// It does not work.
    Broken,
}

/// What a node wants done.
#[derive(Debug)]
pub enum Output {
    /// Answer a client.
    Reply {
        /// Its request.
        id: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Open a link to another node. Messages may be sent on it at once; they wait.
    Connect {
        /// Its name from now on.
        link: LinkId,
        /// Where to connect to.
        to: LinkTarget,
    },
    /// Send a message. Messages on one link arrive in order, or not at all.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        message: Envelope,
    },
    /// Close a link once everything sent on it is out. Nothing more is heard of it.
    Disconnect {
        /// Which link.
        link: LinkId,
    },
    /// Pull a content from another node, over a connection of its own, into
    /// the store: from where an earlier attempt of this name ended. [`Input::Pulled`] follows.
    Pull {
        /// Its name in the store.
        arrival: ArrivalId,
        /// Where it is, or is arriving as well.
        from: SocketAddr,
        /// The file's name.
        name: Name,
        /// Which content of that.
        of: PullOf,
        /// Its length.
        bytes: usize,
    },
    /// Stop pulling a content, and forget what has come of it. Nothing more is heard of it.
    GiveUp {
        /// Which.
        arrival: ArrivalId,
    },
    /// Keep one version of a name. It can be read from now on, whether or not it is confirmed.
    Store {
        /// Its name in the store from now on.
        ticket: Ticket,
        /// The file's name.
        name: Name,
        /// Which write of that this is.
        version: Version,
        /// What it has written.
        value: Value,
    },
    /// Forget a version: confirmed ones have taken its place, or its time is over.
    Discard {
        /// Its name in the store.
        ticket: Ticket,
    },
    /// An event that is shown to users.
    Notify(Event),
    /// The node has left its ring, and may end.
    Left,
}

/// What is shown to users.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The list of members is now this.
    List(View),
    /// This node is not in a ring yet, or no longer, or is about to leave it.
    Waiting {
        /// What for.
        why: String,
    },
    /// A node that wants to join was not taken in, or this one was not.
    Refused {
        /// The other node.
        node: SocketAddr,
        /// Why.
        why: String,
    },
    /// This node has declared its successor dead.
    Dead {
        /// The member.
        member: SocketAddr,
        /// Why.
        why: String,
    },
    /// A member is no longer in the list, by what others say.
    Out {
        /// The member.
        member: SocketAddr,
        /// Whether it left gracefully; else why it counts as gone.
        state: MemberState,
    },
    /// The link to the successor broke, but the successor lives; what was lost is sent again.
    Relinked {
        /// The member.
        member: SocketAddr,
    },
    /// Two rings have become one.
    Met {
        /// The node of the other ring.
        member: SocketAddr,
    },
    /// The others had declared this node dead; it is back.
    Back,
    /// This node holds what the ring holds.
    Ready,
    /// This node has gone on without what these members alone had.
    GaveUp {
        /// The members, none of which is alive.
        members: Vec<SocketAddr>,
    },
    /// This node has no room for a file that the ring keeps.
    Full,
    /// This node has room again for all that the ring keeps.
    Roomy,
    /// The store cannot keep what it is given.
    StoreFails {
        /// Why.
        fault: StoreFault,
    },
    /// The store keeps again what it is given.
    StoreWorks,
    /// A content in the store is damaged.
    Damaged {
        /// The file.
        name: Name,
    },
    /// A member's clock has gone wrong, or has been put right.
    Clock {
        /// The member.
        member: SocketAddr,
        /// How far its clock is ahead of the ring's, in milliseconds; negative: behind. `None`: it
        /// is right again.
        off_ms: Option<i64>,
    },
    /// A CHECK of this node has gone all round.
    Circle {
        /// Members that it has visited, this one included.
        members: usize,
    },
    /// Files were pulled from another member.
    CaughtUp {
        /// How many.
        files: usize,
    },
    /// A link was closed because of what was received on it.
    Nonsense {
        /// What it was.
        why: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::List(view) => write!(f, "{view}"),
            Event::Waiting { why } => write!(f, "waiting: {why}"),
            Event::Refused { node, why } => {
                write!(f, "{node} is turned away, or turns this node away: {why}")
            }
            Event::Dead { member, why } => write!(f, "{member} is gone: {why}"),
            Event::Out { member, state: MemberState::Gone { cause, .. } } => {
                write!(f, "{member} is gone: {}", cause.words().1)
            }
            Event::Out { member, .. } => write!(f, "{member} has left"),
            Event::Relinked { member } => {
                write!(f, "the link to {member} broke and is back; sending anew")
            }
            Event::Met { member } => write!(f, "met the ring of {member}"),
            Event::Back => f.write_str("the others took this node for dead; it is back"),
            Event::Ready => f.write_str("ready: this node holds what the ring holds"),
            Event::GaveUp { members } => {
                let members: Vec<_> = members.iter().map(ToString::to_string).collect();
                write!(f, "going on without what only {} had", members.join(", "))
            }
            Event::Full => f.write_str(
                "full: some files of the ring are not here; see --max-store-bytes, and the disk",
            ),
            Event::Roomy => f.write_str("no longer full: all files of the ring have room here"),
            Event::StoreFails { fault: StoreFault::Full } => {
                f.write_str("the disk is full: files are refused until there is room")
            }
            Event::StoreFails { fault: StoreFault::Broken } => {
                f.write_str("the disk fails: files are refused until it works")
            }
            Event::StoreWorks => f.write_str("the disk works again"),
            Event::Damaged { name } => {
                write!(f, "{} is damaged on the disk; asking the ring for it", name.wire())
            }
            Event::Clock { member, off_ms: Some(off_ms) } => {
                write!(f, "the clock of {member} is {}", clocks::in_words(*off_ms))
            }
            Event::Clock { member, off_ms: None } => write!(f, "the clock of {member} is right"),
            Event::Circle { members } => {
                write!(f, "CHECK performed a complete cycle of {members} members")
            }
            Event::CaughtUp { files } => write!(f, "caught up: {files} files"),
            Event::Nonsense { why } => write!(f, "closed a link: {why}"),
        }
    }
}
