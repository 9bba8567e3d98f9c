//! `facade-service` as a process, with a logging service that fails in every way: each message is kept
//! once, or the client is told that it is not.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    thread,
};

use serde_json::{Value, json};

use self::logging::{Logging, Mood};
use crate::{
    relay::Relay,
    served::{Client, Reply},
    service::{FACADE, LOGGING, MESSAGES, Service, curl, texts, tool},
};

mod logging;
mod reading;

/// How long an attempt may take; all of them together may take four seconds.
const HASTY: &[&str] = &["--attempt-timeout", "400ms", "--retry-for", "4s", "--quiet"];

/// A facade with logging services at these addresses, and without a messages service.
fn facade_of(logging: &[SocketAddr], args: &[&str]) -> Service {
    let mut all: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
    for address in logging {
        all.extend(["--logging-url".into(), format!("http://{address}")]);
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Service::start(FACADE, &all)
}

/// An address where nothing listens, and that the system does not give to a connection to it.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.44.1:0").unwrap().local_addr().unwrap()
}

fn post_with(port: u16, headers: &str, body: &str) -> Reply {
    let mut client = Client::connect(port);
    let bytes = body.len();
    let head = format!("POST /message HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n");
    client.send(format!("{head}{headers}\r\n{body}"));
    client.reply()
}

fn post(facade: &Service, msg: &str) -> Reply {
    post_with(facade.port, "", &json!({ "msg": msg }).to_string())
}

fn body(reply: &Reply) -> Value {
    let kind = if reply.status < 400 { "application/json" } else { "application/problem+json" };
    assert_eq!(reply.header("content-type"), Some(kind), "{reply:?}");
    serde_json::from_str(&reply.body).unwrap()
}

/// Checks that the message was accepted; returns its id.
fn id_of(reply: &Reply, msg: &str) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = body(reply);
    assert_eq!(body["message"], msg);
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    body["message_id"].as_str().unwrap().to_owned()
}

/// Checks that the message was not accepted; returns what the client is told, and the id.
fn error_of(reply: &Reply, status: u16) -> (String, String) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("retry-after").is_some(), status == 503, "{reply:?}");
    let body = body(reply);
    assert_eq!((&body["status"], &body["detail"]), (&json!(status), &body["error"]));
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (text("error"), text("message_id"))
}

