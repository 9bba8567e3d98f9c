//! Why a request did not succeed.

use std::{fmt, path::Path, time::Duration};

use super::human::shown;

/// Why a request did not succeed. Each variant says what is known about the ring's state.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made; nothing was sent.
    #[error(
        "cannot reach {node}: {cause}. Start a node there, or say where one is with --node HOST:PORT"
    )]
    Unreachable {
        /// The node, or all nodes that were tried.
        node: String,
        /// What the operating system said.
        cause: String,
    },
    /// The node was reached and did not answer in time. Whether a PUT was kept is unknown.
    #[error("{node} gave no answer within {after:.1?}. Try another --node or a longer --timeout")]
    TimedOut {
        /// The node that was asked.
        node: String,
        /// How long the wait was.
        after: Duration,
    },
    /// The connection broke before the answer was whole. Whether a PUT was kept is unknown.
    #[error(
        "{node} closed the connection before its answer was whole. Try again, or another --node"
    )]
    Closed {
        /// The node that was asked.
        node: String,
    },
    /// What came is no answer of this protocol, or its content is damaged.
    #[error("{node} sent a bad answer: {what}. Check that a smolring node listens there")]
    BadAnswer {
        /// The node that was asked.
        node: String,
        /// What is wrong with it.
        what: String,
    },
    /// The node refused, with its own text; PROTOCOL.md says for each status what follows from it.
    #[error("{node} answered {status} {text}")]
    Status {
        /// The node that was asked.
        node: String,
        /// A status as in HTTP, never 200.
        status: u16,
        /// The answer line without the status.
        text: String,
    },
    /// A file on this side cannot be read; nothing whole was sent.
    #[error("cannot read {path}: {cause}")]
    File {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        cause: String,
    },
    /// A file on this side changes; nothing whole was sent.
    #[error("cannot read {path}: it changes while it is read; try again when nothing writes it")]
    Changed {
        /// The file.
        path: String,
    },
    /// The request did not succeed, and cannot be made again at another node: its content came over
    /// a pipe, or went to one.
    #[error("{error}. Another node was not asked: {why}")]
    Once {
        /// Why it did not succeed.
        error: Box<Self>,
        /// Why it is not made again.
        why: &'static str,
    },
}

pub(super) fn unreadable(path: &Path, cause: &dyn fmt::Display) -> Error {
    Error::File { path: shown(&path.display().to_string()), cause: cause.to_string() }
}

impl Error {
    /// Whether another node may do better: this one is down, hangs, or is not ready (503).
    pub fn next_node_may_help(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Closed { .. } => true,
            Self::BadAnswer { .. } => true,
            Self::Status { status, .. } => *status == 503,
            Self::File { .. } | Self::Changed { .. } | Self::Once { .. } => false,
        }
    }

    /// The status, if the node answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Once { error, .. } => error.status(),
            _ => None,
        }
    }

    /// What went wrong, without advice and without the node.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Unreachable { cause, .. } => cause.clone(),
            Self::TimedOut { after, .. } => format!("no answer within {after:.1?}"),
            Self::Closed { .. } => "it closed the connection".into(),
            Self::BadAnswer { what, .. } => format!("a bad answer: {what}"),
            Self::Status { status, text, .. } => format!("{status} {text}"),
            Self::File { cause, .. } => cause.clone(),
            Self::Changed { .. } => "it changes while it is read".into(),
            Self::Once { error, .. } => error.cause(),
        }
    }

    /// Whether a PUT that failed like this may still have been kept.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Closed { .. } | Self::BadAnswer { .. } => true,
            Self::Status { status, .. } => matches!(status, 504 | 507),
            Self::Once { error, .. } => error.outcome_unknown(),
            Self::Unreachable { .. } | Self::File { .. } | Self::Changed { .. } => false,
        }
    }
}
