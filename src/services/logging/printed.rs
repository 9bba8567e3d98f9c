//! The lines that the service prints, one for each append.

use super::{
    limits::SHOWN_BYTES_MAX,
    store::{OnAppend, Outcome},
};
use crate::{http::Lines, printable::cut, serve::metrics::Counter};

/// Prints `[LOGGED]` with a new message, or without it where it `is_quiet`, and `[DUPLICATE]` for an id
/// that was known.
pub(super) fn each_append(lines: Lines, is_quiet: bool, repeats: Counter) -> OnAppend {
    Box::new(move |id, msg, outcome| match outcome {
        Outcome::Logged if is_quiet => lines.say(format_args!("[LOGGED] {id}")),
        Outcome::Logged => {
            lines.say(format_args!("[LOGGED] {id} -> {}", cut(msg, SHOWN_BYTES_MAX)));
        }
        Outcome::Duplicate | Outcome::Conflict => {
            repeats.count();
            lines.say(format_args!("[DUPLICATE] {id}"));
        }
    })
}
