//! How a verb ends, and what all verbs print with.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    cli::{self, Exit, UsageError},
    client::{error::Error, human::shown, progress::aside},
    printable::json_document,
    ring::{name::Name, version::Version},
};

/// Why a verb did not do what was asked.
pub(super) enum Failure {
    Usage(UsageError),
    Ring(Error),
    /// No member has the name.
    Missing(Name),
    /// The name has no such version; why not.
    NoVersion(Name, String),
    /// It would destroy what it may not be meant to.
    Unsafe(String),
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
        Error::Status { status: 412, .. } => Exit::Conflict,
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
    print_beside(text).map_err(Failure::Stdout)
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

/// What a verb prints while it works. It goes on when nothing reads its output, because what it does
/// matters more.
pub(super) struct Printed(io::Result<()>);

impl Default for Printed {
    fn default() -> Self {
        Self(Ok(()))
    }
}

impl Printed {
    /// Prints a line as it is, unless printing has failed once.
    pub fn line(&mut self, text: impl Display) {
        if self.0.is_ok() {
            self.0 = print_beside(format_args!("{text}\n"));
        }
    }

    /// Prints a document, on a line of its own.
    pub fn json(&mut self, value: &Value) {
        if self.0.is_ok() {
            self.0 = print_beside(json_line(value));
        }
    }

    /// How the verb ends that would otherwise end so.
    pub fn ended(self, exit: Exit) -> Result<Exit, Failure> {
        match (exit, self.0) {
            (Exit::Done, Err(error)) => Err(Failure::Stdout(error)),
            _ => Ok(exit),
        }
    }
}

/// Prints, with no line of progress in the way.
fn print_beside(text: impl Display) -> io::Result<()> {
    match io::stdout().is_terminal() {
        true => aside(|| cli::print(text)),
        false => cli::print(text),
    }
}

/// Says it on stderr, with no line of progress in the way.
pub(super) fn say(called: &str, message: impl Display) {
    aside(|| cli::say(called, message));
}

/// When a version was put, by the ring's time.
pub(super) fn put_at(version: &Version) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(version.stamp.wall_ms())
}

/// The time by this machine's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

pub(super) fn valid(name: &str) -> Result<Name, UsageError> {
    Name::new(name).map_err(|bad| UsageError(format!("`{}` cannot be a name: {bad}", shown(name))))
}
