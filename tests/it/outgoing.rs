//! surf over the crate's own transport, against servers that misbehave.

use std::{
    fs,
    io::{self, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use http_client::HttpClient as _;
use smol::{LocalExecutor, block_on, future, io::Cursor};
use smolring::http::client::{Cause, ClientError, Deadlines, Limits, Transport, cause};
use surf::{Body, Client};

use self::scripted::{PATIENCE, Scripted};
use crate::relay::Relay;

mod bodies;
mod heads;
pub mod scripted;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Short enough to wait for, long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(300);

fn client() -> Client {
    Transport::default().client()
}

fn within(deadlines: Deadlines) -> Client {
    Transport::new(deadlines, Limits::default()).client()
}

fn patient() -> Deadlines {
    Deadlines { connect: PATIENCE, read: PATIENCE, total: PATIENCE }
}

fn get(client: &Client, url: &str) -> surf::Result<String> {
    block_on(client.get(url).recv_string())
}

fn transport_error(error: &surf::Error) -> &ClientError {
    ClientError::find(error.as_ref()).expect("the transport's error is behind surf's")
}

/// Asks once and expects it to fail like this, with words that say where.
fn fails(client: &Client, url: &str, expected: Cause) -> surf::Error {
    let error = get(client, url).expect_err("it must fail");
    println!("{error}");
    assert_eq!(cause(&error), expected, "{error}");
    assert!(error.to_string().starts_with(&expected.to_string()), "{error}");
    error
}

#[test]
fn nobody_there_is_told_from_no_such_name() {
    let free = TcpListener::bind("127.0.43.1:0").unwrap().local_addr().unwrap();
    let error = fails(&client(), &format!("http://{free}/"), Cause::Refused);
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert_eq!(error.status(), 502);
    assert!(!transport_error(&error).may_have_arrived());
    // A label may have 63 characters, so no server is asked for this one.
    let name = "a".repeat(64);
    let error = fails(&client(), &format!("http://{name}.example/"), Cause::NameNotResolved);
    assert!(error.to_string().contains(&name), "{error}");
}

#[test]
fn what_cannot_be_sent_is_invalid() {
    let error = fails(&client(), "https://127.0.0.1/", Cause::Invalid);
    assert_eq!(error.status(), 500);
    fails(&client(), "data:text/plain,x", Cause::Invalid);
    let server = Scripted::always(HELLO);
    let forged = client().get(server.url()).header("x", "a\r\nb: c");
    assert_eq!(cause(&block_on(forged.send()).unwrap_err()), Cause::Invalid);
    let connect = client().connect(server.url());
    assert_eq!(cause(&block_on(connect.send()).unwrap_err()), Cause::Invalid);
    assert_eq!(server.connections(), 0);
    let mut transport = Transport::default();
    assert_eq!(transport.config().timeout, Some(Deadlines::default().total));
    assert!(transport.set_config(http_client::Config::new()).is_err());
}

#[test]
fn every_address_of_a_name_is_tried() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if TcpListener::bind(address).is_err() {
            continue;
        }
        let answer = |_: usize, visitor: &mut scripted::Visitor| {
            visitor.answer(HELLO);
        };
        let server = Scripted::at(address, answer);
        assert_eq!(get(&client(), &server.url()).unwrap(), "hello");
        // The name may mean the other one as well; no server is there.
        if address.starts_with("127") {
            let url = format!("http://localhost:{}/", server.address.port());
            assert_eq!(get(&client(), &url).unwrap(), "hello");
            assert!(server.requests()[1].head.contains("host: localhost:"));
        }
    }
}

#[test]
fn connecting_has_a_deadline() {
    // A client that comes when the backlog is full has to wait.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        waiting.push(stream);
        assert!(waiting.len() < 10_000, "the backlog has no end");
    }
    let client = within(Deadlines { connect: SHORT, ..patient() });
    let began = Instant::now();
    let error = fails(&client, &format!("http://{address}/"), Cause::TimedOut);
    assert!(began.elapsed() >= SHORT && began.elapsed() < PATIENCE);
    assert_eq!(error.status(), 504);
    assert!(!transport_error(&error).may_have_arrived());
}

