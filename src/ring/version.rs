//! Time, and the order of writes.
//!
//! A [`Version`] is a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014)
//! and the node that read it: totally ordered, close to wall-clock time, and always later than
//! every version that its node had seen before. The last writer wins, and every node agrees who
//! that was.

use std::{fmt, net::SocketAddr, ops, str::FromStr, time::Duration};

/// A moment on a clock that only goes forward: microseconds since the node began.
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
}

/// The hybrid logical clock of one node.
#[derive(Debug)]
pub struct Clock {
    last: Stamp,
}

impl Clock {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Self { last: Stamp(0) }
    }

    /// A stamp later than all that were given out or observed.
    pub fn tick(&mut self, wall_ms: u64) -> Stamp {
        self.last = Stamp(self.last.0 + 1).max(Stamp::at_ms(wall_ms));
        self.last
    }

    /// Takes note of another node's stamp.
    pub fn observe(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
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

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}@{}", self.stamp.0, self.node)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stamp, node) = text.split_once('@').ok_or(())?;
        if stamp.len() != 16 || !stamp.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        let stamp = Stamp(u64::from_str_radix(stamp, 16).map_err(drop)?);
        Ok(Self { stamp, node: node.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_even_if_the_wall_does() {
        let mut clock = Clock::new();
        let first = clock.tick(1000);
        let second = clock.tick(10);
        clock.observe(Stamp::at_ms(5000));
        let third = clock.tick(1001);
        assert!(first < second && second < third);
        assert_eq!(third.wall_ms(), 5000);
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
