//! The grammar of a line: a verb, perhaps a name, keys with values, and a text for people.

use std::{fmt, io::Write as _, str::FromStr};

use super::name::{Name, NameError};

/// Words that are found once, when a line is taken apart. A FORWARD has fewer; words beyond these are
/// found each time that they are looked for.
const WORDS: usize = 16;

/// A line without its LF, borrowed from the bytes that were read.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    first: [&'a str; WORDS],
    count: usize,
    more: Words<'a>,
    text: &'a str,
}

/// Words with spaces between them, one or more.
#[derive(Clone, Copy, Debug)]
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    // Byte by byte: words are too short for a search to pay.
    fn next(&mut self) -> Option<&'a str> {
        let start = self.0.bytes().position(|byte| byte != b' ')?;
        let rest = &self.0[start..];
        let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        let word;
        (word, self.0) = rest.split_at(end);
        Some(word)
    }
}

impl<'a> Line<'a> {
    /// Takes a line apart. The line may end in CR; its LF is already gone.
    pub fn new(line: &'a str) -> Self {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (words, text) = split_text(line);
        let (mut first, mut count, mut more) = ([""; WORDS], 0, Words(words));
        for (place, word) in first.iter_mut().zip(&mut more) {
            *place = word;
            count += 1;
        }
        Self { first, count, more, text }
    }

    /// The words in front of the text, keys among them.
    pub fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.first.into_iter().take(self.count).chain(self.more)
    }

    /// The n-th word: 0 is the verb or the status.
    pub fn word(&self, n: usize) -> Option<&'a str> {
        self.words().nth(n)
    }

    /// The n-th word as a name. A key in that place is refused: the name was forgotten, since a
    /// file is hardly called `len=5`.
    pub fn name(&self, n: usize) -> Result<Name, NameError> {
        let word = self.word(n).filter(|word| !word.starts_with("len="));
        Name::from_wire(word.unwrap_or_default())
    }

    /// The value of a key, if the line has it.
    pub fn key(&self, key: &str) -> Option<&'a str> {
        let value = |word: &'a str| {
            let has_sign = word.as_bytes().get(key.len()) == Some(&b'=');
            (has_sign && word.starts_with(key)).then(|| &word[key.len() + 1..])
        };
        self.first[..self.count]
            .iter()
            .copied()
            .find_map(value)
            .or_else(|| self.more.clone().find_map(value))
    }

    /// The value of a key, parsed; `Err` names the key.
    pub fn parsed<T: FromStr>(&self, key: &'static str) -> Result<T, BadKey> {
        self.key(key).and_then(|value| value.parse().ok()).ok_or(BadKey(key))
    }

    /// The value of a key that may be absent, parsed.
    pub fn optional<T: FromStr>(&self, key: &'static str) -> Result<Option<T>, BadKey> {
        self.key(key).map(|value| value.parse().map_err(|_| BadKey(key))).transpose()
    }

    /// The value of a key that must be decimal digits alone (`str::parse` would take a `+`).
    pub fn number(&self, key: &'static str) -> Result<u64, BadKey> {
        self.key(key).and_then(decimal).ok_or(BadKey(key))
    }

    /// The value of a key that must be decimal digits alone, or `default` if it is absent.
    pub fn number_or(&self, key: &'static str, default: u64) -> Result<u64, BadKey> {
        self.key(key).map_or(Some(default), decimal).ok_or(BadKey(key))
    }

    /// The value of a key that must be hexadecimal digits alone.
    pub fn hex<T: TryFrom<u128>>(&self, key: &'static str) -> Result<T, BadKey> {
        let digits = self.key(key).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        number.and_then(|number| number.try_into().ok()).ok_or(BadKey(key))
    }

    /// The value of a key that must be 0 or 1.
    pub fn flag(&self, key: &'static str) -> Result<bool, BadKey> {
        match self.number(key)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadKey(key)),
        }
    }

    /// What follows ` : `, for people.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

/// The words of a line, and what follows the first ` : `.
fn split_text(line: &str) -> (&str, &str) {
    let colon = line.as_bytes().windows(3).position(|it| it == b" : ");
    colon.map_or((line, ""), |at| (&line[..at], &line[at + 3..]))
}

/// A key that a line must have and has not, or whose value does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key {0}= is missing or has no valid value")]
pub struct BadKey(pub &'static str);

/// Parses decimal digits, and nothing but digits.
pub fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Appends a line and its LF.
pub(super) fn push_line(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
    out.push(b'\n');
}

/// A text for people, which may quote what a client sent and must not forge another line.
pub(super) fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
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
        assert_eq!(Line::new("  GET   a  ").words().collect::<Vec<_>>(), ["GET", "a"]);
        assert_eq!(Line::new("a: b :c  : d : e").text(), "d : e");
    }

    #[test]
    fn a_line_may_have_any_number_of_words() {
        for count in [0, 1, WORDS - 1, WORDS, WORDS + 1, 3 * WORDS] {
            let words: Vec<String> = (0..count).map(|n| format!("k{n}={n}")).collect();
            let text = words.join("  ");
            let line = Line::new(&text);
            assert!(line.words().eq(words.iter()), "{text}");
            for (n, word) in words.iter().enumerate() {
                assert_eq!(line.word(n), Some(&**word));
                assert_eq!(line.number(format!("k{n}").leak()), Ok(n as u64));
            }
            assert_eq!((line.word(count), line.key("k"), line.key("k99")), (None, None, None));
        }
    }

    #[test]
    fn a_key_that_may_be_absent_may_not_be_wrong() {
        let line = Line::new("X n=5 h=ff flag=1 bad=+1 two=2 wide=10000000000000000");
        assert_eq!((line.number_or("n", 7), line.number_or("none", 7)), (Ok(5), Ok(7)));
        assert_eq!(line.number_or("bad", 7), Err(BadKey("bad")));
        assert_eq!(
            (line.optional::<u8>("n"), line.optional::<u8>("none")),
            (Ok(Some(5)), Ok(None))
        );
        assert_eq!(line.optional::<u8>("h"), Err(BadKey("h")));
        assert_eq!((line.hex("h"), line.hex::<u64>("none")), (Ok(255_u64), Err(BadKey("none"))));
        assert_eq!(
            (line.hex("wide"), line.hex::<u64>("wide")),
            (Ok(1_u128 << 64), Err(BadKey("wide")))
        );
        assert_eq!((line.flag("flag"), line.flag("two")), (Ok(true), Err(BadKey("two"))));
    }
}
