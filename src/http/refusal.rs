//! Answers that are made here, because the application makes none: what a client is told when its
//! request is refused.

use std::time::SystemTime;

use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};

use super::pieces::{Pieces, Source};
use crate::{http1, serve::ErrorForm};

/// The `server` header of every answer.
pub(super) const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("smolring/", env!("CARGO_PKG_VERSION")));

/// Why a request is refused while all bodies together are at their bound.
pub(crate) const BODIES_FULL: &str = "the server holds too many bytes of requests already";

/// Why there is no answer from an application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// The client is told so, and why; and its connection is closed: where its next request begins is
    /// unknown.
    Status(StatusCode, Option<&'static str>),
    /// Something went wrong on this side of the request; the connection may stay.
    Failed,
    /// The client is told nothing.
    Lost,
}

impl Refusal {
    /// A request that makes no sense.
    pub(super) fn bad(cause: &'static str) -> Self {
        Self::Status(StatusCode::BAD_REQUEST, Some(cause))
    }
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::Status(status, None)
    }
}

impl From<http1::refusal::Refusal> for Refusal {
    fn from(refusal: http1::refusal::Refusal) -> Self {
        Self::Status(status_of(refusal), Some(refusal.cause))
    }
}

/// The status of a request that was refused as it was read.
pub(super) fn status_of(refusal: http1::refusal::Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The error that hyper is given for an answer that is lost on purpose.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(super) struct Lost;

/// What the status means, and why it is so.
pub(super) fn response(
    status: StatusCode,
    errors: ErrorForm,
    cause: Option<&str>,
) -> Response<Source> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(errors.content_type()));
    let mut response = Response::new(Source::Pieces(Pieces::Whole(body(status, errors, cause))));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The body of such an answer.
pub(super) fn body(status: StatusCode, errors: ErrorForm, cause: Option<&str>) -> Bytes {
    errors.body(status.as_u16(), reason(status), cause).into()
}

/// The same as bytes of HTTP/1 around this body, for a connection that hyper does not serve, or no
/// longer.
pub(super) fn bytes(status: StatusCode, errors: ErrorForm, body: &[u8]) -> Vec<u8> {
    let date = httpdate::HttpDate::from(SystemTime::now());
    let mut bytes = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nServer: {}\r\n\
         Connection: close\r\nContent-Length: {}\r\nDate: {date}\r\n\r\n",
        status.as_u16(),
        reason(status),
        errors.content_type(),
        SERVER.to_str().unwrap_or_default(),
        body.len(),
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The reason phrase, as `Bad Request`.
fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// The status for what hyper could not parse, though it was read before (`intake.rs`).
///
/// hyper can be asked whether something was too large, but not what: a URI of more than 64 KiB or
/// the whole head. Only its text tells them apart, and here is the one place that looks at it.
pub(super) fn status_of_hyper(error: &hyper::Error) -> StatusCode {
    if !error.is_parse_too_large() {
        StatusCode::BAD_REQUEST
    } else if error.to_string().contains("URI") {
        StatusCode::URI_TOO_LONG
    } else {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    }
}
