//! Places by ticket: what a store has in memory of each version that it keeps, so it is dense.
//!
//! Tickets come in ascending order, and go in any. They stand in blocks of up to [`ROWS_MAX`], in order, as
//! distances from the first one.

use super::record::Spot;

/// A record in a log. A store has one for each version, so it is small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where the record begins.
    pub spot: Spot,
    /// How long it is, content included.
    pub bytes: u32,
}

/// Places in one block.
const ROWS_MAX: usize = 256;
/// A block that has fewer becomes one with a neighbour, where they leave room together.
const ROWS_MIN: usize = ROWS_MAX / 4;

/// Places by ticket.
#[derive(Debug, Default)]
pub struct Places {
    /// None is empty.
    blocks: Vec<Block>,
    places: usize,
}

#[derive(Debug)]
struct Block {
    /// No ticket in it is less.
    from: u64,
    rows: Vec<(u32, Place)>,
}

impl Places {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places
    }

    /// Where this version is.
    pub fn get(&self, ticket: u64) -> Option<Place> {
        let (block, row) = self.find(ticket).ok()?;
        Some(self.blocks[block].rows[row].1)
    }

    /// Whether there is a place for this version.
    pub fn contains(&self, ticket: u64) -> bool {
        self.find(ticket).is_ok()
    }

    /// Notes where a version is, instead of where it was.
    pub fn insert(&mut self, ticket: u64, place: Place) {
        let (mut block, mut row) = match self.find(ticket) {
            Ok((block, row)) => {
                self.blocks[block].rows[row].1 = place;
                return;
            }
            Err(at) => at,
        };
        self.places += 1;
        let is_last = block + 1 >= self.blocks.len();
        let begins = |rows: Vec<(u32, Place)>| Block { from: ticket, rows };
        match self.blocks.get_mut(block) {
            None => return self.blocks.push(begins(vec![(0, place)])),
            // Only before all others.
            Some(first) if ticket < first.from => {
                return self.blocks.insert(0, begins(vec![(0, place)]));
            }
            // It is behind all that are within reach.
            Some(it) if !it.reaches(ticket) => {
                return self.blocks.insert(block + 1, begins(vec![(0, place)]));
            }
            Some(full) if full.rows.len() == ROWS_MAX => {
                if row == ROWS_MAX && is_last {
                    return self.blocks.push(begins(vec![(0, place)]));
                }
                let rest = full.split_off(ROWS_MAX / 2);
                self.blocks.insert(block + 1, rest);
                if row > ROWS_MAX / 2 {
                    (block, row) = (block + 1, row - ROWS_MAX / 2);
                }
            }
            Some(_) => {}
        }
        let block = &mut self.blocks[block];
        block.rows.insert(row, ((ticket - block.from) as u32, place));
    }

    /// Forgets where a version is.
    pub fn remove(&mut self, ticket: u64) -> Option<Place> {
        let (block, row) = self.find(ticket).ok()?;
        let (_, place) = self.blocks[block].rows.remove(row);
        self.places -= 1;
        let rows = self.blocks[block].rows.len();
        if rows == 0 {
            self.blocks.remove(block);
        } else if rows < ROWS_MIN {
            self.blocks[block].rows.shrink_to(ROWS_MIN);
            let before = block.wrapping_sub(1);
            [before, block].into_iter().find(|first| self.join(*first));
        }
        Some(place)
    }

    /// All tickets from this one on, in order, with their places.
    pub fn range(&self, from: u64) -> impl Iterator<Item = (u64, Place)> {
        let (block, row) = self.find(from).unwrap_or_else(|at| at);
        let blocks = self.blocks.get(block..).unwrap_or_default();
        blocks.iter().enumerate().flat_map(move |(i, block)| {
            let rows = &block.rows[if i == 0 { row } else { 0 }..];
            rows.iter().map(|(ticket, place)| (block.from + u64::from(*ticket), *place))
        })
    }

    /// The block of a ticket and its row there. `Err`: it is not here, and would be there.
    fn find(&self, ticket: u64) -> Result<(usize, usize), (usize, usize)> {
        // Most are new, and so behind all others.
        if let Some(last) = self.blocks.last()
            && last.last() < ticket
        {
            return Err((self.blocks.len() - 1, last.rows.len()));
        }
        let block = self.blocks.partition_point(|it| it.from <= ticket).saturating_sub(1);
        let Some(it) = self.blocks.get(block) else { return Err((0, 0)) };
        if ticket < it.from {
            return Err((block, 0));
        }
        let row = it.rows.binary_search_by_key(&(ticket - it.from), |(it, _)| u64::from(*it));
        row.map(|row| (block, row)).map_err(|row| (block, row))
    }

    /// Makes one block of this and the next one, if they leave room together.
    fn join(&mut self, first: usize) -> bool {
        let Some([one, two]) = self.blocks.get(first..).and_then(|it| it.first_chunk()) else {
            return false;
        };
        if one.rows.len() + two.rows.len() > ROWS_MAX / 4 * 3 || !one.reaches(two.last()) {
            return false;
        }
        let two = self.blocks.remove(first + 1);
        let one = &mut self.blocks[first];
        let further = (two.from - one.from) as u32;
        one.rows.extend(two.rows.into_iter().map(|(ticket, place)| (further + ticket, place)));
        true
    }
}

