//! Every fixed bound of what the services read.

/// Bytes of the boundary between the parts of a multipart form (RFC 2046: 70 characters of ASCII).
pub const BOUNDARY_BYTES_MAX: usize = 70;
