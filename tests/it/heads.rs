//! What real clients send that is not quite what the books have: it is served, or refused with words
//! that say why. Each row goes to both transports; what concerns all services goes to each of them.

use std::{io::Read, time::Duration};

use smolring::http::{ErrorForm, Options};
use tide::Response;

use crate::{
    api::both,
    cuts::frame,
    served::{Client, PATIENCE, Served, eventually, quiet, statuses},
    service::{CALLER, ECHO, FACADE, LOGGING, MESSAGES, Service},
};

const SHORT: Duration = Duration::from_millis(300);
const GET: &str = "GET /api?a=1 HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn every_service_takes_headers_that_are_not_ascii_over_both_versions() {
    let head = b"GET /health HTTP/1.1\r\nHost: x\r\nCookie: city=S\xc3\xa3o\r\nUser-Agent: J\xe9r\xff\r\n\r\n";
    for binary in [ECHO, CALLER, FACADE, LOGGING, MESSAGES] {
        let args: &[&str] = if binary == LOGGING { &["--store", "memory"] } else { &[] };
        let service = Service::start(binary, args);
        let mut client = Client::connect(service.port);
        for _ in 0..2 {
            client.send(head);
            assert_eq!(client.reply().status, 200, "{binary}");
        }
        // :method GET, :scheme http, :path /health, :authority x, and a cookie, as literals.
        let fields = b"\x82\x86\x04\x07/health\x01\x01x\x0f\x11\x03a\xe9\xff";
        assert_eq!(h2_status(service.port, fields), b"200", "{binary}");
    }
}

/// The status of an answer over HTTP/2 to a request with these fields, in the form of HPACK.
fn h2_status(port: u16, fields: &[u8]) -> Vec<u8> {
    match h2_answer(port, fields).0 {
        0x88 => b"200".to_vec(),
        0x8c => b"400".to_vec(),
        other => vec![other],
    }
}

/// The same as the first byte of its headers, and its body.
fn h2_answer(port: u16, fields: &[u8]) -> (u8, String) {
    let mut client = Client::connect(port);
    client.send(h2_start());
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields));
    read_h2(&client)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// POST, http, a path, a host, a `Content-Type`, in the form of HPACK.
fn call(path: &str, content_type: &str) -> Vec<u8> {
    let literal = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let (path, content_type) = (literal(path), literal(content_type));
    [b"\x83\x86\x04", &path[..], b"\x01\x01x\x0f\x10", &content_type].concat()
}

#[test]
fn the_log_has_the_cause_of_a_call_that_is_refused_or_fails() {
    let mut service = Service::start(LOGGING, &[]);
    for (fields, logged, cause) in [
        (
            call("/LoggingService/Tail", "a/b"),
            " 415 ",
            "a call of gRPC has Content-Type: application/grpc",
        ),
        (
            [b"\x82", &call("/LoggingService/Tail", "application/grpc")[1..]].concat(),
            " 405 ",
            "a call of gRPC is a POST",
        ),
        (call("/x.Y/Z", "application/grpc"), " grpc_status=12 ", "there is no such service"),
        (
            [call("/x.Y/Z", "application/grpc"), b"\x00\x0cgrpc-timeout\x01x".to_vec()].concat(),
            " grpc_status=3 ",
            "grpc-timeout is not like 100m or 5S",
        ),
    ] {
        h2_answer(service.port, &fields);
        let line = service.line();
        assert!(line.contains(logged) && line.contains(&format!("cause=\"{cause}")), "{line}");
    }
}

/// What a client of HTTP/2 begins with.
fn h2_start() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, b"")].concat()
}

/// The next frame that comes over HTTP/2: its type, its flags, what is in it. `None`: it is closed.
fn next_frame(client: &Client) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    client.stream().read_exact(&mut head).ok()?;
    let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
    client.stream().read_exact(&mut payload).ok()?;
    Some((head[3], head[4], payload))
}

/// Reads an answer over HTTP/2: the first byte of its headers, and its body.
fn read_h2(client: &Client) -> (u8, String) {
    let (mut first, mut body) = (0, Vec::new());
    loop {
        let (kind, flags, payload) = next_frame(client).expect("it is answered");
        match kind {
            HEADERS => first = payload[0],
            DATA => body.extend(payload),
            _ => continue,
        }
        if flags & END_STREAM != 0 {
            return (first, String::from_utf8(body).unwrap());
        }
    }
}

