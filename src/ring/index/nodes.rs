//! The nodes that have taken the writes of an index, each under a number: an address is several times
//! as long.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::ring::{
    entry::{EntryKind, IndexEntry},
    item::Ticket,
    version::{Stamp, Version},
};

/// An [`IndexEntry`] in two thirds of its bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::ring) struct PackedEntry {
    pub hash: blake3::Hash,
    pub stamp: u64,
    pub ticket: u64,
    /// The length of the content, or [`NO_BYTES`](Self::NO_BYTES).
    pub bytes: u64,
    /// Its node's number.
    pub node: u32,
}

impl PackedEntry {
    /// Instead of a length: it is a tombstone.
    pub const NO_BYTES: u64 = u64::MAX;
}

/// Addresses by number. One is known for as long as there is a version with it, so there are never
/// more than there are versions.
#[derive(Debug, Default)]
pub(in crate::ring) struct Nodes {
    numbers: BTreeMap<SocketAddr, u32>,
    known: Vec<KnownNode>,
    /// Numbers that are not in use.
    free: Vec<u32>,
}

#[derive(Debug)]
struct KnownNode {
    address: SocketAddr,
    /// How many versions have it.
    versions: usize,
}

impl Nodes {
    /// An entry that comes into the index.
    pub fn pack(&mut self, entry: &IndexEntry) -> PackedEntry {
        let node = self.number(entry.version.node);
        self.known[node as usize].versions += 1;
        let (hash, bytes) = match entry.kind {
            EntryKind::File { hash, bytes } => (hash, bytes as u64),
            EntryKind::Tombstone => (blake3::Hash::from_bytes([0; 32]), PackedEntry::NO_BYTES),
        };
        PackedEntry { hash, stamp: entry.version.stamp.0, ticket: entry.ticket.0, bytes, node }
    }

    /// What was packed.
    pub fn unpack(&self, packed: &PackedEntry) -> IndexEntry {
        let kind = match packed.bytes {
            PackedEntry::NO_BYTES => EntryKind::Tombstone,
            bytes => EntryKind::File { hash: packed.hash, bytes: bytes as usize },
        };
        IndexEntry { version: self.version(packed), kind, ticket: Ticket(packed.ticket) }
    }

    /// Its version alone.
    pub fn version(&self, packed: &PackedEntry) -> Version {
        Version { stamp: Stamp(packed.stamp), node: self.known[packed.node as usize].address }
    }

    /// An entry that leaves the index.
    pub fn take(&mut self, packed: PackedEntry) -> IndexEntry {
        let entry = self.unpack(&packed);
        let known = &mut self.known[packed.node as usize];
        known.versions -= 1;
        if known.versions == 0 {
            self.numbers.remove(&known.address);
            self.free.push(packed.node);
        }
        entry
    }

    fn number(&mut self, address: SocketAddr) -> u32 {
        if let Some(number) = self.numbers.get(&address) {
            return *number;
        }
        let known = KnownNode { address, versions: 0 };
        let number = match self.free.pop() {
            Some(number) => {
                self.known[number as usize] = known;
                number
            }
            None => {
                self.known.push(known);
                u32::try_from(self.known.len() - 1).expect("so many versions fit into no memory")
            }
        };
        self.numbers.insert(address, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_for_as_long_as_a_version_has_it() {
        let entry = |stamp, port| IndexEntry {
            version: Version {
                stamp: Stamp(stamp),
                node: SocketAddr::from(([127, 0, 0, 1], port)),
            },
            kind: EntryKind::File { hash: blake3::hash(b"x"), bytes: 1 },
            ticket: Ticket(stamp),
        };
        let mut nodes = Nodes::default();
        let entries = [entry(1, 1), entry(2, 2), entry(3, 1)];
        let [one, two, three] = entries.map(|it| nodes.pack(&it));
        assert_eq!([one, two, three].map(|it| nodes.unpack(&it)), entries);
        assert_eq!((nodes.take(one), nodes.known.len(), nodes.free.len()), (entries[0], 2, 0));
        assert_eq!((nodes.take(two), nodes.take(three)), (entries[1], entries[2]));
        assert_eq!((nodes.numbers.len(), nodes.free.len()), (0, 2));
        let tombstone = IndexEntry { kind: EntryKind::Tombstone, ..entry(4, 3) };
        let packed = nodes.pack(&tombstone);
        assert_eq!((nodes.unpack(&packed), nodes.known.len()), (tombstone, 2));
    }
}
