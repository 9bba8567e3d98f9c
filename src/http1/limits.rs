//! Every bound of what is read by hand. Those of requests are fields, since a server's user may change
//! them.

/// Bytes of all extensions of a body in chunks together. In practice they are not used.
pub const EXTENSION_BYTES_MAX: usize = 16 << 10;
/// Bytes of all trailers of a body in chunks together.
pub const TRAILER_BYTES_MAX: usize = 32 << 10;
/// Bytes of a response's head, and of all heads with a status of 1xx that come before it.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 256 << 10;

/// What a request may have.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes of the request line and the headers; over that 431.
    pub head_bytes_max: usize,
    /// Headers; over that 431.
    pub headers_max: usize,
    /// Bytes of path and query, as they are with percent-encoding; over that 414.
    pub url_bytes_max: usize,
    /// Bytes of the body; over that 413. A [`RequestReader`](super::request_reader::RequestReader) checks only what the head announces.
    pub body_bytes_max: usize,
    /// Methods that are not registered are taken too, and not answered 501.
    pub takes_all_methods: bool,
    /// Headers that a server may look at are kept, see [`NOTED`](super::request::NOTED).
    pub notes_headers: bool,
}
