//! Releases of this program, as nodes tell each other which they are.

use std::{fmt, str::FromStr};

/// A release, like 1.2.3. What may follow these three numbers is not told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Release {
    /// Changes where something no longer works as before.
    pub major: u16,
    /// Changes where something is new.
    pub minor: u16,
    /// Changes where something was put right.
    pub patch: u16,
}

impl Release {
    /// The one that this is a part of.
    pub fn own() -> Option<Self> {
        env!("CARGO_PKG_VERSION").parse().ok()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What was read is no release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRelease;

impl FromStr for Release {
    type Err = NoRelease;

    fn from_str(text: &str) -> Result<Self, NoRelease> {
        let numbers = text.split_once(['-', '+']).map_or(text, |(numbers, _)| numbers);
        let mut parts = numbers.split('.').map(|part| match part.starts_with('+') {
            true => Err(NoRelease),
            false => part.parse().map_err(|_| NoRelease),
        });
        let mut next = || parts.next().ok_or(NoRelease)?;
        let release = Self { major: next()?, minor: next()?, patch: next()? };
        parts.next().is_none().then_some(release).ok_or(NoRelease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_they_are_written() {
        let release = |major, minor, patch| Ok(Release { major, minor, patch });
        for (text, expected) in [
            ("0.1.0", release(0, 1, 0)),
            ("10.200.65535", release(10, 200, 65535)),
            ("1.2.3-rc.1", release(1, 2, 3)),
            ("1.2.3+5", release(1, 2, 3)),
            ("", Err(NoRelease)),
            ("1.2", Err(NoRelease)),
            ("1.2.3.4", Err(NoRelease)),
            ("1.2.65536", Err(NoRelease)),
            ("1.+2.3", Err(NoRelease)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        assert_eq!(Release { major: 1, minor: 2, patch: 3 }.to_string(), "1.2.3");
        assert!(Release::own().is_some());
    }
}
