//! Virtual time: what happens when, and all randomness.
//!
//! Events of the same moment happen in the order in which they were planned, so a seed decides
//! everything.

use std::collections::BTreeMap;

use super::Event;

/// Virtual time, in microseconds since the simulation began.
pub type Micros = u64;

/// Milliseconds as [`Micros`].
pub const fn ms(count: u64) -> Micros {
    count * 1000
}

/// What is still to happen.
pub struct Timeline<E> {
    /// The present.
    pub now: Micros,
    /// All randomness of a world comes from here.
    pub rng: Rng,
    /// At one instant, nodes wake after everything else, the first host first; but one that is late
    /// wakes first.
    wakes_come_last: bool,
    events: BTreeMap<(Micros, usize, u64), Event<E>>,
    planned: u64,
    /// Planned events that belong to connections.
    under_way: usize,
}

impl<E> Timeline<E> {
    pub fn new(seed: u64, wakes_come_last: bool) -> Self {
        let (events, rng) = (BTreeMap::new(), Rng(seed));
        Self { now: 0, rng, wakes_come_last, events, planned: 0, under_way: 0 }
    }

    /// Plans an event. What is planned for the past happens at once, after what was planned before.
    pub fn at(&mut self, time: Micros, event: Event<E>) {
        self.planned += 1;
        let rank = match event {
            Event::Wake { host, .. } if self.wakes_come_last => 1 + host,
            _ => 0,
        };
        self.under_way += usize::from(is_under_way(&event));
        let time = if rank > 0 { time } else { time.max(self.now) };
        self.events.insert((time, rank, self.planned), event);
    }

    /// When a node with this deadline is to be woken.
    pub fn when(&self, deadline: Micros) -> Micros {
        if self.wakes_come_last { deadline } else { deadline.max(self.now) }
    }

    pub fn after(&mut self, delay: Micros, event: Event<E>) {
        self.at(self.now + delay, event);
    }

    /// Goes on to the next event, if there is one before `end`.
    pub fn next(&mut self, end: Micros) -> Option<Event<E>> {
        let first = self.events.first_entry().filter(|first| first.key().0 < end)?;
        self.now = self.now.max(first.key().0);
        let event = first.remove();
        self.under_way -= usize::from(is_under_way(&event));
        Some(event)
    }

    /// Whether anything is on its way through the network, or to a disk.
    pub fn has_under_way(&self) -> bool {
        self.under_way > 0
    }
}

fn is_under_way<E>(event: &Event<E>) -> bool {
    matches!(
        event,
        Event::Arrive { .. }
            | Event::Dial { .. }
            | Event::Stored { .. }
            | Event::Pull { .. }
            | Event::Upload { .. }
    )
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

    /// True with a probability of `percent`.
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
