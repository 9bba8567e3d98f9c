//! The help of a command: what argh writes, and the options that it does not know.

use std::fmt::Write as _;

use argh::{ArgsInfo, EarlyExit, FlagInfo, FromArgs};

/// Where the description of an option begins, as argh writes it.
const COLUMN: usize = 20;
const WIDTH: usize = 80;
/// The end of argh's last line of the options.
const LAST: &str = "display usage information\n";

/// The help of a program, or of one of its verbs. `shared` has the lines of more options.
pub(super) fn text<T: FromArgs + ArgsInfo>(name: &str, verb: Option<&str>, shared: &str) -> String {
    let words: Vec<&str> = verb.into_iter().chain(["--help"]).collect();
    let text = match T::from_args(&[name], &words) {
        Err(EarlyExit { output, .. }) => output,
        // A program that uses `--help` for something else has no other text.
        Ok(_) => String::new(),
    };
    let common = match verb {
        Some(_) => of_program(T::get_args_info().flags),
        None => String::new(),
    };
    wrapped(&with_more(&text, shared, &common))
}

/// Breaks usage, description and notes into lines that fit a terminal; argh leaves them as they are.
/// The paragraphs of the notes are filled.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::with_capacity(text.len());
    let (mut section, mut paragraph) = ("", String::new());
    for line in text.lines().map(str::trim_end) {
        let is_note = section == "Notes:" && line.starts_with("  ");
        if is_note {
            paragraph += line;
            continue;
        }
        wrap(&mut wrapped, &std::mem::take(&mut paragraph));
        if line.ends_with(':') && !line.starts_with(' ') {
            section = line;
        }
        match section.is_empty() {
            true => wrap(&mut wrapped, line),
            false => wrapped += line,
        }
        if !section.is_empty() || line.is_empty() {
            wrapped.push('\n');
        }
    }
    wrap(&mut wrapped, &paragraph);
    wrapped
}

/// Appends a line, as several if it is too long. Nothing for an empty one.
fn wrap(text: &mut String, line: &str) {
    let is_usage = line.starts_with("Usage: ");
    let (first, indent) = match line.len() - line.trim_start().len() {
        0 if is_usage => (0, "Usage: ".len()),
        indent => (indent, indent),
    };
    let mut column = 0;
    for chunk in chunks(line, is_usage) {
        let width = chunk.chars().count();
        if column == 0 {
            text.extend(std::iter::repeat_n(' ', first));
            column = first;
        } else if column + 1 + width > WIDTH {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(&chunk);
        column += width;
    }
    if !line.is_empty() {
        text.push('\n');
    }
}

/// The words of a line; in a usage, those in one pair of brackets are one.
fn chunks(line: &str, is_usage: bool) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    let mut depth = 0;
    for word in line.split_whitespace() {
        match chunks.last_mut().filter(|_| is_usage && depth > 0) {
            Some(chunk) => *chunk += &format!(" {word}"),
            None => chunks.push(word.to_owned()),
        }
        depth += word.matches('[').count();
        depth -= word.matches(']').count().min(depth);
    }
    chunks
}

/// Adds an option to a help text, in the form that argh gives to its own.
pub fn describe(text: &mut String, option: &str, help: &str) {
    let mut line = format!("  {option}");
    if line.len() >= COLUMN {
        let _ = writeln!(text, "{line}");
        line.clear();
    }
    for word in help.split_whitespace() {
        if line.len() > COLUMN && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line.clear();
        }
        match line.len() > COLUMN {
            true => line.push(' '),
            false => line.extend(std::iter::repeat_n(' ', COLUMN - line.len())),
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// The options of the program, for the help of a verb.
fn of_program(flags: &[FlagInfo<'_>]) -> String {
    let mut text = "\nOptions of every verb:\n".to_owned();
    for flag in flags.iter().filter(|flag| flag.long != "--help") {
        let short = flag.short.map_or_else(String::new, |short| format!("-{short}, "));
        describe(&mut text, &format!("{short}{}", flag.long), flag.description);
    }
    text
}

/// argh does not know of `--version`, so the help gets its line here, above the one for `--help`,
/// with `shared` lines before it, and `common` ones behind all. A command with no options of its
/// own has options nevertheless.
fn with_more(help: &str, shared: &str, common: &str) -> String {
    let Some(end) = help.find(LAST).map(|at| at + LAST.len()) else { return help.to_owned() };
    let (before, after) = help.split_at(end);
    let at = before.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let (before, last) = before.split_at(at);
    let before = match before.split_once('\n') {
        Some((usage, rest)) if !usage.contains('[') => format!("{usage} [<options>]\n{rest}"),
        _ => before.to_owned(),
    };
    let mut version = String::new();
    // Some verbs have an option of this name themselves.
    let is_taken = before.lines().any(|line| line.trim_start().starts_with("--version"));
    match is_taken {
        true => describe(&mut version, "-V", "print the version of this program and exit"),
        false => describe(&mut version, "-V, --version", "print the version and exit"),
    }
    format!("{before}{shared}{version}{last}{common}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_shows_the_version_option() {
        let help =
            "Usage: x\n\nOptions:\n  -h, --help        display usage information\n\nNotes:\n";
        let more = with_more(help, "  --more\n", "\nCommon\n");
        assert_eq!(
            more,
            "Usage: x [<options>]\n\nOptions:\n  --more\n\
             \u{20} -V, --version     print the version and exit\n\
             \u{20} -h, --help        display usage information\n\
             \nCommon\n\nNotes:\n"
        );
        assert_eq!(with_more("Usage: x\n", "more", ""), "Usage: x\n");
    }

    #[test]
    fn long_lines_are_wrapped_and_examples_are_not() {
        let usage = format!("Usage: x {}<file>", "[--option <value>] ".repeat(4));
        let long = "word ".repeat(20);
        let text = format!(
            "{usage}\n\n{long}\n\nExamples:\n  {long}\n\nNotes:\n  {long}\n  one\n  \n  two\n\nEnd:\n"
        );
        let fifteen = ["word"; 15].join(" ");
        let sixteen = ["word"; 16].join(" ");
        let shown = format!(
            "Usage: x {}\n       [--option <value>] <file>\n\n{sixteen}\nword word word word\n\n\
             Examples:\n  {}\n\nNotes:\n  {fifteen}\n  word word word word word one\n\n  two\n\nEnd:\n",
            ["[--option <value>]"; 3].join(" "),
            long.trim_end(),
        );
        assert_eq!(wrapped(&text), shown);
    }

    #[test]
    fn options_are_described_as_argh_does() {
        let mut text = String::new();
        describe(&mut text, "--port", "port to listen on");
        describe(&mut text, "--max-all-connections", &"word ".repeat(20));
        let shown = format!(
            "  --port            port to listen on\n  --max-all-connections\n{0:20}{1}\n{0:20}{2}\n",
            "",
            ["word"; 12].join(" "),
            ["word"; 8].join(" ")
        );
        assert_eq!(text, shown);
    }
}
