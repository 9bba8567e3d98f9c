//! The lines that the service prints, one for each append.

use std::fmt::Write as _;

use super::{
    limits::SHOWN_BYTES_MAX,
    store::{OnAppend, Outcome},
};
use crate::http::Lines;

/// Prints `[LOGGED]` with a new message, and `[DUPLICATE]` for an id that was known.
pub(super) fn each_append(lines: Lines) -> OnAppend {
    Box::new(move |id, msg, outcome| match outcome {
        Outcome::Logged => lines.say(format_args!("[LOGGED] {id} -> {}", shown(msg))),
        Outcome::Duplicate | Outcome::Conflict => lines.say(format_args!("[DUPLICATE] {id}")),
    })
}

/// A message on one line that does nothing to a terminal: control characters and those that change
/// the direction of the text are escaped, and a long message is cut.
fn shown(msg: &str) -> String {
    let longest = msg.len().min(SHOWN_BYTES_MAX);
    let end = (0..=longest).rev().find(|&end| msg.is_char_boundary(end)).unwrap_or_default();
    let mut shown = String::with_capacity(end);
    for char in msg[..end].chars() {
        let turns = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(char, '\u{2066}'..='\u{2069}' | '\u{feff}');
        match char {
            '\n' | '\r' | '\t' => shown.extend(char.escape_default()),
            _ if char.is_control() || turns => shown.extend(char.escape_unicode()),
            _ => shown.push(char),
        }
    }
    if end < msg.len() {
        let _ = write!(shown, "... ({} bytes)", msg.len());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line_and_leaves_the_terminal_alone() {
        for (msg, line) in [
            ("hello", "hello"),
            ("ä 👩‍👩‍👧 \"q\" \\", "ä 👩‍👩‍👧 \"q\" \\"),
            ("a\nb\r\t", "a\\nb\\r\\t"),
            ("\u{1b}[31m\u{7f}\u{9b}", "\\u{1b}[31m\\u{7f}\\u{9b}"),
            ("\u{202e}abc\u{2028}", "\\u{202e}abc\\u{2028}"),
        ] {
            assert_eq!(shown(msg), line);
        }
        let long = "ü".repeat(SHOWN_BYTES_MAX);
        let line = shown(&long);
        assert!(line.ends_with(&format!("ü... ({} bytes)", long.len())), "{}", line.len());
        assert!(line.len() < SHOWN_BYTES_MAX + 40);
    }
}
