//! Every fixed bound of gRPC's transport, with its unit in its name. What it shares with HTTP is
//! in [`crate::http::limits`].

use std::time::Duration;

/// How long a new connection may take, the look-up of the name included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a server that is silent during a call is pinged. Servers close the connection of
/// clients that ping too often; for grpcio's server that is more than every 20 s.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer's headers, and of its trailers.
pub(super) const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// Files that reflection sends in one answer: one and those that it imports.
pub(super) const IMPORTS_MAX: usize = 1000;
/// Callers that watch the health of a server at a time.
pub(super) const WATCHERS_MAX: usize = 256;
/// How often readiness is asked for each of them.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long the rest of a request is read that is no call, before it is told so.
pub(super) const REFUSED_BODY_WAIT: Duration = Duration::from_secs(1);
/// Bytes of an answer that are passed to HTTP/2 at a time: it holds what the caller has not taken.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 10;
