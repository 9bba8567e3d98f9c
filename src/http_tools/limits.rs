//! Every fixed bound of `http-get` and `http-post`.

/// Bytes of an answer's head, and of all heads that come before it with a status of 1xx.
pub const HEAD_BYTES_MAX: usize = 256 << 10;
/// Bytes that one read takes at most.
pub const READ_BYTES_MAX: usize = 64 << 10;
