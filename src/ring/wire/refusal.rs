//! Why a request was not done, or why what was received is no message.

use super::{line::BadKey, name::NameError};

/// A request that was not done, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// HTTP's number for it.
    pub status: Status,
    /// What happened and what to do, on one line.
    pub reason: String,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// The status of a refusal. The numbers are HTTP's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "PROTOCOL.md says when each is used")]
pub enum Status {
    BadRequest,
    NotFound,
    RequestTimeout,
    LengthRequired,
    PreconditionFailed,
    ContentTooLarge,
    Unavailable,
    Timeout,
    InsufficientStorage,
}

impl Status {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::BadRequest,
        Self::NotFound,
        Self::RequestTimeout,
        Self::LengthRequired,
        Self::PreconditionFailed,
        Self::ContentTooLarge,
        Self::Unavailable,
        Self::Timeout,
        Self::InsufficientStorage,
    ];

    /// The number and the words of the status line.
    pub fn words(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "BAD REQUEST"),
            Self::NotFound => (404, "NOT FOUND"),
            Self::RequestTimeout => (408, "REQUEST TIMEOUT"),
            Self::LengthRequired => (411, "LENGTH REQUIRED"),
            Self::PreconditionFailed => (412, "PRECONDITION FAILED"),
            Self::ContentTooLarge => (413, "CONTENT TOO LARGE"),
            Self::Unavailable => (503, "UNAVAILABLE"),
            Self::Timeout => (504, "TIMEOUT"),
            Self::InsufficientStorage => (507, "INSUFFICIENT STORAGE"),
        }
    }

    /// The status with this number.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| u64::from(status.words().0) == code)
    }
}

/// What was received is no message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// What to tell the sender.
    pub refusal: Refusal,
    /// Whether the connection must end, because it is unknown where the next message begins.
    pub close: bool,
}

impl Reject {
    /// Refuses one message; the next one can be found.
    pub(super) fn stay(status: Status, reason: impl Into<String>) -> Self {
        Self { refusal: Refusal::new(status, reason), close: false }
    }

    /// Refuses a message whose end cannot be found.
    pub(super) fn close(reason: impl Into<String>) -> Self {
        Self { refusal: Refusal::new(Status::BadRequest, reason), close: true }
    }
}

impl From<BadKey> for Reject {
    fn from(error: BadKey) -> Self {
        Self::stay(Status::BadRequest, error.to_string())
    }
}

impl From<NameError> for Reject {
    fn from(error: NameError) -> Self {
        Self::stay(Status::BadRequest, error.to_string())
    }
}
