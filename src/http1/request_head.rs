//! The head of a request: what its lines say, and whether that is consistent.

use super::{
    head,
    host::is_host,
    limits::RequestLimits,
    methods::METHODS,
    refusal::Refusal,
    target::{self, Encoded},
};

/// The headers that matter here. Upper and lower case are the same.
const KNOWN: [&str; 7] = [
    "host",
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
];

/// Headers that change nothing about how a request is read, and that a server may look at.
pub const NOTED: [&str; 7] = [
    "accept",
    "access-control-request-headers",
    "access-control-request-method",
    "origin",
    "referer",
    "user-agent",
    "x-forwarded-for",
];

/// What the lines of a head have said so far.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// Method and target, one after the other. The memory is kept from one head to the next.
    line: String,
    method_bytes: usize,
    is_target_encoded: bool,
    pub(super) is_old: bool,
    /// The last one that is ASCII.
    pub(super) content_type: Option<String>,
    pub(super) is_content_coded: bool,
    headers: usize,
    hosts: u32,
    has_bad_host: bool,
    /// The last valid host. Most clients name the same one in each request.
    host: Vec<u8>,
    length: Option<u64>,
    length_fault: Option<Refusal>,
    codings: Codings,
    wants_close: bool,
    wants_keep_alive: bool,
    wants_continue: bool,
    pub(super) noted: Vec<(&'static str, String)>,
}

/// What `Transfer-Encoding` lists.
#[derive(Clone, Copy, Debug, Default)]
struct Codings {
    all: u32,
    chunked: u32,
    is_last_chunked: bool,
}

/// What ends a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// There is none.
    None,
    Length(u64),
    Chunks,
}

impl RequestHead {
    /// What was asked: method and target, once the first line is complete. Bytes of the target that
    /// need it are percent-encoded.
    pub fn asked(&self) -> Option<(&str, &str)> {
        (!self.line.is_empty()).then(|| self.line.split_at(self.method_bytes))
    }

    /// The target as a reader that is stricter than this one takes it, where it was sent otherwise.
    pub fn encoded_target(&self) -> Option<&str> {
        self.is_target_encoded.then(|| &self.line[self.method_bytes..])
    }

    /// For the next request.
    pub(super) fn clear(&mut self) {
        let Self { line, host, .. } = self;
        let (mut line, host) = (std::mem::take(line), std::mem::take(host));
        line.clear();
        *self = Self { line, host, ..Self::default() };
    }

    /// Whether the connection may carry another request after this one.
    pub fn keeps_alive(&self) -> bool {
        !self.wants_close && (!self.is_old || self.wants_keep_alive)
    }

    /// Whether the client waits for a `100 Continue` before it sends its body. True only once.
    pub(super) fn take_continue(&mut self) -> bool {
        std::mem::take(&mut self.wants_continue) && !self.is_old
    }

