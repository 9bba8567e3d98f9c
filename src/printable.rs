//! Text from elsewhere that stays on its line and does nothing to a terminal.
//!
//! Peers, clients and file names can contain anything: line ends that forge a line of a log, escape
//! sequences that colour or clear a terminal, characters that turn the direction of what follows. All
//! of them are shown as escapes, `\n` or `\u{202e}`; everything else stays as it is.

use std::fmt::{self, Display, Write as _};

/// Shows a text with escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, char) in self.0.char_indices().filter(|(_, char)| !is_printable(*char)) {
            f.write_str(&self.0[plain..at])?;
            match char {
                '\n' | '\r' | '\t' => write!(f, "{}", char.escape_default())?,
                _ => write!(f, "{}", char.escape_unicode())?,
            }
            plain = at + char.len_utf8();
        }
        f.write_str(&self.0[plain..])
    }
}

/// The beginning of a text, if it is longer than this, and how long it is.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    let end = (0..=text.len().min(bytes_max)).rev().find(|&end| text.is_char_boundary(end));
    let mut shown = text[..end.unwrap_or_default()].to_owned();
    if shown.len() < text.len() {
        let _ = write!(shown, "... ({} bytes)", text.len());
    }
    shown
}

/// The same as a string of JSON, with its quotation marks.
pub(crate) struct JsonText<'a>(pub(crate) &'a str);

impl Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                '\n' => f.write_str("\\n")?,
                // All of these have four digits.
                _ if !is_printable(char) => write!(f, "\\u{:04x}", u32::from(char))?,
                _ => f.write_char(char)?,
            }
        }
        f.write_char('"')
    }
}

/// A document of JSON in which the same characters are escaped: what it says stays the same.
pub(crate) fn json_document(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for char in document.chars() {
        match char {
            // Between strings, there may be line ends.
            '\n' => shown.push(char),
            // All of these have four digits.
            _ if !is_printable(char) => _ = write!(shown, "\\u{:04x}", u32::from(char)),
            _ => shown.push(char),
        }
    }
    shown
}

/// Not a control character, a line end of Unicode, or one that changes the direction of text.
fn is_printable(char: char) -> bool {
    let turns = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(char, '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}' | '\u{feff}');
    !char.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_its_line_and_leaves_the_terminal_alone() {
        for (text, shown, json) in [
            ("hello", "hello", r#""hello""#),
            ("ä 👩‍👩‍👧 \"q\" \\", "ä 👩‍👩‍👧 \"q\" \\", r#""ä 👩‍👩‍👧 \"q\" \\""#),
            ("a\nb\r\t", "a\\nb\\r\\t", r#""a\nb\u000d\u0009""#),
            ("\u{1b}[31m\u{9b}", "\\u{1b}[31m\\u{9b}", r#""\u001b[31m\u009b""#),
            ("\u{202e}abc\u{2028}", "\\u{202e}abc\\u{2028}", r#""\u202eabc\u2028""#),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
            assert_eq!(JsonText(text).to_string(), json);
        }
    }

    #[test]
    fn a_document_of_json_says_the_same_in_characters_that_do_nothing() {
        let value = serde_json::json!({ "ä\u{202e}": ["\n\u{1b}\u{9b}31m\u{2028}", 1] });
        for document in [value.to_string(), format!("{value:#}")] {
            let shown = json_document(&document);
            assert!(shown.chars().all(|char| char == '\n' || is_printable(char)), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hell... (5 bytes)");
        assert_eq!(cut("üü", 3), "ü... (4 bytes)");
    }
}
