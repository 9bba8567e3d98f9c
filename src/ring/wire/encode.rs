//! What has a form on the wire.

use crate::ring::item::Content;

/// What has a form on the wire.
pub trait Encode {
    /// Appends the line to `out`. The content of a file is not copied: it is returned, and is sent
    /// right after the line.
    ///
    /// # Panics
    ///
    /// If that content was not read from the store: no peer or client can cause this.
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content>;
}
