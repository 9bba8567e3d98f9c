//! How a verb ends, and what all verbs print with.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    cli::{self, Exit, UsageError},
    client::{error::Error, human::shown},
    printable::json_document,
    ring::name::Name,
};

/// Why a verb did not do what was asked.
pub(super) enum Failure {
    Usage(UsageError),
    Ring(Error),
    /// No member has the name.
    Missing(Name),
    Stdout(io::Error),
    File(PathBuf, io::Error),
    /// A signal of this name came.
    Interrupted(&'static str),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ring(error)
    }
}

pub(super) fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Unreachable { .. } => Exit::Unreachable,
        Error::Status { status: 404, .. } => Exit::NotFound,
        _ => Exit::Failed,
    }
}

/// The exit code where one file ended so and another in that way.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::NotFound => 1,
        Exit::Unreachable => 3,
        _ => 2,
    };
    std::cmp::max_by_key(one, other, rank)
}

/// A name as it is printed to stdout: as it is for a program that reads it, or as it is shown.
pub(super) fn printed_name(name: &Name) -> String {
    match io::stdout().is_terminal() {
        true => shown(name.as_str()),
        false => name.to_string(),
    }
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", shown(&path.display().to_string()))
}

/// Prints lines, each as it is shown: what a node has said in them does nothing to a terminal.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    print_as_it_is(lines(&text.to_string()))
}

/// Prints a text in which nothing has to be escaped, or may be.
pub(super) fn print_as_it_is(text: impl Display) -> Result<(), Failure> {
    cli::print(text).map_err(Failure::Stdout)
}

/// One document, on a line of its own.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    print_as_it_is(json_line(value))
}

/// A document and its line end.
pub(super) fn json_line(value: &Value) -> String {
    json_document(&value.to_string()) + "\n"
}

/// The lines of a text as they are shown.
fn lines(text: &str) -> String {
    let line = |line: &str| match line.strip_suffix('\n') {
        Some(line) => shown(line) + "\n",
        None => shown(line),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The time by this machine's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

pub(super) fn valid(name: &str) -> Result<Name, UsageError> {
    Name::new(name).map_err(|bad| UsageError(format!("`{}` cannot be a name: {bad}", shown(name))))
}