#[test]
fn silence_has_a_deadline() {
    for words in
        ["", "HTTP/1.1 200 OK\r\ncont", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"]
    {
        let server = Scripted::new(move |_, visitor| {
            visitor.answer(words);
            assert!(visitor.sees_the_end());
        });
        let client = within(Deadlines { read: SHORT, ..patient() });
        let began = Instant::now();
        let error = fails(&client, &server.url(), Cause::TimedOut);
        assert!(error.to_string().contains("silent for 300.0ms"), "{error}");
        assert!(transport_error(&error).may_have_arrived());
        assert!(began.elapsed() >= SHORT && began.elapsed() < PATIENCE);
        // And the connection is closed.
        server.wait_for_end();
    }
}

#[test]
fn a_drip_has_a_deadline() {
    const PAUSE: Duration = Duration::from_millis(10);
    for words in ["HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let server = Scripted::new(move |_, visitor| {
            visitor.answer(words);
            visitor.drip(PAUSE);
        });
        let client = within(Deadlines { total: SHORT, ..patient() });
        let error = fails(&client, &server.url(), Cause::TimedOut);
        assert!(error.to_string().contains("whole answer in 300.0ms"), "{error}");
        server.wait_for_end();
    }
}

#[test]
fn an_answer_that_is_cut_off_is_an_error() {
    for words in [
        "",
        "HTTP",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let server = Scripted::once(words);
        let error = fails(&client(), &server.url(), Cause::Reset);
        assert!(transport_error(&error).may_have_arrived());
        // The connection was new: there was no reason to ask twice.
        assert_eq!((server.connections(), server.requests().len()), (1, 1), "{words:?}");
    }
    let server = Scripted::new(|_, visitor| visitor.wait_for_bytes());
    fails(&client(), &server.url(), Cause::Reset);
}

#[test]
fn an_answer_has_limits() {
    let limits = Limits { body_bytes_max: 1000, ..Limits::default() };
    let client = Transport::new(patient(), limits).client();
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for words in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n".to_owned(),
        format!("{chunked}{chunk}1\r\nx\r\n0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001)),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000)),
    ] {
        fails(&client, &Scripted::once(words).url(), Cause::TooLarge);
    }
    for words in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000)),
        format!("{chunked}{chunk}0\r\n\r\n"),
        format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(1000)),
    ] {
        assert_eq!(get(&client, &Scripted::once(words).url()).unwrap(), "x".repeat(1000));
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let answers = [
        HELLO,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nt: v\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    ];
    let server = Scripted::new(move |_, visitor| {
        let mut answers = answers.iter().cycle();
        while visitor.answer(answers.next().unwrap()).is_some() {}
    });
    let client = client();
    for (n, expected) in
        (0..400).zip([(200, "hello"), (200, "hello"), (204, ""), (404, "")].iter().cycle())
    {
        let request = client.post(server.url()).body_string(format!("number {n}"));
        let mut answer = block_on(request.send()).unwrap();
        let text = block_on(answer.body_string()).unwrap();
        assert_eq!((answer.status() as u16, text.as_str()), *expected);
    }
    assert_eq!(server.connections(), 1);
    let requests = server.requests();
    assert_eq!(requests.len(), 400);
    assert_eq!(requests[123].body, b"number 123");
}

