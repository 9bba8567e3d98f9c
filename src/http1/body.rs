//! The body after a head, and where it ends.
//!
//! | the head says | the body ends |
//! |---|---|
//! | `Content-Length: 15` | after 15 bytes |
//! | `Transfer-Encoding: chunked` | with its last chunk |
//! | neither, in a response | with the connection |
//!
//! A request that says neither has no body, so that the next request can follow at once.

use super::chunks::{Chunks, Malformed, Piece};

/// A body that is being read, by what ends it.
#[derive(Debug)]
pub enum Body {
    /// This many more bytes.
    Length(u64),
    /// The last chunk.
    Chunks(Chunks),
    /// The end of the connection.
    Close,
}

impl Body {
    /// Reads on, up to the end of a piece or of the input.
    pub fn read<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, Malformed> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                Ok(Piece { taken, data: &input[..taken], is_last: *left == 0 })
            }
            Self::Chunks(chunks) => chunks.read(input),
            Self::Close => Ok(Piece { taken: input.len(), data: input, is_last: false }),
        }
    }
}
