//! A piece of a large content, checked against the hash of the whole.
//!
//! BLAKE3 is a tree (O'Connor et al., 2020), so the hashes of its blocks are enough to check them one
//! by one: this is how Bao streams. A content in a file of its own is followed there by one hash for
//! each block of [`BLOCK_BYTES`]. They are trusted because together they give the hash of the content,
//! and a block is trusted because it gives its hash.

use blake3::{
    Hash, Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use super::limits::BLOCK_BYTES;

/// The hash of a block that is not the only one.
pub const LEAF_BYTES: usize = 32;

/// The hashes of the blocks of one content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    hash: Hash,
    bytes: u64,
    /// None if there is only one block: its hash is that of the content.
    leaves: Vec<ChainingValue>,
}

impl Tree {
    /// The tree of a content.
    pub fn of(content: &[u8], hash: Hash) -> Self {
        let mut leaves = Leaves::default();
        leaves.update(content);
        let leaves = leaves.finish().0;
        Self { hash, bytes: content.len() as u64, leaves }
    }

    /// How many bytes the hashes of the blocks take, for a content of this many bytes.
    pub fn encoded_bytes(bytes: u64) -> u64 {
        match bytes.div_ceil(BLOCK_BYTES as u64) {
            0 | 1 => 0,
            blocks => LEAF_BYTES as u64 * blocks,
        }
    }

    /// The hashes of the blocks, as they are in the file.
    pub fn encode(&self) -> Vec<u8> {
        self.leaves.concat()
    }

    /// Reads the hashes of the blocks. `None`: they are not those of this content.
    pub fn decode(encoded: &[u8], hash: Hash, bytes: u64) -> Option<Self> {
        if encoded.len() as u64 != Self::encoded_bytes(bytes) {
            return None;
        }
        let leaf = |leaf: &[u8]| leaf.try_into().expect("a leaf has 32 bytes");
        let leaves: Vec<ChainingValue> = encoded.chunks_exact(LEAF_BYTES).map(leaf).collect();
        (leaves.is_empty() || root(&leaves) == hash).then_some(Self { hash, bytes, leaves })
    }

    /// The hash of the content.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The length of the content.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the hashes take in memory.
    pub fn memory_bytes(&self) -> usize {
        self.leaves.len() * LEAF_BYTES
    }

    /// Whether this is the block of this number.
    pub fn has_block(&self, block: &[u8], number: u64) -> bool {
        match self.leaves.get(number as usize) {
            Some(leaf) => leaf_of(block, number) == *leaf,
            None => self.leaves.is_empty() && number == 0 && blake3::hash(block) == self.hash,
        }
    }
}

/// The hashes of the blocks of a content that comes piece by piece.
#[derive(Default, Debug)]
pub struct Leaves {
    leaves: Vec<ChainingValue>,
    /// Of the block that is not complete.
    block: Hasher,
    block_bytes: usize,
    /// The hash of the content, as long as it has only one block.
    only: Hasher,
}

impl Leaves {
    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.block_bytes == BLOCK_BYTES {
                self.end_block();
            }
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block_bytes));
            self.block.update(now);
            if self.leaves.is_empty() {
                self.only.update(now);
            }
            self.block_bytes += now.len();
            bytes = rest;
        }
    }

    /// The hashes of all blocks, none if there is only one; and the hash of the content.
    pub fn finish(mut self) -> (Vec<ChainingValue>, Hash) {
        if self.leaves.is_empty() {
            return (Vec::new(), self.only.finalize());
        }
        self.end_block();
        let hash = root(&self.leaves);
        (self.leaves, hash)
    }

    fn end_block(&mut self) {
        self.leaves.push(self.block.finalize_non_root());
        let offset = (self.leaves.len() * BLOCK_BYTES) as u64;
        self.block = Hasher::new();
        self.block.set_input_offset(offset);
        self.block_bytes = 0;
    }
}

fn leaf_of(block: &[u8], number: u64) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(number * BLOCK_BYTES as u64);
    hasher.update(block).finalize_non_root()
}

/// The hash of the content that has these blocks, which are at least two.
fn root(leaves: &[ChainingValue]) -> Hash {
    let (left, right) = halves(leaves);
    merge_subtrees_root(&inner(left), &inner(right), Mode::Hash)
}

fn inner(leaves: &[ChainingValue]) -> ChainingValue {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = halves(leaves);
    merge_subtrees_non_root(&inner(left), &inner(right), Mode::Hash)
}

/// The left half of a tree of BLAKE3 is the largest full one that leaves something to the right.
fn halves(leaves: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes as u32).flat_map(|it| (it / 7).to_le_bytes()).take(bytes).collect()
    }

    #[test]
    fn a_tree_of_any_size_has_the_hash_of_the_content() {
        for bytes in [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 5 * BLOCK_BYTES + 70] {
            let content = content(bytes);
            let hash = blake3::hash(&content);
            let mut leaves = Leaves::default();
            content.chunks(10_000).for_each(|piece| leaves.update(piece));
            let (leaves, root) = leaves.finish();
            assert_eq!(root, hash, "{bytes}");
            let tree = Tree::of(&content, hash);
            assert_eq!(tree.leaves, leaves);
            assert_eq!(Tree::decode(&tree.encode(), hash, bytes as u64), Some(tree.clone()));
            for (block, number) in content.chunks(BLOCK_BYTES).zip(0..) {
                assert!(tree.has_block(block, number), "{bytes}, block {number}");
            }
        }
    }

    #[test]
    fn no_other_block_and_no_other_tree_will_do() {
        let content = content(3 * BLOCK_BYTES + 9);
        let (hash, bytes) = (blake3::hash(&content), content.len() as u64);
        let tree = Tree::of(&content, hash);
        let block = &content[..BLOCK_BYTES];
        assert!(!tree.has_block(block, 1) && !tree.has_block(&block[1..], 0));
        assert!(!tree.has_block(block, 4) && !tree.has_block(b"", 4));
        let encoded = tree.encode();
        for at in 0..encoded.len() {
            let mut other = encoded.clone();
            other[at] ^= 1;
            assert_eq!(Tree::decode(&other, hash, bytes), None);
        }
        assert_eq!(Tree::decode(&encoded[32..], hash, bytes), None);
        assert_eq!(Tree::decode(&[], hash, bytes), None);
        assert!(!Tree::of(b"one", blake3::hash(b"one")).has_block(b"two", 0));
    }
}
