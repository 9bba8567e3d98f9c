//! Answers of a node over HTTP: their headers, and how an error is written.

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::{body, negotiation::Form};
use crate::{
    http::pieces::Source,
    net::handle::Reply,
    ring::message::{Answer as NodeAnswer, Refusal, Status},
    serve::ErrorForm,
};

/// How many live members hold what was written.
pub(super) const COPIES: HeaderName = HeaderName::from_static("smolring-copies");
/// Which version a file has.
pub(super) const VERSION: HeaderName = HeaderName::from_static("smolring-version");
/// Of pages that are made here: they have no script, style, picture or frame.
const OWN_PAGE_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Which pages of other origins may use an answer.
pub(super) const RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");
/// Seconds after which it is worth while to ask again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// For so many headers there is room at once: an answer with a file has no more.
const HEADERS: usize = 12;

pub(super) type Answer = Response<Source>;

/// An answer with this type.
pub(super) fn of(status: StatusCode, kind: &'static str, source: Source) -> Answer {
    let mut answer = bare(status, source);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// An answer without a type.
pub(super) fn bare(status: StatusCode, source: Source) -> Answer {
    let mut answer = Response::new(source);
    *answer.status_mut() = status;
    *answer.headers_mut() = HeaderMap::with_capacity(HEADERS);
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

/// Something that is made anew for each request, and that no page of another origin may embed.
pub(super) fn fresh(status: StatusCode, kind: &'static str, source: Source) -> Answer {
    let mut answer = of(status, kind, source);
    set(answer.headers_mut(), header::CACHE_CONTROL, "no-store");
    set(answer.headers_mut(), RESOURCE_POLICY, "same-origin");
    answer
}

/// JSON that is made anew for each request.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    fresh(status, "application/json", body::text(format!("{value}\n")))
}

/// A page that is made here: a title, and what is between it and the end.
pub(super) fn page(title: &str, rest: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n</head>\n\
         <body>\n<h1>{title}</h1>\n{rest}</body>\n</html>\n"
    )
}

/// The headers of such a page.
pub(super) fn as_page(answer: &mut Answer) {
    set(answer.headers_mut(), header::CONTENT_SECURITY_POLICY, OWN_PAGE_POLICY);
}

/// Says why a request is not done: as a page, or as RFC 9457 has it.
pub(super) fn error(status: StatusCode, why: &str, form: Form) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let mut answer = match form {
        Form::Html => {
            let rest = format!("<p>{}</p>\n", escaped(why));
            let page = body::text(page(&format!("{} {title}", status.as_u16()), &rest));
            let mut answer = fresh(status, "text/html; charset=utf-8", page);
            as_page(&mut answer);
            answer
        }
        Form::Json | Form::Any => {
            let form = ErrorForm::Problem;
            let text = form.body(status.as_u16(), title, Some(why));
            fresh(status, form.content_type(), body::text(text + "\n"))
        }
    };
    set(answer.headers_mut(), header::VARY, "Accept");
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S);
    }
    answer
}

/// What the node has refused: its numbers are those of HTTP.
pub(super) fn refused(refusal: &Refusal, form: Form) -> Answer {
    let status = match refusal.status {
        // The node has given up, and not the client.
        Status::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
        status => {
            let code = status.words().0;
            StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    error(status, &refusal.reason, form)
}

/// Why a node has not done what it was asked for.
pub(super) fn refusal_of(reply: Reply) -> Refusal {
    match reply {
        Reply::Whole(NodeAnswer::Refused(refusal)) => refusal,
        _ => Refusal::new(Status::Unavailable, "the node answered something else"),
    }
}

/// Leads to another target of the same node.
pub(super) fn redirect(to: &str, form: Form) -> Answer {
    let mut answer = error(StatusCode::MOVED_PERMANENTLY, &format!("it is at {to}"), form);
    set(answer.headers_mut(), header::LOCATION, to);
    set(answer.headers_mut(), header::CACHE_CONTROL, "no-cache");
    answer
}

/// Sets a header. What cannot be one is left out; nothing that a client sends comes here unencoded.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A text in a page.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
