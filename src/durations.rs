//! How long something takes, counted in a few numbers that are the same everywhere.

/// Upper bounds of the durations that are told apart, in microseconds, and as they are shown, in
/// seconds.
pub(crate) const BOUNDS: [(u64, &str); 11] = [
    (100, "0.0001"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];
/// How many durations are told apart; the last is all that are longer than the last bound.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// Where a duration of so many microseconds is counted.
pub(crate) fn bucket(micros: u64) -> usize {
    BOUNDS.iter().position(|(most, _)| micros <= *most).unwrap_or(BOUNDS.len())
}

/// How often something took how long.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Durations {
    /// How often it took longer than one bound and not longer than the next: in a tenth of a millisecond
    /// to 10 seconds, and more than that.
    pub counts: [u64; BUCKETS],
    /// All of them together, in microseconds.
    pub micros: u64,
}

impl Durations {
    /// Counts one more.
    pub(crate) fn add(&mut self, micros: u64) {
        self.counts[bucket(micros)] += 1;
        self.micros = self.micros.wrapping_add(micros);
    }
}
