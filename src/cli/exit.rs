//! How a command ends, and why it does not start.

use std::process::{ExitCode, Termination};

/// How a command ended. `main` can return it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done.
    #[default]
    Done = 0,
    /// Something failed; stderr says what.
    Failed = 1,
    /// The command line or an environment variable is wrong.
    Usage = 2,
    /// No member of the ring has the name.
    NotFound = 3,
    /// The server says that the request is wrong: a status of 4xx.
    Refused = 4,
    /// The server says that it has failed: a status of 5xx.
    ServerFailed = 5,
    /// What was to be replaced has changed: a status of 412.
    Conflict = 6,
    /// SIGHUP ended it before it was done: the code that shells give this.
    HungUp = 129,
    /// SIGINT did.
    Interrupted = 130,
    /// SIGTERM did.
    Terminated = 143,
    /// No node or server answered at all (`EX_UNAVAILABLE` of sysexits).
    Unreachable = 69,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// What is wrong with the command line or the environment, in words that help to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
