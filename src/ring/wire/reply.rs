//! An answer of a node as a client reads it: a status line and, where it says `len=N`, N bytes.
//!
//! A client of one release may ask a node of another. So keys that the client does not know stay
//! readable, and an absent key is an error only where it is needed.

pub use super::rows::{RingMember, RingState, flag};
use super::{
    files::{FileRow, file},
    line::{BadKey, Line, decimal},
    trace::WriteTrace,
};
use crate::ring::{
    limits::{FILE_BYTES_CEILING, LINE_BYTES_MAX},
    version::Version,
};

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// A status as in HTTP: 200 is success.
    pub status: u16,
    /// The answer line without its line end; free of control characters.
    pub line: String,
    /// The bytes that followed it.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a key.
    pub fn key(&self, key: &str) -> Option<&str> {
        Line::new(&self.line).key(key)
    }

    /// The value of a key that is a number.
    pub fn number(&self, key: &'static str) -> Result<u64, BadKey> {
        Line::new(&self.line).number(key)
    }

    /// All keys with their values, in the order of the line.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        Line::new(&self.line).words().filter_map(|word| word.split_once('='))
    }

    /// What the node says to people.
    pub fn text(&self) -> &str {
        Line::new(&self.line).text()
    }

    /// Of an answer to GET: which version the body is. It must have the hash that it should have.
    pub fn version_of_file(&self) -> Result<Version, String> {
        let version = self.key("version").ok_or(BadKey("version"));
        let version = version.and_then(|it| it.parse().map_err(|()| BadKey("version")));
        let version = version.map_err(|bad| bad.to_string())?;
        let said = self.key("blake3").ok_or_else(|| BadKey("blake3").to_string())?;
        if !blake3::hash(&self.body).to_hex().eq_ignore_ascii_case(said) {
            return Err("the content does not have the hash that it should have".into());
        }
        Ok(version)
    }

    /// Of an answer to LIST or LOG: the versions.
    pub fn files(&self) -> Result<Vec<FileRow>, String> {
        let read = |line: Result<_, String>| file(line?).map_err(|bad| bad.refusal.reason);
        self.lines().map(read).collect()
    }

    /// Of an answer to TRACE: where the time of writes went. A line that is not understood is left out.
    pub fn traces(&self) -> Vec<WriteTrace> {
        self.lines().filter_map(|line| WriteTrace::read(line.ok()?)).collect()
    }

    /// Of an answer to RING: the members.
    pub fn members(&self) -> Result<Vec<RingMember>, String> {
        self.lines().map(|line| RingMember::read(line?)).collect()
    }

    fn lines(&self) -> impl Iterator<Item = Result<Line<'_>, String>> {
        let lines = self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| text_line(line).map(Line::new).map_err(str::to_owned))
    }
}

/// What must be known of an answer line to find the next one. Nothing is allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Bytes of the line, its LF included.
    pub line_bytes: usize,
    /// Bytes that follow the line.
    pub body_bytes: usize,
}

/// Reads the head of the answer that `bytes` begins with. `Ok(None)`: the line is not whole yet.
/// `Err` says why this is no answer of a node.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() < LINE_BYTES_MAX { Ok(None) } else { Err("an endless line") };
    };
    let text = text_line(&window[..end])?;
    let line = Line::new(text);
    let status = line.word(0).filter(|word| word.len() == 3).and_then(decimal);
    let status = status.ok_or("a line that begins with no status")? as u16;
    let body_bytes = match line.key("len").map(decimal) {
        None => 0,
        Some(Some(len)) if len <= FILE_BYTES_CEILING as u64 => len as usize,
        Some(_) => return Err("a len= that is no number or beyond all limits"),
    };
    Ok(Some(Head { status, line_bytes: end + 1, body_bytes }))
}

/// A line as text, without a CR at its end. Control characters are refused, because lines are
/// shown on terminals.
pub(crate) fn text_line(line: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "a line that is not UTF-8")?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("a line with control characters");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_at_every_split_and_not_before_its_end() {
        let answer = b"200 OK len=13 version=x blake3=ab : len=99\r\nHello, World!404 NOT FOUND\n";
        let line_bytes = answer.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let whole = Head { status: 200, line_bytes, body_bytes: 13 };
        for split in 0..=answer.len() {
            let expected = (split >= line_bytes).then_some(whole);
            assert_eq!(head(&answer[..split]), Ok(expected), "{split}");
        }
        let next = head(&answer[line_bytes + 13..]).unwrap().unwrap();
        assert_eq!(next, Head { status: 404, line_bytes: 14, body_bytes: 0 });
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bad in [
            "\n",
            "OK\n",
            "2000 OK\n",
            "HTTP/1.1 200 OK\r\n",
            "+20 OK\n",
            "200 OK len=x\n",
            "200 OK len=-1\n",
            "200 OK len=99999999999999999999\n",
            "200 OK \x1b[2J\n",
        ] {
            assert!(head(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(head(b"200 \xff\n").is_err());
        assert_eq!(head(&[b'2'; LINE_BYTES_MAX - 1]), Ok(None));
        assert!(head(&[b'2'; LINE_BYTES_MAX]).is_err());
    }

    #[test]
    fn a_reply_knows_its_keys_and_its_text() {
        let line = "200 OK node=127.0.1.1:4043 files=3 : a=b".to_owned();
        let reply = Reply { status: 200, line, body: Vec::new() };
        assert_eq!(reply.number("files"), Ok(3));
        assert_eq!(reply.text(), "a=b");
        let keys: Vec<_> = reply.keys().collect();
        assert_eq!(keys, [("node", "127.0.1.1:4043"), ("files", "3")]);
    }
}
