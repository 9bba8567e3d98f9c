//! A request, read off a stream of bytes: a line at a time, then its body.
//!
//! A request of HTTP/1.1 is text, then maybe bytes:
//!
//! ```text
//! POST /api HTTP/1.1\r\n                                    the request line: method, target, version
//! Host: localhost:5000\r\n                                  headers: name, colon, value
//! Content-Type: application/x-www-form-urlencoded\r\n
//! Content-Length: 15\r\n
//! \r\n                                                      an empty line: the head is over
//! name=Ann&age=30                                           the body: so many bytes as were announced
//! ```
//!
//! A server sees a stream of such requests, cut anywhere. So a [`Parser`] keeps in its `ParserState`
//! how far it has come, takes what it is given, and goes on with the next bytes when they come:
//!
//! ```text
//!                   empty line, no body
//!           +--------------------------------+
//!           v                                |
//!    +-------------+   its end   +-------------+  Content-Length,    +------+
//!    | RequestLine | ----------> |   Headers   | ------------------> | Body |
//!    +-------------+             +-------------+  Transfer-Encoding  +------+
//!           ^                                                           |
//!           +-----------------------------------------------------------+
//!                               the body is complete
//! ```
//!
//! # What is refused, and why
//! A head that two readers could read in two ways is refused with 400, and the connection closed:
//! an attacker who gets a proxy and a server to disagree about where a request ends can put a
//! request into someone else's connection. Hence one `Host`, lengths that agree, no blanks before a
//! colon, no continued lines, no control characters. Where a message has both a length and chunks,
//! the chunks count, and then the connection is closed: the sender may have meant something else.
//! Bytes over 127 are refused as well: a URL percent-encodes them.

use super::{body::Body, chunks::Chunks, head, host::is_host, methods::METHODS, target::Target};

/// The headers that matter here. Upper and lower case are the same.
const KNOWN: [&str; 6] =
    ["host", "content-type", "content-length", "transfer-encoding", "connection", "expect"];

/// What a request may have.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes of the request line and the headers; over that 431.
    pub head_bytes_max: usize,
    /// Headers; over that 431.
    pub headers_max: usize,
    /// Bytes of path and query; over that 414.
    pub url_bytes_max: usize,
    /// Bytes of the body; over that 413.
    pub body_bytes_max: usize,
}

/// A request that is complete and makes sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// In capitals, and one that is known.
    pub method: String,
    /// As it was sent, but without `.` and `..`; percent-encoding stays.
    pub path: String,
    /// After the `?`, as it was sent.
    pub query: String,
    /// The last `Content-Type`.
    pub content_type: Option<String>,
    /// All of it.
    pub body: Vec<u8>,
    /// HTTP/1.0, not 1.1.
    pub is_old: bool,
    /// The connection may carry another request after this one.
    pub keeps_alive: bool,
}

/// The status to refuse a request with. Nothing that comes after it on the connection can be
/// understood.
pub type Refusal = u16;

/// How far the present request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No byte of it has come.
    Nothing,
    /// Its head is not complete.
    Head,
    /// Its body is not complete.
    Body,
}

/// Reads requests out of a stream of bytes.
#[derive(Debug)]
pub struct Parser {
    limits: RequestLimits,
    state: ParserState,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    head_bytes: usize,
    head: Head,
}

/// What comes next.
#[derive(Debug)]
enum ParserState {
    RequestLine,
    Headers,
    Body(Body),
}

/// What the headers have said so far.
#[derive(Debug, Default)]
struct Head {
    request: Request,
    target: String,
    headers: usize,
    host: Option<String>,
    has_two_hosts: bool,
    length: Option<u64>,
    has_bad_length: bool,
    /// Whether the last of the codings is chunks; `None` if there is no coding.
    is_chunked: Option<bool>,
    wants_close: bool,
    wants_keep_alive: bool,
    wants_continue: bool,
    has_other_bytes: bool,
}

impl Parser {
    /// At the beginning of a connection.
    pub fn new(limits: RequestLimits) -> Self {
        let (state, head) = (ParserState::RequestLine, Head::default());
        Self { limits, state, line: Vec::new(), head_bytes: 0, head }
    }

