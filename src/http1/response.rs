//! A response, read off a stream of bytes: a status line, headers, an empty line, a body.
//!
//! The body ends (RFC 9112, section 6.3)
//!
//! 1. at once, where the status is 204 or 304, and after HEAD;
//! 2. with its last chunk, where `Transfer-Encoding` ends in `chunked`;
//! 3. with the connection, where there is another coding;
//! 4. after `Content-Length` bytes, where there is one, and only one;
//! 5. with the connection, where the head says nothing.

use std::borrow::Cow;

use super::{body::Body, chunks::Chunks, head, limits::RESPONSE_HEAD_BYTES_MAX};

/// Bytes that an error shows of a line that is malformed.
const SHOWN_BYTES_MAX: usize = 80;

/// Reads one response.
#[derive(Debug, Default)]
pub struct Response {
    /// From the status line to the empty line.
    pub head: Vec<u8>,
    /// 0 until the head is complete.
    pub status: u16,
    /// Whether it answers HEAD: then its head is that of an answer to GET, and nothing follows.
    is_to_head: bool,
    head_bytes: usize,
    state: ResponseState,
}

/// What comes next.
#[derive(Debug, Default)]
enum ResponseState {
    #[default]
    Head,
    Body(Body),
    Nothing,
}

impl Response {
    /// The answer to a request with this method.
    pub fn to(method: &str) -> Self {
        Self { is_to_head: method == "HEAD", ..Self::default() }
    }

    /// The first value of a header, where the head is complete. Bytes that are not UTF-8 become U+FFFD.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.split_inclusive(|&byte| byte == b'\n').map(head::without_end);
        let headers = unfolded(lines.skip(1));
        let mut found = headers.iter().filter_map(|line| field(line));
        let (_, value) = found.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// Takes bytes and appends those of the body to `body`. Returns whether the response is complete.
    /// An error says what is wrong with it.
    pub fn read(&mut self, mut input: &[u8], body: &mut Vec<u8>) -> Result<bool, String> {
        loop {
            match &mut self.state {
                ResponseState::Nothing => return Ok(true),
                _ if input.is_empty() => return Ok(false),
                ResponseState::Head => {
                    let line = input.iter().position(|&byte| byte == b'\n');
                    let bytes = line.map_or(input.len(), |end| end + 1);
                    self.head.extend_from_slice(&input[..bytes]);
                    self.head_bytes += bytes;
                    input = &input[bytes..];
                    if self.head_bytes > RESPONSE_HEAD_BYTES_MAX {
                        return Err("its head does not end".into());
                    }
                    if line.is_some() {
                        self.end_line()?;
                    }
                }
                ResponseState::Body(rest) => {
                    let piece = rest.read(input).map_err(|_| "its chunks are malformed")?;
                    body.extend_from_slice(piece.data);
                    input = &input[piece.taken..];
                    if piece.is_last {
                        self.state = ResponseState::Nothing;
                    }
                }
            }
        }
    }

    /// The connection has ended. An error says what is missing from the response.
    pub fn end(&self) -> Result<(), String> {
        match &self.state {
            ResponseState::Nothing | ResponseState::Body(Body::Close) => Ok(()),
            ResponseState::Head if self.head.is_empty() => {
                Err("the connection was closed instead".into())
            }
            ResponseState::Head => Err("it breaks off in its head".into()),
            ResponseState::Body(Body::Length(left)) => {
                Err(format!("it breaks off, {left} bytes are missing"))
            }
            ResponseState::Body(Body::Chunks(_)) => Err("it breaks off in its chunks".into()),
        }
    }

    /// Checks the line that has just ended, and where the head is complete, decides what follows it.
    fn end_line(&mut self) -> Result<(), String> {
        let mut lines = self.head.split_inclusive(|&byte| byte == b'\n').map(head::without_end);
        let first = lines.next().unwrap_or_default();
        let status = status(first)
            .ok_or_else(|| format!("it does not begin like HTTP/1.1 but with {}", shown(first)))?;
        if !self.head.ends_with(b"\n\r\n") && !self.head.ends_with(b"\n\n") {
            return Ok(());
        }
        let (mut length, mut is_chunked) = (None, None);
        for line in unfolded(lines) {
            let no_header = || format!("its head has a line that is no header: {}", shown(&line));
            let (name, value) = field(&line).ok_or_else(no_header)?;
            if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = Some(head::ends_chunked(value));
            } else if name.eq_ignore_ascii_case("content-length") {
                let no_number = || format!("its Content-Length is no number: {}", shown(value));
                let bytes = head::length(value).ok_or_else(no_number)?;
                if length.replace(bytes).is_some_and(|other| other != bytes) {
                    return Err("it has two Content-Lengths".into());
                }
            }
        }
        // A 1xx comes before the response itself. 101 does not: it leaves HTTP, which was not asked
        // for.
        if (100..200).contains(&status) && status != 101 {
            self.head.clear();
            return Ok(());
        }
        self.status = status;
        self.state = match (is_chunked, length) {
            _ if self.is_to_head || matches!(status, 101 | 204 | 304) => ResponseState::Nothing,
            (Some(true), _) => ResponseState::Body(Body::Chunks(Chunks::default())),
            (Some(false), _) | (None, None) => ResponseState::Body(Body::Close),
            (None, Some(0)) => ResponseState::Nothing,
            (None, Some(bytes)) => ResponseState::Body(Body::Length(bytes)),
        };
        Ok(())
    }
}

