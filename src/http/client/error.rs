//! Why a request did not succeed.

use std::{error::Error as StdError, fmt, io};

use http_client::http_types::StatusCode;

/// What went wrong, in few enough kinds that a caller can decide by them. Its text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No process listens at the address. Nothing was sent.
    Refused,
    /// There is no route to the address. Nothing was sent.
    Unreachable,
    /// The host's name has no address. Nothing was sent.
    NameNotResolved,
    /// One of the deadlines passed; see [`ClientError::may_have_arrived`].
    TimedOut,
    /// The connection ended before the answer was whole.
    Reset,
    /// What came is no HTTP/1 answer, or it cannot be passed on.
    BadAnswer,
    /// The answer's head or body is longer than it may be.
    TooLarge,
    /// The request cannot be sent as it is, or its body could not be read.
    Invalid,
    /// The error is not from the transport; maybe the answer was not the JSON that it should be.
    Other,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "host unreachable",
            Self::NameNotResolved => "name not resolved",
            Self::TimedOut => "timed out",
            Self::Reset => "connection lost",
            Self::BadAnswer => "bad answer",
            Self::TooLarge => "answer too large",
            Self::Invalid => "invalid request",
            Self::Other => "request failed",
        })
    }
}

/// The cause of an error that surf returned, also if it came while a body was read.
pub fn cause(error: &surf::Error) -> Cause {
    ClientError::find(error.as_ref()).map_or(Cause::Other, ClientError::cause)
}

/// Why a request did not succeed. It is the source of the [`surf::Error`], and of the [`io::Error`]
/// if the answer's body is read as a stream.
///
/// If there is no answer at all, the [`surf::Error`] has the status that a gateway would answer:
/// 504 if it timed out, 500 if the request is invalid, else 502. If it came while the body was
/// read, surf makes its own status.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}: {what}")]
pub struct ClientError {
    cause: Cause,
    what: String,
    /// What was bad about an answer, and no more.
    fault: Option<String>,
    may_have_arrived: bool,
}

impl ClientError {
    /// What went wrong.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether a part of the request was sent: then the server may have acted on it.
    pub fn may_have_arrived(&self) -> bool {
        self.may_have_arrived
    }

    /// What was wrong with an answer, in a few printable words, as `invalid HTTP header`. `None`: the
    /// error is not about an answer that came.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Finds the transport's error in another one or among its sources.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // The source of an `io::Error` is that of the error inside it, and not that error.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inside) => Some(inside),
                None => error.source(),
            };
        }
        None
    }

    /// With the status; `?` would turn all into 500.
    pub(super) fn into_surf(self) -> surf::Error {
        let status = match self.cause {
            Cause::TimedOut => StatusCode::GatewayTimeout,
            Cause::Invalid | Cause::Other => StatusCode::InternalServerError,
            _ => StatusCode::BadGateway,
        };
        surf::Error::new(status, self)
    }

    pub(super) fn new(cause: Cause, what: impl fmt::Display) -> Self {
        Self { cause, what: what.to_string(), fault: None, may_have_arrived: false }
    }

    pub(super) fn invalid(what: impl fmt::Display) -> Self {
        Self::new(Cause::Invalid, what)
    }

    pub(super) fn bad_answer(peer: impl fmt::Display, what: impl fmt::Display) -> Self {
        let fault = Some(what.to_string());
        let what = format_args!(
            "{peer} sent what is no answer: {what}. Check that an HTTP/1.1 server listens there"
        );
        Self { fault, may_have_arrived: true, ..Self::new(Cause::BadAnswer, what) }
    }

    pub(super) fn too_large(peer: impl fmt::Display, what: impl fmt::Display) -> Self {
        let what = format_args!("{peer} sent {what}. Ask for less, or allow more");
        Self { may_have_arrived: true, ..Self::new(Cause::TooLarge, what) }
    }

    pub(super) fn sent(self, may_have_arrived: bool) -> Self {
        Self { may_have_arrived, ..self }
    }

    /// No connection could be made.
    pub(super) fn connecting(peer: impl fmt::Display, error: &io::Error) -> Self {
        use io::ErrorKind::*;
        let cause = match error.kind() {
            ConnectionRefused => Cause::Refused,
            TimedOut => Cause::TimedOut,
            ConnectionReset | ConnectionAborted => Cause::Reset,
            _ => Cause::Unreachable,
        };
        Self::new(
            cause,
            format_args!("cannot reach {peer}: {error}. Check that a server runs there"),
        )
    }

    /// hyper gave up.
    pub(super) fn exchanging(peer: impl fmt::Display, error: &hyper::Error) -> Self {
        let io = find_io(error);
        let kind = io.map(io::Error::kind);
        if error.is_user() && !error.is_body_write_aborted() && io.is_some() {
            let why = io.map(ToString::to_string).unwrap_or_default();
            return Self::invalid(format_args!("the request's body cannot be read: {why}"));
        }
        if error.is_parse_too_large() {
            return Self::too_large(peer, "a head that is too long");
        }
        let is_nonsense =
            matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput));
        if error.is_parse() || is_nonsense {
            // hyper's error names the part, and its source says what is wrong with that.
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            let fault = match why.strip_suffix(" parsed").unwrap_or(&why) {
                "invalid HTTP version" => "not HTTP/1.1",
                why => why,
            };
            return Self::bad_answer(peer, fault);
        }
        let why = io.map_or_else(|| "it was closed".to_owned(), ToString::to_string);
        if kind == Some(io::ErrorKind::TimedOut) {
            return Self::new(Cause::TimedOut, format_args!("{peer} is gone ({why}). Try again"));
        }
        let what = format_args!(
            "{peer} ended the connection before its answer was whole ({why}). Try again"
        );
        Self::new(Cause::Reset, what)
    }
}

fn find_io(error: &hyper::Error) -> Option<&io::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        use io::ErrorKind::*;
        let kind = match error.cause {
            Cause::Refused => ConnectionRefused,
            Cause::Unreachable => HostUnreachable,
            Cause::NameNotResolved => NotFound,
            Cause::TimedOut => TimedOut,
            Cause::Reset => ConnectionReset,
            Cause::BadAnswer | Cause::TooLarge => InvalidData,
            Cause::Invalid => InvalidInput,
            Cause::Other => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
