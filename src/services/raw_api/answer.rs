//! An answer as bytes: a status line, headers, an empty line, a body.

use std::{
    cell::RefCell,
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use httpdate::HttpDate;

use crate::{serve::ErrorForm, services::form::Reply};

/// How a [`Reply`] is written as an answer.
#[derive(Clone, Copy, Default)]
pub(super) struct AnswerOptions<'a> {
    /// The headers alone, in answer to HEAD.
    pub(super) is_head: bool,
    /// The connection ends after this answer.
    pub(super) closes: bool,
    /// The client speaks HTTP/1.0, so it must be told that the connection stays open.
    pub(super) is_old: bool,
    /// Further headers, each with its line end.
    pub(super) headers: &'a str,
}

/// An answer that no handler made: the status in words, and why.
pub(super) fn status(errors: ErrorForm, status: u16, cause: Option<&str>) -> Reply {
    let body = match status {
        204 => Vec::new(),
        _ => errors.body(status, reason(status), cause).into(),
    };
    Reply { status, content_type: errors.content_type(), body, cause: None }
}

/// Appends an answer.
pub(super) fn write(
    out: &mut Vec<u8>,
    reply: &Reply,
    options: AnswerOptions<'_>,
    clock: &DateClock,
) {
    let Reply { status, content_type, body, .. } = reply;
    out.reserve(256 + body.len());
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nServer: smolring/{}\r\n",
        reason(*status),
        env!("CARGO_PKG_VERSION")
    );
    out.extend_from_slice(options.headers.as_bytes());
    if options.closes {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if options.is_old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    // An answer without content has no length either.
    if *status != 204 {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"Date: ");
    clock.date(out);
    out.extend_from_slice(b"\r\n\r\n");
    if !options.is_head {
        out.extend_from_slice(body);
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        204 => "No Content",
        200..300 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// The time as HTTP writes it. The text is made once a second.
#[derive(Default)]
pub(super) struct DateClock(RefCell<(u64, String)>);

impl DateClock {
    fn date(&self, out: &mut Vec<u8>) {
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut kept = self.0.borrow_mut();
        if kept.0 != seconds || kept.1.is_empty() {
            *kept = (seconds, HttpDate::from(now).to_string());
        }
        out.extend_from_slice(kept.1.as_bytes());
    }
}
