//! Every fixed bound of the server that reads HTTP by hand, beside those that it shares with
//! [`http`](crate::http::limits).

/// Bytes of all extensions of a body in chunks together. Nobody needs them.
pub const EXTENSION_BYTES_MAX: usize = 16 << 10;
/// Bytes of all trailers of a body in chunks together.
pub const TRAILER_BYTES_MAX: usize = 32 << 10;
