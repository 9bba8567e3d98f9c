//! `caller-service` and `echo-service` as processes: answers that go through both, the caller's
//! answers when the echo service fails, and that the caller survives all of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Command,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    served::{Client, PATIENCE, Reply, eventually},
    service::{CALLER, ECHO, Service, curl, escaped, python_gets_its_texts_back, texts},
};

/// What an answer may take beyond the caller's timeout, on a machine that is busy with tests.
const SLACK: Duration = Duration::from_secs(2);

/// A caller of the echo service at this port.
fn caller_of(port: u16, args: &[&str]) -> Service {
    let url = format!("http://127.0.0.1:{port}");
    Service::start(CALLER, &[&["--echo-url", &url], args].concat())
}

/// Checks that the 503 has all that it should have; returns the cause.
fn cause(reply: &Reply) -> String {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((&body["service_a"], &body["service_b"]), (&json!("unavailable"), &json!("ok")));
    assert!(body["elapsed_ms"].is_u64(), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

#[test]
fn it_passes_on_what_the_echo_service_says() {
    needs!("curl", "python3 requests");
    let echo = Service::start(ECHO, &["--quiet"]);
    let caller = caller_of(echo.port, &["--quiet"]);
    assert_eq!(curl(&[&caller.url("/health")]), r#"{"status":"ok"}"#);
    let answer = curl(&[&caller.url("/call-echo?msg=hello")]);
    assert_eq!(answer, r#"{"service_a":{"echo":"hello"},"service_b":"ok"}"#);
    let empty = r#"{"service_a":{"echo":""},"service_b":"ok"}"#;
    assert_eq!(curl(&[&caller.url("/call-echo")]), empty);
    let mut client = Client::connect(caller.port);
    for text in texts() {
        let reply = client.get(&format!("/call-echo?msg={}", escaped(&text)));
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body, json!({ "service_a": { "echo": text }, "service_b": "ok" }));
    }
    python_gets_its_texts_back(&caller.url("/call-echo"), &["service_a", "echo"]);
    // Each of these is one byte here and three on the way to the echo service.
    let reply = client.get(&format!("/call-echo?msg={}", "!".repeat(30_000)));
    assert_eq!(reply.status, 414);
    assert_eq!(
        reply.body,
        r#"{"title":"URI Too Long","status":414,"detail":"msg is too long to be passed on","error":"msg is too long to be passed on"}"#
    );
    let answer = curl(&["-i", "-X", "POST", &caller.url("/call-echo")]);
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn a_request_can_be_followed_through_both() {
    needs!("curl");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut echo = Service::start(ECHO, &[]);
    let mut caller = caller_of(echo.port, &[]);
    let answer = curl(&[
        "-i",
        "-H",
        "X-Request-Id: lesson-7",
        "-H",
        &format!("traceparent: {parent}"),
        &caller.url("/call-echo?msg=a%20b"),
    ]);
    assert!(answer.to_lowercase().contains("\r\nx-request-id: lesson-7\r\n"), "{answer}");
    let names = format!(" request_id=lesson-7 traceparent={parent}");
    let (of_echo, of_caller) = (echo.line(), caller.line());
    assert!(of_echo.contains(" - GET /echo?msg=a+b 200 "), "{of_echo}");
    assert!(of_echo.ends_with(&format!(" service=echo-service{names}")), "{of_echo}");
    assert!(of_caller.contains(" - GET /call-echo?msg=a%20b 200 "), "{of_caller}");
    assert!(of_caller.ends_with(&format!(" service=caller-service{names}")), "{of_caller}");

    // The same for a request without such headers, and with a log in JSON.
    let mut caller = caller_of(echo.port, &["--log-format", "json"]);
    let reply = caller.get("/call-echo?msg=x");
    let entry: Value = serde_json::from_str(&caller.line()).unwrap();
    let (id, parent) = (entry["request_id"].as_str(), entry["traceparent"].as_str());
    assert_eq!(id, reply.header("x-request-id"));
    let names = format!(" request_id={} traceparent={}", id.unwrap(), parent.unwrap());
    let line = echo.line();
    assert!(line.ends_with(&names), "{line}");
}

#[test]
fn a_trace_state_is_passed_on_with_its_trace() {
    let (seen, heads) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caller = caller_of(listener.local_addr().unwrap().port(), &["--quiet"]);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            seen.send(head.to_lowercase()).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"echo\":\"x\"}";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let head_of = |headers: &str| {
        let mut client = Client::connect(caller.port);
        client.send(format!("GET /call-echo?msg=x HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        assert_eq!(client.reply().status, 200);
        heads.recv_timeout(PATIENCE).unwrap()
    };
    let head = head_of(&format!("{parent}tracestate: a=1\r\nTraceState: b=2\r\n"));
    assert!(head.contains(parent) && head.contains("\r\ntracestate: a=1,b=2\r\n"), "{head}");
    for headers in ["tracestate: a=1\r\n", "traceparent: 00-0\r\ntracestate: a=1\r\n", parent] {
        let head = head_of(headers);
        assert!(head.contains("\r\ntraceparent: 00-") && !head.contains("tracestate"), "{head}");
    }
}

/// Answers every connection with these bytes, and closes it.
fn scripted(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut piece = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(count @ 1..) => head.extend(&piece[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(&answer);
        }
    });
    port
}

#[test]
fn an_echo_with_odd_headers_is_an_echo() {
    for head in [&b"City: S\xe3o\r\nLength: 12"[..], b"X: a\r\n b", b"Content-Type: a/b; c=\xff"] {
        let answer =
            [b"HTTP/1.1 200 OK\r\n", head, b"\r\n\r\n\xef\xbb\xbf{\"echo\":\"x\"}"].concat();
        let caller = caller_of(scripted(answer), &["--quiet", "--timeout", "20s"]);
        let reply = caller.get("/call-echo?msg=hello");
        assert_eq!(reply.body, r#"{"service_a":{"echo":"x"},"service_b":"ok"}"#);
    }
}

#[test]
fn a_503_names_the_cause() {
    let whole = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    for (answer, words) in [
        (whole("500 Internal Server Error", "{}"), "bad answer 500"),
        (whole("404 Not Found", ""), "bad answer 404"),
        (whole("302 Found", ""), "bad answer 302"),
        (whole("204 No Content", ""), "bad answer: not JSON"),
        (whole("200 OK", "<p>hello</p>"), "bad answer: not JSON"),
        (whole("200 OK", r#"{"echo":"x"} more"#), "bad answer: not JSON"),
        (whole("200 OK", r#"{"echo":7}"#), "bad answer: JSON without a text \"echo\""),
        (whole("200 OK", "[]"), "bad answer: JSON without a text \"echo\""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"e".to_vec(), "closed half way"),
        (Vec::new(), "closed half way"),
        (b"220 mail.example ready\r\n".to_vec(), "bad answer: not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: \x01\r\n\r\n".to_vec(), "bad answer: invalid HTTP header"),
        (whole("200 OK", &format!("\"{}\"", "x".repeat(2 << 20))), "bad answer: too large"),
    ] {
        let mut caller = caller_of(scripted(answer), &["--timeout", "20s"]);
        let error = cause(&caller.get("/call-echo?msg=hello"));
        assert!(error.contains(words), "{error} is not {words}");
        // Its log has the cause as well.
        let line = caller.line();
        assert!(line.contains(" - GET /call-echo?msg=hello 503 "), "{line}");
        let logged = format!(" cause=\"{}\"", error.replace('"', "%22"));
        assert!(line.ends_with(&logged), "{line}");
        assert_eq!(caller.get("/health").status, 200);
        assert!(caller.is_up());
    }

    for (status, seconds) in [
        ("503 Service Unavailable\r\nRetry-After: 7", 7),
        ("503 Service Unavailable\r\nRetry-After: 0", 1),
        ("503 Service Unavailable\r\nRetry-After: soon", 1),
        ("503 Service Unavailable\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT", 1),
        ("429 Too Many Requests\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT", 24 * 60 * 60),
    ] {
        let caller = caller_of(scripted(whole(status, "")), &["--quiet", "--timeout", "20s"]);
        let reply = caller.get("/call-echo?msg=hello");
        cause(&reply);
        assert_eq!(reply.header("retry-after"), Some(seconds.to_string().as_str()), "{status}");
    }
    let nobody = Service::start(ECHO, &["--quiet"]);
    let caller = caller_of(nobody.port, &["--quiet"]);
    let port = nobody.port;
    nobody.kill();
    let reply = caller.get("/call-echo?msg=hello");
    let words = format!("connection refused: nobody listens at 127.0.0.1:{port}");
    assert_eq!(cause(&reply), words);
    let start = format!(r#"{{"error":"{words}","service_a":"unavailable","service_b":"ok""#);
    assert!(reply.body.starts_with(&start), "{}", reply.body);

    let args = ["--echo-url", "http://echo.invalid:8080", "--timeout", "20s", "--quiet"];
    let caller = Service::start(CALLER, &args);
    let error = cause(&caller.get("/call-echo?msg=hello"));
    assert_eq!(error, "name not resolved: echo.invalid has no address");
}

#[test]
fn it_waits_for_its_timeout_and_no_longer() {
    let echo = Service::start(ECHO, &["--delay", "20s", "--quiet"]);
    let stopped = Service::start(ECHO, &["--quiet"]);
    stopped.signal(Signal::STOP);
    for (port, args, words, least) in [
        (echo.port, &[][..], "timed out after 1 s", 1000),
        (echo.port, &["--timeout", "250ms"], "timed out after 250 ms", 250),
        (stopped.port, &["--timeout=1.5s"], "timed out after 1.5 s", 1500),
    ] {
        let caller = caller_of(port, &[&["--quiet"], args].concat());
        let began = Instant::now();
        let reply = caller.get("/call-echo?msg=hello");
        let took = began.elapsed();
        assert_eq!(cause(&reply), words);
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        let elapsed_ms = body["elapsed_ms"].as_u64().unwrap();
        assert!(elapsed_ms >= least && elapsed_ms <= took.as_millis() as u64, "{body}");
        assert!(took < Duration::from_millis(least) + SLACK, "{took:?}");
    }
    // A stopped process would not receive a gentler signal.
    stopped.kill();
}

#[test]
fn faults_of_the_echo_service_are_told_and_pass() {
    let echo = Service::start(ECHO, &["--quiet", "--fail-first", "3"]);
    let caller = caller_of(echo.port, &["--quiet"]);
    let mut client = Client::connect(caller.port);
    (0..3).for_each(|_| assert_eq!(cause(&client.get("/call-echo?msg=x")), "bad answer 500"));
    assert_eq!(client.get("/call-echo?msg=x").status, 200);
}

/// Clients that keep asking, and what they were answered.
struct Load {
    good: AtomicUsize,
    unavailable: AtomicUsize,
    is_over: AtomicBool,
}

const TIMEOUT: Duration = Duration::from_millis(500);
const CLIENTS: usize = 8;

impl Load {
    /// Asks on one connection until it is over; each answer is 200 or 503, and in time.
    fn run(&self, port: u16) {
        let mut client = Client::connect(port);
        while !self.is_over.load(SeqCst) {
            let began = Instant::now();
            let reply = client.get("/call-echo?msg=hello");
            let took = began.elapsed();
            assert!(took < TIMEOUT + SLACK, "{took:?} for {reply:?}");
            if reply.status == 200 {
                assert_eq!(reply.body, r#"{"service_a":{"echo":"hello"},"service_b":"ok"}"#);
                self.good.fetch_add(1, SeqCst);
            } else {
                cause(&reply);
                self.unavailable.fetch_add(1, SeqCst);
            }
        }
    }

    /// Waits until this many more of this kind have been answered.
    fn sees(&self, what: &str, count: &AtomicUsize, more: usize) {
        let enough = count.load(SeqCst) + more;
        eventually(what, || count.load(SeqCst) >= enough);
    }
}

/// Ends the load even if a test fails, so that its clients do not go on for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Lets clients ask while `disturb` makes the echo service go away and at last come back.
fn under_load(disturb: impl FnOnce(&Load, Service) -> Service) {
    let echo = Service::start_at_own_port(ECHO, &["--quiet"]);
    let mut caller = caller_of(echo.port, &["--quiet", "--timeout", "500ms"]);
    let load = Load { good: 0.into(), unavailable: 0.into(), is_over: AtomicBool::new(false) };
    let port = caller.port;
    let echo = thread::scope(|scope| {
        let over = Over(&load.is_over);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load.run(port))).collect();
        load.sees("answers before", &load.good, 20 * CLIENTS);
        let echo = disturb(&load, echo);
        load.sees("answers after", &load.good, 20 * CLIENTS);
        drop(over);
        clients.into_iter().for_each(|client| client.join().unwrap());
        echo
    });
    assert!(caller.is_up());
    assert_eq!(caller.get("/health").status, 200);
    assert_eq!(caller.get("/call-echo?msg=x").status, 200);
    drop(echo);
}

#[test]
fn it_outlives_an_echo_service_that_is_killed_under_load() {
    under_load(|load, mut echo| {
        for _ in 0..3 {
            let port = echo.port;
            echo.kill();
            load.sees("refusals", &load.unavailable, 10 * CLIENTS);
            echo = Service::start_at(ECHO, port, &["--quiet"]).expect("its port is still free");
            load.sees("echoes again", &load.good, 10 * CLIENTS);
        }
        echo
    });
}

#[test]
fn it_outlives_an_echo_service_that_is_stopped_under_load() {
    under_load(|load, echo| {
        echo.signal(Signal::STOP);
        load.sees("timeouts", &load.unavailable, 2 * CLIENTS);
        echo.signal(Signal::CONT);
        echo
    });
}

#[test]
fn more_callers_than_connections_wait_no_longer_than_the_timeout() {
    let echo = Service::start(ECHO, &["--quiet"]);
    let caller = caller_of(echo.port, &["--quiet", "--timeout", "500ms"]);
    echo.signal(Signal::STOP);
    let mut clients: Vec<Client> = (0..400).map(|_| Client::connect(caller.port)).collect();
    let began = Instant::now();
    for client in &mut clients {
        client.send("GET /call-echo?msg=x HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(cause(&client.reply()), "timed out after 500 ms");
    }
    assert!(began.elapsed() < TIMEOUT + SLACK, "{:?}", began.elapsed());
    echo.signal(Signal::CONT);
    let mut client = Client::connect(caller.port);
    eventually("echoes again", || client.get("/call-echo?msg=x").status == 200);
}

#[test]
fn usage_and_help() {
    for (args, part) in [
        (&["--timeout", "30s"][..], "--request-timeout 30s"),
        (&["--timeout", "1ms"], "less than 10ms"),
        (&["--timeout", "soon"], "500ms"),
        (&["--echo-url", "127.0.0.1:8080"], "http://127.0.0.1:8080"),
        (&["--echo-url", "https://127.0.0.1:8080"], "only http://"),
    ] {
        let output = Command::new(CALLER).args(args).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {error}");
        assert!(error.contains(part) && error.contains("See `caller-service --help`"), "{error}");
    }
    let output = Command::new(CALLER).env("SMOLRING_ECHO_URL", "nonsense").output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("ECHO_URL=nonsense"));
    let help = String::from_utf8(Command::new(CALLER).arg("--help").output().unwrap().stdout);
    let help = help.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["default 8081 (PORT)", "(SMOLRING_ECHO_URL)", "default 1s (SMOLRING_TIMEOUT)", "curl "]
    {
        assert!(help.contains(part), "{help}");
    }
    let echo = Service::start(ECHO, &["--quiet"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let url = echo.url("/");
    let command = command.args(["caller-service", "--port", "0"]).env("SMOLRING_ECHO_URL", &url);
    let caller = Service::of(command.env("SMOLRING_TIMEOUT", "9")).unwrap();
    let calls = format!("Calls http://127.0.0.1:{}/echo, for 9 s at most\n", echo.port);
    assert!(caller.greeting.contains(&calls), "{}", caller.greeting);
    assert_eq!(caller.get("/call-echo?msg=x").status, 200);
}