#[test]
fn an_answer_that_nobody_reads_gives_its_connection_back_if_it_is_all_here() {
    let server = Scripted::new(|number, visitor| match number {
        0 => {
            visitor.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").unwrap();
            // The head is never repeated, so the body comes in a piece of its own.
            visitor.answer("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
        }
        _ => while visitor.answer(HELLO).is_some() {},
    });
    let client = client();
    // Not all here: closed.
    drop(block_on(client.get(server.url()).send()).unwrap());
    server.wait_for_end();
    // All here: used again. HEAD has no body, whatever its length is.
    for _ in 0..10 {
        drop(block_on(client.get(server.url()).send()).unwrap());
    }
    assert_eq!(server.connections(), 2);
    let server = Scripted::always("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
    for _ in 0..10 {
        let mut answer = block_on(client.head(server.url()).send()).unwrap();
        assert_eq!(answer.header("content-length").unwrap().as_str(), "7");
        assert_eq!(block_on(answer.body_bytes()).unwrap(), b"");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used() {
    let server = Scripted::new(|number, visitor| {
        visitor.answer(HELLO);
        if number % 2 == 0 {
            visitor.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let client = client();
    for n in 0..10 {
        let text = block_on(client.post(server.url()).body_string(n.to_string()).recv_string());
        assert_eq!(text.unwrap(), "hello");
        server.wait_for_end();
    }
    assert_eq!((server.connections(), server.requests().len()), (10, 10));
}

/// A server that answers the first request on its first connection, and ends that connection at
/// the second one.
#[test]
fn connections_that_have_gone_silent_cost_one_deadline() {
    let server = Scripted::always(HELLO);
    let relay = Relay::to(server.address.port());
    let url = format!("http://{}/", relay.address);
    let client = within(Deadlines { total: SHORT, ..patient() });
    let asked = || async { client.get(&url).recv_string().await };
    // Several are idle afterwards.
    let (one, other) = block_on(future::zip(asked(), asked()));
    assert_eq!(
        (one.unwrap(), other.unwrap(), relay.connections()),
        ("hello".into(), "hello".into(), 2)
    );
    relay.silence();
    fails(&client, &url, Cause::TimedOut);
    assert_eq!(get(&client, &url).unwrap(), "hello");
    assert_eq!(relay.connections(), 3);
}

fn closes_in_the_race(leaves_unread: bool, words: &'static str) -> Scripted {
    Scripted::new(move |number, visitor| match number {
        0 => {
            visitor.answer(HELLO);
            if leaves_unread {
                visitor.wait_for_bytes();
            } else {
                visitor.answer(words);
            }
        }
        _ => while visitor.answer(HELLO).is_some() {},
    })
}

#[test]
fn a_request_is_repeated_only_where_that_is_safe() {
    for leaves_unread in [false, true] {
        let server = closes_in_the_race(leaves_unread, "");
        let client = client();
        assert_eq!(get(&client, &server.url()).unwrap(), "hello");
        let put = client.put(server.url()).body_string("once more".to_owned());
        assert_eq!(block_on(put.recv_string()).unwrap(), "hello");
        assert_eq!(server.connections(), 2);
        assert_eq!(server.requests().last().unwrap().body, b"once more");

        let server = closes_in_the_race(leaves_unread, "");
        assert_eq!(get(&client, &server.url()).unwrap(), "hello");
        assert_eq!(get(&client, &server.url()).unwrap(), "hello");
        let seen = if leaves_unread { 2 } else { 3 };
        assert_eq!(server.methods().len(), seen);

        // These are not idempotent; and a body that is gone cannot be sent again.
        for (method, body) in [
            (surf::http::Method::Post, Body::from("x")),
            (surf::http::Method::Patch, Body::from("x")),
            (surf::http::Method::Put, Body::from_reader(Cursor::new("x"), None)),
        ] {
            let server = closes_in_the_race(leaves_unread, "");
            assert_eq!(get(&client, &server.url()).unwrap(), "hello");
            let request = client.request(method, server.url()).body(body);
            let error = block_on(request.send()).unwrap_err();
            assert_eq!(cause(&error), Cause::Reset, "{error}");
            assert!(transport_error(&error).may_have_arrived());
            server.wait_for_end();
            assert_eq!(server.connections(), 1, "{method} was sent twice");
        }
    }
    // An answer that has begun is an answer.
    let server = closes_in_the_race(false, "HTTP/1.1 2");
    let client = client();
    assert_eq!(get(&client, &server.url()).unwrap(), "hello");
    fails(&client, &server.url(), Cause::Reset);
    assert_eq!(server.connections(), 1);
}

#[test]
fn nothing_is_sent_twice_or_lost_however_a_server_closes() {
    const ROUNDS: usize = 300;
    // It closes without an answer, just as the next request is made.
    let server = Scripted::new(|_, visitor| {
        visitor.answer(HELLO);
    });
    let client = client();
    for n in 0..ROUNDS {
        assert_eq!(get(&client, &server.url()).unwrap(), "hello");
        let post = client.post(server.url()).body_string(n.to_string());
        match block_on(post.recv_string()) {
            Ok(text) => assert_eq!(text, "hello"),
            Err(error) => assert_eq!(cause(&error), Cause::Reset, "{error}"),
        }
    }
    let mut posts: Vec<_> = server.requests().into_iter().map(|it| it.body).collect();
    posts.retain(|body| !body.is_empty());
    posts.sort();
    posts.windows(2).for_each(|two| assert_ne!(two[0], two[1]));
}

#[test]
fn what_comes_behind_an_answer_is_not_the_next_one() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for is_head in [false, true] {
        let server = Scripted::new(move |_, visitor| {
            visitor.answer(format!("{HELLO}{EVIL}"));
            while visitor.answer(EVIL).is_some() {}
        });
        let client = client();
        for n in 1..=5 {
            let request =
                if is_head { client.head(server.url()) } else { client.post(server.url()) };
            let text = block_on(request.recv_string()).unwrap();
            assert_eq!(text, if is_head { "" } else { "hello" });
            assert_eq!(server.connections(), n);
        }
    }
}

#[test]
fn a_future_that_is_dropped_closes_its_connection() {
    let (tell, told) = channel();
    let server = Scripted::new(move |_, visitor| {
        visitor.request();
        tell.send(()).unwrap();
        assert!(visitor.sees_the_end());
    });
    let client = within(patient());
    let request = client.get(server.url()).recv_string();
    let arrived = smol::unblock(move || told.recv_timeout(PATIENCE).unwrap());
    block_on(smol::future::or(async { drop(request.await) }, arrived));
    server.wait_for_end();
}

#[test]
fn places_are_bounded_and_waited_for() {
    let server = Scripted::new(|number, visitor| match number {
        0 => {
            visitor.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
            visitor.sees_the_end();
        }
        _ => while visitor.answer(HELLO).is_some() {},
    });
    let limits = Limits { connections_per_host: 1, ..Limits::default() };
    let client = Transport::new(Deadlines { total: SHORT, ..patient() }, limits).client();
    let unread = block_on(client.get(server.url()).send()).unwrap();
    let error = fails(&client, &server.url(), Cause::TimedOut);
    assert!(error.to_string().contains("in use"), "{error}");
    drop(unread);
    assert_eq!(get(&client, &server.url()).unwrap(), "hello");
    assert_eq!(server.connections(), 2);
    // In all: the one that was idle for the longest time makes room.
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let client = Transport::new(patient(), limits).client();
    let servers: Vec<_> = (0..3).map(|_| Scripted::always(HELLO)).collect();
    for server in &servers {
        get(&client, &server.url()).unwrap();
    }
    servers[0].wait_for_end();
    for (server, connections) in servers.iter().rev().zip([1, 1, 2]) {
        get(&client, &server.url()).unwrap();
        assert_eq!(server.connections(), connections);
    }
    // With an idle time of zero, no connection is kept.
    let limits = Limits { idle_timeout: Duration::ZERO, ..Limits::default() };
    let client = Transport::new(patient(), limits).client();
    let server = Scripted::always(HELLO);
    for n in 1..=3 {
        get(&client, &server.url()).unwrap();
        assert_eq!(server.connections(), n);
        server.wait_for_end();
    }
}

#[test]
fn many_at_once_share_few_connections_on_one_thread_and_on_several() {
    const AT_ONCE: usize = 64;
    const EACH: usize = 20;
    let server = Scripted::new(|_, visitor| {
        while let Some(request) = visitor.request() {
            let body = String::from_utf8(request.body).unwrap();
            let bytes = body.len();
            visitor.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{body}"));
        }
    });
    let limits = Limits { connections_per_host: 8, ..Limits::default() };
    let client = Transport::new(patient(), limits).client();
    let work = |client: Client, url: String, name: String| async move {
        for n in 0..EACH {
            let text = format!("{name} {n}");
            let echo = client.post(&url).body_string(text.clone()).recv_string().await;
            assert_eq!(echo.unwrap(), text);
        }
    };
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|n| executor.spawn(work(client.clone(), server.url(), n.to_string())))
        .collect();
    block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
    assert!(server.connections() <= 8, "{} connections", server.connections());
    thread::scope(|scope| {
        for n in 0..4 {
            let task = work(client.clone(), server.url(), format!("thread {n}"));
            scope.spawn(|| block_on(task));
        }
    });
    assert!(server.connections() <= 8, "{} connections", server.connections());
    assert_eq!(server.requests().len(), (AT_ONCE + 4) * EACH);
}

#[test]
fn no_thread_of_async_std_or_tokio_runs() {
    let server = Scripted::always(HELLO);
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(get(&client(), &url).unwrap(), "hello");
    let names: Vec<_> = fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .collect();
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{names:?}");
    assert!(!names.is_empty());
    assert!(names.iter().all(|name| !name.contains("async-std") && !name.contains("tokio")));
}
