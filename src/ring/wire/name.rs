//! The name of a file: what is allowed, and how it looks on the wire.

use std::{borrow::Borrow, fmt, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::ring::limits::{NAME_BYTES_MAX, RING_NAME_BYTES_MAX};

/// What is written as `%XX`: everything but letters, digits and `- . _ ~ /`.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A valid name: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8, relative, without empty, `.` or `..`
/// segments and without control characters. It is cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is not a valid name. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No byte at all.
    #[error("the name is empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("the name is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8 after percent-decoding.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// It begins with `/`.
    #[error("the name is absolute; leave out the first /")]
    Absolute,
    /// A segment is empty, `.` or `..`.
    #[error("the name has an empty, . or .. segment")]
    Segment,
    /// A control character would forge lines wherever the name is shown.
    #[error("the name has a control character in it")]
    Control,
}

impl Name {
    /// Takes a plain, decoded name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if name.starts_with('/') {
            return Err(NameError::Absolute);
        }
        if has_control(name) {
            return Err(NameError::Control);
        }
        let mut segments = name.as_bytes().split(|byte| *byte == b'/');
        if segments.any(|segment| matches!(segment, b"" | b"." | b"..")) {
            return Err(NameError::Segment);
        }
        Ok(Self(name.into()))
    }

    /// Takes a name as it stands on the wire, percent-encoded or not.
    pub fn from_wire(word: &str) -> Result<Self, NameError> {
        Self::new(&decode(word)?)
    }

    /// The name with an ending, as `.gz`: text without `/` and control characters.
    pub fn with_ending(&self, ending: &str) -> Result<Self, NameError> {
        debug_assert!(!ending.contains('/') && !has_control(ending), "it is an ending");
        match self.0.len() + ending.len() > NAME_BYTES_MAX {
            true => Err(NameError::TooLong),
            false => Ok(Self([&self.0, ending].concat().into())),
        }
    }

    /// Takes a text that was a name before.
    pub(in crate::ring) fn known(name: &str) -> Self {
        Self(name.into())
    }

    /// The decoded name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands on the wire.
    pub fn wire(&self) -> impl fmt::Display + '_ {
        encode(&self.0)
    }
}

fn has_control(name: &str) -> bool {
    match name.is_ascii() {
        true => name.bytes().any(|byte| byte.is_ascii_control()),
        false => name.chars().any(char::is_control),
    }
}

/// Whether a text is a valid name of a ring: 1 to [`RING_NAME_BYTES_MAX`] letters, digits, `.`, `_`, `-`.
pub fn is_ring_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=RING_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Percent-encodes any text as names are encoded: ASCII, without spaces.
pub fn encode(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

/// Undoes [`encode`]. A `%` that no two hexadecimal digits follow stands for itself.
pub fn decode(word: &str) -> Result<std::borrow::Cow<'_, str>, NameError> {
    if !word.bytes().any(|byte| byte == b'%') {
        return Ok(word.into());
    }
    percent_decode(word.as_bytes()).decode_utf8().map_err(|_| NameError::NotUtf8)
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_ring_or_forge_a_line_are_refused() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (text, error) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong),
            ("%ff", NameError::NotUtf8),
            ("/etc/passwd", NameError::Absolute),
            ("%2Fetc", NameError::Absolute),
            ("a/../b", NameError::Segment),
            ("%2e%2e", NameError::Segment),
            ("a//b", NameError::Segment),
            ("a/", NameError::Segment),
            (".", NameError::Segment),
            ("a%0Ab", NameError::Control),
            ("a%00", NameError::Control),
        ] {
            assert_eq!(Name::from_wire(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_name_survives_the_wire() {
        for text in
            ["index.html", "img/a b.png", "grüße.txt", "100%.txt", "%41", "a=b", "日本", "~x"]
        {
            let name = Name::new(text).unwrap();
            let wire = name.wire().to_string();
            assert!(wire.is_ascii() && !wire.contains(' '), "{wire}");
            assert_eq!(Name::from_wire(&wire).unwrap(), name);
        }
        assert_eq!(Name::from_wire("grüße.txt").unwrap().as_str(), "grüße.txt");
    }
}
