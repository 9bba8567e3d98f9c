//! One version of a name: a file, or the mark that the name was deleted (a tombstone).
//!
//! The core decides by versions, lengths and hashes, and never looks into contents. The content of
//! a file is in memory; or in the store, and only its [`Ticket`] is known here; or still to come; or
//! only elsewhere.

use std::{fmt, net::SocketAddr, ops::Deref};

use bytes::Bytes;

use super::version::Version;

/// The bytes of a file. Cheap to clone: the bytes themselves are shared.
#[derive(Clone, Default)]
pub struct Content {
    bytes: Bytes,
    /// Its BLAKE3, if that was computed while it arrived.
    hash: Option<blake3::Hash>,
}

impl Content {
    /// Bytes of which the hash is known.
    pub fn hashed(bytes: Bytes, hash: Option<blake3::Hash>) -> Self {
        Self { bytes, hash }
    }

    /// The bytes, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// BLAKE3 of the bytes. Reads them only if the hash is not known yet.
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

/// Names the content of a file in the store of one node, from the
/// [`Output::Store`](super::Output::Store) that hands it over until the
/// [`Output::Discard`](super::Output::Discard) that ends it. None is used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Ticket(pub u64);

/// Names a large content that comes in pieces, from when it begins to come until a version has it or
/// it is given up. None is used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ArrivalId(pub u64);

/// Where the content of a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// In memory, all of it.
    Whole(Content),
    /// In the store. It is read there before it can be sent.
    Stored {
        /// Its name there.
        ticket: Ticket,
        /// Its length.
        bytes: usize,
    },
    /// It is still arriving, behind the message that announced it.
    Coming {
        /// Its length.
        bytes: usize,
    },
    /// It came in pieces, and all of it is in the store; no version has it yet.
    Arrived {
        /// Its name there.
        arrival: ArrivalId,
        /// Its length.
        bytes: usize,
    },
    /// It is too large for the links between nodes: a node that lacks it pulls it.
    Apart {
        /// From this one.
        at: SocketAddr,
        /// Its length.
        bytes: usize,
    },
}

impl Body {
    /// The length of the content.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(content) => content.len(),
            Self::Stored { bytes, .. }
            | Self::Coming { bytes }
            | Self::Arrived { bytes, .. }
            | Self::Apart { bytes, .. } => *bytes,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content, which must be in memory.
    ///
    /// # Panics
    ///
    /// If it is not: that is a bug in the driver, and no peer or client can cause it.
    pub fn content(&self) -> &Content {
        match self {
            Self::Whole(content) => content,
            _ => panic!("the content is not here: {self:?}"),
        }
    }
}

impl<T: Into<Content>> From<T> for Body {
    fn from(content: T) -> Self {
        Self::Whole(content.into())
    }
}

/// One version of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Which write this is.
    pub version: Version,
    /// What it has written.
    pub value: ItemValue,
}

/// What a write has written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ItemValue {
    /// A file.
    File {
        /// BLAKE3 of the content; computed where the file entered the ring, checked wherever it
        /// arrives.
        hash: blake3::Hash,
        /// The bytes, or where they are.
        body: Body,
    },
    /// Nothing: the name was deleted.
    Tombstone,
}

impl Item {
    /// A file with its content.
    pub fn file(version: Version, content: Content) -> Self {
        let value = ItemValue::File { hash: content.hash(), body: content.into() };
        Self { version, value }
    }

    /// The mark that a name was deleted.
    pub fn tombstone(version: Version) -> Self {
        Self { version, value: ItemValue::Tombstone }
    }

    /// The hash of the content, if it is a file.
    pub fn hash(&self) -> Option<blake3::Hash> {
        match self.value {
            ItemValue::File { hash, .. } => Some(hash),
            ItemValue::Tombstone => None,
        }
    }

    /// The content, or where it is, if it is a file.
    pub fn body(&self) -> Option<&Body> {
        match &self.value {
            ItemValue::File { body, .. } => Some(body),
            ItemValue::Tombstone => None,
        }
    }

    /// The length of the content; a tombstone has none.
    pub fn len(&self) -> usize {
        self.body().map_or(0, Body::len)
    }

    /// Whether it has no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much of the content this holds in memory.
    pub fn bytes_in_memory(&self) -> usize {
        match self.body() {
            Some(Body::Whole(content)) => content.len(),
            _ => 0,
        }
    }

    /// The same version, for a message to a node that can pull its content from this one.
    pub fn apart(mut self, at: SocketAddr) -> Self {
        let bytes = self.len();
        if let ItemValue::File { body, .. } = &mut self.value {
            *body = Body::Apart { at, bytes };
        }
        self
    }

    /// The content has arrived.
    pub fn complete(&mut self, content: Content) {
        if let ItemValue::File { body, .. } = &mut self.value {
            *body = Body::Whole(content);
        }
    }

    /// Reads the content, if it is still in the store.
    pub fn read(&mut self, read: impl FnOnce(Ticket) -> Content) {
        if let ItemValue::File { hash, body } = &mut self.value
            && let Body::Stored { ticket, .. } = *body
        {
            *body = Body::Whole(Content::hashed(read(ticket).bytes, Some(*hash)));
        }
    }
}

/// What a store keeps of one version of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// The content of a file.
    Content {
        /// BLAKE3 of it.
        hash: blake3::Hash,
        /// The bytes.
        content: Content,
    },
    /// A content that came in pieces. The arrival is over then, also if it cannot be kept.
    Arrived {
        /// Which.
        arrival: ArrivalId,
        /// BLAKE3 of it.
        hash: blake3::Hash,
        /// Its length.
        bytes: usize,
    },
    /// The mark that the name was deleted.
    Tombstone,
}
