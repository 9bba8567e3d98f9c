//! `echo-service` as a process: its answers, the headers that make requests traceable, and its faults on
//! purpose.

use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    served::Client,
    service::{ECHO, Service, curl, escaped, python_gets_its_texts_back, texts},
};

#[test]
fn it_says_what_it_was_told() {
    needs!("curl", "python3 requests");
    let echo = Service::start(ECHO, &["--quiet"]);
    assert_eq!(curl(&[&echo.url("/health")]), r#"{"status":"ok"}"#);
    assert_eq!(curl(&[&echo.url("/echo?msg=hello")]), r#"{"echo":"hello"}"#);
    let mut client = Client::connect(echo.port);
    for (path, text) in [
        ("/echo", ""),
        ("/echo?", ""),
        ("/echo?msg", ""),
        ("/echo?msg=", ""),
        ("/echo?x=1&msg=a+b%20c&y", "a b c"),
        ("/echo?msg=first&msg=second", "first"),
        ("/echo?msg=100%&y", "100%"),
        ("/echo?msg=%f0%9f%8e%89%ff", "🎉\u{fffd}"),
    ] {
        let reply = client.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body, serde_json::json!({ "echo": text }), "{path}");
    }
    for text in texts() {
        let reply = client.get(&format!("/echo?msg={}", escaped(&text)));
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["echo"], text);
        if !text.contains('\0') {
            let msg = format!("msg={text}");
            let body = curl(&["--get", "--data-urlencode", &msg, &echo.url("/echo")]);
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["echo"], text);
        }
    }
    python_gets_its_texts_back(&echo.url("/echo"), &["echo"]);
}

#[test]
fn other_paths_and_methods_are_refused() {
    needs!("curl");
    let echo = Service::start(ECHO, &["--quiet"]);
    assert!(echo.get("/").body.starts_with("echo-service: says what it was told"));
    assert_eq!(echo.get("/echo/more").status, 404);
    for path in ["/echo", "/health"] {
        let answer = curl(&["-i", "-d", "msg=x", &echo.url(path)]);
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nallow: get, head\r\n"), "{answer}");
        let head = curl(&["--head", &echo.url(path)]);
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }
    let long = format!("/echo?msg={}", "x".repeat(33 << 10));
    assert_eq!(echo.get(&long).status, 414);
}

#[test]
fn a_line_of_the_log_has_the_names_of_the_request() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut echo = Service::start(ECHO, &[]);
    let mut client = Client::connect(echo.port);
    let mut ask = |headers: &str| {
        client.send(format!("GET /echo?msg=x HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        client.reply().header("x-request-id").unwrap().to_owned()
    };
    let id = ask(&format!("X-Request-Id: my-1\r\ntraceparent: {PARENT}\r\n"));
    assert_eq!(id, "my-1");
    let line = echo.line();
    let (_, words) = line.split_once(" - ").unwrap();
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!(words[..4], ["GET", "/echo?msg=x", "200", "12"], "{line}");
    assert!(words[4].ends_with("ms"), "{line}");
    let parent = format!("traceparent={PARENT}");
    assert_eq!(words[6..], ["service=echo-service", "request_id=my-1", &parent], "{line}");

    // Headers that are missing, too long or have other characters are replaced.
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(129));
    let mut seen = vec![id];
    for headers in ["", "X-Request-Id: a b\r\ntraceparent: 00-0-0-0\r\n", &long] {
        let id = ask(headers);
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(!seen.contains(&id));
        let line = echo.line();
        let names = format!(" service=echo-service request_id={id} traceparent=00-");
        assert!(line.contains(&names), "{line}");
        seen.push(id);
    }
    // An answer that is not the application's has them too; a line without a request has none.
    assert!(client.get("/nowhere").header("x-request-id").is_some());
    assert!(echo.line().contains(" - GET /nowhere 404 54 "));
    client.send("NONSENSE\r\n\r\n");
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
    let line = echo.line();
    let end =
        " service=echo-service cause=\"the first line is not a method, a target and a version\"";
    assert!(line.contains(" - - - 400 ") && line.ends_with(end), "{line}");

    let mut echo = Service::start(ECHO, &["--log-format", "json"]);
    let reply = echo.get("/echo?msg=%22");
    let entry: Value = serde_json::from_str(&echo.line()).unwrap();
    assert_eq!(entry["service"], "echo-service");
    assert_eq!(entry["request_id"], reply.header("x-request-id").unwrap());
    assert_eq!(entry["traceparent"].as_str().unwrap().len(), 55);
}

#[test]
fn latency_and_faults_can_be_provoked() {
    let plain = Service::start(ECHO, &["--quiet"]);
    assert!(!plain.greeting.contains("On purpose"), "{}", plain.greeting);

    let late = Service::start(ECHO, &["--delay", "300ms", "--quiet"]);
    assert!(late.greeting.contains("On purpose: every echo is kept back for 300ms"));
    let began = Instant::now();
    assert_eq!(late.get("/echo?msg=x").body, r#"{"echo":"x"}"#);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(late.get("/health").status, 200);

    let failing = Service::start(ECHO, &["--fail-first=2", "--quiet"]);
    assert!(failing.greeting.contains("On purpose: the first echoes are answered 500: 2"));
    assert_eq!(failing.get("/health").status, 200);
    let replies: Vec<_> = (0..4).map(|_| failing.get("/echo?msg=x")).collect();
    assert_eq!(replies[0].body, r#"{"error":"provoked by --fail-first"}"#);
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [500, 500, 200, 200]);

    let mut command = Command::new(ECHO);
    let command = command.args(["--port", "0", "--quiet"]).env("SMOLRING_ERROR_RATE", "0.5");
    let doubtful = Service::of(command).unwrap();
    assert!(doubtful.greeting.contains("On purpose: a share of echoes is answered 500: 0.5"));
    let mut client = Client::connect(doubtful.port);
    let failed = (0..400).filter(|_| client.get("/echo?msg=x").status == 500).count();
    assert!((100..300).contains(&failed), "{failed} of 400");
}

#[test]
fn usage_help_and_end() {
    for (args, part) in [
        (&["--delay", "30s"][..], "--request-timeout 30s"),
        (&["--delay", "soon"], "500ms"),
        (&["--fail-first", "-1"], "fail-first"),
        (&["--error-rate", "1.5"], "from 0 to 1"),
        (&["--error-rate", "NaN"], "from 0 to 1"),
        (&["--nonsense"], "--nonsense"),
    ] {
        let output = Command::new(ECHO).args(args).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {error}");
        assert!(error.contains(part) && error.contains("See `echo-service --help`"), "{error}");
    }
    let help = String::from_utf8(Command::new(ECHO).arg("--help").output().unwrap().stdout);
    let help = help.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["default 8080 (PORT)", "default 127.0.0.1", "(SMOLRING_DELAY)", "curl ", "--fail-first"]
    {
        assert!(help.contains(part), "{help}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(ECHO).args(["--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is already in use"));

    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let mut echo = Service::of(command.args(["echo-service", "--port", "0"])).unwrap();
    echo.signal(Signal::TERM);
    let (rest, code) = echo.end();
    assert!(rest.ends_with("Server closed successfully\n"), "{rest}");
    assert_eq!(code, Some(0));
}
