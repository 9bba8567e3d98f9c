//! The names of one bucket in their order, each with its versions.
//!
//! They stand in blocks of up to [`ROWS_MAX`], which take a few more bytes than what is in them: a name
//! has no allocation of its own, and a block grows by a few rows at a time. A node has very many names,
//! and changes them more rarely than it looks for one.

use std::{cmp::Ordering, ops::Bound};

use super::packed::PackedVersions;
use crate::ring::limits::NAME_BYTES_MAX;

/// Names in one block. With more, entering one would move more than it takes to find it.
const ROWS_MAX: usize = 32;
/// Rows by which a block grows.
const ROWS_MORE: usize = 4;
/// A block that has fewer becomes one with a neighbour, where they leave room together.
const ROWS_MIN: usize = ROWS_MAX / 4;

const _: () = assert!(ROWS_MAX * NAME_BYTES_MAX <= u16::MAX as usize, "an end is 16 bits");

/// Names in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// None is empty.
    blocks: Vec<Block>,
}

/// Where a name is, or would be. It means nothing after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At {
    block: usize,
    row: usize,
}

impl Names {
    /// Where a name is. `Err`: it is not here, and would be there.
    pub fn find(&self, name: &str) -> Result<At, At> {
        let is_before = |block: &Block| block.bytes(0) <= name.as_bytes();
        let block = self.blocks.partition_point(is_before).saturating_sub(1);
        let at = |row| At { block, row };
        let Some(it) = self.blocks.get(block) else { return Err(at(0)) };
        it.find(name).map(at).map_err(at)
    }

    /// The versions of the name that is here.
    pub fn get(&self, at: At) -> &PackedVersions {
        &self.blocks[at.block].rows[at.row]
    }

    /// The versions of the name that is here.
    pub fn get_mut(&mut self, at: At) -> &mut PackedVersions {
        &mut self.blocks[at.block].rows[at.row]
    }

    /// Enters a name where it would be.
    pub fn insert(&mut self, at: At, name: &str, versions: PackedVersions) {
        let At { mut block, mut row } = at;
        match self.blocks.get_mut(block) {
            None => self.blocks.push(Block::default()),
            Some(full) if full.rows.len() == ROWS_MAX => {
                // Names that come in order fill whole blocks.
                let is_last = row == ROWS_MAX && block + 1 == self.blocks.len();
                let half = if is_last { ROWS_MAX } else { ROWS_MAX / 2 };
                let next = self.blocks[block].split_off(half);
                self.blocks.insert(block + 1, next);
                if row > half || is_last {
                    (block, row) = (block + 1, row - half);
                }
            }
            Some(_) => {}
        }
        self.blocks[block].insert(row, name, versions);
    }

    /// Takes out the name that is here.
    pub fn remove(&mut self, at: At) -> PackedVersions {
        let versions = self.blocks[at.block].remove(at.row);
        let rows = |block: usize| self.blocks.get(block).map_or(ROWS_MAX, |it| it.rows.len());
        let (before, own, after) = (at.block.wrapping_sub(1), rows(at.block), at.block + 1);
        if own == 0 {
            self.blocks.remove(at.block);
        } else if own < ROWS_MIN {
            let neighbours = [(before, at.block), (at.block, after)];
            let fits = |(one, two): &(usize, usize)| rows(*one) + rows(*two) <= ROWS_MAX / 4 * 3;
            if let Some((one, two)) = neighbours.into_iter().find(fits) {
                let two = self.blocks.remove(two);
                self.blocks[one].append(two);
            }
        }
        versions
    }

    /// All names from here on, in order.
    pub fn range<'a>(
        &'a self,
        from: Bound<&str>,
    ) -> impl Iterator<Item = (&'a str, &'a PackedVersions)> + use<'a> {
        let at = match from {
            Bound::Unbounded => At { block: 0, row: 0 },
            Bound::Included(name) => self.find(name).unwrap_or_else(|at| at),
            Bound::Excluded(name) => match self.find(name) {
                Ok(At { block, row }) => At { block, row: row + 1 },
                Err(at) => at,
            },
        };
        let blocks = self.blocks.get(at.block..).unwrap_or_default();
        blocks.iter().enumerate().flat_map(move |(i, block)| {
            let from = if i == 0 { at.row } else { 0 };
            (from..block.rows.len()).map(|row| (block.name(row), &block.rows[row]))
        })
    }

    /// All versions, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &PackedVersions> {
        self.blocks.iter().flat_map(|block| &block.rows)
    }
}

#[derive(Debug, Default)]
struct Block {
    /// The names, one behind the other.
    text: String,
    /// Where each ends.
    ends: [u16; ROWS_MAX],
    rows: Vec<PackedVersions>,
}

