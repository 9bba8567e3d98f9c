//! Follows a stream of requests: where each head and each body begins and ends.
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
//! Nothing is kept of a body, so both servers read with this: `raw-api-server` collects the bodies
//! ([`Parser`](super::request::Parser)), and in front of hyper it decides what hyper is given.

use super::{
    body::Body,
    chunks::Chunks,
    head,
    limits::RequestLimits,
    refusal::Refusal,
    request_head::{BodyEnd, RequestHead},
};

/// How far the present request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it has come. Empty lines before a request are nothing.
    Nothing,
    /// Its head is not complete.
    Head,
    /// Its body is not complete.
    Body,
}

/// What some bytes of the stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Empty lines before a request, which mean nothing (RFC 9112, 2.2).
    Blank,
    /// A part of a head that is not complete.
    Head,
    /// The end of a head, maybe with all before it.
    HeadEnd,
    /// A part of a body.
    Body,
}

/// The bytes that were read in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// How many there are; at least one.
    pub taken: usize,
    /// What they are.
    pub part: Part,
    /// Those among them that belong to the body, without the framing of chunks.
    pub data: &'a [u8],
    /// The request is complete.
    pub is_last: bool,
}

/// Follows a stream of requests.
#[derive(Debug)]
pub struct RequestReader {
    limits: RequestLimits,
    state: ReaderState,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    head_bytes: usize,
    head: RequestHead,
}

/// What comes next.
#[derive(Debug)]
enum ReaderState {
    RequestLine,
    Headers,
    Body(Body),
}

impl RequestReader {
    /// At the beginning of a connection.
    pub fn new(limits: RequestLimits) -> Self {
        let (state, head) = (ReaderState::RequestLine, RequestHead::default());
        Self { limits, state, line: Vec::new(), head_bytes: 0, head }
    }

    /// Reads on, up to the end of a part or of the input, which must not be empty. Must not be called
    /// again after a refusal.
    pub fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Refusal> {
        if let ReaderState::Body(body) = &mut self.state {
            let piece = body.read(input).map_err(|_| Refusal::bad("a chunk is malformed"))?;
            let (taken, data, is_last) = (piece.taken, piece.data, piece.is_last);
            if is_last {
                self.state = ReaderState::RequestLine;
            }
            return Ok(Step { taken, part: Part::Body, data, is_last });
        }
        if matches!(self.state, ReaderState::RequestLine) {
            let taken = self.skip_blank(input);
            if taken > 0 {
                return Ok(Step { taken, part: Part::Blank, data: &[], is_last: false });
            }
        }
        self.read_head(input)
    }

    /// How far the present request has come.
    pub fn stage(&self) -> Stage {
        match self.state {
            ReaderState::RequestLine if self.head_bytes == 0 => Stage::Nothing,
            ReaderState::RequestLine | ReaderState::Headers => Stage::Head,
            ReaderState::Body(_) => Stage::Body,
        }
    }

    /// The head of the present request, or of the last one if none has begun.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    pub(super) fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// Skips empty lines before a request. Returns how many bytes.
    fn skip_blank(&mut self, input: &[u8]) -> usize {
        let mut bytes = 0;
        loop {
            match (self.line.as_slice(), &input[bytes..]) {
                (b"" | b"\r", [b'\n', ..]) => {
                    self.line.clear();
                    bytes += 1;
                }
                (b"", [b'\r', b'\n', ..]) => bytes += 2,
                (b"", [b'\r']) => {
                    self.line.push(b'\r');
                    return bytes + 1;
                }
                _ => return bytes,
            }
        }
    }

    fn read_head<'a>(&mut self, input: &[u8]) -> Result<Step<'a>, Refusal> {
        let step = |taken, part, is_last| Ok(Step { taken, part, data: &[], is_last });
        let mut taken = 0;
        while taken < input.len() {
            if self.head_bytes == 0 {
                self.head.clear();
                // A CR that came alone is no empty line: it belongs to this one.
                self.head_bytes = self.line.len();
            }
            let rest = &input[taken..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.count(rest)?;
                self.line.extend_from_slice(rest);
                break;
            };
            let line = &rest[..=end];
            self.count(line)?;
            taken += line.len();
            let body_end = if self.line.is_empty() {
                self.take_line(line)?
            } else {
                let mut kept = std::mem::take(&mut self.line);
                kept.extend_from_slice(line);
                self.take_line(&kept)?
            };
            if let Some(body_end) = body_end {
                self.head_bytes = 0;
                let is_last = body_end == BodyEnd::None;
                self.state = match body_end {
                    BodyEnd::None => ReaderState::RequestLine,
                    BodyEnd::Length(bytes) => ReaderState::Body(Body::Length(bytes)),
                    BodyEnd::Chunks => ReaderState::Body(Body::Chunks(Chunks::default())),
                };
                return step(taken, Part::HeadEnd, is_last);
            }
        }
        step(input.len(), Part::Head, false)
    }

    /// Counts a piece of a line. Control characters are refused as they come, so a client that speaks
    /// something other than HTTP is told so before its line ends.
    fn count(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let is_bad = |byte: u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n');
        let room = self.limits.head_bytes_max - self.head_bytes;
        // Only what fits is looked at, so that it does not matter how the stream is cut.
        let seen = &piece[..piece.len().min(room)];
        // Without an early end, many bytes are looked at in one step.
        if seen.iter().fold(false, |has_bad, &byte| has_bad | is_bad(byte)) {
            let is_tls = self.head_bytes == 0 && after_empty_lines(piece).first() == Some(&0x16);
            return Err(Refusal::bad(if is_tls {
                "this is TLS, and the port speaks HTTP without it: use http://"
            } else {
                "there is a control character in the head"
            }));
        }
        if piece.len() > room {
            return Err(Refusal { status: 431, cause: "first line and headers are too long" });
        }
        self.head_bytes += piece.len();
        Ok(())
    }

    /// Reads a line that is complete. Returns what comes after the head, if it is complete.
    fn take_line(&mut self, line: &[u8]) -> Result<Option<BodyEnd>, Refusal> {
        let line = head::without_end(line);
        if line.contains(&b'\r') {
            return Err(Refusal::bad("there is a CR that ends no line"));
        }
        match self.state {
            ReaderState::RequestLine => {
                self.head.take_request_line(line)?;
                self.state = ReaderState::Headers;
                Ok(None)
            }
            _ if line.is_empty() => {
                let body_end = self.head.check(&self.limits)?;
                match body_end {
                    BodyEnd::Length(bytes) if bytes > self.limits.body_bytes_max as u64 => {
                        Err(Refusal { status: 413, cause: "the body is too long" })
                    }
                    _ => Ok(Some(body_end)),
                }
            }
            _ => self.head.take_header(line, &self.limits).map(|()| None),
        }
    }
}

/// What comes after the empty lines that may be in front of a request.
fn after_empty_lines(mut piece: &[u8]) -> &[u8] {
    while let Some(rest) = piece.strip_prefix(b"\r\n").or_else(|| piece.strip_prefix(b"\n")) {
        piece = rest;
    }
    piece
}
