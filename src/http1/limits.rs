//! Every fixed bound of what is read by hand. Those of requests are in
//! [`RequestLimits`](super::request::RequestLimits), since a server's user may change them.

/// Bytes of all extensions of a body in chunks together. In practice they are not used.
pub const EXTENSION_BYTES_MAX: usize = 16 << 10;
/// Bytes of all trailers of a body in chunks together.
pub const TRAILER_BYTES_MAX: usize = 32 << 10;
/// Bytes of a response's head, and of all heads with a status of 1xx that come before it.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 256 << 10;