impl Block {
    fn start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1].into() }
    }

    fn name(&self, row: usize) -> &str {
        &self.text[self.start(row)..self.ends[row].into()]
    }

    /// The bytes of a name, which have the same order.
    fn bytes(&self, row: usize) -> &[u8] {
        &self.text.as_bytes()[self.start(row)..self.ends[row].into()]
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.rows.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.bytes(middle).cmp(name.as_bytes()) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    fn insert(&mut self, row: usize, name: &str, versions: PackedVersions) {
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(ROWS_MORE);
        }
        let (start, rows) = (self.start(row), self.rows.len());
        if self.text.capacity() - self.text.len() < name.len() {
            self.text.reserve_exact(ROWS_MORE * name.len());
        }
        self.text.insert_str(start, name);
        self.ends.copy_within(row..rows, row + 1);
        self.ends[row] = start as u16;
        self.ends[row..=rows].iter_mut().for_each(|end| *end += name.len() as u16);
        self.rows.insert(row, versions);
    }

    fn remove(&mut self, row: usize) -> PackedVersions {
        let (start, end) = (self.start(row), usize::from(self.ends[row]));
        self.text.drain(start..end);
        let rows = self.rows.len();
        self.ends.copy_within(row + 1..rows, row);
        self.ends[row..rows - 1].iter_mut().for_each(|it| *it -= (end - start) as u16);
        let versions = self.rows.remove(row);
        if self.rows.capacity() - self.rows.len() > 2 * ROWS_MORE {
            self.shrink();
        }
        versions
    }

    /// Takes out all rows from this one on.
    fn split_off(&mut self, row: usize) -> Self {
        let start = self.start(row);
        let mut next = Self { text: self.text.split_off(start), ..Self::default() };
        for (end, own) in next.ends.iter_mut().zip(&self.ends[row..self.rows.len()]) {
            *end = own - start as u16;
        }
        next.rows = self.rows.split_off(row);
        self.shrink();
        next.shrink();
        next
    }

    /// Takes in all rows of the block after it.
    fn append(&mut self, mut next: Self) {
        let (rows, start) = (self.rows.len(), self.text.len() as u16);
        for (end, of_next) in self.ends[rows..].iter_mut().zip(&next.ends[..next.rows.len()]) {
            *end = start + of_next;
        }
        self.text.push_str(&next.text);
        self.rows.append(&mut next.rows);
        self.shrink();
    }

    fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.rows.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ring::{index::nodes::PackedEntry, rng::Rng};

    fn versions(ticket: u64) -> PackedVersions {
        let hash = blake3::Hash::from_bytes([0; 32]);
        PackedVersions::new(PackedEntry { hash, stamp: 1, ticket, bytes: 1, node: 0 })
    }

    /// What comes of these changes, beside a map of the standard library: 0 enters, 1 removes.
    fn check(changes: impl Iterator<Item = (u32, String)>) -> Names {
        let (mut names, mut map) = (Names::default(), BTreeMap::new());
        for (ticket, (change, name)) in changes.enumerate() {
            let (ticket, found) = (ticket as u64, names.find(&name));
            let held = found.ok().map(|at| names.get(at).newest().ticket);
            assert_eq!(held, map.get(&name).copied());
            match (change, found) {
                (0, Err(at)) => {
                    names.insert(at, &name, versions(ticket));
                    map.insert(name, ticket);
                }
                (1, Ok(at)) => {
                    assert_eq!(Some(names.remove(at).newest().ticket), map.remove(&name));
                }
                _ => {}
            }
        }
        let tickets = names.range(Bound::Unbounded).map(|(name, it)| (name, it.newest().ticket));
        assert!(tickets.eq(map.iter().map(|(name, ticket)| (name.as_str(), *ticket))));
        assert!(names.blocks.iter().all(|it| (1..=ROWS_MAX).contains(&it.rows.len())));
        for name in map.keys().chain([&"".to_owned(), &"5".to_owned(), &"z".to_owned()]) {
            for from in [Bound::Included(name.as_str()), Bound::Excluded(name)] {
                let expected = map.range::<str, _>((from, Bound::Unbounded));
                let found = names.range(from).map(|(name, _)| name);
                assert!(found.take(40).eq(expected.map(|(name, _)| name.as_str()).take(40)));
            }
        }
        names
    }

    #[test]
    fn they_are_like_a_map_of_the_standard_library() {
        let mut random = Rng::new(1);
        // Of some lengths, and not in ASCII alone.
        let mut name =
            |count| format!("{0}{1}", random.below(count), "ü".repeat(random.below(3) as usize));
        for count in [10, 100, 1000] {
            let names: Vec<_> = (0..8000).map(|_| name(count)).collect();
            let mut random = Rng::new(2);
            // As many come as go; then only few come; then most go.
            let some = names.iter().map(|name| (random.below(2) as u32, name.clone()));
            check(some.collect::<Vec<_>>().into_iter());
            let gone = names.iter().filter(|name| name.len() % 5 > 0);
            check(names.iter().map(|it| (0, it.clone())).chain(gone.map(|it| (1, it.clone()))));
        }
    }

    #[test]
    fn names_in_order_fill_whole_blocks_and_in_the_reverse_order_half_of_them() {
        let ordered = |i: usize| (0, format!("{i:04}"));
        for (names, least) in
            [(check((0..999).map(ordered)), 30), (check((0..999).rev().map(ordered)), 16)]
        {
            let mut rows = names.blocks.iter().map(|it| it.rows.len()).collect::<Vec<_>>();
            rows.sort_unstable();
            assert!(rows[1] >= least, "{rows:?}");
            let spare = names.blocks.iter().map(|it| it.rows.capacity() - it.rows.len());
            assert!(spare.sum::<usize>() < 100);
        }
    }

    #[test]
    fn what_is_left_of_many_names_is_in_few_blocks() {
        let name = |i: usize| format!("{i:04}");
        let come = (0..2000).map(|i| (0, name(i)));
        let go = (0..2000).filter(|i| i % 10 > 0).map(|i| (1, name(i)));
        let names = check(come.chain(go));
        assert!(names.blocks.len() <= 200 / ROWS_MIN + 1, "{}", names.blocks.len());
    }
}
