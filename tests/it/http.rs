//! The transport under tide, from the other end of a socket: limits, deadlines, HTTP, and shutdown.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use smol::{
    channel::Sender,
    io::{AsyncBufRead, AsyncRead, Cursor},
};
use smolring::http::Options;
use tide::{Body, Request, Response};

use crate::served::{Client, PATIENCE, Served, eventually, quiet, statuses};

const SHORT: Duration = Duration::from_millis(250);

fn app() -> tide::Server<()> {
    let mut app = tide::new();
    app.at("/ok").all(|_| async { Ok("ok") });
    app.at("/echo")
        .all(|mut request: Request<()>| async move { request.body_bytes().await.map(answer) });
    app.at("/url").get(|request: Request<()>| async move { Ok(request.url().to_string()) });
    app.at("/peer").get(|request: Request<()>| async move {
        Ok(request.remote().unwrap_or_default().to_owned())
    });
    app.at("/never").get(|_| smol::future::pending::<tide::Result>());
    app.at("/panic").get(|_| async { panics() });
    app.at("/bad-reader").get(|_| async { Ok(answer(Body::from_reader(BadReader, None))) });
    app.at("/short").get(|_| async { Ok(answer(Body::from_reader(Cursor::new("half"), Some(8)))) });
    app.at("/stream")
        .get(|_| async { Ok(answer(Body::from_reader(Cursor::new(vec![b's'; 300_000]), None))) });
    app.at("/big").get(|_| async { Ok(answer(vec![b'b'; 8 << 20])) });
    app.at("/forged")
        .get(|_| async { Ok(Response::builder(200).header("x", "a\r\nx-forged: b").build()) });
    app.at("/close").get(|_| async {
        Ok(Response::builder(200).header("connection", "close").body("bye").build())
    });
    app.at("/nothing").get(|_| async { Ok(Response::new(204)) });
    app
}

fn answer(body: impl Into<Body>) -> Response {
    Response::builder(200).body(body).build()
}

#[allow(clippy::unnecessary_wraps)]
fn panics() -> tide::Result {
    panic!("the handler's own fault")
}

/// A body that panics when more of it is read.
struct BadReader;

impl AsyncRead for BadReader {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        panic!("the reader's own fault")
    }
}

impl AsyncBufRead for BadReader {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        panic!("the reader's own fault")
    }

    fn consume(self: Pin<&mut Self>, _: usize) {}
}

fn serve(change: impl FnOnce(&mut Options)) -> Served {
    let mut options = quiet();
    change(&mut options);
    Served::start(options, app())
}

const TOO_LONG: &str = "Payload Too Large: the body is too long";
const BODIES_FULL: &str =
    "Service Unavailable: the server holds too many bytes of requests already";

/// An answer of the transport's own: its status, its words, nothing after it.
fn assert_refused(answers: &str, status: u16, reason: &str) {
    assert_eq!(statuses(answers), [status], "{answers}");
    let (head, body) = answers.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, reason);
    let head = head.to_lowercase();
    let title = reason.split(':').next().unwrap_or_default().to_lowercase();
    assert!(head.starts_with(&format!("http/1.1 {status} {title}\r\n")), "{head}");
    assert!(head.contains(&format!("content-length: {}", reason.len())), "{head}");
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert!(head.contains("date: ") && head.contains("server: smolring/"), "{head}");
}

#[test]
fn each_limit_has_its_status_and_ends_the_connection() {
    let served = serve(|options| {
        options.head_bytes_max = 4096;
        options.url_bytes_max = 512;
        options.headers_max = 20;
        options.body_bytes_max = 10_000;
    });
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    let path = |bytes: usize| format!("/{}", "u".repeat(bytes - 1));
    let many = |n: usize| (0..n).map(|n| format!("x{n}: y\r\n")).collect::<String>();
    let long = |bytes: usize| format!("x: {}\r\n", "h".repeat(bytes));
    for (request, status, reason) in [
        (
            get("/ok", &long(4096)),
            431,
            "Request Header Fields Too Large: first line and headers are too long",
        ),
        (get("/ok", &many(20)), 431, "Request Header Fields Too Large: there are too many headers"),
        (get(&path(513), ""), 414, "URI Too Long: path and query are too long"),
        (post(10_001), 413, TOO_LONG),
        (chunked(&["5000", "5001"]), 413, TOO_LONG),
        (chunked(&["1"; 10_001]), 413, TOO_LONG),
    ] {
        assert_refused(&served.ask(request), status, reason);
    }
    // Just below each of them there is an answer.
    let mut client = served.client();
    for (request, status) in [
        (get("/ok", &long(3900)), 200),
        (get("/ok", &many(19)), 200),
        (get(&path(512), ""), 404),
        (post(10_000), 200),
        (chunked(&["5000", "5000"]), 200),
        (chunked(&["1"; 10_000]), 200),
    ] {
        client.send(request);
        let reply = client.reply();
        assert_eq!(reply.status, status);
        assert!(!reply.closes());
        assert!(status == 404 || reply.body == "ok" || reply.body.len() == 10_000);
    }
    assert!(served.is_alive());
}

