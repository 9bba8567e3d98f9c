//! The name of a ring.

use std::{fmt, str::FromStr};

use crate::ring::{limits::RING_NAME_BYTES_MAX, name::is_ring_name};

/// The name of a ring: short, and of characters that need no quotes anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RingName(String);

impl RingName {
    /// The name as text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Default for RingName {
    fn default() -> Self {
        Self("smolring".into())
    }
}

impl FromStr for RingName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_ring_name(text) {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "`{text}` cannot be the name of a ring: write 1 to {RING_NAME_BYTES_MAX} letters of the \
             English alphabet, digits, `.`, `_` and `-`"
        ))
    }
}

impl fmt::Display for RingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rings() {
        for name in ["a", "smolring", "up-1a2b", "A.b_c-9", &"x".repeat(64)] {
            assert_eq!(name.parse::<RingName>().unwrap().to_string(), name);
        }
        for name in ["", "a b", "a/b", "ü", "a=b", "a\n", &"x".repeat(65)] {
            assert!(name.parse::<RingName>().unwrap_err().contains("64"), "{name:?}");
        }
    }
}