    /// Takes bytes, up to the end of a request or of the input. Returns how many, and the request if
    /// it is complete. What is left belongs to the next one. Must not be called again after a refusal.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Request>), Refusal> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let is_complete = match &mut self.state {
                ParserState::RequestLine | ParserState::Headers => {
                    let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                        self.count(rest)?;
                        self.line.extend_from_slice(rest);
                        return Ok((input.len(), None));
                    };
                    let line = &rest[..=end];
                    self.count(line)?;
                    taken += line.len();
                    if self.line.is_empty() {
                        self.take_line(line)?
                    } else {
                        let mut kept = std::mem::take(&mut self.line);
                        kept.extend_from_slice(line);
                        self.take_line(&kept)?
                    }
                }
                ParserState::Body(body) => {
                    let piece = body.read(rest).map_err(|_| 400u16)?;
                    taken += piece.taken;
                    let kept = &mut self.head.request.body;
                    if kept.len() + piece.data.len() > self.limits.body_bytes_max {
                        return Err(413);
                    }
                    kept.extend_from_slice(piece.data);
                    piece.is_last
                }
            };
            if is_complete {
                self.state = ParserState::RequestLine;
                self.head_bytes = 0;
                return Ok((taken, Some(std::mem::take(&mut self.head).request)));
            }
            if taken == input.len() {
                return Ok((taken, None));
            }
        }
    }

    /// How far the present request has come.
    pub fn stage(&self) -> Stage {
        match self.state {
            ParserState::RequestLine if self.head_bytes == 0 => Stage::Nothing,
            ParserState::RequestLine | ParserState::Headers => Stage::Head,
            ParserState::Body(_) => Stage::Body,
        }
    }

    /// Bytes of the present request's body that are here.
    pub fn body_bytes(&self) -> usize {
        self.head.request.body.len()
    }

    /// Whether the client waits for a `100 Continue` before it sends its body. True only once.
    pub fn wants_continue(&mut self) -> bool {
        self.stage() == Stage::Body
            && self.body_bytes() == 0
            && std::mem::take(&mut self.head.wants_continue)
    }

    /// Counts a piece of a line. Control characters are refused as they come, so a client that speaks
    /// something other than HTTP is told so before its line ends.
    fn count(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let is_bad = |&byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n');
        let room = self.limits.head_bytes_max - self.head_bytes;
        // Only what fits is looked at, so that it does not matter how the stream is cut.
        if piece.iter().take(room).any(is_bad) {
            return Err(400);
        }
        if piece.len() > room {
            return Err(431);
        }
        self.head_bytes += piece.len();
        Ok(())
    }

    /// Reads the line that is complete. Returns whether the request is.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, Refusal> {
        let line = head::without_end(line);
        match self.state {
            _ if line.contains(&b'\r') => Err(400),
            // RFC 9112, 2.2: an empty line before a request is an error of old clients.
            ParserState::RequestLine if line.is_empty() => Ok(false),
            ParserState::RequestLine => self.head.take_request_line(line).map(|()| {
                self.state = ParserState::Headers;
                false
            }),
            _ if line.is_empty() => self.end_head(),
            _ => self.head.take_header(line, &self.limits).map(|()| false),
        }
    }

    /// Decides what comes after the head. Returns whether nothing does.
    fn end_head(&mut self) -> Result<bool, Refusal> {
        self.head.check(&self.limits)?;
        let most = self.limits.body_bytes_max;
        match (self.head.is_chunked, self.head.length) {
            (Some(_), _) => self.state = ParserState::Body(Body::Chunks(Chunks::default())),
            (None, None | Some(0)) => return Ok(true),
            (None, Some(bytes)) if bytes > most as u64 => return Err(413),
            (None, Some(bytes)) => self.state = ParserState::Body(Body::Length(bytes)),
        }
        Ok(false)
    }
}

