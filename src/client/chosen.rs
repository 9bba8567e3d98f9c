//! Versions as they are typed: the one that is wanted, and the one that is expected.

use std::str::FromStr;

use crate::ring::{message::Condition, version::Version};

const FORM: &str = "write it as `log` shows it, like 01a21de07a850000@127.0.1.1:4043";

/// Which version of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The one with this number in the log: 1 is the newest.
    Number(usize),
    /// This one.
    Exact(Version),
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 10 {
            let number = text.parse().ok().filter(|number| *number > 0);
            return number.map(Self::Number).ok_or_else(|| "1 is the newest version".into());
        }
        let version = text.parse().map(Self::Exact);
        version.map_err(|()| format!("it is no version; {FORM}, or its number there"))
    }
}

/// What must be the newest version of a name, or nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected(pub Condition);

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Condition::Absent));
        }
        let version = text.parse().map(|version| Self(Condition::Newest(version)));
        version.map_err(|()| format!("it is no version; {FORM}, or none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_typed_in_two_ways() {
        let text = "01a21de07a850000@127.0.1.1:4043";
        let version: Version = text.parse().unwrap();
        assert_eq!(text.parse(), Ok(Chosen::Exact(version)));
        assert_eq!("2".parse(), Ok(Chosen::Number(2)));
        for bad in ["", "0", "-1", "x", "01a21de07a850000", "9999999999"] {
            assert!(bad.parse::<Chosen>().is_err(), "{bad}");
        }
        assert_eq!(text.parse(), Ok(Expected(Condition::Newest(version))));
        assert_eq!("none".parse(), Ok(Expected(Condition::Absent)));
        assert!("1".parse::<Expected>().unwrap_err().contains("or none"));
    }
}