fn post(bytes: usize) -> String {
    let body = "p".repeat(bytes);
    format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n{body}")
}

/// A body in chunks of these (decimal) lengths.
fn chunked(lengths: &[&str]) -> String {
    let mut request =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for length in lengths {
        let length: usize = length.parse().unwrap();
        request += &format!("{length:x}\r\n{}\r\n", "c".repeat(length));
    }
    request + "0\r\n\r\n"
}

#[test]
fn a_large_upload_that_is_refused_gets_its_answer_not_a_reset() {
    let served = serve(|_| {});
    let mut client = served.client();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n";
    client.send(head);
    client.send(vec![b'p'; 8_000_000]);
    let mut rest = String::new();
    let mut stream = client.stream();
    stream.read_to_string(&mut rest).unwrap();
    assert_refused(&rest, 413, TOO_LONG);
}

#[test]
fn silence_and_slowness_end_in_408_and_a_close() {
    let served = serve(|options| options.request_timeout = SHORT);
    let half_body = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345";
    let half_chunks = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12";
    let pipelined = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\nGET /ok HT";
    for (request, before) in [
        ("", 0),
        ("G", 0),
        ("GET /ok HTTP/1.1\r\nHost: x\r\n", 0),
        ("PRI * HTTP/2.0\r\n", 0),
        (half_body, 0),
        (half_chunks, 0),
        ("GET /never HTTP/1.1\r\nHost: x\r\n\r\n", 0),
        (pipelined, 1),
    ] {
        let began = Instant::now();
        let mut client = served.client();
        client.send(request);
        for _ in 0..before {
            assert_eq!(client.reply().status, 200);
        }
        let answers = client.rest();
        if request.is_empty() || request.starts_with("PRI") {
            // A browser connects before it has anything to ask. And after half a preface of HTTP/2, it
            // is unknown what the client would understand.
            assert_eq!(answers, "");
        } else {
            assert_refused(&answers, 408, "Request Timeout");
        }
        assert!(began.elapsed() >= SHORT && began.elapsed() < SHORT + PATIENCE / 4, "{request:?}");
    }
    assert!(served.is_alive());
}

#[test]
fn a_byte_now_and_then_does_not_put_the_deadline_off() {
    let served = serve(|options| options.request_timeout = SHORT);
    for request in [
        "GET /ok HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let body_begins = request.find("\r\n\r\n").map_or(0, |at| at + 4);
        let mut client = served.client();
        client.send(&request[..body_begins]);
        let began = Instant::now();
        for byte in request.as_bytes()[body_begins..].iter().cycle() {
            client.send([*byte]);
            // The wait for an answer is the pause between two bytes.
            if !client.is_silent(Duration::from_millis(10)) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "no end");
        }
        assert!(began.elapsed() >= SHORT / 2);
        assert_eq!(client.reply().status, 408);
    }
}

#[test]
fn each_deadline_can_be_set_by_itself() {
    let head = serve(|options| options.head_timeout = Some(SHORT));
    assert_refused(&head.ask("GET /"), 408, "Request Timeout");
    let body = serve(|options| options.body_timeout = Some(SHORT));
    let half = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1";
    assert_refused(&body.ask(half), 408, "Request Timeout");
    let idle = serve(|options| options.keep_alive = SHORT);
    let mut client = idle.client();
    assert_eq!(client.get("/ok").status, 200);
    // Nothing was asked, so nothing is answered.
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_does_not_take_its_answer_is_let_go() {
    let served = serve(|options| {
        options.request_timeout = SHORT;
        options.connections_max = 1;
    });
    let mut greedy = served.client();
    greedy.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4));
    // There is room for one only: it is served when the other one has been closed.
    assert!(served.is_alive());
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let served = serve(|_| {});
    let mut client = served.client();
    let mut requests = String::new();
    for n in 0..500 {
        requests += &format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{n:05}\
             GET /url?{n} HTTP/1.1\r\nHost: h\r\n\r\n"
        );
    }
    client.send(requests);
    for n in 0..500 {
        assert_eq!(client.reply().body, format!("{n:05}"));
        assert_eq!(client.reply().body, format!("http://h/url?{n}"));
    }
}

