//! What time it is: by this node's own clock, and by the clocks of the ring.
//!
//! Every CHECK collects a reading of each member's clock, and its creator knows when it sent the
//! CHECK and when it came back. So it knows how far each clock is from its own, to within the time
//! of one round. The ring's time is the median of all clocks; where two are in the middle, the
//! earlier of them, so that of two members exactly one is right. Readings are kept as what the
//! clock showed at [`Time`] zero of this node, so they stay true when this node's own wall clock
//! jumps, and a jump is noticed at once.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    limits::CLOCK_AHEAD_MAX,
    version::{Stamp, Time},
    view::View,
};

/// How wrong this node's reading of another clock can be: nodes that create versions are held to
/// [`CLOCK_AHEAD_MAX`] less this.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(2);
/// A member whose clock is this far from the ring's is named in the log.
const CLOCK_OFF_NAMED: Duration = Duration::from_secs(30);

/// The clocks of a ring, as one of its nodes knows them.
#[derive(Debug)]
pub(super) struct Clocks {
    /// What this node's wall clock showed at [`Time`] zero, in milliseconds since 1970.
    own_ms: i64,
    /// The same of others, and whether it was measured or only heard.
    others: BTreeMap<SocketAddr, (i64, bool)>,
    /// The same of the ring.
    ring_ms: i64,
    /// Members that were named, and how far their clocks were off.
    named: BTreeMap<SocketAddr, i64>,
}

impl Clocks {
    pub(super) fn new(started_ms: u64) -> Self {
        let own_ms = started_ms as i64;
        Self { own_ms, others: BTreeMap::new(), ring_ms: own_ms, named: BTreeMap::new() }
    }

    /// This node's wall clock, in milliseconds since 1970.
    pub(super) fn own(&self, now: Time) -> u64 {
        at(self.own_ms, now)
    }

    /// The ring's time, in milliseconds since 1970.
    pub(super) fn ring(&self, now: Time) -> u64 {
        at(self.ring_ms, now)
    }

    /// The latest stamp that is believed.
    pub(super) fn latest(&self, now: Time) -> Stamp {
        Stamp::at_ms(self.ring(now) + CLOCK_AHEAD_MAX.as_millis() as u64)
    }

    /// This node's wall clock has been put right, or the machine has slept.
    pub(super) fn set_own(&mut self, now: Time, wall_ms: u64) {
        self.own_ms = wall_ms as i64 - (now.0 / 1000) as i64;
        self.find_median();
    }

    /// A CHECK that was sent at `sent` has come back at `now` with a reading of this clock.
    pub(super) fn measured(&mut self, member: SocketAddr, clock_ms: u64, sent: Time, now: Time) {
        let middle_ms = (sent.0 / 2 + now.0 / 2) / 1000;
        self.others.insert(member, (clock_ms as i64 - middle_ms as i64, true));
        self.find_median();
    }

    /// A member has said what its clock shows, some time ago. That counts until it is measured.
    pub(super) fn heard(&mut self, now: Time, member: SocketAddr, clock_ms: u64) {
        let reading = clock_ms as i64 - (now.0 / 1000) as i64;
        let known = self.others.entry(member).or_insert((reading, false));
        if !known.1 {
            *known = (reading, false);
            self.find_median();
        }
    }

    /// Forgets the clocks of members that are not in the circle.
    pub(super) fn keep_live(&mut self, view: &View) {
        self.others.retain(|&member, _| view.is_alive(member));
        self.named.retain(|&member, _| view.is_alive(member));
        self.find_median();
    }

    /// How far a member's clock is ahead of the ring's, in milliseconds; negative: behind.
    pub(super) fn off_ms(&self, member: SocketAddr, me: SocketAddr) -> Option<i64> {
        let own = (member == me).then_some(self.own_ms);
        let reading = own.or_else(|| self.others.get(&member).map(|&(reading, _)| reading))?;
        Some(reading - self.ring_ms)
    }

    /// Whether this node's clock is so wrong that others would not believe what it writes, and by
    /// how many milliseconds.
    pub(super) fn is_off(&self) -> Option<i64> {
        let off_ms = self.own_ms - self.ring_ms;
        (off_ms.unsigned_abs() > (CLOCK_AHEAD_MAX - CLOCK_ERROR_MAX).as_millis() as u64)
            .then_some(off_ms)
    }

    /// Members whose clock has gone wrong, or has been put right (`None`), since this was last asked.
    pub(super) fn news(&mut self, me: SocketAddr) -> Vec<(SocketAddr, Option<i64>)> {
        let all: Vec<_> = self.others.keys().copied().chain([me]).collect();
        let mut news = Vec::new();
        for member in all {
            let Some(off_ms) = self.off_ms(member, me) else { continue };
            let is_off = off_ms.unsigned_abs() > CLOCK_OFF_NAMED.as_millis() as u64;
            if is_off && self.named.insert(member, off_ms).is_none() {
                news.push((member, Some(off_ms)));
            } else if !is_off && self.named.remove(&member).is_some() {
                news.push((member, None));
            }
        }
        news
    }

    fn find_median(&mut self) {
        let others = self.others.values().map(|&(reading, _)| reading);
        let mut all: Vec<_> = others.chain([self.own_ms]).collect();
        all.sort_unstable();
        self.ring_ms = all[(all.len() - 1) / 2];
    }
}

fn at(at_zero_ms: i64, now: Time) -> u64 {
    u64::try_from(at_zero_ms.saturating_add((now.0 / 1000) as i64)).unwrap_or(0)
}

/// By how much a clock is wrong, in words: `10 min ahead of the others'`.
pub(super) fn in_words(off_ms: i64) -> String {
    let seconds = (off_ms.unsigned_abs() + 500) / 1000;
    let (number, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7200 => ((seconds + 30) / 60, "min"),
        7200..172_800 => ((seconds + 1800) / 3600, "h"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    };
    let way = if off_ms > 0 { "ahead of" } else { "behind" };
    format!("{number} {unit} {way} the others'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn address(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 4043).into()
    }

    #[test]
    fn of_three_clocks_the_wrong_one_is_named() {
        let me = address(0);
        let mut clocks = Clocks::new(1_000_000);
        let now = Time(10 * SECOND);
        clocks.measured(address(1), 1_010_000, now, now);
        clocks.measured(address(2), 1_610_000, now, now);
        assert_eq!(clocks.ring(now), 1_010_000);
        assert_eq!(clocks.news(me), [(address(2), Some(600_000))]);
        assert_eq!(clocks.news(me), []);
        clocks.measured(address(2), 1_010_000, now, now);
        assert_eq!(clocks.news(me), [(address(2), None)]);
        clocks.set_own(now, 410_000);
        assert_eq!(clocks.is_off(), Some(-600_000));
        assert_eq!(clocks.ring(now), 1_010_000);
        assert_eq!(clocks.news(me), [(me, Some(-600_000))]);
        assert_eq!(in_words(-600_000), "10 min behind the others'");
    }

    #[test]
    fn of_two_clocks_the_earlier_counts() {
        for (theirs_ms, off) in [(2_000_000, None), (200_000, Some(800_000))] {
            let mut clocks = Clocks::new(1_000_000);
            clocks.heard(Time(0), address(1), theirs_ms);
            assert_eq!(clocks.is_off(), off);
        }
    }
}
