//! One number for a set of versions, whatever their order.

use std::fmt;

use super::{digits, name::Name, version::Version};

/// A stamp, an address and a space take no more.
const ADDRESS_BYTES: usize = 72;

/// The digest of a set of files, independent of their order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest(pub u128);

impl Digest {
    pub(super) fn of(name: &Name, version: Version) -> Self {
        let mut bytes = Vec::with_capacity(ADDRESS_BYTES + name.as_str().len());
        bytes.extend_from_slice(&version.stamp.0.to_le_bytes());
        digits::push_address(version.node, &mut bytes);
        bytes.push(b' ');
        bytes.extend_from_slice(name.as_str().as_bytes());
        // All at once is much faster than piece by piece.
        let bytes = *blake3::hash(&bytes).as_bytes();
        Self(u128::from_le_bytes(*bytes.first_chunk().expect("a hash has 32 bytes")))
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
