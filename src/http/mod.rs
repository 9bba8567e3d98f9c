//! SERVES HTTP: tide applications over hyper 1.x, on smol.
//!
//! tide is how an application is written: routes, middleware, `Request` and `Response`. Its bytes
//! are carried by this module, because tide's own server has no limits, no deadlines and no
//! shutdown:
//!
//! ```text
//! (serve)     opens the ports; on each thread accepts, makes room, and drains at the end
//!    |
//! task        one a connection: the first bytes decide between HTTP/1 and h2c; one timer for all
//!    |        waits. state: which states a connection has, and what ends each
//! socket      what hyper reads and writes: the system call first, the reactor only if it must
//!    |   intake     in front of hyper: heads that are whole and make sense
//!  (hyper)    reads requests and frames answers; worker: its settings
//!    |
//! answer      from a request to its answer. exchange: what is counted, noted and logged of them;
//!    |        refusal: the answers that are made here
//! front       what answers requests: the one trait for that
//!    |   hosted     the same on connections that something else has accepted: a node of a ring
//!    |   streamed   both bodies frame by frame, for gRPC
//! |   status     what every service answers about itself
//! app         the whole request, for a tide application
//!    |
//! convert     hyper's types to tide's and back, and nothing that http-types would die of
//! ```
//!
//! `shared` is what the connections of a thread share, `connection` what the task, the socket and the
//! exchanges of one share. No two files import each other.
//!
//! What holds:
//!
//! - **Everything that a client sends has a bound**: the head, its headers, its URL, its body, the
//!   bytes of all bodies together, the requests of a connection, the connections. Beyond it the
//!   answer is 431, 414, 413 or 503 and the connection is closed; beyond the number of connections,
//!   a client waits until another has ended, is idle, or has sent no whole head for a second.
//! - **Every wait for a client has an end** ([`Options`] says which), and so has the handler's
//!   work: 408 where something was asked and not answered, and a closed connection.
//! - **A handler is called when the whole body is there.** A slow client cannot hold it up, and a
//!   body that is too long, too slow or cut off never reaches it.
//! - **A request has one reading.** What RFC 9112 lets two servers read in two ways is refused, and the
//!   answer says why. `tests/it/smuggling.rs` has the table. What is merely untidy is served: empty
//!   lines between requests, bytes over 127 in a header, a target that is not percent-encoded.
//! - **A shutdown loses nothing that was accepted.** Nothing more is accepted, every answer says
//!   that it is its connection's last, and an idle connection is kept for another second, for the
//!   request that may be on its way.
//! - **A panic costs one answer**: 500, and the server goes on. (So the crate is not built with
//!   `panic = "abort"`.)
//!
//! The other direction, surf over hyper on smol, is in [`client`].
//!
//! What it is not: no TLS, no compression, no upgrade to WebSocket. A body is held in memory
//! before the handler sees it; large files do not belong here.

mod answer;
#[cfg(feature = "http")]
mod app;
#[cfg(feature = "http")]
mod bodies;
#[cfg(feature = "http")]
pub mod client;
mod connection;
#[cfg(feature = "http")]
mod convert;
mod cors;
pub(crate) mod exchange;
pub(crate) mod front;
pub(crate) mod heads;
pub(crate) mod hosted;
mod intake;
pub mod limits;
pub(crate) mod log;
pub(crate) mod pieces;
mod readiness;
pub(crate) mod refusal;
#[cfg(feature = "http")]
mod service;
mod shared;
mod socket;
mod state;
#[cfg(feature = "http")]
pub(crate) mod status;
pub(crate) mod streamed;
mod task;
mod trace;
mod worker;

#[cfg(feature = "http")]
pub use app::lost;
#[cfg(feature = "http")]
pub(crate) use app::{Cause, is_of_allowed_origin};
#[cfg(feature = "http")]
pub(crate) use convert::is_left_out;
#[cfg(feature = "http")]
pub(crate) use service::run;
#[cfg(feature = "http")]
pub use service::{Bound, serve, serve_saying};
#[cfg(feature = "http")]
pub use status::{Probe, Probing};
pub use streamed::Upload;
pub use trace::{REQUEST_ID, TRACEPARENT, TRACESTATE, Trace};

pub(crate) use crate::serve::time::within;
pub use crate::serve::{
    About, Cors, Error, ErrorForm, Lines, LogFormat, Options, Peer, Place, parse,
};