    /// `GET /api?a=1 HTTP/1.1`: three words and two blanks.
    pub(super) fn take_request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refusal::bad("the first line is not a method, a target and a version"));
        };
        let method = head::token(method)
            .ok_or(Refusal::bad("the method has a character that no method has"))?;
        self.is_old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Refusal::bad("the version is neither HTTP/1.1 nor HTTP/1.0")),
        };
        if target.is_empty() {
            return Err(Refusal::bad("there is no target between the blanks of the first line"));
        }
        if target.contains(&b'\t') {
            return Err(Refusal::bad("there is a tab in the target"));
        }
        self.line.push_str(method);
        self.method_bytes = method.len();
        self.is_target_encoded = target::push(&mut self.line, target) == Encoded::Yes;
        Ok(())
    }

    /// Notes the value of a header, if it is one of those that matter here.
    pub(super) fn take_header(
        &mut self,
        line: &[u8],
        limits: &RequestLimits,
    ) -> Result<(), Refusal> {
        let (name, value) =
            head::field(line).ok_or_else(|| Refusal::bad(head::why_no_field(line)))?;
        self.headers += 1;
        if self.headers > limits.headers_max {
            return Err(Refusal { status: 431, cause: "there are too many headers" });
        }
        if limits.notes_headers {
            let noted = NOTED.iter().find(|noted| name.eq_ignore_ascii_case(noted));
            let text = || String::from_utf8_lossy(value).into_owned();
            self.noted.extend(noted.map(|noted| (*noted, text())));
        }
        // Most names are none of these, and their first letters say so.
        if !matches!(name.as_bytes()[0] | 0x20, b'h' | b'c' | b't' | b'e') {
            return Ok(());
        }
        match KNOWN.iter().find(|known| name.eq_ignore_ascii_case(known)).copied() {
            Some("host") => {
                self.hosts += 1;
                if value != self.host {
                    match std::str::from_utf8(value).is_ok_and(is_host) {
                        true => value.clone_into(&mut self.host),
                        false => self.has_bad_host = true,
                    }
                }
            }
            Some("content-type") => match std::str::from_utf8(value) {
                Ok(text) if text.is_ascii() => self.content_type = Some(text.to_owned()),
                _ => {}
            },
            Some("content-encoding") => self.is_content_coded |= head::is_coded(value),
            Some("content-length") => match head::length(value) {
                Some(length) if self.length.replace(length).is_none_or(|it| it == length) => {}
                Some(_) => self.length_fault = Some(Refusal::bad("two Content-Lengths differ")),
                None => self.length_fault = Some(Refusal::bad("Content-Length is no number")),
            },
            Some("transfer-encoding") => self.codings.take(value),
            Some("connection") => {
                self.wants_close |= head::has_word(value, "close");
                self.wants_keep_alive |= head::has_word(value, "keep-alive");
            }
            Some("expect") => self.wants_continue = value.eq_ignore_ascii_case(b"100-continue"),
            _ => {}
        }
        Ok(())
    }

    /// Checks that the lines are consistent, and says what comes after them.
    pub(super) fn check(&self, limits: &RequestLimits) -> Result<BodyEnd, Refusal> {
        let (method, target) = self.line.split_at(self.method_bytes);
        let body_end = self.body_end()?;
        let target = target::path_and_query(target);
        if !limits.takes_all_methods && !METHODS.contains(&method) || method == "CONNECT" {
            return Err(Refusal { status: 501, cause: "the method is not known here" });
        }
        let Some(target) = target else {
            return Err(Refusal::bad("the target is neither a path nor a URL of http"));
        };
        if target.len() > limits.url_bytes_max {
            return Err(Refusal { status: 414, cause: "path and query are too long" });
        }
        match self.hosts {
            0 if !self.is_old => Err(Refusal::bad("there is no Host header")),
            2.. => Err(Refusal::bad("there is more than one Host header")),
            _ if self.has_bad_host => Err(Refusal::bad("the Host header names no host")),
            _ => Ok(body_end),
        }
    }

    fn body_end(&self) -> Result<BodyEnd, Refusal> {
        let Codings { all, chunked, is_last_chunked } = self.codings;
        if let Some(fault) = self.length_fault {
            return Err(fault);
        }
        match (all, self.length) {
            (0, None | Some(0)) => Ok(BodyEnd::None),
            (0, Some(bytes)) => Ok(BodyEnd::Length(bytes)),
            // One of two readers would see another request in the rest.
            (_, Some(_)) => {
                Err(Refusal::bad("there are both a Content-Length and a Transfer-Encoding"))
            }
            _ if self.is_old => Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding")),
            _ if chunked > 1 => Err(Refusal::bad("the body is chunked more than once")),
            _ if !is_last_chunked => Err(Refusal::bad("the last Transfer-Encoding is not chunked")),
            (1, None) => Ok(BodyEnd::Chunks),
            _ => Err(Refusal {
                status: 501,
                cause: "no Transfer-Encoding but chunked is known here",
            }),
        }
    }
}

impl Codings {
    fn take(&mut self, value: &[u8]) {
        for coding in value.split(|&byte| byte == b',') {
            self.is_last_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(self.is_last_chunked);
            self.all += 1;
        }
    }
}
