//! Streams of chance go to both form servers, the one over hyper and the one that reads by hand: both
//! must see the same requests in them, or one of the two could be tricked.

use std::net::Shutdown;

use proptest::prelude::*;

use crate::{api::both, served::Client};

/// What a stream is made of: requests, parts of them, and what is nearly one.
const PARTS: &[&str] = &[
    "GET /api?a=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /api?b=\"2\" HTTP/1.1\nHost: x\n\n",
    "GET /%61pi HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /api HTTP/1.0\r\n\r\n",
    "HEAD /x HTTP/1.1\r\nHost: web.1\r\nA: \u{e9}\r\n\r\n",
    "GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
    "POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 03\r\n",
    "Content-Length: 3, 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tChunked \r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Connection: close\r\n",
    "Expect: x\r\n",
    "Host: x\r\n",
    "X: y\n",
    "\r\n",
    "\n",
    "\r",
    "a=1",
    "3\r\na=1\r\n",
    "3 ;x=\"y\"\r\n&b=\r\n",
    "03\n&c=\r\n",
    "0x3\r\na=1\r\n",
    "A\r\n0123456789\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "0\r\n\n",
    "00;\r\n",
    " ",
    ":",
    "\0",
    "GET http://y/api?c HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
];

/// The parts are often put together so that they make sense.
fn streams() -> impl Strategy<Value = Vec<String>> {
    let one = prop::sample::select(PARTS).prop_map(str::to_owned);
    let chunked = prop::collection::vec(prop::sample::select(&PARTS[24..33]), 0..4)
        .prop_map(|chunks| format!("{}{}\r\n{}", PARTS[6], PARTS[11], chunks.concat()));
    let sized = prop::sample::select(&PARTS[7..11])
        .prop_map(|length| format!("{}{length}\r\na=1", PARTS[6]));
    let whole = prop::sample::select(&PARTS[..6]).prop_map(str::to_owned);
    let part = prop_oneof![2 => one, 3 => chunked, 2 => sized, 3 => whole];
    prop::collection::vec(part, 1..8)
}

/// The statuses and the bodies of the answers.
fn answers(port: u16, stream: &[String], in_pieces: bool) -> Vec<(String, String)> {
    let mut client = Client::connect(port);
    if in_pieces {
        stream.iter().for_each(|piece| client.send(piece));
    } else {
        client.send(stream.concat());
    }
    // A server that closes its side first has ended this one as well.
    let _ = client.stream().shutdown(Shutdown::Write);
    let all = client.rest();
    let is_status = |at: &usize| {
        let status = all.as_bytes().get(at + 9..at + 12);
        status.is_some_and(|status| status.iter().all(u8::is_ascii_digit))
    };
    let mut starts: Vec<_> =
        all.match_indices("HTTP/1.").map(|it| it.0).filter(is_status).collect();
    starts.push(all.len());
    let answers = starts.windows(2).map(|it| {
        let (head, body) = all[it[0]..it[1]].split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), body.to_owned())
    });
    answers.collect()
}

#[test]
fn both_servers_see_the_same_requests_in_streams_of_chance() {
    let [tide, raw] = both(|_| {});
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) };
    proptest!(config, |(stream in streams(), in_pieces: bool)| {
        let [first, second] = [&tide, &raw].map(|it| answers(it.port, &stream, in_pieces));
        prop_assert_eq!(first, second);
    });
}