impl Block {
    fn last(&self) -> u64 {
        self.from + self.rows.last().map_or(0, |(ticket, _)| u64::from(*ticket))
    }

    /// Whether the distance of this ticket fits.
    fn reaches(&self, ticket: u64) -> bool {
        ticket - self.from <= u64::from(u32::MAX)
    }

    /// Takes out all rows from this one on: there are some.
    fn split_off(&mut self, row: usize) -> Self {
        let mut rows = self.rows.split_off(row);
        let first = rows[0].0;
        rows.iter_mut().for_each(|(ticket, _)| *ticket -= first);
        Self { from: self.from + u64::from(first), rows }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::disk::record::Spot;

    fn place(offset: u32) -> Place {
        Place { spot: Spot { log: 1, offset }, bytes: 1 }
    }

    #[test]
    fn they_are_like_a_map_of_the_standard_library() {
        for step in [1, 3, 1 << 25, 1 << 33] {
            let mut random = fastrand::Rng::with_seed(step);
            let (mut places, mut map) = (Places::default(), BTreeMap::new());
            for turn in 0..20_000_u32 {
                // Few come out of order; of what has come, more and more go.
                let any = step * u64::from(random.u32(..=turn));
                let ticket = if random.u8(..) == 0 { any } else { step * u64::from(turn) };
                places.insert(ticket, place(turn));
                map.insert(ticket, place(turn));
                for _ in 0..random.u32(..=turn / 5000) {
                    let gone = step * u64::from(random.u32(..=turn));
                    assert_eq!(places.remove(gone), map.remove(&gone));
                }
                assert_eq!(
                    (places.get(any), places.contains(any)),
                    (map.get(&any).copied(), map.contains_key(&any))
                );
            }
            let expected = || map.iter().map(|(ticket, place)| (*ticket, *place));
            assert!(places.range(0).eq(expected()) && places.len() == map.len());
            for from in [1, 7777 * step, 7777 * step + 1, u64::MAX] {
                assert!(
                    places.range(from).eq(expected().filter(|(it, _)| *it >= from)),
                    "{step} {from}"
                );
            }
            assert!(places.blocks.iter().all(|it| (1..=ROWS_MAX).contains(&it.rows.len())));
        }
    }

    #[test]
    fn what_is_left_of_many_is_in_few_blocks() {
        let mut places = Places::default();
        (1..=100_000).for_each(|ticket| places.insert(ticket, place(0)));
        assert_eq!(places.blocks.len(), 100_000_usize.div_ceil(ROWS_MAX));
        (1..=100_000).filter(|it| it % 100 > 0).for_each(|it| {
            places.remove(it);
        });
        let rows: usize = places.blocks.iter().map(|it| it.rows.capacity()).sum();
        assert!(places.len() == 1000 && places.blocks.len() < 1000 / 50 && rows < 3000, "{rows}");
    }
}
