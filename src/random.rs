//! Random numbers that need not be secret, for names that shall be nobody else's and for errors
//! on purpose. The ring has its own, which a seed repeats.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits. The keys of the standard library's hash maps come from the system, and no two
/// of them are the same.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(())
}

/// Whether something comes to pass that does so in this share of all cases, from 0 to 1.
pub(crate) fn happens(share: f64) -> bool {
    fraction() < share
}

/// A number from 0 on and below 1.
pub(crate) fn fraction() -> f64 {
    // 53 bits fit an f64, and make a number below 1.
    (bits() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let of_1000 = |share| (0..1000).filter(|_| happens(share)).count();
        assert_eq!((of_1000(0.0), of_1000(1.0)), (0, 1000));
        // The standard deviation is 16, so this fails once in 10^36 runs.
        assert!((300..700).contains(&of_1000(0.5)));
    }
}
