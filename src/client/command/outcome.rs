//! How a verb ends, and what all verbs print with.

use std::{
    fmt::Display,
    io,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    cli::{self, Exit, UsageError},
    client::error::Error,
    ring::name::Name,
};

/// Why a verb did not do what was asked.
pub(super) enum Failure {
    Usage(UsageError),
    Ring(Error),
    Missing(Name),
    Stdout(io::Error),
    File(PathBuf, io::Error),
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

pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    cli::print(text).map_err(Failure::Stdout)
}

/// One document, on a line of its own.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    print(format_args!("{value}\n"))
}

/// The time by this machine's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

pub(super) fn valid(name: &str) -> Result<Name, UsageError> {
    Name::new(name).map_err(|bad| {
        // A control character would forge a line.
        let shown = name.replace(char::is_control, "?");
        UsageError(format!("`{shown}` cannot be a name: {bad}"))
    })
}