#[test]
fn a_host_that_differs_from_the_authority_is_refused() {
    for served in [start(|_| {})] {
        let start = b"\x82\x86\x04\x03/ok\x01\x01x";
        for (host, status) in [("x", "200"), ("X", "200"), ("y", "400"), ("x:80", "400")] {
            let length = host.len() as u8;
            let field = [b"\x00\x04host", &[length][..], host.as_bytes()].concat();
            let fields = [&start[..], &field].concat();
            assert_eq!(h2_status(served.port, &fields), status.as_bytes(), "{host}");
        }
    }
}

fn start(change: impl FnOnce(&mut Options)) -> Served {
    let mut options = quiet();
    change(&mut options);
    let mut app = tide::new();
    app.at("/ok").get(|_| async { Ok("ok") });
    app.at("/pieces").get(|_| async {
        let body = tide::Body::from_reader(smol::io::Cursor::new("piece"), None);
        Ok(Response::builder(200).body(body).build())
    });
    Served::start(options, app)
}

/// What leaves a connection idle, in the pieces in which it comes, with the answers to it.
const IDLE: &[(&[&str], usize)] = &[
    (&["GET /api HTTP/1.1\r\nHost: x\r\n", "\r\n"], 1),
    (&["GET /api HTTP/1.1\r\nHost: x\r\n\r", "\n"], 1),
    (&["GET /api HTTP/1.1\nHost: x\n", "\n"], 1),
    (&["GET /api HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n"], 1),
    (&["GET /api HTTP/1.1\r\nHost: x\r\n\r\n\r\n"], 1),
    (&["GET /api HTTP/1.1\r\nHost: x\r\n\r\n", "\r"], 1),
    (&["GET /api HTTP/1.1\r\nHost: x\r\n\r\n", "\r", "\n", "\n"], 1),
    (&["POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\r\n", "\r\n"], 1),
    (&["POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\r\n\r\n"], 1),
    (&["POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "\r\n\r\n"], 1),
    (&["\r\n\r\nGET /api HTTP/1.1\r\nHost: x\r\n\r\n"], 1),
    (&["GET /api HTTP/1.1\r\nHost: x\r\n\r\nGET /api HTTP/1.1\r\nHost: x\r\n", "\r\n\n"], 2),
    (&["\r\n", "\r\n"], 0),
];

/// Sends each of these on a connection of its own, and reads the answers.
fn idle_clients(served: &Served) -> Vec<(&'static [&'static str], Client)> {
    let mut other = served.client();
    let idle = IDLE.iter().map(|(pieces, answers)| {
        let mut client = served.client();
        for piece in *pieces {
            client.send(piece);
            // One thread serves both: after this answer the piece has been read.
            other.get("/api");
        }
        (0..*answers).for_each(|_| assert!(client.reply().status < 500, "{pieces:?}"));
        (*pieces, client)
    });
    idle.collect()
}

#[test]
fn empty_lines_between_requests_are_nothing() {
    for served in both(|options| options.head_timeout = Some(SHORT)) {
        let mut clients = idle_clients(&served);
        let (_, unused) = clients.last_mut().unwrap();
        // It has asked nothing: it is closed, and told nothing.
        assert_eq!(unused.rest(), "");
        for (pieces, client) in clients.iter_mut().rev().skip(1) {
            assert!(client.is_silent(Duration::from_millis(1)), "{pieces:?}");
            // A bare CR is the beginning of an empty line, and of nothing else.
            let end = if pieces.last() == Some(&"\r") { "\n" } else { "" };
            client.send(end.to_owned() + GET);
            assert_eq!(client.reply().body, r#"{"a":"1"}"#, "{pieces:?}");
        }
    }
}

#[test]
fn after_an_empty_line_a_connection_gives_way_and_ends_in_a_shutdown() {
    for served in both(|options| options.connections_max = IDLE.len() + 1) {
        let mut clients = idle_clients(&served);
        // Each of these needs the place of another.
        let mut new: Vec<_> = (0..=IDLE.len()).map(|_| served.client()).collect();
        for client in &mut new {
            client.send(GET);
            assert_eq!(client.reply().status, 200);
        }
        for (pieces, client) in &mut clients {
            assert_eq!(client.rest(), "", "{pieces:?}");
        }
    }
    for served in both(|options| options.drain_timeout = PATIENCE) {
        let mut clients = idle_clients(&served);
        served.reasons.try_send("a test").unwrap();
        eventually("nobody listens", || Client::try_connect(served.port).is_err());
        for (pieces, client) in &mut clients {
            assert_eq!(client.rest(), "", "{pieces:?}");
        }
        served.end.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn half_heads_give_way_to_a_client_that_asks() {
    for served in both(|options| options.connections_max = 8) {
        let mut idle = served.client();
        assert_eq!(idle.get("/api").status, 200);
        let mut halves: Vec<_> = (0..7).map(|_| served.client()).collect();
        for (half, n) in halves.iter_mut().zip(0..) {
            // Some have been answered before, and all send on.
            if n % 2 == 0 {
                half.send(GET);
                assert_eq!(half.reply().status, 200);
            }
            half.send("GET /api HTTP/1.1\r\n");
        }
        let mut client = served.client();
        client.send(GET);
        let mut answered = || {
            // One that asks now and then is never closed for another.
            assert_eq!(idle.get("/api").status, 200);
            let is_silent = client.is_silent(Duration::from_millis(5));
            halves.iter_mut().for_each(|half| half.send("X: y\r\n"));
            !is_silent
        };
        eventually("it is answered", &mut answered);
        assert_eq!(client.reply().status, 200);
        halves.retain_mut(|half| !half.is_silent(Duration::from_millis(1)));
        assert!(!halves.is_empty());
        for half in &mut halves {
            // It sends on, so it may lose its answer in a reset.
            assert!(matches!(statuses(&half.rest())[..], [] | [408]));
        }
    }
}

#[test]
fn over_http2_too_what_has_no_whole_head_gives_way() {
    let start_of = |more: &[u8]| [h2_start(), more.to_vec()].concat();
    let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82\x86\x04\x03/ok\x01\x01x");
    let half = frame(HEADERS, END_STREAM, 1, b"\x82\x86\x04\x03/ok");
    let answered = start_of(&head);
    let halves = [
        b"PRI * HTTP/2".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        start_of(b""),
        start_of(&head[..head.len() - 1]),
        start_of(&half),
        answered.clone(),
        [answered.clone(), frame(HEADERS, END_STREAM, 3, b"\x82")].concat(),
    ];
    let served = start(|options| options.connections_max = halves.len());
    let mut clients = halves.clone().map(|bytes| {
        let mut client = served.client();
        client.send(&bytes);
        if bytes.starts_with(&answered) {
            assert_eq!(read_h2(&client), (0x88, "ok".into()));
        }
        client
    });
    // Each of these needs the place of another.
    let mut new = halves.clone().map(|_| served.client());
    for client in &mut new {
        assert_eq!(client.get("/ok").body, "ok");
    }
    // And none of them that of one of these.
    for client in &mut new {
        assert_eq!(client.get("/ok").body, "ok");
    }
    for (client, half) in clients.iter_mut().zip(halves) {
        assert!(!client.rest().contains("HTTP/1.1"), "{half:?}");
    }
}

#[test]
fn over_http2_too_a_request_that_is_cut_off_is_counted() {
    let served = start(|options| options.drain_timeout = SHORT);
    let mut client = served.client();
    // Its body does not come.
    let head = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x04\x03/ok\x01\x01x");
    client.send([h2_start(), head].concat());
    assert!(!client.is_silent(PATIENCE));
    assert_eq!(served.client().get("/ok").status, 200);
    served.reasons.try_send("a test").unwrap();
    let ended = served.end.recv_timeout(PATIENCE).unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "1 connection was cut off");
}

#[test]
fn over_http2_too_a_connection_without_keep_alive_ends_in_order() {
    const GOAWAY: u8 = 7;
    let served = start(|options| options.keep_alive = Duration::ZERO);
    let mut client = served.client();
    let get = |stream| frame(HEADERS, 5, stream, b"\x82\x86\x04\x03/ok\x01\x01x");
    client.send([h2_start(), get(1)].concat());
    let (mut answers, mut has_gone_away) = (0, false);
    while let Some((kind, flags, payload)) = next_frame(&client) {
        has_gone_away |= kind == GOAWAY;
        if kind == DATA && flags & END_STREAM != 0 {
            assert_eq!(payload, b"ok");
            answers += 1;
            // One that was on its way before the client could know.
            if answers == 1 {
                client.send(get(3));
            }
        }
    }
    assert_eq!((answers, has_gone_away), (2, true));
}

#[test]
fn what_comes_after_the_last_request_is_nothing() {
    for served in both(|_| {}) {
        for request in [
            "GET /api HTTP/1.0\r\n\r\n",
            "GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET /api HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n",
            "POST /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n&",
        ] {
            for behind in ["no request\r\n\r\n", GET, "\r\n", "GET"] {
                let answers = served.ask(request.to_owned() + behind);
                let status = if request.starts_with("POST") { 415 } else { 200 };
                assert_eq!(statuses(&answers), [status], "{request}{behind}");
            }
        }
    }
}

/// A head, the status, and the cause.
const CAUSES: &[(&str, u16, &str)] = &[
    ("GET /\r\n\r\n", 400, "the first line is not a method, a target and a version"),
    ("G(T / HTTP/1.1\r\n\r\n", 400, "the method has a character that no method has"),
    ("GET / HTTP/3.0\r\n\r\n", 400, "the version is neither HTTP/1.1 nor HTTP/1.0"),
    ("GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "the target is neither a path nor a URL of http"),
    ("GET / HTTP/1.1\r\nHost x\r\n\r\n", 400, "a header line has no colon"),
    ("GET / HTTP/1.1\r\n: x\r\n\r\n", 400, "a header line has no name before its colon"),
    ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, "there is a blank before the colon of a header"),
    (
        "GET / HTTP/1.1\r\nA: x\r\n b: c\r\n\r\n",
        400,
        "a line goes on with the header above it, which HTTP has given up",
    ),
    (
        "GET / HTTP/1.1\r\nA\u{e9}: x\r\n\r\n",
        400,
        "a header's name has a character that no name has",
    ),
    ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400, "there is a control character in the head"),
    ("GET / HTTP/1.1\r\nA: \rb\r\n\r\n", 400, "there is a CR that ends no line"),
    ("GET / HTTP/1.1\r\n\r\n", 400, "there is no Host header"),
    ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, "there is more than one Host header"),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "the Host header names no host"),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400, "Content-Length is no number"),
    (
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "two Content-Lengths differ",
    ),
    (
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "there are both a Content-Length and a Transfer-Encoding",
    ),
    (
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        400,
        "the last Transfer-Encoding is not chunked",
    ),
    (
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
        "no Transfer-Encoding but chunked is known here",
    ),
    (
        "POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        400,
        "a chunk is malformed",
    ),
    ("GOT / HTTP/1.1\r\nHost: x\r\n\r\n", 501, "the method is not known here"),
    (
        "\x16\x03\x01\x02\0\x01\0\x01\u{0}\x03\x03 no HTTP at all\r\n\r\n",
        400,
        "this is TLS, and the port speaks HTTP without it: use http://",
    ),
    (
        "POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1",
        415,
        "send application/x-www-form-urlencoded or multipart/form-data",
    ),
];