impl Head {
    /// `GET /api?a=1 HTTP/1.1`: three words and two blanks.
    fn take_request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(400);
        };
        let method = head::token(method).ok_or(400u16)?;
        self.request.is_old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(400),
        };
        if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(400);
        }
        self.request.method = method.to_owned();
        self.target = String::from_utf8_lossy(target).into_owned();
        Ok(())
    }

    /// Notes the value of a header, if it is one of those that matter here.
    fn take_header(&mut self, line: &[u8], limits: &RequestLimits) -> Result<(), Refusal> {
        let (name, value) = head::field(line).ok_or(400u16)?;
        self.headers += 1;
        if self.headers > limits.headers_max {
            return Err(431);
        }
        self.has_other_bytes |= !value.is_ascii();
        let text = || String::from_utf8_lossy(value).into_owned();
        match KNOWN.iter().find(|known| name.eq_ignore_ascii_case(known)).copied() {
            Some("host") => self.has_two_hosts |= self.host.replace(text()).is_some(),
            Some("content-type") => self.request.content_type = Some(text()),
            Some("content-length") => match head::length(value) {
                Some(length) => {
                    self.has_bad_length |=
                        self.length.replace(length).is_some_and(|it| it != length);
                }
                None => self.has_bad_length = true,
            },
            Some("transfer-encoding") => self.is_chunked = Some(head::ends_chunked(value)),
            Some("connection") => {
                self.wants_close |= head::has_word(value, "close");
                self.wants_keep_alive |= head::has_word(value, "keep-alive");
            }
            Some("expect") => self.wants_continue = value.eq_ignore_ascii_case(b"100-continue"),
            _ => {}
        }
        Ok(())
    }

    /// Checks that the headers are consistent.
    fn check(&mut self, limits: &RequestLimits) -> Result<(), Refusal> {
        let is_old = self.request.is_old;
        let is_coded = self.is_chunked.is_some();
        if self.has_bad_length || self.is_chunked == Some(false) || (is_coded && is_old) {
            return Err(400);
        }
        let target = Target::parse(&self.target).ok_or(400u16);
        if !METHODS.contains(&self.request.method.as_str()) {
            return Err(501);
        }
        let target = target?;
        if target.bytes > limits.url_bytes_max {
            return Err(414);
        }
        let has_host = is_old || self.host.is_some();
        if self.has_other_bytes || self.has_two_hosts || !has_host {
            return Err(400);
        }
        if !self.host.as_deref().is_none_or(is_host) {
            return Err(400);
        }
        (self.request.path, self.request.query) = (target.path, target.query);
        self.wants_continue &= !is_old;
        let lasts = if is_old { self.wants_keep_alive } else { true };
        let is_doubtful = is_coded && self.length.is_some();
        self.request.keeps_alive = lasts && !self.wants_close && !is_doubtful;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits {
        head_bytes_max: 200,
        headers_max: 4,
        url_bytes_max: 40,
        body_bytes_max: 20,
    };

    fn read(text: &str) -> Result<(usize, Option<Request>), Refusal> {
        Parser::new(LIMITS).read(text.as_bytes())
    }

    #[test]
    fn a_request_is_taken_apart() {
        let text = "POST /api?a=%20 HTTP/1.1\r\nHOST: x\r\ncontent-type:  a/b \r\n\
                    Content-Length: 3\r\n\r\nabcGET";
        let (taken, request) = read(text).unwrap();
        assert_eq!(taken, text.len() - 3);
        assert_eq!(
            request.unwrap(),
            Request {
                method: "POST".into(),
                path: "/api".into(),
                query: "a=%20".into(),
                content_type: Some("a/b".into()),
                body: b"abc".to_vec(),
                is_old: false,
                keeps_alive: true,
            }
        );
    }

    #[test]
    fn stages_follow_the_bytes() {
        let mut parser = Parser::new(LIMITS);
        assert_eq!(parser.stage(), Stage::Nothing);
        parser.read(b"P").unwrap();
        assert_eq!(parser.stage(), Stage::Head);
        let head = b"OST / HTTP/1.1\r\nHost:\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
        parser.read(head).unwrap();
        assert_eq!(parser.stage(), Stage::Body);
        assert!(parser.wants_continue() && !parser.wants_continue());
        parser.read(b"a").unwrap();
        assert_eq!(parser.body_bytes(), 1);
        assert!(parser.read(b"b").unwrap().1.is_some());
        assert_eq!(parser.stage(), Stage::Nothing);
    }

    #[test]
    fn limits_are_exact() {
        let head =
            |more: usize| format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(more));
        let fits = 200 - head(0).len();
        assert!(read(&head(fits)).unwrap().1.is_some());
        assert_eq!(read(&head(fits + 1)), Err(431));
        let url = |bytes| format!("GET /{} HTTP/1.0\r\n\r\n", "u".repeat(bytes));
        assert!(read(&url(39)).unwrap().1.is_some());
        assert_eq!(read(&url(40)), Err(414));
        let many = |n| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(n));
        assert!(read(&many(4)).unwrap().1.is_some());
        assert_eq!(read(&many(5)), Err(431));
        let body = |n| format!("GET / HTTP/1.0\r\nContent-Length: {n}\r\n\r\n");
        assert!(read(&body(20)).is_ok());
        assert_eq!(read(&body(21)), Err(413));
    }
}
