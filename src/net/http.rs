//! HTTP at a node's port: how it is told from the line protocol, and what happens to it.

use std::{panic::AssertUnwindSafe, rc::Rc};

use smol::future::FutureExt;

use super::{connection::NetConnection, driver::Driver, face::Visit, stream::Stream};
use crate::serve::Peer;

/// The answer to any HTTP request, where nothing here speaks it.
const NOT_HERE: &[u8] = b"HTTP/1.1 501 Not Implemented\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Length: 94\r\n\
Connection: close\r\n\
\r\n\
This node speaks only the line protocol of smolring. Ask it with ring-client, or with netcat.\n";

/// What a client of HTTP/2 sends first, as far as it must be here to be recognised.
const H2_LINE: &[u8] = b"PRI * ";
/// The longest word that may be a method.
const METHOD_BYTES_MAX: usize = 32;

/// Whether these first bytes of a connection are HTTP: a whole request line, or the beginning of one with
/// a target that no file of the line protocol can have as its name.
pub(super) fn is_http(input: &[u8]) -> bool {
    if input.contains(&b'\n') {
        return is_request_line(input);
    }
    let word = input.iter().take(METHOD_BYTES_MAX).take_while(|it| it.is_ascii_uppercase());
    let method = word.count();
    let is_target = |rest: &[u8]| {
        [&b" /"[..], b" http://", b" https://"].iter().any(|begin| rest.starts_with(begin))
    };
    input.starts_with(H2_LINE) || (method > 0 && is_target(&input[method..]))
}

/// Whether these first bytes of a connection are a whole HTTP request line.
fn is_request_line(input: &[u8]) -> bool {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let versions = [&b" HTTP/1.1"[..], b" HTTP/1.0", b" HTTP/2.0"];
    line.len() < input.len() && versions.iter().any(|version| line.ends_with(version))
}

/// Tells a client that nothing here speaks HTTP, if this is a whole request line.
pub(super) fn refuses(connection: &NetConnection, input: &[u8]) -> bool {
    if is_request_line(input) {
        connection.outbox.borrow_mut().push_bytes(NOT_HERE);
        connection.end();
        return true;
    }
    false
}

/// Has the node's face serve a connection until its end. `read` is what was read of it.
pub(super) async fn serve(
    driver: &Rc<Driver>,
    connection: &NetConnection,
    stream: impl Stream,
    read: Vec<u8>,
) {
    let (Some(face), Some(socket)) = (driver.face(), stream.into_socket()) else { return };
    let peer = socket.get_ref().peer_addr().map_or(Peer::Unix, |mut address| {
        address.set_ip(address.ip().to_canonical());
        Peer::Ip(address)
    });
    let Visit { connection: other, work } = face.serve(socket, peer, read);
    connection.taken_over(other);
    // What panics costs its connection, and not the node.
    let _ = AssertUnwindSafe(work).catch_unwind().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_http_request_line_is_one() {
        for (input, is_line) in [
            (&b"GET / HTTP/1.1\r\nHost: x\r\n"[..], true),
            (b"HEAD /a HTTP/1.0\n", true),
            (b"GET HTTP/1.1\n", true),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true),
            (b"GET / HTTP/1.1", false),
            (b"GET a\n HTTP/1.1\n", false),
            (b"", false),
        ] {
            assert_eq!(is_request_line(input), is_line, "{input:?}");
        }
    }

    #[test]
    fn the_beginning_of_a_request_line_is_enough_where_it_can_be_nothing_else() {
        for (input, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], true),
            (b"GET /", true),
            (b"PROPFIND /a", true),
            (b"GET http://x", true),
            (b"PRI * HTT", true),
            (b"GET a", false),
            (b"GET /a\n", false),
            (b"PRI", false),
            (b"P", false),
            (b" /", false),
            (b"get /", false),
            (b"\x16\x03\x01 /", false),
            (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA /", false),
            (b"", false),
        ] {
            assert_eq!(is_http(input), expected, "{input:?}");
        }
    }

    #[test]
    fn the_length_of_the_answer_is_right() {
        let text = std::str::from_utf8(NOT_HERE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(head.contains("\r\nConnection: close"));
    }
}
