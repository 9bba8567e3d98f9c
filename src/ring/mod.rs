//! DECIDES: the protocol of the ring, as a pure state machine.
//!
//! Nothing in here opens a socket, reads a clock or draws a global random number. A
//! [`Node`] is given what happens and says what is to be done, so a whole ring can run
//! in one thread, in virtual time, from one seed; that is how it is tested.
//!
//! # The circle
//!
//! Every node holds the same list of members, its *view*, and from it knows its successor. It keeps
//! one link open to that node, and everything travels along these links, in one direction:
//!
//! ```text
//!   WS1 --> WS2 --> WS3 --> (WS1)
//! ```
//!
//! **CHECK** is the pulse. Every second each node sends one with its view. The successor answers
//! CHECKED and passes it on, until it is back at its creator: a complete cycle was performed, and
//! the creator knows what all the others cover and what their clocks show. A member that does not
//! answer is declared gone by its predecessor, and by no other; the predecessor links to the next
//! live member, and its next CHECK tells the others. See `checks.rs` and `links.rs`.
//!
//! **MEET** begins every link: each side says which node it is and which members it knows. A
//! newcomer is taken in when the member that it greets has reached it at its address; see
//! `joining.rs`. When a member comes back or a network heals, two rings meet. Views [merge](view)
//! like a set that only grows, so the order in which nodes hear news does not matter.
//!
//! **FORWARD** carries PUTs and GETs round; see `forward.rs` for which circle it closes, for what
//! happens if that circle changes under way, and for why a later write wins though clocks differ.
//!
//! **KEEP** goes round behind PUTs where members keep files on disks; see `commits.rs`.
//!
//! **SYNC** is for a node that has missed something: it compares digests with its predecessor and
//! pulls what is newer; see `sync.rs`. Whether a node has missed something is known by what each
//! member *brings* and what the node *covers* of that; see [`coverage`]. A node that is not ready
//! asks the ring, and does not say that there is no such file.
//!
//! # What holds
//!
//! 1. A PUT that was answered 200 is held by every member of its creator's circle at that moment.
//!    It is not lost while one of them survives with what it holds.
//!    If every member of the circle keeps its files on a disk, it is on all these disks then: it
//!    survives the loss of power of all of them at once.
//! 2. A GET that begins after that answer returns that version or a newer one, or is answered 503;
//!    at every node, except one that is cut off and has not yet found out that the others went on
//!    without it. (One that was stopped knows that it was.)
//! 3. Of two writes of a name of which one was acknowledged before the other began, the other
//!    stays.
//! 4. Every request gets exactly one answer, within the request timeout; a PUT of a large content
//!    within a time that grows with it.
//! 5. When faults end, all live nodes come to have one view and, where there is room, the same
//!    files. What no live member has is given up, and brought again if it comes back.
//! 6. Everything that a peer, a client or time can make grow has a bound, in [`limits`].
//!
//! # What this is not
//!
//! It is not consensus. Two halves of a split ring both go on, unless `min_copies` forbids it for
//! the smaller one; when they meet again, the later write of a name wins and the other is gone.
//! There are no transactions and no compare-and-set. Each node holds everything, so the ring holds
//! no more than its smallest node. Nodes believe each other: there is no authentication.

mod arriving;
mod checks;
mod clocks;
mod commits;
mod config;
pub mod coverage;
pub mod digest;
mod digits;
pub mod entry;

pub mod event;
mod forward;
mod giving_up;
pub mod index;
pub mod item;
mod joining;
mod keeping;
mod leaving;
pub mod limits;
mod links;
mod membership;
pub mod node;
mod offers;
mod operations;
mod reading;
mod refused;
pub mod release;
mod requests;
mod rng;
mod short_links;
pub mod size;
mod sync;
mod traced;
pub mod version;
pub mod versions;
pub mod view;
pub mod wire;

pub use config::{Config, LastSeen};
pub use event::{
    ArrivedPut, Event, Input, LinkId, LinkTarget, Output, PullFault, RequestId, StoreFault,
};
pub use node::Node;
pub use wire::{codec, line, message, name};
