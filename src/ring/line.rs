//! One line of the protocol, taken apart: a verb, a name perhaps, keys with values, and text.

use std::str::FromStr;

/// A line without its LF, borrowed from the bytes that were read.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    words: &'a str,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart. The line may end in CR; its LF is already gone.
    pub fn new(line: &'a str) -> Self {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (words, text) = line.split_once(" : ").unwrap_or((line, ""));
        Self { words, text }
    }

    /// The words in front of the text, keys among them.
    pub fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.words.split(' ').filter(|word| !word.is_empty())
    }

    /// The n-th word: 0 is the verb or the status.
    pub fn word(&self, n: usize) -> Option<&'a str> {
        self.words().nth(n)
    }

    /// The value of a key, if the line has it.
    pub fn key(&self, key: &str) -> Option<&'a str> {
        let value = |word: &'a str| word.strip_prefix(key)?.strip_prefix('=');
        self.words().find_map(value)
    }

    /// The value of a key, parsed; `Err` names the key.
    pub fn parsed<T: FromStr>(&self, key: &'static str) -> Result<T, BadKey> {
        self.key(key).and_then(|value| value.parse().ok()).ok_or(BadKey(key))
    }

    /// The value of a key that must be decimal digits alone (`str::parse` would take a `+`).
    pub fn number(&self, key: &'static str) -> Result<u64, BadKey> {
        self.key(key).and_then(decimal).ok_or(BadKey(key))
    }

    /// What follows ` : `, for people.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

/// A key that a line must have and has not, or whose value does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key {0}= is missing or has no valid value")]
pub struct BadKey(pub &'static str);

/// Parses decimal digits, and nothing but digits.
pub fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = Line::new("200 OK len=13 version=x : all : well\r");
        assert_eq!(line.words().collect::<Vec<_>>(), ["200", "OK", "len=13", "version=x"]);
        assert_eq!(line.word(1), Some("OK"));
        assert_eq!(line.number("len"), Ok(13));
        assert_eq!(line.key("le"), None);
        assert_eq!(line.text(), "all : well");
        assert_eq!(Line::new("PUT a len=+1").number("len"), Err(BadKey("len")));
        assert_eq!(Line::new("PUT a").number("len"), Err(BadKey("len")));
        assert_eq!(Line::new("").word(0), None);
    }
}
