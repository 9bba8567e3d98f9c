//! A hash map whose keys are numbers that this process has given out itself, so nobody can choose
//! them to collide, and no secret is needed in the hash.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// 2^64 divided by the golden ratio: neighbours come to lie far apart (Knuth, "The Art of Computer
/// Programming", volume 3, section 6.4).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash map by numbers of this process.
pub(crate) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Hashes one number.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // A map looks at the lowest and at the highest bits: both halves of the product count.
        let product = u128::from(self.0 ^ number) * u128::from(FACTOR);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_in_a_row_and_addresses_of_memory_are_spread() {
        for step in [1, 16, 4096, 1 << 32] {
            let hash = |n: u64| {
                let mut hasher = NumberHasher::default();
                hasher.write_u64(n * step);
                hasher.finish()
            };
            // 4096 balls in 4096 boxes leave at least half of these filled, by chance some 63 %.
            let low: HashSet<_> = (0..4096).map(|n| hash(n) & 4095).collect();
            let high: HashSet<_> = (0..4096).map(|n| hash(n) >> 57).collect();
            assert!(low.len() > 2048 && high.len() == 128, "{step}: {} {}", low.len(), high.len());
        }
    }
}