#[test]
fn every_refusal_says_why_in_the_form_of_its_service() {
    for errors in [ErrorForm::Line, ErrorForm::Problem, ErrorForm::Page] {
        for served in both(|options| options.errors = errors) {
            for (input, status, cause) in CAUSES {
                // What the form servers themselves refuse is always JSON.
                let errors = if *status == 415 { ErrorForm::Problem } else { errors };
                let mut client = served.client();
                client.send(input);
                let reply = client.reply();
                assert_eq!(reply.status, *status, "{input:?}: {reply:?}");
                let title = match status {
                    400 => "Bad Request",
                    415 => "Unsupported Media Type",
                    _ => "Not Implemented",
                };
                let (kind, body) = match errors {
                    ErrorForm::Line => ("text/plain; charset=utf-8", format!("{title}: {cause}")),
                    ErrorForm::Page => ("text/html; charset=utf-8", format!("{title}\n{cause}\n")),
                    ErrorForm::Problem => (
                        "application/problem+json",
                        format!(
                            "{{\"title\":\"{title}\",\"status\":{status},\"detail\":\"{cause}\",\
                             \"error\":\"{cause}\"}}"
                        ),
                    ),
                };
                assert_eq!(reply.body, body, "{input:?}");
                assert_eq!(reply.header("content-type"), Some(kind), "{input:?}");
            }
        }
    }
}

