//! Answers that are made here, because the application makes none: what a client is told when its
//! request is refused.

use std::time::SystemTime;

use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};

use super::pieces::{Pieces, Source};

/// The `server` header of every answer.
pub(super) const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("smolring/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer from an application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// The client is told so, and its connection is closed: where its next request begins is
    /// unknown.
    Status(StatusCode),
    /// Something went wrong on this side of the request; the connection may stay.
    Failed,
    /// The client is told nothing.
    Lost,
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

/// The error that hyper is given for an answer that is lost on purpose.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(super) struct Lost;

/// One line of text that says what the status means.
pub(super) fn response(status: StatusCode, error_type: &'static str) -> Response<Source> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(error_type));
    let text = Pieces::Whole(Bytes::from_static(reason(status)));
    let mut response = Response::new(Source::Pieces(text));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The same as bytes of HTTP/1, for a connection that hyper does not serve, or no longer.
pub(super) fn bytes(status: StatusCode, error_type: &str) -> Bytes {
    let reason = String::from_utf8_lossy(reason(status));
    let date = httpdate::HttpDate::from(SystemTime::now());
    format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {error_type}\r\nServer: {}\r\n\
         Connection: close\r\nContent-Length: {}\r\nDate: {date}\r\n\r\n{reason}",
        status.as_u16(),
        SERVER.to_str().unwrap_or_default(),
        reason.len(),
    )
    .into()
}

/// The reason phrase, as `Bad Request`.
pub(super) fn reason(status: StatusCode) -> &'static [u8] {
    status.canonical_reason().unwrap_or("Error").as_bytes()
}

/// The status for what hyper could not parse.
///
/// hyper can be asked whether something was too large, but not what: a URI of more than 64 KiB or
/// the whole head. Only its text tells them apart, and here is the one place that looks at it.
pub(super) fn status_of(error: &hyper::Error) -> StatusCode {
    if !error.is_parse_too_large() {
        StatusCode::BAD_REQUEST
    } else if error.to_string().contains("URI") {
        StatusCode::URI_TOO_LONG
    } else {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    }
}
