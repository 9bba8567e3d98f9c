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
//! A server sees a stream of such requests, cut anywhere. So a [`RequestReader`] keeps how far it has
//! come, takes what it is given, and goes on with the next bytes when they come; `request_head` says
//! what the lines of a head mean, and the [`Parser`] here collects requests.
//!
//! # What is refused, and why
//! A head that two readers could read in two ways is refused with 400, and the connection closed:
//! an attacker who gets a proxy and a server to disagree about where a request ends can put a
//! request into someone else's connection. Hence one `Host`, lengths that agree, never a length and
//! chunks in one head, no blanks before a colon, no continued lines, no control characters.
//!
//! Bytes over 127 mean nothing to HTTP: in a header they are passed over, and in a target they are
//! percent-encoded, as `"` is and whatever else a browser would have encoded.

pub use super::{
    limits::RequestLimits, refusal::Refusal, request_head::NOTED, request_reader::Stage,
};
use super::{
    request_reader::RequestReader,
    target::{self, Target},
};

/// A request that is complete and makes sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// In capitals, and one that is known.
    pub method: String,
    /// As it was sent, but without `.` and `..`; percent-encoding stays where it is needed.
    pub path: String,
    /// After the `?`, as it was sent, but percent-encoded where that is needed.
    pub query: String,
    /// The last `Content-Type`.
    pub content_type: Option<String>,
    /// The body has a `Content-Encoding`, as `gzip`.
    pub is_content_coded: bool,
    /// All of it.
    pub body: Vec<u8>,
    /// HTTP/1.0, not 1.1.
    pub is_old: bool,
    /// The connection may carry another request after this one.
    pub keeps_alive: bool,
    /// The headers of [`NOTED`] that it has, in their order, if the limits ask for them.
    pub noted: Vec<(&'static str, String)>,
}

impl Request {
    /// The last header of this name, which is one of [`NOTED`]. Bytes that are not UTF-8 are U+FFFD.
    pub fn noted(&self, name: &str) -> Option<&str> {
        let named = self.noted.iter().rev().find(|(other, _)| *other == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// Reads requests out of a stream of bytes.
#[derive(Debug)]
pub struct Parser {
    reader: RequestReader,
    body_bytes_max: usize,
    body: Vec<u8>,
}

impl Parser {
    /// At the beginning of a connection.
    pub fn new(limits: RequestLimits) -> Self {
        let reader = RequestReader::new(limits);
        Self { reader, body_bytes_max: limits.body_bytes_max, body: Vec::new() }
    }

    /// Takes bytes, up to the end of a request or of the input. Returns how many, and the request if
    /// it is complete. What is left belongs to the next one. Must not be called again after a refusal.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Request>), Refusal> {
        let mut taken = 0;
        while taken < input.len() {
            let step = self.reader.step(&input[taken..])?;
            taken += step.taken;
            if self.body.len() + step.data.len() > self.body_bytes_max {
                return Err(Refusal { status: 413, cause: "the body is too long" });
            }
            self.body.extend_from_slice(step.data);
            if step.is_last {
                return Ok((taken, Some(self.request())));
            }
        }
        Ok((taken, None))
    }

    /// How far the present request has come.
    pub fn stage(&self) -> Stage {
        self.reader.stage()
    }

    /// Method and target of the request that is not complete, as far as they are known.
    pub fn asked(&self) -> Option<(&str, &str)> {
        self.reader.head().asked().filter(|_| self.stage() != Stage::Nothing)
    }

    /// Bytes of the present request's body that are here.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Whether the client waits for a `100 Continue` before it sends its body. True only once.
    pub fn wants_continue(&mut self) -> bool {
        self.stage() == Stage::Body
            && self.body.is_empty()
            && self.reader.head_mut().take_continue()
    }

    /// The request that is complete.
    fn request(&mut self) -> Request {
        let head = self.reader.head_mut();
        let (method, target) = head.asked().unwrap_or_default();
        let (method, target) = (method.to_owned(), target::path_and_query(target));
        let Target { path, query } = Target::of(target.unwrap_or_default());
        Request {
            method,
            path,
            query,
            content_type: head.content_type.take(),
            is_content_coded: head.is_content_coded,
            body: std::mem::take(&mut self.body),
            is_old: head.is_old,
            keeps_alive: head.keeps_alive(),
            noted: std::mem::take(&mut head.noted),
        }
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
        takes_all_methods: false,
        notes_headers: true,
    };

    fn read(text: &str) -> Result<(usize, Option<Request>), Refusal> {
        Parser::new(LIMITS).read(text.as_bytes())
    }

    fn refused(text: &str) -> u16 {
        read(text).unwrap_err().status
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
                is_content_coded: false,
                body: b"abc".to_vec(),
                is_old: false,
                keeps_alive: true,
                noted: Vec::new(),
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
        assert_eq!(refused(&head(fits + 1)), 431);
        let url = |bytes| format!("GET /{} HTTP/1.0\r\n\r\n", "u".repeat(bytes));
        assert!(read(&url(39)).unwrap().1.is_some());
        assert_eq!(refused(&url(40)), 414);
        let many = |n| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(n));
        assert!(read(&many(4)).unwrap().1.is_some());
        assert_eq!(refused(&many(5)), 431);
        let body = |n| format!("GET / HTTP/1.0\r\nContent-Length: {n}\r\n\r\n");
        assert!(read(&body(20)).is_ok());
        assert_eq!(refused(&body(21)), 413);
    }
}