#[test]
fn the_log_has_the_cause_and_what_was_asked() {
    for binary in [env!("CARGO_BIN_EXE_api-server"), env!("CARGO_BIN_EXE_raw-api-server")] {
        let mut command = std::process::Command::new(binary);
        command.args(["--port", "0", "--body-timeout", "200ms", "--head-timeout", "200ms"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            line.trim_end().to_owned()
        };
        let first = line();
        let port = first.rsplit(' ').next().unwrap().parse().unwrap();
        line();
        for (input, status, cause) in CAUSES {
            let mut client = Client::connect(port);
            client.send(input);
            assert_eq!(client.reply().status, *status);
            let line = line();
            assert!(line.contains(&format!(" {status} ")), "{input:?}: {line}");
            assert!(line.ends_with(&format!(" cause=\"{cause}\"")), "{input:?}: {line}");
            let mut words = input.split(' ');
            let asked = [words.next(), words.next()].map(Option::unwrap_or_default).join(" ");
            let is_known = input.lines().next().is_some_and(|line| line.ends_with(" HTTP/1.1"));
            let asked = if is_known && !asked.contains('(') { asked } else { "- -".into() };
            assert!(line.contains(&format!(" - {asked} ")), "{input:?}: {line}");
        }
        // What comes too late has been asked for all the same.
        for (input, asked) in [
            ("GET /late HTTP/1.1\r\nHost: x\r\n", "GET /late"),
            ("POST /api?a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1", "POST /api?a"),
        ] {
            let mut client = Client::connect(port);
            client.send(input);
            assert_eq!(client.reply().status, 408);
            let line = line();
            assert!(line.contains(&format!(" - {asked} 408 ")), "{input:?}: {line}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn over_http2_too_a_refusal_says_why_in_the_answer_and_in_the_log() {
    // GET, http, and then a method, a path, a host, as literals.
    let cases: &[(&[u8], &str, &str)] = &[
        (
            b"\x82\x86\x04\x02/a\x01\x01x\x00\x04host\x01y",
            "GET /a 400",
            "the Host header differs from :authority",
        ),
        (b"\x82\x86\x04\x02/a\x01\x051.2.3", "GET /a 400", "the target names no host"),
        (
            b"\x82\x86\x04\x02/a\x00\x04host\x01y\x00\x04host\x01z",
            "GET /a 400",
            "there is more than one Host header",
        ),
        (b"\x02\x03GOT\x86\x04\x02/a\x01\x01x", "GOT /a 501", "the method is not known here"),
    ];
    for binary in [ECHO, MESSAGES] {
        let mut service = Service::start(binary, &[]);
        for (fields, logged, cause) in cases {
            let (_, body) = h2_answer(service.port, fields);
            let said = if binary == ECHO {
                format!("\"detail\":\"{cause}\"")
            } else {
                format!(": {cause}")
            };
            assert!(body.contains(&said), "{binary}: {body}");
            let line = service.line();
            assert!(line.contains(&format!(" - {logged} ")), "{binary}: {line}");
            assert!(line.ends_with(&format!(" cause=\"{cause}\"")), "{binary}: {line}");
        }
    }
}

#[test]
fn an_old_client_is_not_promised_a_connection_that_ends() {
    let served = start(|_| {});
    let ask = "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let answer = served.ask(ask).to_lowercase();
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(!answer.contains("keep-alive"), "{answer}");
    assert!(answer.ends_with("\r\n\r\npiece"), "{answer}");
    let ask = ask.replace("pieces", "ok");
    let last = start(|options| options.requests_max = 1).ask(&ask).to_lowercase();
    assert!(last.contains("\r\nconnection: close\r\n") && !last.contains("alive"), "{last}");
    let mut client = served.client();
    for _ in 0..2 {
        client.send(&ask);
        let reply = client.reply();
        assert_eq!(reply.header("connection"), Some("keep-alive"));
        assert_eq!(reply.body, "ok");
    }
}