#[test]
fn messages_are_kept_and_shown() {
    needs!("curl", "python3 requests");
    let logging = Logging::new(&[Mood::Good, Mood::Plain]);
    let messages = Service::start(MESSAGES, &["--quiet"]);
    let facade = facade_of(&[logging.address()], &["--quiet", "--messages-url", &messages.url("")]);
    assert_eq!(curl(&[&facade.url("/health")]), r#"{"status":"ok"}"#);
    let combined = |text: &str| format!(r#"{{"combined":"{text}"}}"#);
    assert_eq!(curl(&[&facade.url("/message")]), combined(" | not implemented yet"));
    let answer = curl(&["-d", r#"{"msg":"m1"}"#, &facade.url("/message")]);
    let id = &logging.kept()[0].0;
    assert_eq!(answer, format!(r#"{{"message_id":"{id}","message":"m1"}}"#));
    let is_uuid_4 = id.len() == 36 && id.as_bytes()[14] == b'4' && id.matches('-').count() == 4;
    assert!(is_uuid_4, "{id}");
    assert_eq!(curl(&[&facade.url("/message")]), combined("m1 | not implemented yet"));
    let script = "import requests, sys\n\
                  answer = requests.post(sys.argv[1], json={'msg': 'm2 😀'}, timeout=20)\n\
                  assert answer.status_code == 200 and answer.json()['message'] == 'm2 😀'\n\
                  answer = requests.get(sys.argv[1], timeout=20)\n\
                  assert answer.json() == {'combined': 'm1, m2 😀 | not implemented yet'}\n\
                  print('all')\n";
    assert_eq!(tool("python3", &["-c", script, &facade.url("/message")]), "all\n");
    let answer = curl(&["-i", "-X", "DELETE", &facade.url("/message")]);
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("GET, HEAD, POST"), "{answer}");
}

#[test]
fn any_text_passes() {
    let logging = Logging::new(&[]);
    let facade = facade_of(&[logging.address()], &["--quiet"]);
    let emoji = "🎉".repeat(2 << 10);
    let texts: Vec<String> = texts().into_iter().chain([emoji, String::new()]).collect();
    let ids: Vec<String> = texts.iter().map(|text| id_of(&post(&facade, text), text)).collect();
    assert_eq!(logging.kept(), ids.into_iter().zip(texts).collect::<Vec<_>>());
    let reply = post_with(facade.port, "", r#" {"more":1,"msg":"\ud83c\udf89\u0000"} "#);
    id_of(&reply, "🎉\0");
}

#[test]
fn requests_that_are_no_messages_are_refused() {
    let logging = Logging::new(&[]);
    let facade = facade_of(&[logging.address()], &["--quiet"]);
    for bad in ["", "msg=hello", "{", "[]", "{}", r#"{"msg":7}"#, r#"{"msg":null}"#, r#""hello""#]
        .into_iter()
        .chain([
            r#"["hello"]"#,
            r#"{"msg":"a"} more"#,
            r#"{"msg":"\ud83c"}"#,
            r#"{"msg":"a","msg":"b"}"#,
        ])
    {
        let (error, id) = error_of(&post_with(facade.port, "", bad), 400);
        assert!(error.contains(r#"send {"msg":"hello"}"#) && id.is_empty(), "{error}");
    }
    // What cannot be seen is not passed over: the message would be kept twice.
    let (error, _) = error_of(&post_with(facade.port, "Idempotency-Key: \u{e9}\r\n", "{}"), 400);
    assert!(error.contains("Idempotency-Key"), "{error}");
    let coded = "Content-Encoding: gzip\r\n";
    let (error, _) = error_of(&post_with(facade.port, coded, r#"{"msg":"a"}"#), 415);
    assert!(error.contains("without a Content-Encoding"), "{error}");
    // The transport says it in the same form.
    let (error, _) = error_of(&post_with(facade.port, "no colon\r\n", "{}"), 400);
    assert_eq!(error, "a header line has no colon");
    let longest = "x".repeat((1 << 20) - 1024 - r#"{"msg":""}"#.len());
    assert_eq!(post(&facade, &longest).status, 200);
    assert_eq!(post(&facade, &format!("{longest}x")).status, 413);
    assert_eq!(logging.ids().len(), 1);
}

#[test]
fn a_key_of_the_client_is_the_id() {
    let logging = Logging::new(&[]);
    let facade = facade_of(&[logging.address()], &["--quiet"]);
    let longest = "k".repeat(256);
    for (header, id) in [
        ("key-1", "key-1"),
        ("\"key-2\"", "key-2"),
        (r#""a\\b\"c""#, r#"a\b"c"#),
        ("  !,;~  ", "!,;~"),
        (&longest, &longest),
    ] {
        let reply =
            post_with(facade.port, &format!("Idempotency-Key: {header}\r\n"), r#"{"msg":"m"}"#);
        assert_eq!(id_of(&reply, "m"), id);
        assert_eq!(logging.kept().last().unwrap().0, id);
    }
    let kept = logging.kept().len();
    let twice = "Idempotency-Key: a\r\nIdempotency-Key: a\r\n";
    let longer = format!("Idempotency-Key: {longest}k\r\n");
    for bad in [
        "Idempotency-Key:\r\n",
        "Idempotency-Key: a b\r\n",
        "Idempotency-Key: \"a\r\n",
        "Idempotency-Key: \"a\", \"b\"\r\n",
        &longer,
        twice,
    ] {
        let (error, _) = error_of(&post_with(facade.port, bad, r#"{"msg":"m"}"#), 400);
        assert!(error.contains("Idempotency-Key"), "{error}");
    }
    assert_eq!(logging.kept().len(), kept);

    // Again with the same key: the same answer, and nothing changes. Another message: a conflict.
    let send = |msg: &str| post_with(facade.port, "Idempotency-Key: key-1\r\n", msg);
    assert_eq!(id_of(&send(r#"{"msg":"m"}"#), "m"), "key-1");
    let (error, id) = error_of(&send(r#"{"msg":"another"}"#), 422);
    assert!(error.contains("another message was sent with this Idempotency-Key"), "{error}");
    assert_eq!(id, "key-1");
    assert_eq!(logging.kept().len(), kept);
}

#[test]
fn what_passes_is_repeated_with_the_same_id() {
    for (moods, words) in [
        (&[Mood::Lose][..], "bad answer: closed half way"),
        (&[Mood::Hang], "timed out after 400 ms"),
        (&[Mood::Say("500 Internal Server Error", "{}")], "bad answer 500"),
        (&[Mood::Say("503 Service Unavailable", "")], "bad answer 503"),
        (&[Mood::Say("408 Request Timeout", "")], "bad answer 408"),
        (&[Mood::Say("200 OK", "<p>")], "bad answer: not JSON"),
        (&[Mood::Say("200 OK", "{}")], "bad answer: JSON that is none of logging"),
        (&[Mood::Lose, Mood::Hang, Mood::Lose], "bad answer: closed half way"),
    ] {
        let logging = Logging::new(moods);
        let mut facade = facade_of(&[logging.address()], HASTY);
        let id = id_of(&post(&facade, "hello"), "hello");
        assert_eq!(logging.kept(), [(id.clone(), "hello".to_owned())], "{moods:?}");
        assert_eq!(logging.ids(), vec![id.clone(); moods.len() + 1], "{moods:?}");
        let line = facade.line();
        let at = logging.address();
        let start = format!(
            "POST /message id={id} attempt 1 of 5 at http://{at} failed: {words}; next in "
        );
        assert!(line.starts_with(&start) && line.ends_with(" ms"), "{line} is not {start}");
    }
}

#[test]
fn what_lasts_is_not_repeated() {
    for (mood, status, words) in [
        (Mood::Say("400 Bad Request", "{}"), 502, "bad answer 400"),
        (Mood::Say("404 Not Found", ""), 502, "bad answer 404"),
        (Mood::Say("413 Payload Too Large", ""), 502, "bad answer 413"),
        (Mood::Say("302 Found", ""), 502, "bad answer 302"),
        (Mood::Say("507 Insufficient Storage", "{}"), 503, "the log is full"),
    ] {
        let logging = Logging::new(&[mood]);
        let mut facade = facade_of(&[logging.address()], &["--quiet"]);
        let (error, id) = error_of(&post(&facade, "hello"), status);
        assert!(error.contains(words), "{error}");
        assert_eq!(logging.ids(), [id.as_str()]);
        let line = facade.line();
        assert!(line.contains(words) && line.ends_with("; given up"), "{line}");
    }
}

#[test]
fn who_refuses_it_does_not_speak_for_an_attempt_before() {
    for refusal in [Mood::Say("404 Not Found", ""), Mood::Say("507 Insufficient Storage", "{}")] {
        let logging = Logging::new(&[Mood::Lose, refusal]);
        let facade = facade_of(&[logging.address()], &["--quiet"]);
        let (error, id) = error_of(&post(&facade, "hello"), 503);
        assert!(error.contains("Idempotency-Key"), "{error}");
        assert_eq!(logging.kept(), [(id.clone(), "hello".to_owned())]);
        assert_eq!(logging.ids(), [id.clone(), id]);
    }
}

#[test]
fn a_logging_service_that_comes_back_gets_the_message() {
    let address = nobody();
    let mut facade = facade_of(&[address], &["--quiet"]);
    let port = facade.port;
    let client = thread::spawn(move || post_with(port, "", r#"{"msg":"retry"}"#));
    // Down until only the last attempt is left, which comes five seconds after the first.
    let mut waits_ms = 0;
    for number in 1..=4 {
        let line = facade.line();
        let words = format!(
            "attempt {number} of 5 at http://{address} failed: connection refused: nobody listens \
             at {address}; next in "
        );
        assert!(line.contains(&words), "{line} is not {words}");
        let wait = line.rsplit(' ').nth(1).unwrap();
        waits_ms += wait.parse::<u64>().unwrap();
    }
    assert!(waits_ms > 3000, "an outage of three seconds would be missed: {waits_ms}");
    let logging = Logging::at(&address.to_string(), &[]);
    let id = id_of(&client.join().unwrap(), "retry");
    assert_eq!(logging.kept(), [(id, "retry".to_owned())]);
    assert_eq!(logging.ids().len(), 1);
}

#[test]
fn when_nothing_helps_the_client_is_told_and_can_go_on() {
    let address = nobody();
    let mut facade = facade_of(&[address], HASTY);
    let (error, id) = error_of(&post(&facade, "hello"), 503);
    let words = format!("logging unavailable: connection refused: nobody listens at {address}. ");
    assert!(error.starts_with(&words) && error.contains("Idempotency-Key"), "{error}");
    for number in 1..=5 {
        let (line, part) = (facade.line(), format!(" id={id} attempt {number} of 5 at "));
        assert!(line.contains(&part) && line.ends_with("; given up") == (number == 5), "{line}");
    }
    assert_eq!(facade.get("/health").status, 200);
    // Kept, but all answers are lost; then sent again as the facade's answer says.
    let logging = Logging::at(&address.to_string(), &[Mood::Lose; 5]);
    let key = format!("Idempotency-Key: {id}\r\n");
    let (error, again) = error_of(&post_with(facade.port, &key, r#"{"msg":"hello"}"#), 503);
    assert!(error.contains("closed half way") && again == id, "{error}");
    assert_eq!(id_of(&post_with(facade.port, &key, r#"{"msg":"hello"}"#), "hello"), id);
    assert_eq!(logging.kept(), [(id.clone(), "hello".to_owned())]);
    assert_eq!(logging.ids(), vec![id; 6]);
}

#[test]
fn fewer_attempts_may_be_asked_for() {
    let address = nobody();
    let mut facade = facade_of(&[address], &["--attempts", "1", "--quiet"]);
    error_of(&post(&facade, "hello"), 503);
    let line = facade.line();
    assert!(line.contains(" attempt 1 of 1 at ") && line.ends_with("; given up"), "{line}");
}

#[test]
fn the_next_attempt_goes_to_the_next_place() {
    let bad = Mood::Say("503 Service Unavailable", "");
    let one = Logging::new(&[bad]);
    let other = Logging::new(&[Mood::Good, bad]);
    let facade = facade_of(&[nobody(), one.address(), other.address()], HASTY);
    let came = || (one.ids().len(), other.ids().len());
    // No service, one, other; from now on the other first, which fails; no service; and one.
    for seen in [(1, 1), (2, 2), (3, 2), (4, 2)] {
        id_of(&post(&facade, "hello"), "hello");
        assert_eq!(came(), seen);
    }
    assert_eq!((one.kept().len(), other.kept().len()), (3, 1));
}

#[test]
fn a_request_can_be_followed() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let logging = Logging::new(&[]);
    let mut messages = Service::start(MESSAGES, &[]);
    let mut facade = facade_of(&[logging.address()], &["--messages-url", &messages.url("")]);
    let names = format!("X-Request-Id: lesson-7\r\ntraceparent: {parent}\r\n");
    post_with(facade.port, &names, r#"{"msg":"m"}"#);
    Client::connect(facade.port).send(format!("GET /message HTTP/1.1\r\nHost: x\r\n{names}\r\n"));
    let names = format!(" request_id=lesson-7 traceparent={parent}");
    assert!(facade.line().ends_with(&format!(" service=facade-service{names}")));
    assert!(messages.line().ends_with(&format!(" service=messages-service{names}")));
    facade.line();
    let requests = logging.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        let head = request.head.to_lowercase();
        assert!(head.contains("x-request-id: lesson-7\r\n"), "{head}");
        assert!(head.contains(&format!("traceparent: {parent}\r\n")), "{head}");
    }
}

#[test]
fn usage_and_help() {
    let many = vec!["http://127.0.0.1:1"; 17].join(",");
    for (args, part) in [
        (&["--attempts", "0"][..], "not between 1 and 5"),
        (&["--attempts", "6"], "not between 1 and 5"),
        (&["--attempt-timeout", "1ms"], "less than 10ms"),
        (&["--attempt-timeout", "15s"], "--retry-for 15s"),
        (&["--retry-for", "30s"], "--request-timeout 30s"),
        (&["--logging-url", "127.0.0.1:8001"], "write it like http://"),
        (&["--logging-url", "http://127.0.0.1:1,https://a"], "only http://"),
        (&["--logging-url", &many], "give 16 at most"),
        (&["--messages-url", "nonsense"], "write it like http://"),
    ] {
        let output = Command::new(FACADE).args(args).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {error}");
        assert!(error.contains(part) && error.contains("See `facade-service --help`"), "{error}");
    }
    let help = String::from_utf8(Command::new(FACADE).arg("--help").output().unwrap().stdout);
    let help = help.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "default 8000 (PORT)",
        "(SMOLRING_LOGGING_URL, with commas)",
        "(SMOLRING_MESSAGES_URL)",
        "default 5 (SMOLRING_ATTEMPTS)",
        "default 1s (SMOLRING_ATTEMPT_TIMEOUT)",
        "default 15s (SMOLRING_RETRY_FOR)",
        r#"curl -d '{"msg":"hello"}' http"#,
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let logging = Logging::new(&[]);
    let (bad, good) = (nobody(), logging.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let command = command.args(["facade-service", "--port", "0"]);
    let facade = Service::of(
        command
            .env("SMOLRING_LOGGING_URL", format!("http://{bad}, http://{good}/"))
            .env("SMOLRING_ATTEMPTS", "2"),
    );
    let facade = facade.unwrap();
    let said = format!(
        "Logging at http://{bad} or http://{good}, over gRPC at 127.0.0.1:50051, messages at \
         http://127.0.0.1:8002\n\
         Up to 2 attempts, 1 s for each, 15 s for all\n"
    );
    assert!(facade.greeting.contains(&said), "{}", facade.greeting);
}

#[test]
fn over_grpc_a_full_log_is_told_from_a_message_that_it_does_not_take() {
    let room = ["--quiet", "--max-body-bytes", "4MiB", "--max-store-bytes", "1000"];
    let logging = Service::start(LOGGING, &room);
    let grpc = format!("127.0.0.1:{}", logging.grpc_port());
    let args = ["--quiet", "--max-body-bytes", "4MiB", "--logging-grpc", &grpc];
    let facade = Service::start(FACADE, &args);
    let post = |msg: &str| {
        let mut client = Client::connect(facade.port);
        let (body, path) = (json!({ "msg": msg }).to_string(), "/grpc_message");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}", body.len());
        client.send(format!("{head}\r\n\r\n{body}"));
        client.reply()
    };
    assert_eq!(post("x").status, 200);
    let full = post(&"x".repeat(1000));
    assert_eq!((full.status, full.header("retry-after")), (503, Some("60")), "{full:?}");
    assert!(error_of(&full, 503).0.contains("the log is full"), "{full:?}");
    let (error, _) = error_of(&post(&"x".repeat(2 << 20)), 502);
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn over_grpc_a_connection_that_has_gone_silent_costs_one_attempt() {
    let logging = Service::start(LOGGING, &["--quiet"]);
    let relay = Relay::to(logging.grpc_port());
    let grpc = relay.address.to_string();
    let args = [HASTY, &["--logging-grpc", &grpc]].concat();
    let mut facade = Service::start(FACADE, &args);
    let post = |facade: &Service, msg: &str| {
        let mut client = Client::connect(facade.port);
        let body = json!({ "msg": msg }).to_string();
        let head =
            format!("POST /grpc_message HTTP/1.1\r\nHost: x\r\nContent-Length: {}", body.len());
        client.send(format!("{head}\r\n\r\n{body}"));
        client.reply()
    };
    id_of(&post(&facade, "1"), "1");
    relay.silence();
    id_of(&post(&facade, "2"), "2");
    let line = facade.line();
    assert!(line.contains(" attempt 1 of 5 ") && line.contains("timed out after 400 ms"), "{line}");
    id_of(&post(&facade, "3"), "3");
    assert_eq!(relay.connections(), 2);
}

#[test]
fn an_answer_with_odd_headers_is_an_answer() {
    let logging = Logging::new(&[Mood::Odd]);
    let facade = facade_of(&[logging.address()], &["--quiet"]);
    let id = id_of(&post(&facade, "hello"), "hello");
    assert_eq!(logging.ids(), [id]);
}

#[test]
fn a_service_that_asks_for_a_pause_has_it_or_the_client_is_told() {
    const SOON: Mood = Mood::Say("503 Service Unavailable\r\nRetry-After: 1", "");
    const LATER: Mood = Mood::Say("429 Too Many Requests\r\nRetry-After: 100", "");
    let logging = Logging::new(&[SOON]);
    let mut facade = facade_of(&[logging.address()], HASTY);
    let id = id_of(&post(&facade, "hello"), "hello");
    let line = facade.line();
    let wait: u64 = line.rsplit(' ').nth(1).unwrap().parse().unwrap();
    assert!((1000..1200).contains(&wait), "{line}");
    assert_eq!(logging.ids(), [id.as_str(), id.as_str()]);

    // Too late for this message, so nothing is tried in vain.
    let logging = Logging::new(&[LATER]);
    let mut facade = facade_of(&[logging.address()], HASTY);
    let reply = post(&facade, "hello");
    error_of(&reply, 503);
    assert!(matches!(reply.header("retry-after"), Some("99" | "100")), "{reply:?}");
    assert!(facade.line().ends_with("; given up"));
    assert_eq!(logging.ids().len(), 1);

    // Another place need not wait for that.
    let (one, other) = (Logging::new(&[LATER]), Logging::new(&[Mood::Lose]));
    let mut facade = facade_of(&[one.address(), other.address()], HASTY);
    id_of(&post(&facade, "hello"), "hello");
    assert_eq!((one.ids().len(), other.ids().len()), (1, 2));
    for _ in 0..2 {
        assert!(facade.line().contains("; next in "));
    }
}

#[test]
fn a_page_of_another_origin_sends_no_message() {
    let logging = Logging::new(&[]);
    let facade = facade_of(&[logging.address()], &["--quiet"]);
    let mut client = Client::connect(facade.port);
    for path in ["/message", "/grpc_message"] {
        let body = r#"{"msg":"x"}"#;
        let head = format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        client.send(format!("{head}Host: localhost\r\nOrigin: null\r\n\r\n{body}"));
        let reply = client.reply();
        assert_eq!(reply.status, 403, "{reply:?}");
        assert!(reply.body.contains("another origin"), "{reply:?}");
    }
    assert_eq!(logging.ids(), [""; 0]);
}
