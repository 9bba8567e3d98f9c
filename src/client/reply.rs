//! What a node answers. `ring::wire` writes and reads it.

pub use crate::ring::wire::reply::{Head, Reply, head};
use crate::ring::{
    limits::LINE_BYTES_MAX,
    line::{Line, decimal},
    wire::reply::text_line,
};

/// Like [`Head`], with a content of any size behind the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub status: u16,
    /// Bytes of the line, its LF included.
    pub line_bytes: usize,
    /// Bytes that follow the line.
    pub body_bytes: u64,
}

/// Reads the line that an answer begins with. `Ok(None)`: it is not whole yet. `Err` says why this is
/// no answer of a node.
pub(super) fn opening(bytes: &[u8]) -> Result<Option<Opening>, &'static str> {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() < LINE_BYTES_MAX { Ok(None) } else { Err("an endless line") };
    };
    let line = Line::new(text_line(&window[..end])?);
    let status = line.word(0).filter(|word| word.len() == 3).and_then(decimal);
    let status = status.ok_or("a line that begins with no status")? as u16;
    let body_bytes = match line.key("len").map(decimal) {
        None => 0,
        Some(len) => len.ok_or("a len= that is no number")?,
    };
    Ok(Some(Opening { status, line_bytes: end + 1, body_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_read_as_a_head_is_and_has_no_limit() {
        for line in ["200 OK len=13 : len=99\r\nx", "404 NOT FOUND\n", "200 OK", "", "2000\n"] {
            let head = head(line.as_bytes()).map(|head| {
                let Head { status, line_bytes, body_bytes } = head?;
                Some(Opening { status, line_bytes, body_bytes: body_bytes as u64 })
            });
            assert_eq!(opening(line.as_bytes()), head, "{line}");
        }
        let large = opening(b"200 OK len=5000000000\n").unwrap().unwrap();
        assert_eq!(large.body_bytes, 5_000_000_000);
        assert!(opening(b"200 OK len=-1\n").is_err() && opening(&[b'2'; LINE_BYTES_MAX]).is_err());
    }
}
