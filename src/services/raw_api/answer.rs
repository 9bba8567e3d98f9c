//! An answer as bytes: a status line, headers, an empty line, a body.

use std::{
    cell::RefCell,
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use httpdate::HttpDate;

use crate::services::form::Reply;

const TEXT: &str = "text/plain; charset=utf-8";

/// What the last answer on the way to a client says besides its [`Reply`].
#[derive(Clone, Copy, Default)]
pub(super) struct Manner<'a> {
    /// Headers only, as HEAD wants it.
    pub(super) is_head: bool,
    /// The connection ends after this.
    pub(super) closes: bool,
    /// A client of HTTP/1.0 has to be told that the connection stays.
    pub(super) is_old: bool,
    /// The methods that there are, with a 405.
    pub(super) allow: Option<&'a str>,
}

/// The status in words, where a [`Reply`] has none of its own.
pub(super) fn status(status: u16) -> Reply {
    Reply { status, content_type: TEXT, body: reason(status).into() }
}

/// Appends an answer.
pub(super) fn write(out: &mut Vec<u8>, reply: &Reply, manner: Manner<'_>, clock: &Clock) {
    let Reply { status, content_type, body } = reply;
    out.reserve(256 + body.len());
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nServer: smolring/{}\r\n",
        reason(*status),
        env!("CARGO_PKG_VERSION")
    );
    if let Some(methods) = manner.allow {
        let _ = write!(out, "Allow: {methods}\r\n");
    }
    if manner.closes {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if manner.is_old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\nDate: ", body.len());
    clock.date(out);
    out.extend_from_slice(b"\r\n\r\n");
    if !manner.is_head {
        out.extend_from_slice(body);
    }
}

fn reason(status: u16) -> &'static str {
    match status {
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

/// The time as HTTP writes it, made once a second.
#[derive(Default)]
pub(super) struct Clock(RefCell<(u64, String)>);

impl Clock {
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
