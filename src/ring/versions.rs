//! The versions of one name that a node holds: the newest, and a few before it.

use super::{
    entry::IndexEntry,
    index::{nodes::Nodes, packed::PackedVersions},
    version::Version,
};

/// At least one version, in order.
#[derive(Clone, Copy, Debug)]
pub struct Versions<'a> {
    packed: &'a PackedVersions,
    nodes: &'a Nodes,
}

impl<'a> Versions<'a> {
    pub(super) fn new(packed: &'a PackedVersions, nodes: &'a Nodes) -> Self {
        Self { packed, nodes }
    }

    /// The newest version.
    pub fn newest(self) -> IndexEntry {
        self.nodes.unpack(self.packed.newest())
    }

    /// All versions, the newest first.
    pub fn iter(self) -> impl Iterator<Item = IndexEntry> + use<'a> {
        let packed = std::iter::once(self.packed.newest()).chain(self.packed.older());
        packed.map(move |it| self.nodes.unpack(it))
    }

    /// How many there are.
    pub fn count(self) -> usize {
        1 + self.packed.older().len()
    }

    /// This version, if it is held.
    pub fn find(self, version: Version) -> Option<IndexEntry> {
        self.iter().find(|held| held.version == version)
    }

    /// The oldest version, unless that is the only one.
    pub(super) fn oldest(self) -> Option<IndexEntry> {
        self.packed.older().last().map(|it| self.nodes.unpack(it))
    }

    /// Whether a version would be among the newest `most`, and is not held yet.
    pub(super) fn takes(self, version: Version, most: usize) -> bool {
        let newer = self.iter().take_while(|held| held.version > version).count();
        newer < most && self.iter().nth(newer).is_none_or(|held| held.version != version)
    }
}
