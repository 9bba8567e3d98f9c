//! What a benchmark does.

use std::time::Duration;

use argh::FromArgValue;

/// What the clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromArgValue)]
pub enum Mode {
    /// GET alone.
    Get,
    /// PUT alone.
    Put,
    /// One PUT in ten requests, the rest GET.
    Mixed,
}

/// What a benchmark does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections, each with a client of its own.
    pub clients: usize,
    /// Requests that a client sends before it reads the answers.
    pub pipeline: usize,
    /// Size of each file.
    pub size_bytes: usize,
    /// How long the clients send requests.
    pub period: Duration,
    /// What they ask for.
    pub mode: Mode,
    /// How many files they use.
    pub names: usize,
}
