//! What a node answers a browser: it recognises HTTP requests.

/// The answer to any HTTP request.
pub(super) const NOT_YET: &[u8] = b"HTTP/1.1 501 Not Implemented\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Length: 84\r\n\
NetConnection: close\r\n\
\r\n\
This node speaks the line protocol of smolring. Ask it with ring-client, or with nc\n";

/// Whether these first bytes of a connection are a whole HTTP request line.
pub(super) fn is_request_line(input: &[u8]) -> bool {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.len() < input.len() && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_http_request_line_is_one() {
        assert!(is_request_line(b"GET / HTTP/1.1\r\nHost: x\r\n"));
        assert!(is_request_line(b"HEAD /a HTTP/1.0\n"));
        for other in [&b"GET / HTTP/1.1"[..], b"GET HTTP/1.1\n", b"GET a\n HTTP/1.1\n", b""] {
            let expected = other == b"GET HTTP/1.1\n";
            assert_eq!(is_request_line(other), expected, "{other:?}");
        }
    }

    #[test]
    fn the_length_of_the_answer_is_right() {
        let text = std::str::from_utf8(NOT_YET).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }
}
