//! MOVES BYTES: a node of the ring on real sockets, on one thread.
//!
//! ```text
//!   server      binds, accepts, runs all tasks on one LocalExecutor
//!     driver      owns the Node; carries out its outputs; keeps its time
//!     face        what else is spoken at the port: connections that are handed over
//!     handle      the node as that asks it, without a connection; incoming: a file that it puts
//!     connection  what others reach of a connection: to send on it, to end it
//!     task        one a connection: bytes in, messages to the node, bytes out
//!     stream      what a task needs of a socket
//!     link        a connection that this node opens to another
//!     disk        a store on a disk: reads that take time, what it reports
//!     answers     answers in the order of the requests
//!     outbox      bytes on their way out
//!     streamed    a content that leaves piece by piece
//!     pull        a content that is pulled from another node; transfers: how much of it is here
//!     flight      what is on its way in memory, and the budget for it
//!     clock       what time it is
//! ```
//!
//! A request whose answer is at hand never leaves its task: read, decode, [`Node::handle`], encode,
//! write. There is no lock, no channel and no wake-up in between.
//!
//! [`Node::handle`]: crate::ring::node::Node::handle

mod answers;
pub(crate) mod clock;
mod connection;
pub(crate) mod counts;
mod disk;
mod driver;
pub(crate) mod face;
pub(crate) mod feed;
mod flight;
pub(crate) mod handle;
mod http;
pub(crate) mod incoming;
pub mod limits;
mod link;
mod outbox;
mod pieces;
mod pull;
#[cfg(test)]
mod scripted;
mod server;
mod stream;
mod streamed;
mod task;
mod transfers;
mod upload;

pub use clock::wall_ms;
pub use server::{Bound, DEFAULT_IP, DEFAULT_PORT, Limits};
