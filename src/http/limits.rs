//! Every fixed bound of the HTTP transport, with its unit in its name. What a user may change is
//! in [`Options`](super::Options).

use std::time::Duration;

/// Bytes that one read takes at most. One buffer of this size serves all connections of a thread.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes of request bodies that wait for their handlers or are with them, in one thread. Over
/// that, a request is answered 503.
pub const BODIES_BYTES_MAX: usize = 128 << 20;
/// Bytes of an answer that are gathered into one piece before they are written.
pub const GATHERED_BYTES_MAX: usize = 1 << 10;
/// Bytes that hyper buffers for a connection, if the head may not be longer than that.
pub const BUFFER_BYTES_MIN: usize = 64 << 10;
/// Requests in progress on one h2c connection.
pub const STREAMS_MAX: u32 = 100;
/// Requests of one h2c connection that are handled before their answers are written: more make
/// fewer writes, and fewer let the client begin sooner.
pub const STREAMS_A_TURN: usize = 16;
/// How often a silent h2c peer is asked whether it is alive, and how long it may take to say so.
pub const H2_PING: Duration = Duration::from_secs(20);
/// After a refusal, how long the rest of the request is still read (and thrown away), so that the
/// answer is not lost in a reset.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read for that purpose.
pub const LINGER_BYTES_MAX: usize = 16 << 20;
/// When an answer is complete before its request is, how long the rest of the request is read
/// before the answer goes, where both may come at the same time.
pub const UNREAD_WAIT: Duration = Duration::from_millis(100);
/// In a shutdown, how long an idle connection is kept for a request that may be on its way.
pub const DRAIN_IDLE: Duration = Duration::from_secs(1);
/// URLs of one thread that are kept parsed, and the longest of them.
pub const URLS_KEPT: usize = 64;
/// Bytes of the longest URL that is kept parsed.
pub const URL_KEPT_BYTES_MAX: usize = 256;
/// Bytes of the id that a client may give to its request.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of the tracestate that comes with a trace; the specification wants this many passed on.
pub const TRACESTATE_BYTES_MAX: usize = 512;