/// Headers, each in one line: a line that begins with a blank continues the one before (RFC 9112,
/// section 5.2). A first line that does so continues nothing, and is left out (section 2.2).
fn unfolded<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Cow<'a, [u8]>> {
    let mut headers: Vec<Cow<'_, [u8]>> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            headers.push(Cow::Borrowed(line));
        } else if let Some(header) = headers.last_mut() {
            let header = header.to_mut();
            header.push(b' ');
            header.extend_from_slice(line.trim_ascii());
        }
    }
    headers
}

/// A header, taken apart. Blanks before the colon, which no request may have, are not part of its name
/// (section 5.1).
fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
    let is_text = value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control());
    head::token(name).filter(|_| is_text).map(|name| (name, value))
}

/// The beginning of a line, with everything escaped that a terminal would act on.
fn shown(line: &[u8]) -> String {
    let end = line.len().min(SHOWN_BYTES_MAX);
    let more = if end < line.len() { "..." } else { "" };
    format!("`{}{more}`", line[..end].escape_ascii())
}

/// The number in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let line = line.strip_prefix(b"HTTP/1.").filter(|rest| rest.len() >= 5)?;
    let is_status =
        line[0].is_ascii_digit() && line[1] == b' ' && line.get(5).is_none_or(|it| *it == b' ');
    let status = head::length(&line[2..5]).filter(|status| is_status && *status >= 100)?;
    u16::try_from(status).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, the body, and whether the response is complete before and after the close.
    fn read(text: &str, cut: usize) -> Result<(u16, String, bool, bool), String> {
        let (mut response, mut body, mut is_complete) = (Response::default(), Vec::new(), false);
        for piece in text.as_bytes().chunks(cut) {
            is_complete = response.read(piece, &mut body)?;
        }
        let text = String::from_utf8(body).unwrap();
        Ok((response.status, text, is_complete, response.end().is_ok()))
    }

    #[test]
    fn framing() {
        for (text, status, body, is_complete, is_good) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", 200, "ab", true, true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 200, "ab", false, false),
            ("HTTP/1.0 404\n\nab", 404, "ab", false, true),
            ("HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\nab", 204, "", true, true),
            (
                "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
                500,
                "",
                true,
                true,
            ),
            (
                "HTTP/1.1 200 x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                200,
                "ab",
                true,
                true,
            ),
            (
                "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
                200,
                "ab",
                false,
                false,
            ),
            ("HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\nab", 200, "ab", false, true),
            ("HTTP/1.1 200 x\r\nA: b", 0, "", false, false),
            ("HTTP/1.1 200 x\r\nContent-Length:\r\n 2\r\n\r\nabc", 200, "ab", true, true),
            ("HTTP/1.1 200 x\r\n x\r\nA: b\r\n\tc\r\n\r\nab", 200, "ab", false, true),
            ("HTTP/1.1 200 x\r\nContent-Length \t: 1\r\n\r\nab", 200, "a", true, true),
            ("HTTP/1.1 200 \u{e4}\r\nCity: S\u{e3}o\r\n\r\nab", 200, "ab", false, true),
        ] {
            for cut in [1, 2, 7, 1000] {
                let expected = (status, body.to_owned(), is_complete, is_good);
                assert_eq!(read(text, cut), Ok(expected), "{text}");
            }
        }
        let mut to_head = Response::to("HEAD");
        let head = b"HTTP/1.1 302 x\r\nContent-Length: 9\r\nlocation:\r\n /a\xff\r\n\r\n";
        assert_eq!(to_head.read(head, &mut Vec::new()), Ok(true));
        assert_eq!(to_head.header("Location").as_deref(), Some("/a\u{fffd}"));
        assert_eq!(to_head.header("x"), None);
        for text in [
            "SSH-2.0-x\r\n",
            "HTTP/2 200\r\n",
            "HTTP/1.1 20 OK\r\n",
            "HTTP/1.1 2000\r\n",
            "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(read(text, 1).is_err(), "{text}");
        }
        for (text, why) in [
            ("220 mail.example\u{1b}[m\r\n", "but with `220 mail.example\\x1b[m`"),
            ("HTTP/1.1 200 x\r\nA\u{e4}: b\r\n\r\n", "no header: `A\\xc3\\xa4: b`"),
            ("HTTP/1.1 200 x\r\nContent-Length: -1\r\n\r\n", "no number: `-1`"),
        ] {
            let error = read(text, 1000).unwrap_err();
            assert!(error.ends_with(why), "{error}");
        }
    }
}
