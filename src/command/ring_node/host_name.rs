//! Names by which browsers reach a node.

use std::{fmt, str::FromStr};

/// Names that one node has.
const HOSTS_MAX: usize = 64;
/// Bytes of the longest name that DNS has.
const NAME_BYTES_MAX: usize = 253;

/// The name of a host, without a port; or `*`, for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(String);

/// Several, with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostNames(pub Vec<HostName>);

impl HostName {
    /// The name as text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed);
        if text == "*" || is_name {
            return Ok(Self(text.strip_suffix('.').unwrap_or(text).into()));
        }
        Err(format!("`{text}` is no name of a host: write it without scheme and port, or *"))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> =
            text.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>()?;
        match names.len() {
            0..=HOSTS_MAX => Ok(Self(names)),
            _ => Err(format!("there are more than {HOSTS_MAX} names")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts() {
        for (text, name) in
            [("ring.example", "ring.example"), ("a.", "a"), ("*", "*"), ("A-1", "A-1")]
        {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), name);
        }
        for text in ["", "a:80", "http://a", "a b", "ü", "a/b", "*.a", &"x".repeat(254)] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
        assert_eq!("a, b".parse::<HostNames>().unwrap().0.len(), 2);
        assert!("a,,b".parse::<HostNames>().is_err());
        assert!(vec!["a"; HOSTS_MAX + 1].join(",").parse::<HostNames>().is_err());
    }
}
