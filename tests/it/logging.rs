//! `logging-service` over HTTP: what it answers, prints and streams.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::Instant,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    served::{Client, PATIENCE, Reply, eventually},
    service::{LOGGING, Service, curl, texts, tool},
};

/// Sends a message on this connection, and waits for the answer.
pub fn post(client: &mut Client, id: &str, msg: &str) -> Reply {
    send(client, id, msg);
    client.reply()
}

/// Sends a message on this connection.
pub fn send(client: &mut Client, id: &str, msg: &str) {
    send_text(client, &json!({ "id": id, "msg": msg }).to_string());
}

fn send_text(client: &mut Client, body: &str) {
    let length = body.len();
    client.send(format!("POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    client.send(body);
}

/// The outcome of a message that was accepted.
pub fn outcome(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body["detail"], "logged");
    body["outcome"].as_str().unwrap().to_owned()
}

/// The whole log.
pub fn logs(service: &Service) -> Vec<String> {
    let reply = service.get("/logs");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn it_keeps_every_message_once_and_says_so() {
    needs!("curl", "python3 requests");
    let mut service = Service::start(LOGGING, &[]);
    assert_eq!(curl(&[&service.url("/health")]), r#"{"status":"ok"}"#);
    assert_eq!(curl(&[&service.url("/logs")]), "[]");
    let log = service.url("/log");
    let once = curl(&["-d", r#"{"id":"1","msg":"hello"}"#, &log]);
    assert_eq!(once, r#"{"detail":"logged","outcome":"logged"}"#);
    let twice = curl(&["-d", r#"{"msg":"hello","id":"1","more":[]}"#, &log]);
    assert_eq!(twice, r#"{"detail":"logged","outcome":"duplicate"}"#);
    let other = curl(&["-d", r#"{"id":"1","msg":"another"}"#, &log]);
    assert_eq!(other, r#"{"detail":"logged","outcome":"conflict"}"#);
    assert_eq!(service.event(), "[LOGGED] 1 -> hello");
    assert_eq!(service.event(), "[DUPLICATE] 1");
    assert_eq!(service.event(), "[DUPLICATE] 1");
    let mut client = Client::connect(service.port);
    post(&mut client, "~!", "a\nb\u{1b}[2J\u{202e}");
    assert_eq!(service.event(), "[LOGGED] ~! -> a\\nb\\u{1b}[2J\\u{202e}");
    assert_eq!(logs(&service), ["hello", "a\nb\u{1b}[2J\u{202e}"]);
    let script = "import requests, sys\n\
                  url = sys.argv[1]\n\
                  print(requests.post(url + '/log', json={'id': 'py', 'msg': 'ü'}).json()['outcome'])\n\
                  print(requests.get(url + '/logs').json()[-1])\n";
    assert_eq!(tool("python3", &["-c", script, &service.url("")]), "logged\nü\n");
    service.signal(Signal::TERM);
    let (rest, code) = service.end();
    assert!(rest.ends_with("Server closed successfully\n"), "{rest}");
    assert_eq!(code, Some(0));
}

#[test]
fn any_text_comes_back_in_order() {
    let service = Service::start(LOGGING, &["--quiet"]);
    let mut client = Client::connect(service.port);
    for (text, id) in texts().iter().zip(1..) {
        assert_eq!(outcome(&post(&mut client, &id.to_string(), text)), "logged");
    }
    assert_eq!(logs(&service), texts());
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    needs!("curl");
    let service = Service::start(LOGGING, &["--quiet", "--max-store-bytes", "1000"]);
    let mut client = Client::connect(service.port);
    for (body, part) in [
        ("", "{\"id\":\"1\",\"msg\":\"hello\"}"),
        ("nonsense", "send JSON like"),
        ("[]", "send JSON like"),
        (r#"{"id":"1"}"#, "missing field `msg`"),
        (r#"["1","x"]"#, "a list is no object"),
        (r#"{"msg":"1"}"#, "missing field `id`"),
        (r#"{"id":1,"msg":"x"}"#, "send JSON like"),
        (r#"{"id":"1","msg":"x","msg":"y"}"#, "duplicate field `msg`"),
        (r#"{"id":"1","msg":"\ud800"}"#, "send JSON like"),
        (r#"{"id":"","msg":"x"}"#, "1 to 256"),
        (r#"{"id":"a b","msg":"x"}"#, "visible ASCII"),
        (r#"{"id":"ü","msg":"x"}"#, "visible ASCII"),
        (r#"{"id":"a\n","msg":"x"}"#, "visible ASCII"),
        (&json!({ "id": "x".repeat(257), "msg": "x" }).to_string(), "1 to 256"),
    ] {
        send_text(&mut client, body);
        let reply = client.reply();
        assert_eq!(reply.status, 400, "{body} {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        let error: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(error["error"].as_str().unwrap().contains(part), "{error} is not {part}");
    }
    client.send(
        "POST /log HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\na",
    );
    assert_eq!(client.reply().status, 415);
    assert_eq!(outcome(&post(&mut client, &"x".repeat(256), "")), "logged");
    let full = post(&mut client, "long", &"x".repeat(900));
    assert_eq!(full.status, 507, "{full:?}");
    assert!(full.body.contains("--max-store-bytes"), "{full:?}");
    assert_eq!(outcome(&post(&mut client, "short", "x")), "logged");
    assert_eq!(outcome(&post(&mut client, "short", "x")), "duplicate");
    assert_eq!(logs(&service), ["", "x"]);
    let answer = curl(&["-i", &service.url("/log")]);
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("Allow: POST\r\n"), "{answer}");
    for path in ["/logs?follow&after=x", "/logs?follow&after=-1"] {
        assert_eq!(client.get(path).status, 400, "{path}");
    }
}

#[test]
fn it_outlives_a_closed_stdout_and_runs_no_foreign_threads() {
    needs!("redis-server");
    let server = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("log.redb");
    for place in
        [["--store", "memory"], ["--data", data.to_str().unwrap()], ["--store", &server.url()]]
    {
        let mut service = Service::start(LOGGING, &place);
        service.close_stdout();
        let mut client = Client::connect(service.port);
        for id in 0..100 {
            assert_eq!(outcome(&post(&mut client, &id.to_string(), "x")), "logged");
        }
        let mut follower = Client::connect(service.port);
        follower.send("GET /logs?follow HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(logs(&service).len(), 100);
        assert!(service.is_up());
        let names = service.thread_names();
        assert!(!names.is_empty());
        let foreign = |name: &String| name.contains("tokio") || name.contains("async-std");
        assert!(!names.iter().any(foreign), "{names:?}");
    }
}

#[test]
fn an_answer_can_be_lost_on_purpose() {
    needs!("curl");
    let mut service = Service::start(LOGGING, &["--drop-replies", "1"]);
    assert!(
        service
            .greeting
            .contains("\nOn purpose: a share of answers to /log and LogMessage is lost: 1\n")
    );
    for first_word in ["[LOGGED] 1 -> x", "[DUPLICATE] 1"] {
        let mut client = Client::connect(service.port);
        send(&mut client, "1", "x");
        assert_eq!(client.rest(), "");
        assert_eq!(service.line(), first_word);
        let line = service.line();
        assert!(line.contains(" - POST /log - 0 "), "{line}");
    }
    let output = Command::new("curl")
        .args(["--silent", "--http2-prior-knowledge", "-d", r#"{"id":"1","msg":"x"}"#])
        .arg(service.url("/log"))
        .output()
        .unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    // Errors and questions are answered.
    let mut client = Client::connect(service.port);
    send_text(&mut client, "{}");
    assert_eq!(client.reply().status, 400);
    assert_eq!(logs(&service), ["x"]);

    let service = Service::start(LOGGING, &["--quiet", "--drop-replies", "0.5"]);
    let mut lost = 0;
    for id in 0..100 {
        let mut client = Client::connect(service.port);
        send(&mut client, &id.to_string(), "x");
        lost += usize::from(client.try_reply(true).is_err());
    }
    // The standard deviation is 5.
    assert!((10..90).contains(&lost), "{lost}");
    assert_eq!(logs(&service).len(), 100);
}

/// A client of `/logs?follow`.
struct Follower(Client);

impl Follower {
    fn start(service: &Service, query: &str, header: &str) -> Self {
        let mut client = Client::connect(service.port);
        client.send(format!("GET /logs?follow{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n"));
        let mut head = [0; 4096];
        let mut read = 0;
        // To the first comment: from here on nothing is missed.
        while !head[..read].windows(6).any(|it| it == b"on\n\n\r\n") {
            read += client.stream().read(&mut head[read..read + 1]).unwrap();
        }
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("Content-Type: text/event-stream\r\n"), "{head}");
        Self(client)
    }

    /// Reads on until this many events have come: (position, message).
    fn events(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut text = Vec::new();
        loop {
            let plain = String::from_utf8_lossy(&text).into_owned();
            let events: Vec<_> = plain.split("id: ").skip(1).filter_map(event).collect();
            if events.len() >= count {
                return events;
            }
            let mut byte = [0; 1 << 10];
            let read = self.0.stream().read(&mut byte).unwrap();
            assert!(read > 0, "it ended: {plain}");
            text.extend(&byte[..read]);
        }
    }
}

/// A whole event, after its `id: `.
fn event(text: &str) -> Option<(u64, String)> {
    let (id, rest) = text.split_once("\ndata: ")?;
    let (data, _) = rest.split_once("\n\n")?;
    let data: Value = serde_json::from_str(data).unwrap();
    Some((id.parse().unwrap(), data["msg"].as_str().unwrap().to_owned()))
}

#[test]
fn who_says_no_to_follow_gets_the_list() {
    let service = Service::start(LOGGING, &["--quiet"]);
    let mut client = Client::connect(service.port);
    post(&mut client, "1", "hello");
    for value in ["false", "False", "FALSE", "0", "no", "off", "n", "f", "%20no"] {
        for path in [format!("/logs?follow={value}"), format!("/logs?after=0&follow={value}&x")] {
            // Events would not end, so the type is looked at first.
            client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let content_type = client.reply_to_head().header("content-type").map(str::to_owned);
            assert_eq!(content_type.as_deref(), Some("application/json"), "{path}");
            let reply = client.get(&path);
            assert_eq!((reply.status, reply.body.as_str()), (200, r#"["hello"]"#), "{path}");
        }
    }
    for query in ["&after=0", "=&after=0", "=1&after=0", "=true&after=0", "=on&after=0"] {
        let events = Follower::start(&service, query, "").events(1);
        assert_eq!(events, [(1, "hello".into())], "{query}");
    }
}

#[test]
fn a_body_with_a_byte_order_mark_is_read() {
    let service = Service::start(LOGGING, &["--quiet"]);
    let mut client = Client::connect(service.port);
    send_text(&mut client, "\u{feff}{\"id\":\"1\",\"msg\":\"\u{feff}hello\"}");
    assert_eq!(outcome(&client.reply()), "logged");
    assert_eq!(logs(&service), ["\u{feff}hello"]);
    for bad in ["\u{feff}", "\u{feff}\u{feff}{}", "\u{feff}[\"1\",\"x\"]"] {
        send_text(&mut client, bad);
        assert_eq!(client.reply().status, 400, "{bad:?}");
    }
}

#[test]
fn a_page_of_another_origin_writes_nothing_into_the_log() {
    let mut service = Service::start(LOGGING, &[]);
    let mut client = Client::connect(service.port);
    let port = service.port;
    let body = r#"{"id":"1","msg":"x"}"#;
    let mut post = |headers: &str| {
        let head = format!("POST /log HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        client.send(format!("{head}{headers}\r\n{body}"));
        client.reply()
    };
    for headers in [
        format!("Host: 127.0.0.1:{port}\r\nOrigin: https://evil.example\r\n"),
        format!("Host: 127.0.0.1:{port}\r\nOrigin: https://\u{e9}vil.example\r\n"),
        format!("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site\r\n"),
        format!("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n"),
    ] {
        let reply = post(&headers);
        assert_eq!(reply.status, 403, "{headers}");
        let line = service.line();
        assert!(reply.body.contains(r#""error":"a web page "#), "{reply:?}");
        assert!(line.contains(" - POST /log 403 ") && line.contains(" cause="), "{line}");
    }
    assert_eq!(logs(&service), [""; 0]);
    let own = format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n");
    for headers in ["Host: x\r\n", &own] {
        assert_eq!(post(headers).status, 200, "{headers}");
    }
}

#[test]
fn a_page_of_an_origin_that_cors_names_may_write() {
    let service = Service::start(LOGGING, &["--quiet", "--cors", "https://app.example"]);
    let mut client = Client::connect(service.port);
    for (origin, status) in [("https://app.example", 200), ("https://evil.example", 403)] {
        let body = r#"{"id":"1","msg":"x"}"#;
        let length = body.len();
        client.send(format!(
            "POST /log HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nOrigin: {origin}\r\n\
             Sec-Fetch-Site: cross-site\r\nContent-Length: {length}\r\n\r\n{body}",
            service.port
        ));
        assert_eq!(client.reply().status, status, "{origin}");
    }
    assert_eq!(logs(&service), ["x"]);
}

#[test]
fn who_follows_sees_messages_as_they_arrive() {
    needs!("redis-server");
    let server = RedisServer::start();
    for place in ["memory", &server.url()] {
        let service = Service::start(LOGGING, &["--quiet", "--store", place]);
        let mut client = Client::connect(service.port);
        for id in ["a", "b", "c"] {
            post(&mut client, id, id);
        }
        let mut from_now = Follower::start(&service, "", "");
        let mut after_1 = Follower::start(&service, "&after=1", "");
        let mut again = Follower::start(&service, "&after=1", "Last-Event-ID: 2\r\n");
        let mut of_another_log = Follower::start(&service, "&after=99", "");
        // An id that is no position belongs to another log as well.
        let nonsense = ["x", "-1", "99999999999999999999", "{}"].map(|id| {
            Follower::start(&service, "=yes&after=2", &format!("Last-Event-ID: {id}\r\n"))
        });
        post(&mut client, "d", "d\n\n: ü");
        post(&mut client, "d", "d\n\n: ü");
        let d = (4, "d\n\n: ü".to_owned());
        let named = |position: u64, name: &str| (position, name.to_owned());
        assert_eq!(from_now.events(1), std::slice::from_ref(&d));
        assert_eq!(again.events(2), [named(3, "c"), d.clone()]);
        assert_eq!(after_1.events(3), [named(2, "b"), named(3, "c"), d.clone()]);
        let all = [named(1, "a"), named(2, "b"), named(3, "c"), d];
        assert_eq!(of_another_log.events(4), all);
        for mut follower in nonsense {
            assert_eq!(follower.events(4), all);
        }
        post(&mut client, "e", "e");
        assert_eq!(from_now.events(1), [named(5, "e")]);
    }
}

#[test]
fn followers_do_not_hold_up_the_end_and_are_not_too_many() {
    let mut service = Service::start(LOGGING, &["--quiet", "--drain-timeout", "60s"]);
    let mut followers: Vec<_> =
        (0..256).map(|_| Follower::start(&service, "&after=0", "")).collect();
    let reply = service.get("/logs?follow");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
    post(&mut Client::connect(service.port), "1", "x");
    followers.pop();
    // The server notices that it has gone when it writes to it.
    let mut ids = 2..;
    eventually("a place", || {
        let mut client = Client::connect(service.port);
        post(&mut client, &ids.next().unwrap().to_string(), "y");
        client.send("GET /logs?follow HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut status = [0; 12];
        client.stream().read_exact(&mut status).unwrap();
        status == *b"HTTP/1.1 200"
    });
    followers.iter_mut().for_each(|it| assert_eq!(it.events(1)[0], (1, "x".into())));
    let began = Instant::now();
    service.signal(Signal::TERM);
    // The last chunk, and nothing after it: these are whole answers.
    followers.iter_mut().for_each(|it| assert!(it.0.rest().ends_with("0\r\n\r\n")));
    assert_eq!(service.end().1, Some(0));
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_large_log_is_streamed_and_its_readers_cost_no_memory() {
    let msg = "m".repeat(100 << 10);
    let service = Service::start(LOGGING, &["--quiet"]);
    let mut client = Client::connect(service.port);
    for id in 0..500 {
        post(&mut client, &id.to_string(), &msg);
    }
    let before = service.memory_kib();
    // They send requests and do not read.
    let slow: Vec<Client> = (0..40)
        .map(|number| {
            let mut client = Client::connect(service.port);
            let query = if number % 2 == 0 { "" } else { "?follow&after=0" };
            client.send(format!("GET /logs{query} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let mut byte = [0];
            client.stream().read_exact(&mut byte).unwrap();
            client
        })
        .collect();
    let all = logs(&service);
    assert!(all.len() == 500 && all.iter().all(|it| *it == msg));
    // 40 whole answers would be 2 GB.
    let grown = service.memory_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    drop(slow);
}

#[test]
fn an_answer_whose_store_breaks_is_cut_off() {
    needs!("redis-server");
    let server = RedisServer::start();
    let service = Service::start(LOGGING, &["--quiet", "--store", &server.url()]);
    let mut client = Client::connect(service.port);
    let msg = "m".repeat(1_000_000);
    for id in 0..40 {
        assert_eq!(outcome(&post(&mut client, &id.to_string(), &msg)), "logged");
    }
    client.send("GET /logs HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut start = [0; 12];
    client.stream().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    drop(server);
    let rest = client.rest();
    assert!(!rest.ends_with("\r\n0\r\n\r\n") && !rest.contains(']'), "it looks whole");
}

#[test]
fn usage_and_help() {
    for (args, part) in [
        (&["--data", "x", "--store", "memory"][..], "give one of them"),
        (&["--store", "disk"], "redis://127.0.0.1:6379/0"),
        (&["--store", "redis://"], "redis://127.0.0.1:6379/0"),
        (&["--max-store-bytes", "much"], "64KiB"),
        (&["--drop-replies", "2"], "from 0 to 1"),
    ] {
        let output = Command::new(LOGGING).args(args).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {error}");
        assert!(error.contains(part) && error.contains("See `logging-service --help`"), "{error}");
    }
    let output = Command::new(LOGGING).env("SMOLRING_DROP_REPLIES", "some").output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("DROP_REPLIES=some"));
    let help = String::from_utf8(Command::new(LOGGING).arg("--help").output().unwrap().stdout);
    let help = help.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "default 8001 (PORT)",
        "(SMOLRING_DATA)",
        "(SMOLRING_STORE)",
        "(SMOLRING_MAX_STORE_BYTES)",
        "(SMOLRING_DROP_REPLIES)",
        "curl -d",
    ] {
        assert!(help.contains(part), "{help}");
    }
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::File::create(&text).unwrap().write_all(&[b'x'; 1000]).unwrap();
    for (data, part) in [
        (text, "is no log: give another file with --data"),
        (folder.path().into(), "Is a directory"),
        (folder.path().join("none/log"), "No such file"),
    ] {
        let output = Command::new(LOGGING)
            .args(["--port", "0", "--data", data.to_str().unwrap()])
            .stdout(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(part) && error.contains("--data"), "{error}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let command =
        command.args(["logging-service", "--port", "0"]).env("SMOLRING_MAX_STORE_BYTES", "1MiB");
    let service = Service::of(command).unwrap();
    assert!(
        service.greeting.contains("\nKeeps up to 1MiB of messages in memory"),
        "{}",
        service.greeting
    );
}

#[test]
fn both_its_ports_may_come_from_systemd() {
    needs!("python3");
    // Python plays the part of systemd: it binds the sockets, and becomes the service.
    let script = "import os, socket, sys\n\
                  all = [socket.socket() for _ in range(2)]\n\
                  for s in all: s.bind(('127.0.0.1', 0)); s.listen()\n\
                  ports = [s.getsockname()[1] for s in all]\n\
                  moved = [os.dup(s.fileno()) for s in all]\n\
                  for i, fd in enumerate(moved): os.dup2(fd, 3 + i); os.set_inheritable(3 + i, True)\n\
                  os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))\n\
                  print('ports', *ports, 'x:1', flush=True)\n\
                  os.execv(sys.argv[1], [sys.argv[1], '--quiet', '--port', '1', '--grpc-port', '1'])\n";
    let service = Service::of(Command::new("python3").args(["-c", script, LOGGING])).unwrap();
    let ports: Vec<u16> = {
        let line = service.greeting.lines().next().unwrap();
        line.split(' ').filter_map(|word| word.parse().ok()).collect()
    };
    assert_eq!(service.grpc_port(), ports[1], "{}", service.greeting);
    for port in ports {
        assert_eq!(outcome(&post(&mut Client::connect(port), &port.to_string(), "x")), "logged");
    }
}
