//! The fixed bounds that a client meets, with their units in their names. What a user may change is
//! in [`Options`](super::Options); other bounds are where they are used.

use std::time::Duration;

/// Bytes that one read takes at most. One buffer of this size serves all connections of a thread.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes of request bodies that wait for their handlers or are with them, in one thread. Over
/// that, a request is answered 503.
pub const BODIES_BYTES_MAX: usize = 128 << 20;
/// After a refusal, how long the rest of the request is read and thrown away, so that the answer is
/// not lost in a reset.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read for that purpose at most.
pub const LINGER_BYTES_MAX: usize = 16 << 20;
/// In a shutdown, how long an idle connection is kept for a request that may be on its way.
pub const DRAIN_IDLE: Duration = Duration::from_secs(1);
