//! What `up` shows: text that fits the terminal's width, and a line that shows progress.
//!
//! Where stdout is no terminal, each event is one line, however long. A command to copy is never
//! broken: a shell would run the first half.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use console::{Term, measure_text_width};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli;

/// In a narrower terminal, words are not wrapped any more.
const COLUMNS_MIN: usize = 40;

/// How many columns stdout has; `None`: it is no terminal.
pub(super) fn columns() -> Option<usize> {
    let (_, columns) = io::stdout().is_terminal().then(|| Term::stdout().size_checked())??;
    Some(usize::from(columns))
}

/// Writes to stdout. It is not an error if stdout is closed.
pub(super) fn print(text: &str) -> Result<(), String> {
    match cli::print(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

/// Ends the line on which the terminal has shown `^C`.
pub(super) fn end_line() {
    if io::stdout().is_terminal() {
        // What follows is readable without it.
        let _ = print("\n");
    }
}

/// A line of a process, after its label. `command` is one to copy, at the end of the text.
pub(super) fn event(
    label: &str,
    text: &str,
    command: Option<&str>,
    columns: Option<usize>,
) -> String {
    let Some(columns) = columns.filter(|columns| *columns >= COLUMNS_MIN) else {
        let command = command.map_or_else(String::new, |command| format!(" {command}"));
        return format!("{label} | {text}{command}\n");
    };
    let (first, next) = (format!("{label} | "), format!("{:1$} | ", "", measure_text_width(label)));
    let mut lines = String::new();
    let mut line = first;
    let mut is_empty = true;
    for word in text.split(' ') {
        let wide = measure_text_width(&line) + usize::from(!is_empty) + measure_text_width(word);
        if wide > columns && !is_empty {
            lines += line.trim_end();
            lines.push('\n');
            line.clone_from(&next);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines += line.trim_end();
    lines.push('\n');
    if let Some(command) = command {
        lines += &format!("  {command}\n");
    }
    lines
}

/// What is shown on the last line while the user waits; nothing if stderr is not a terminal.
pub(super) fn spinner(message: &'static str) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Turns it into a bar, as wide as there is room for.
pub(super) fn progress(bar: &ProgressBar, message: &'static str, steps: usize) {
    let style = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(message);
    bar.set_length(steps as u64);
    bar.set_position(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "2026-11-27T13:23:26.285Z ended, signal: 9 (SIGKILL). To bring it back:";

    #[test]
    fn without_a_terminal_an_event_is_one_line() {
        let line = event("echo", TEXT, Some("smolring echo-service"), None);
        assert_eq!(line, format!("echo | {TEXT} smolring echo-service\n"));
    }

    #[test]
    fn words_are_wrapped_behind_the_label_and_a_command_is_not() {
        let command = "smolring echo-service --ip 127.0.0.1 --port 12345";
        let shown = "\
echo | 2026-11-27T13:23:26.285Z ended,
     | signal: 9 (SIGKILL). To bring it
     | back:
  smolring echo-service --ip 127.0.0.1 --port 12345
";
        assert_eq!(event("echo", TEXT, Some(command), Some(40)), shown);
        for columns in COLUMNS_MIN..120 {
            let lines = event("echo", TEXT, None, Some(columns));
            assert!(lines.lines().all(|line| line.len() <= columns), "{columns}: {lines}");
        }
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        let word = "x".repeat(60);
        assert_eq!(event("a", &word, None, Some(50)), format!("a | {word}\n"));
        assert_eq!(
            event("a", &format!("b {word}"), None, Some(50)),
            format!("a | b\n  | {word}\n")
        );
    }
}