#[test]
fn head_has_the_length_and_no_body() {
    let served = serve(|_| {});
    let mut client = served.client();
    for _ in 0..3 {
        client.send("HEAD /ok HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = client.reply_to_head();
        assert_eq!((reply.status, reply.header("content-length")), (200, Some("2")));
        // If a body had come, it would be in front of this.
        assert_eq!(client.get("/ok").body, "ok");
    }
    client.send("HEAD /unknown HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply_to_head().header("content-length"), Some("9"));
    assert_eq!(client.get("/unknown").body, "Not Found");
}

#[test]
fn old_and_closing_clients() {
    let served = serve(|_| {});
    let answers = served.ask("GET /ok HTTP/1.0\r\n\r\n");
    assert_eq!(statuses(&answers), [200]);
    assert!(answers.ends_with("\r\n\r\nok"), "{answers}");
    let answers = served.ask("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answers.to_lowercase().contains("connection: close"), "{answers}");
    let mut client = served.client();
    for _ in 0..2 {
        client.send("GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.reply().body, "ok");
    }
    // A client that closes its side and goes on reading.
    let mut client = served.client();
    client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n");
    client.end_of_requests();
    assert_eq!(statuses(&client.rest()), [200]);
    // An answer that wants the connection closed.
    let answers =
        served.ask("GET /close HTTP/1.1\r\nHost: x\r\n\r\nGET /ok HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(statuses(&answers), [200]);
    assert!(answers.ends_with("bye"));
}

#[test]
fn expect_100_continue() {
    let served = serve(|_| {});
    let mut client = served.client();
    let head = |bytes: u32| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    client.send(head(5));
    assert_eq!(client.reply().status, 100);
    client.send("12345");
    assert_eq!(client.reply().body, "12345");
    // What would be refused is refused before it is sent.
    client.send(head(5_000_000));
    assert_refused(&client.rest(), 413, TOO_LONG);
}

#[test]
fn what_arrives_at_the_application() {
    let served = serve(|_| {});
    let mut client = served.client();
    assert_eq!(client.get("/url?a=%20b").body, "http://x/url?a=%20b");
    assert_eq!(client.get("http://other:81/url").body, "http://other:81/url");
    let address = client.stream().local_addr().unwrap().to_string();
    assert_eq!(client.get("/peer").body, address);
    assert_eq!(client.get("/nothing").status, 204);
    let stream = client.get("/stream");
    assert_eq!(stream.header("transfer-encoding"), Some("chunked"));
    assert_eq!(stream.body.len(), 300_000);
    let big = client.get("/big");
    assert_eq!(big.header("content-length"), Some("8388608"));
    assert_eq!(big.body.len(), 8 << 20);
    assert_eq!(client.get("/forged").status, 500);
    assert_eq!(client.get("/ok").status, 200);
}

#[test]
fn a_panic_is_answered_500_and_the_server_lives() {
    let served = serve(|_| {});
    let mut client = served.client();
    let reply = client.get("/panic");
    assert_eq!((reply.status, reply.body.as_str()), (500, "Internal Server Error"));
    // The same connection, and an answer that cannot be finished.
    assert_eq!(client.get("/ok").status, 200);
    client.send("GET /bad-reader HTTP/1.1\r\nHost: x\r\n\r\n");
    let rest = client.rest();
    assert!(rest.is_empty() || statuses(&rest) == [500], "{rest}");
    let mut client = served.client();
    client.send("GET /short HTTP/1.1\r\nHost: x\r\n\r\n");
    let rest = client.rest();
    assert!(rest.is_empty() || rest.ends_with("\r\n\r\nhalf"), "{rest}");
    assert!(served.is_alive());
}

#[test]
fn connections_over_the_limit_wait_and_are_served_in_their_turn() {
    let (open, app) = gated();
    let served = Served::start(Options { connections_max: 2, ..quiet() }, app);
    let mut first = served.client();
    let mut second = served.client();
    for client in [&mut first, &mut second] {
        client.send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let mut third = served.client();
    third.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(third.is_silent(Duration::from_millis(300)));
    open.send_blocking(()).unwrap();
    assert_eq!(third.reply().status, 200);
}

/// An application with a `/gate` that lets one request through for each thing that is sent.
fn gated() -> (Sender<()>, tide::Server<()>) {
    let (open, gate) = smol::channel::bounded::<()>(1);
    let mut app = app();
    app.at("/gate").get(move |_| {
        let gate = gate.clone();
        async move {
            let _ = gate.recv().await;
            Ok("through")
        }
    });
    (open, app)
}

#[test]
fn an_idle_connection_gives_way_to_a_client_that_waits() {
    let served = serve(|options| options.connections_max = 2);
    let mut oldest = served.client();
    assert_eq!(oldest.get("/ok").status, 200);
    let mut busy = served.client();
    busy.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\nGET /ok HT");
    assert_eq!(busy.reply().status, 200);
    assert!(served.is_alive());
    assert_eq!(oldest.rest(), "");
    busy.send("TP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(busy.reply().status, 200);
}

#[test]
fn bodies_of_many_clients_together_are_bounded() {
    const BODY: usize = 60 << 20;
    let served = serve(|options| options.body_bytes_max = BODY);
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY}\r\n\r\n");
    let most = vec![b'x'; BODY - 1];
    let mut clients: Vec<Client> = (0..3).map(|_| served.client()).collect();
    for client in &mut clients {
        client.send(&head);
        client.send(&most);
    }
    assert_refused(&clients[2].rest(), 503, BODIES_FULL);
    clients.truncate(1);
    clients[0].send("x");
    assert_eq!(clients[0].reply().status, 200);
}

#[test]
fn requests_of_one_connection_are_counted() {
    let served = serve(|options| options.requests_max = 3);
    let mut client = served.client();
    assert!(!client.get("/ok").closes());
    assert!(!client.get("/ok").closes());
    assert!(client.get("/ok").closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn a_shutdown_finishes_what_is_in_flight() {
    let (open, app) = gated();
    for threads in [1, 2] {
        let served = Served::start(Options { threads, ..quiet() }, app.clone());
        let mut idle = served.client();
        assert_eq!(idle.get("/ok").status, 200);
        let mut busy: Vec<Client> = (0..4).map(|_| served.client()).collect();
        busy.iter_mut().for_each(|it| it.send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
        // When this one has its answer, those have been read.
        assert_eq!(served.client().get("/ok").status, 200);
        served.reasons.try_send("a test").unwrap();
        eventually("nobody else comes in", || Client::try_connect(served.port).is_err());
        // A request that was on its way is answered, and is the last.
        let last = idle.get("/ok");
        assert!(last.status == 200 && last.closes());
        assert!(served.end.try_recv().is_err());
        (0..4).for_each(|_| open.send_blocking(()).unwrap());
        for client in &mut busy {
            let reply = client.reply();
            assert_eq!((reply.status, reply.body.as_str(), reply.closes()), (200, "through", true));
        }
        served.end.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn another_reason_or_the_drain_timeout_ends_at_once() {
    // The number of reasons after the first, and how long after it they come.
    for (reasons, after) in [(1, 1050), (2, 0), (0, 0)] {
        let drain_timeout = if reasons > 0 { PATIENCE * 10 } else { SHORT };
        let served = serve(|options| options.drain_timeout = drain_timeout);
        let mut client = served.client();
        assert_eq!(client.get("/ok").status, 200);
        client.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.is_silent(Duration::from_millis(50)));
        served.reasons.try_send("a test").unwrap();
        if after > 0 {
            assert!(client.is_silent(Duration::from_millis(after)));
        }
        (0..reasons).for_each(|_| served.reasons.try_send("an impatient test").unwrap());
        let ended = served.end.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ended.unwrap_err().to_string(), "1 connection was cut off");
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_reason_that_comes_twice_at_once_cuts_nothing_and_idle_connections_are_not_cut() {
    let (open, app) = gated();
    let served = Served::start(quiet(), app);
    let (mut busy, mut idle) = (served.client(), served.client());
    busy.send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.get("/ok").status, 200);
    (0..2).for_each(|_| served.reasons.try_send("a test").unwrap());
    eventually("nobody else comes in", || Client::try_connect(served.port).is_err());
    open.send_blocking(()).unwrap();
    assert_eq!(busy.reply().body, "through");
    // What is left is idle, and not worth a failure.
    served.reasons.try_send("an impatient test").unwrap();
    served.end.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn what_is_cut_off_on_every_thread_is_counted() {
    let served = serve(|options| (options.threads, options.drain_timeout) = (3, SHORT));
    let mut clients: Vec<Client> = (0..12).map(|_| served.client()).collect();
    clients.iter_mut().for_each(|it| it.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n"));
    served.reasons.try_send("a test").unwrap();
    let ended = served.end.recv_timeout(PATIENCE).unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "12 connections were cut off");
}

#[test]
fn many_clients_on_many_threads() {
    let served = serve(|options| options.threads = 3);
    let (done, all) = mpsc::channel();
    for n in 0..12 {
        let (done, mut client) = (done.clone(), served.client());
        thread::spawn(move || {
            for m in 0..200 {
                let body = format!("{n}-{m}");
                client.send(format!(
                    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ));
                assert_eq!(client.reply().body, body);
            }
            done.send(()).unwrap();
        });
    }
    (0..12).for_each(|_| all.recv_timeout(PATIENCE).unwrap());
}

#[test]
fn a_body_that_comes_in_many_pieces_is_put_together() {
    let served = serve(|_| {});
    let mut client = served.client();
    let body: String = (0..100_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    client
        .send(format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
    for piece in body.as_bytes().chunks(997) {
        client.stream().write_all(piece).unwrap();
    }
    assert_eq!(client.reply().body, body);
}
