//! Random numbers that need not be secret: for names that must be unique, and for errors on
//! purpose. The ring has its own, which a seed repeats.

use std::hash::{BuildHasher, RandomState};

/// 64 random bits for names. They come from the system, as the keys of the standard library's hash
/// maps do: what is seeded by the time could be the same on two machines.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(())
}

/// True with this probability, from 0 to 1.
pub(crate) fn happens(share: f64) -> bool {
    fastrand::f64() < share
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
