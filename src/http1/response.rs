//! A response, read off a stream of bytes: a status line, headers, an empty line, a body.
//!
//! The body ends (RFC 9112, section 6.3)
//!
//! 1. at once, where the status is 204 or 304;
//! 2. with its last chunk, where `Transfer-Encoding` ends in `chunked`;
//! 3. with the connection, where there is another coding;
//! 4. after `Content-Length` bytes, where there is one, and only one;
//! 5. with the connection, where the head says nothing.

use super::{body::Body, chunks::Chunks, head, limits::RESPONSE_HEAD_BYTES_MAX};

/// Reads one response.
#[derive(Debug, Default)]
pub struct Response {
    /// From the status line to the empty line.
    pub head: Vec<u8>,
    /// 0 until the head is complete.
    pub status: u16,
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
        let status = status(first).ok_or("it does not begin like HTTP/1.1")?;
        if !self.head.ends_with(b"\n\r\n") && !self.head.ends_with(b"\n\n") {
            return Ok(());
        }
        let (mut length, mut is_chunked) = (None, None);
        for line in lines.filter(|line| !line.is_empty()) {
            let field = head::field(line);
            let (name, value) = field.ok_or("its head has a line that is no header")?;
            if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = Some(head::ends_chunked(value));
            } else if name.eq_ignore_ascii_case("content-length") {
                let bytes = head::length(value).ok_or("its Content-Length is no number")?;
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
            _ if matches!(status, 101 | 204 | 304) => ResponseState::Nothing,
            (Some(true), _) => ResponseState::Body(Body::Chunks(Chunks::default())),
            (Some(false), _) | (None, None) => ResponseState::Body(Body::Close),
            (None, Some(0)) => ResponseState::Nothing,
            (None, Some(bytes)) => ResponseState::Body(Body::Length(bytes)),
        };
        Ok(())
    }
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
        ] {
            for cut in [1, 2, 7, 1000] {
                let expected = (status, body.to_owned(), is_complete, is_good);
                assert_eq!(read(text, cut), Ok(expected), "{text}");
            }
        }
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
    }
}
