//! What has a form on the wire.

use super::message::Content;

/// What has a form on the wire.
pub trait Encode {
    /// Appends the line to `out`. The content of a file is not copied: it is returned, and goes out
    /// right after the line.
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content>;
}
