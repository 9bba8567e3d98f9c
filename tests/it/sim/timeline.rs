//! Virtual time: what happens when, and every dice that is thrown.
//!
//! Events of the same moment happen in the order in which they were planned, so a seed decides
//! everything.

use std::collections::BTreeMap;

use super::world::Event;

/// Virtual time, in microseconds since the simulation began.
pub type Micros = u64;

/// Milliseconds as [`Micros`].
pub const fn ms(count: u64) -> Micros {
    count * 1000
}

/// What is still to happen.
pub struct Timeline {
    /// The present.
    pub now: Micros,
    /// All randomness of the simulation comes from here.
    pub rng: Rng,
    events: BTreeMap<(Micros, u64), Event>,
    planned: u64,
}

impl Timeline {
    pub fn new(seed: u64) -> Self {
        Self { now: 0, rng: Rng(seed), events: BTreeMap::new(), planned: 0 }
    }

    /// Plans an event. What is planned for the past happens at once, after what was planned before.
    pub fn at(&mut self, time: Micros, event: Event) {
        self.planned += 1;
        self.events.insert((time.max(self.now), self.planned), event);
    }

    pub fn after(&mut self, delay: Micros, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Goes on to the next event, if there is one before `end`; else to `end`.
    pub fn next(&mut self, end: Micros) -> Option<Event> {
        match self.events.first_entry().filter(|first| first.key().0 < end) {
            Some(first) => {
                self.now = first.key().0;
                Some(first.remove())
            }
            None => {
                self.now = end;
                None
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `from..to`; `from` if there is none.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next().checked_rem(to.saturating_sub(from)).unwrap_or(0)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.range(0, len as u64) as usize
    }

    /// True in `percent` of 100 throws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// One of `choices`, if there is any.
    pub fn pick_any<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        (!choices.is_empty()).then(|| self.pick(choices))
    }
}
