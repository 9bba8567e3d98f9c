//! Requests that two readers could read in two ways. Each is refused with 400 and a close, or read
//! as RFC 9112 says; and no request is ever read out of another's body.
//!
//! The table is the specification: bytes in, statuses out. `E` in an input stands for a request
//! that would be evil if it were one: `GET /evil`. The application answers it with 226, so 226 is
//! in the table only where the bytes really are a second request.

use std::time::Duration;

use smolring::services::{
    form::Reply,
    raw_api::{self, Routes},
};
use tide::{Request, Response};

use crate::served::{Client, Served, quiet, statuses};

const EVIL: &str = "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n";

/// Whether the connection is still open after these answers.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Then {
    Open,
    Closed,
}
use Then::{Closed, Open};

type Case = (&'static str, &'static str, &'static [u16], Then);

const LENGTHS: &[Case] = &[
    (
        "a body that looks like a request",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\nE",
        &[200],
        Open,
    ),
    (
        "a request behind a body",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naE",
        &[200, 226],
        Open,
    ),
    (
        "two lengths that differ",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 31\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "two lengths that agree",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\nContent-Length: 31\r\n\r\nE",
        &[200],
        Open,
    ),
    (
        "two lengths in one line",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 31, 31\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a length with a sign",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +31\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a length below nothing",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a length in hexadecimal",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1f\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a length with a space in it",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3 1\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a length beyond all numbers",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nE",
        &[400],
        Closed,
    ),
    ("an empty length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nE", &[400], Closed),
    ("GET with a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\nE", &[200], Open),
];

const CHUNKS: &[Case] = &[
    (
        "chunks, then a request",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nE",
        &[200, 226],
        Open,
    ),
    (
        "a chunk that looks like a request",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\nE\r\n0\r\n\r\n",
        &[200],
        Open,
    ),
    (
        "a length and chunks",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunks and a length",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunks and a length of nothing, behind an answered request",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\ncontent-length: 0\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\n\r\nE",
        &[200, 400],
        Closed,
    ),
    (
        "a coding before chunked",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nE",
        &[501],
        Closed,
    ),
    (
        "a coding before chunked, in a line of its own",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nE",
        &[501],
        Closed,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunked twice, in two lines",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunked and nothing",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunked with a parameter",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "an empty coding",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunked in other letters",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\nE",
        &[200, 226],
        Open,
    ),
    (
        "another coding after chunked",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "another coding than chunked",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: 31\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a coding of nonsense",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a vertical tab before the coding",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "chunks in HTTP/1.0",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a chunk size of nonsense",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a chunk size with a sign",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a chunk size with a prefix",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a chunk size beyond all numbers",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "an empty chunk size",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a chunk size that ends in a bare LF",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a chunk longer than its size",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "a bare LF in an extension of a chunk",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\nE",
        &[400],
        Closed,
    ),
    (
        "trailers are no headers and no request",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: y\r\n\r\n",
        &[200],
        Open,
    ),
];

const HEADS: &[Case] = &[
    (
        "lines that end in a bare LF are read, as RFC 9112 allows",
        "GET / HTTP/1.1\nHost: x\n\nE",
        &[200, 226],
        Open,
    ),
    (
        "a bare CR in a value",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 31\r\n\r\nE",
        &[400],
        Closed,
    ),
    ("a folded line", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\nE", &[400], Closed),
    (
        "a folded line with a tab",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tContent-Length: 31\r\n\r\nE",
        &[400],
        Closed,
    ),
    ("a space before the first header", "GET / HTTP/1.1\r\n Host: x\r\n\r\nE", &[400], Closed),
    ("a NUL in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\nE", &[400], Closed),
    ("a NUL in a name", "GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\nE", &[400], Closed),
    ("a header without a name", "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\nE", &[400], Closed),
    ("a header without a colon", "GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\nE", &[400], Closed),
    ("no Host", "GET / HTTP/1.1\r\n\r\nE", &[400], Closed),
    ("Host twice", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\nE", &[400], Closed),
    ("Host twice, the same", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("Host with a user", "GET / HTTP/1.1\r\nHost: u@x\r\n\r\nE", &[400], Closed),
    ("Host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\nE", &[400], Closed),
    ("two hosts in one", "GET / HTTP/1.1\r\nHost: x y\r\n\r\nE", &[400], Closed),
    ("a target with its own host", "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\nE", &[200, 226], Open),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("two spaces before the target", "GET  / HTTP/1.1\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("no version", "GET /\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("a version of the future", "GET / HTTP/3.0\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("a version in lower case", "GET / http/1.1\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("a host alone", "GET x:80 HTTP/1.1\r\nHost: x:80\r\n\r\nE", &[400], Closed),
    ("a tunnel", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\nE", &[501], Closed),
    (
        "an upgrade that nobody asked for",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\nE",
        &[200, 226],
        Open,
    ),
    ("a method of nonsense", "G(T / HTTP/1.1\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("a method that nobody knows", "GOT / HTTP/1.1\r\nHost: x\r\n\r\nE", &[501], Closed),
    (
        "empty lines before a request",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nE",
        &[200, 226],
        Open,
    ),
    (
        "empty lines after a request",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\r\n\r\n\nE",
        &[200, 226],
        Open,
    ),
    ("a bare CR before a request", "\rGET / HTTP/1.1\r\nHost: x\r\n\r\nE", &[400], Closed),
    ("a name with a number", "GET / HTTP/1.1\r\nHost: web.1:80\r\n\r\nE", &[200, 226], Open),
    ("a number for a name", "GET / HTTP/1.1\r\nHost: 127.1\r\n\r\nE", &[400], Closed),
    (
        "a path that needs no encoding",
        "GET /%65vi%6c HTTP/1.1\r\nHost: x\r\n\r\nE",
        &[226, 226],
        Open,
    ),
    ("quotes in the target", "GET /?\"<>`{|}^\\' HTTP/1.1\r\nHost: x\r\n\r\nE", &[200, 226], Open),
    ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{0}\x03\x03 no HTTP at all\r\n\r\n", &[400], Closed),
];

/// The server over hyper, and the one that reads HTTP by hand.
fn both() -> [Served; 2] {
    [serve(), serve_raw()]
}

fn serve_raw() -> Served {
    let length = |request: &raw_api::Request| reply(200, request.body.len().to_string());
    let routes = Routes::new().route("GET", "/evil", |_| reply(226, String::new()));
    let routes = ["/", "/after"]
        .into_iter()
        .fold(routes, |routes, path| routes.route("GET", path, length).route("POST", path, length));
    Served::start_raw(quiet(), routes)
}

fn reply(status: u16, body: String) -> Reply {
    Reply { status, content_type: "text/plain", body: body.into(), cause: None }
}

fn serve() -> Served {
    let mut app = tide::new();
    app.at("/*").all(answer);
    app.at("/").all(answer);
    app.at("/evil").all(|_| async { Ok(Response::new(226)) });
    Served::start(quiet(), app)
}

/// Reads the body, as a real application would.
async fn answer(mut request: Request<()>) -> tide::Result {
    let length = request.body_bytes().await?.len();
    Ok(Response::builder(200).body(length.to_string()).build())
}

fn check(served: &Served, name: &str, input: &[u8], expected: &[u16], then: Then) {
    let mut client = Client::connect(served.port);
    client.send(input);
    if then == Open {
        for &status in expected {
            assert_eq!(client.reply().status, status, "{name}");
        }
        assert_eq!(client.get("/after").status, 200, "{name}: what comes after");
        assert!(client.is_silent(Duration::from_millis(1)), "{name}: too many answers");
    } else {
        let answers = client.rest();
        assert_eq!(statuses(&answers), expected, "{name}: {answers}");
        let refused = expected.last().is_some_and(|status| *status >= 400);
        assert!(!refused || answers.to_lowercase().contains("connection: close"), "{name}");
        if expected == [400] {
            assert!(answers.contains("\r\n\r\nBad Request: "), "{name}: {answers}");
        }
    }
}

#[test]
fn the_table() {
    assert_eq!(EVIL.len(), 31);
    for served in both() {
        for cases in [LENGTHS, CHUNKS, HEADS] {
            for (name, input, expected, then) in cases {
                check(&served, name, with_evil(input).as_bytes(), expected, *then);
            }
        }
    }
}

/// The same table at a node, which knows no `/evil`, and takes no POST: each request has the one answer that
/// it has in the table, where that is not done as a node does not do it. What has no request line is of the
/// line protocol.
pub fn at_node(connect: impl Fn() -> Client) {
    for (name, input, expected, _) in [LENGTHS, CHUNKS, HEADS].concat() {
        let mut client = connect();
        client.send(with_evil(input));
        client.end_of_requests();
        let answers = client.rest();
        if answers.starts_with("400 BAD REQUEST") {
            continue;
        }
        let found = statuses(&answers);
        let is_same = |(found, expected): (&u16, &u16)| match expected {
            200..300 => [200, 404, 405].contains(found),
            // A body that it does not read may be anything; nothing behind it is read either.
            refused => found == refused || *found == 405,
        };
        let all_same = found.iter().zip(expected).all(is_same);
        assert!(found.len() == expected.len() && all_same, "{name}: {found:?}, not {expected:?}");
    }
}

/// Puts the evil request in the place of the lone `E`: at the end, or at that of a chunk.
fn with_evil(input: &str) -> String {
    match input.strip_suffix('E') {
        Some(before) => format!("{before}{EVIL}"),
        None => input.replace("\nE\r\n", &format!("\n{EVIL}\r\n")),
    }
}

#[test]
fn the_same_in_two_pieces_cut_anywhere() {
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\n{EVIL}\r\n0\r\n\r\n"
    );
    for (served, cut) in both().iter().flat_map(|it| (1..request.len()).map(move |cut| (it, cut))) {
        let mut client = served.client();
        client.send(&request[..cut]);
        // Long enough that the first piece has most likely been read.
        std::thread::yield_now();
        client.send(&request[cut..]);
        let reply = client.reply();
        assert_eq!((reply.status, reply.body.as_str()), (200, "31"), "cut at {cut}");
    }
}

#[test]
fn bytes_that_are_not_ascii() {
    both().iter().for_each(check_other_bytes);
}

fn check_other_bytes(served: &Served) {
    for byte in 0x80..=0xffu8 {
        let with =
            |before: &str, after: &str| [before.as_bytes(), &[byte], after.as_bytes()].concat();
        for (place, input) in [
            ("a name", with("GET / HTTP/1.1\r\nHost: x\r\nA", ": b\r\n\r\n")),
            ("Host", with("GET / HTTP/1.1\r\nHost: x", "\r\n\r\n")),
            ("the method", with("GE", "T / HTTP/1.1\r\nHost: x\r\n\r\n")),
            ("the version", with("GET / HTTP/1.", "\r\nHost: x\r\n\r\n")),
            ("the host of a target", with("GET http://x", "/ HTTP/1.1\r\nHost: x\r\n\r\n")),
            ("the length", with("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1", "\r\n\r\n")),
        ] {
            check(served, &format!("{byte:#x} in {place}"), &input, &[400], Closed);
        }
        // Where they mean nothing, they hurt nothing.
        for (place, input) in [
            ("a value", with("GET / HTTP/1.1\r\nHost: x\r\nA: b", "\r\n\r\n")),
            ("a whole value", with("GET / HTTP/1.1\r\nHost: x\r\nCookie:", "\r\n\r\n")),
            (
                "a known value",
                with("GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue", "\r\n\r\n"),
            ),
            ("a type", with("GET / HTTP/1.1\r\nHost: x\r\nContent-Type: a/", "\r\n\r\n")),
            ("the query", with("GET /?", " HTTP/1.1\r\nHost: x\r\n\r\n")),
            ("a target with a host", with("GET http://x/?", " HTTP/1.1\r\nHost: x\r\n\r\n")),
        ] {
            check(served, &format!("{byte:#x} in {place}"), &input, &[200], Open);
        }
    }
    // UTF-8, as a careless client may send it.
    for (input, expected, then) in [
        ("GET /?ä=ö HTTP/1.1\r\nHost: x\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: Grüße\r\n\r\n", 200, Open),
        ("GET / HTTP/1.1\r\nHost: grüße\r\n\r\n", 400, Closed),
    ] {
        check(served, input, input.as_bytes(), &[expected], then);
    }
    assert!(Client::connect(served.port).get("/").status == 200);
}
