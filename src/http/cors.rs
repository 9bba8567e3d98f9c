//! Cross-origin requests of browsers: what `--cors` allows.

use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
    http::request,
};

use super::pieces::{Pieces, Source};
use crate::serve::{
    Options,
    cors::{EXPOSED, MAX_AGE_S, METHODS},
};

/// What the answer to this request allows, if it comes from a page of an origin that may ask.
pub(super) fn origin(options: &Options, head: &request::Parts) -> Option<HeaderValue> {
    let cors = options.cors.as_ref()?;
    let origin = head.headers.get(header::ORIGIN)?.to_str().ok()?;
    HeaderValue::from_str(cors.allows(origin)?).ok()
}

/// The answer to a browser that asks before it sends a request.
pub(super) fn preflight(
    origin: Option<&HeaderValue>,
    head: &request::Parts,
) -> Option<Response<Source>> {
    origin?;
    if head.method != Method::OPTIONS {
        return None;
    }
    head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let mut response = Response::new(Source::Pieces(Pieces::Whole(Bytes::new())));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
    if let Some(wanted) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}

/// Adds to an answer what it allows, and for caches, what that depends on.
pub(super) fn allow(options: &Options, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    if options.cors.as_ref().is_some_and(|cors| !cors.is_any()) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}
