//! Every message of the protocol by its type: what clients ask and hear, what nodes say to each
//! other, and the files that they bring.

use std::{fmt, ops::Deref};

use bytes::Bytes;

pub use super::{
    answer::{Answer, Info},
    check::Check,
    forward::{ForwardGet, ForwardPut},
    meet::{Greeting, Role},
    members::Report,
    op::OpId,
    peer::{Envelope, Peer},
    refusal::{Refusal, Status},
    request::Request,
    rows::Row,
    sync::Sync,
};
use crate::ring::version::Version;

/// The bytes of a file. Cheap to clone: the bytes themselves are shared.
#[derive(Clone, Default)]
pub struct Content {
    bytes: Bytes,
    /// Their BLAKE3, if it was computed while they arrived.
    hash: Option<blake3::Hash>,
}

impl Content {
    /// Bytes, with their BLAKE3 if it is known.
    pub fn hashed(bytes: Bytes, hash: Option<blake3::Hash>) -> Self {
        Self { bytes, hash }
    }

    /// The bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// BLAKE3 of the bytes, computed now if it is not known.
    pub fn hash(&self) -> blake3::Hash {
        self.hash.unwrap_or_else(|| blake3::hash(&self.bytes))
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Content {}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        Self::hashed(bytes.into(), None)
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// One version of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Which write this is.
    pub version: Version,
    /// BLAKE3 of the content; computed where the file entered the ring, checked wherever it arrives.
    pub hash: blake3::Hash,
    /// The bytes.
    pub content: Content,
}

/// What decodes from a connection: a client's request, or another node's message.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// From a client.
    Request(Request),
    /// From a node.
    Peer(Envelope),
}

impl Message {
    /// Where the content of the file that it brings belongs, if it brings one, and the hash that
    /// this must have, if the message says it.
    pub(super) fn file_mut(&mut self) -> Option<(&mut Content, Option<blake3::Hash>)> {
        match self {
            Self::Request(Request::Put { content, .. }) => Some((content, None)),
            Self::Request(_) => None,
            Self::Peer(envelope) => {
                let item = envelope.message.item_mut()?;
                Some((&mut item.content, Some(item.hash)))
            }
        }
    }
}
