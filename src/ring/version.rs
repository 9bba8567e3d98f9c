//! Time, and the order of writes.
//!
//! A [`Version`] is a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014)
//! and the node that read it: totally ordered, close to wall-clock time, and always later than
//! every version that its node had seen before. The last writer wins, and every node agrees which
//! that was.

use std::{fmt, net::SocketAddr, ops, str::FromStr, time::Duration};

use super::{digits, limits::CLOCK_AHEAD_MAX};

/// A moment on a monotonic clock: microseconds since the node started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Time(pub u64);

impl Time {
    /// The time since `earlier`, zero if that is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(duration.as_micros() as u64))
    }
}

/// Bits of a [`Stamp`] that count writes within one millisecond.
const COUNTER_BITS: u32 = 16;

/// A reading of the hybrid logical clock: 48 bits of milliseconds since 1970, 16 bits of counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The first stamp of a millisecond.
    pub fn at_ms(wall_ms: u64) -> Self {
        Self(wall_ms << COUNTER_BITS)
    }

    /// Milliseconds since 1970.
    pub fn wall_ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// This stamp, or the one after `given` if that is later by so little that others believe it as
    /// well.
    pub fn above_if_near(self, given: Option<Self>) -> Self {
        let near = given.filter(|given| given.wall_ms() <= self.wall_ms() + 1);
        near.map_or(self, |given| self.max(given.next()))
    }

    /// The stamp right after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How many of its jumps a clock remembers.
const JUMPS_MAX: usize = 16;

/// The hybrid logical clock of one node.
#[derive(Debug)]
pub struct Clock {
    last: Stamp,
    /// Where it stood before each large jump ahead: a wall clock may have been wrong then, and so
    /// it may have to go back.
    before_jumps: Vec<Stamp>,
    /// The last stamp that it gave out, and the highest before each time that it went back: none is
    /// given out twice.
    given: Vec<Stamp>,
}

impl Clock {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Self { last: Stamp(0), before_jumps: Vec::new(), given: Vec::new() }
    }

    /// A stamp later than all that were given out or observed. Those after `latest` do not count:
    /// they come from a time when the wall clock was wrong.
    pub fn tick(&mut self, wall_ms: u64, latest: Stamp) -> Stamp {
        while self.last > latest {
            self.last = self.before_jumps.pop().unwrap_or(Stamp(0));
        }
        let given = self.given.iter().filter(|given| **given <= latest).map(|given| given.next());
        let stamp = given.fold(self.last.next().max(Stamp::at_ms(wall_ms)), Ord::max);
        self.given.retain(|given| *given > stamp);
        if self.given.len() == JUMPS_MAX {
            self.given.remove(0);
        }
        self.given.push(stamp);
        self.advance(stamp);
        stamp
    }

    /// Takes note of another node's stamp, unless it is after `latest`.
    pub fn observe(&mut self, stamp: Stamp, latest: Stamp) {
        if stamp <= latest && stamp > self.last {
            self.advance(stamp);
        }
    }

    /// This stamp, or one right above those that were given out nearby before the clock went back.
    pub fn above_given(&self, stamp: Stamp) -> Stamp {
        self.given.iter().fold(stamp, |stamp, given| stamp.above_if_near(Some(*given)))
    }

    /// The highest stamp that was given out or observed.
    pub fn highest(&self) -> Stamp {
        self.last
    }

    fn advance(&mut self, to: Stamp) {
        if to.wall_ms() - self.last.wall_ms() > CLOCK_AHEAD_MAX.as_millis() as u64 {
            if self.before_jumps.len() == JUMPS_MAX {
                self.before_jumps.remove(0);
            }
            self.before_jumps.push(self.last);
        }
        self.last = to;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Which write of a name this is. Later versions replace earlier ones, on every node alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// When it was written.
    pub stamp: Stamp,
    /// The node that took the write; it settles a tie.
    pub node: SocketAddr,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::write_number(self.0, f)
    }
}

impl FromStr for Stamp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(drop)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::write_number_at(self.stamp.0, self.node, f)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stamp, node) = text.split_once('@').ok_or(())?;
        Ok(Self { stamp: stamp.parse()?, node: node.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_even_if_the_wall_does() {
        let (mut clock, latest) = (Clock::new(), Stamp::at_ms(6000));
        let first = clock.tick(1000, latest);
        let second = clock.tick(10, latest);
        clock.observe(Stamp::at_ms(5000), latest);
        clock.observe(Stamp::at_ms(9000), latest);
        let third = clock.tick(1001, latest);
        assert!(first < second && second < third);
        assert_eq!(third.wall_ms(), 5000);
    }

    #[test]
    fn what_a_wrong_clock_has_given_out_is_forgotten_once_the_clock_is_right() {
        let mut clock = Clock::new();
        let before = clock.tick(1000, Stamp::at_ms(61_000));
        clock.tick(900_000, Stamp::at_ms(960_000));
        assert_eq!(clock.tick(1000, Stamp::at_ms(61_000)), before.next());
    }

    #[test]
    fn versions_survive_the_wire() {
        let version = Version { stamp: Stamp(0x1234), node: "[::1]:4043".parse().unwrap() };
        assert_eq!(version.to_string(), "0000000000001234@[::1]:4043");
        assert_eq!(version.to_string().parse(), Ok(version));
        for bad in ["", "1234@127.0.0.1:1", "+000000000001234@127.0.0.1:1", "0000000000001234@x"] {
            assert_eq!(bad.parse::<Version>(), Err(()), "{bad}");
        }
    }
}
