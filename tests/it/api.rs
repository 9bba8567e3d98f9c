//! `api-server` and `raw-api-server`: each request goes to both, and both answer the same.

use std::{
    io::Write,
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

use smolring::{
    http::Options,
    services::{api, raw_api},
};

use crate::served::{Client, PATIENCE, Reply, Served, eventually, quiet, statuses};

const SHORT: Duration = Duration::from_millis(250);

/// Both servers with these options.
pub fn both(change: impl Fn(&mut Options)) -> [Served; 2] {
    let mut options = quiet();
    options.errors = api::defaults().errors;
    change(&mut options);
    let raw = Served::start_raw(options.clone(), raw_api::routes());
    [Served::start(options, api::app()), raw]
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn post(content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn form(body: &str) -> String {
    post("application/x-www-form-urlencoded", body)
}

fn chunked(chunks: &str) -> String {
    format!(
        "POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}"
    )
}

const TWO_FIELDS: &str = r#"{"a":"1","b":"2"}"#;
const BOUNDARY: &str = "multipart/form-data; boundary=cut";
const MULTIPART: &str = "--cut\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                         --cut\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--cut--\r\n";

/// A request, its status, and its body where that matters here.
fn cases() -> Vec<(String, u16, Option<&'static str>)> {
    let mut cases = vec![
        (get("/api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("/api"), 200, Some("{}")),
        (get("/api?"), 200, Some("{}")),
        (get("/api?a=1&a=2"), 200, Some(r#"{"a":"1"}"#)),
        (get("/api?z=&y&=x"), 200, Some(r#"{"z":"","y":"","":"x"}"#)),
        (get("/api?a=%C3%BC+%2B%F0%9F%98%80"), 200, Some("{\"a\":\"ü +😀\"}")),
        (get("/api?a=%FF%zz%"), 200, Some("{\"a\":\"\u{fffd}%zz%\"}")),
        (get("/api?a=%22%0A%00"), 200, Some(r#"{"a":"\"\n\u0000"}"#)),
        (get("/api?a='{}|^`[]\\"), 200, Some(r#"{"a":"'{}|^`[]\\"}"#)),
        (get("/api?a=1#b=2"), 200, Some(r#"{"a":"1"}"#)),
        (get("http://y:80/api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("http://[::1]:80/api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("/x/../api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("/%2e/./api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (
            "GET /api?a=1&b=2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into(),
            200,
            Some(TWO_FIELDS),
        ),
        ("GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1".into(), 200, Some("{}")),
        (get("/api?a=\"Zoë\"&ü=<>"), 200, Some("{\"a\":\"\\\"Zoë\\\"\",\"ü\":\"<>\"}")),
        (get("/"), 404, Some(r#"{"title":"Not Found","status":404,"error":"Not Found"}"#)),
        (get("/api/"), 404, None),
        (get("//api"), 404, None),
        (get("/%61p%69?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("/%2561pi"), 404, None),
        (get("/api%2F"), 404, None),
        (get("/%2e%2E/api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("/Zoë\"<>"), 404, None),
        (get("/x\\.\\..\\api?a=1&b=2"), 200, Some(TWO_FIELDS)),
        (get("/api\\"), 404, None),
        (get("/\\api"), 404, None),
        (get("http://y/\\api"), 404, None),
        (get("/apis"), 404, None),
        (get("/api/x"), 404, None),
        (get("*"), 404, None),
        (form("a=1&b=2"), 200, Some(TWO_FIELDS)),
        (form("a=1&b=2&a=3"), 200, Some(TWO_FIELDS)),
        (form("ü=+%2b"), 200, Some("{\"ü\":\" +\"}")),
        (form(""), 200, Some("{}")),
        (form("&&&"), 200, Some("{}")),
        (
            post("APPLICATION/x-www-form-urlencoded ; charset=utf-8", "a=1&b=2"),
            200,
            Some(TWO_FIELDS),
        ),
        (post(BOUNDARY, MULTIPART), 200, Some(TWO_FIELDS)),
        (post("multipart/form-data; boundary=\"cut\"", MULTIPART), 200, Some(TWO_FIELDS)),
        (post("multipart/form-data", MULTIPART), 400, None),
        (post(BOUNDARY, "--cut\r\n"), 400, None),
        (post("application/json", "{}"), 415, None),
        (post("application/x-www-form-urlencoded\r\nContent-Encoding: gzip", "a"), 415, None),
        (post("application/x-www-form-urlencoded\r\nContent-Encoding: ü", "a"), 415, None),
        (
            post("application/x-www-form-urlencoded\r\nContent-Encoding: identity", "a=1&b=2"),
            200,
            Some(TWO_FIELDS),
        ),
        (post("application/x-www-form-urlencoded\r\nContent-Encoding: br", ""), 200, Some("{}")),
        (post("application/x-www-form-urlencoded; charset=ü", "a"), 415, None),
        (post("application/json", ""), 200, Some("{}")),
        (post("", "a=1"), 415, None),
        (post("nonsense", "a=1"), 415, None),
        (post("text/plain\r\nContent-Type: application/x-www-form-urlencoded", "a=1"), 200, None),
        ("POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1".into(), 415, None),
        ("POST /api HTTP/1.1\r\nHost: x\r\n\r\n".into(), 200, Some("{}")),
        ("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1".into(), 404, None),
        (chunked("3\r\na=1\r\n4;x=y\r\n&b=2\r\n0\r\n\r\n"), 200, Some(TWO_FIELDS)),
        (chunked("007 \r\na=1&b=2\r\n00\r\nX: ü\r\n\r\n"), 200, Some(TWO_FIELDS)),
        (chunked("0\r\n\r\n"), 200, Some("{}")),
    ];
    for host in [
        "",
        "x:",
        "1.2.3.4:80",
        "1.2.3.4.",
        "[::1]",
        "a_b.example.",
        "4.x",
        "a~!$&'()*+,;=-",
        "web.1",
    ] {
        cases.push((
            get("/api?a=1&b=2").replace("Host: x", &format!("Host: {host}")),
            200,
            Some(TWO_FIELDS),
        ));
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        cases.push((format!("{method} /api HTTP/1.1\r\nHost: x\r\n\r\n"), 405, None));
        cases.push((format!("{method} /other HTTP/1.1\r\nHost: x\r\n\r\n"), 404, None));
    }
    cases
}

/// The parts of an answer that must be the same from both servers.
fn essence(reply: &Reply) -> (u16, Option<&str>, Option<&str>, bool, &str) {
    let (kind, allow) = (reply.header("content-type"), reply.header("allow"));
    (reply.status, kind, allow, reply.closes(), &reply.body)
}

#[test]
fn both_answer_each_request_in_the_same_way() {
    let [tide, raw] = both(|_| {});
    let (mut tide, mut raw) = (tide.client(), raw.client());
    for (request, status, body) in cases() {
        tide.send(&request);
        raw.send(&request);
        let (first, second) = (tide.reply(), raw.reply());
        assert_eq!(essence(&first), essence(&second), "{request}");
        assert_eq!(first.status, status, "{request}");
        assert!(body.is_none_or(|body| body == first.body), "{request}: {}", first.body);
        let kind = if status == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(first.header("content-type"), Some(kind), "{request}");
        let allow = (status == 405).then_some("GET, HEAD, POST");
        assert_eq!(first.header("allow"), allow, "{request}");
        for header in ["server", "date", "content-length"] {
            assert_eq!(first.header(header).is_some(), second.header(header).is_some());
        }
        assert_eq!(first.header("server"), second.header("server"));
    }
}

#[test]
fn both_refuse_the_same_and_close() {
    let [tide, raw] = both(|options| {
        options.head_bytes_max = 4096;
        options.url_bytes_max = 512;
        options.headers_max = 20;
        options.body_bytes_max = 10_000;
    });
    let with = |headers: &str| format!("GET /api HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    for (request, status) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400),
        ("GET /api\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\n\r\n".into(), 400),
        (get("api"), 400),
        (get("x:80"), 400),
        (get("<"), 400),
        (get("ftp:/x"), 400),
        (get("http://u@y/"), 400),
        ("GET /api HTTP/1.1\r\nHost: x:99999\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: x:y\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: [::\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: 1.2.3.999\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: 127.1\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: 1.0x7f\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: %61\r\n\r\n".into(), 400),
        ("GET /api HTTP/1.1\r\nHost: a\\b\r\n\r\n".into(), 400),
        (get("http://1.2.3.999/api"), 400),
        (get("http://y\\api"), 400),
        (get("http://y/api").replace("Host: x", "Host: 1.2.3.999"), 400),
        ("\x16\x03\x01 no line".into(), 400),
        ("get /api HTTP/1.1\r\nHost: x\r\n\r\n".into(), 501),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 501),
        ("BREW /api HTTP/1.1\r\nHost: x\r\n\r\n".into(), 501),
        (get(&format!("/api?{}", "u".repeat(510))), 414),
        (with(&format!("x: {}\r\n", "h".repeat(4096))), 431),
        (with(&(0..20).map(|n| format!("x{n}: y\r\n")).collect::<String>()), 431),
        (form(&"b".repeat(10_001)), 413),
        (form(&"b".repeat(10_001)).replace("/api", "/nothing"), 413),
        (chunked(&format!("1388\r\n{0}\r\n1389\r\n{0}b\r\n", "b".repeat(5000))), 413),
        (chunked("x\r\n"), 400),
        (chunked("1\r\na\r\n0\r\nno header\r\n\r\n"), 400),
        (chunked(&format!("1;{}\r\n", "e".repeat(20_000))), 400),
    ] {
        let [first, second] = [&tide, &raw].map(|served| {
            let answers = served.ask(&request);
            assert_eq!(statuses(&answers), [status], "{request:.200}: {answers}");
            let (head, body) = answers.split_once("\r\n\r\n").unwrap();
            let mut head: Vec<String> = head.split("\r\n").map(str::to_lowercase).collect();
            head.retain(|line| !line.starts_with("date:"));
            head.sort();
            (head, body.to_owned())
        });
        assert_eq!(first, second, "{request:.200}");
    }
    for served in [tide, raw] {
        let mut client = served.client();
        for request in [
            get(&format!("/api?{}", "u".repeat(507))),
            with(&format!("x: {}\r\n", "h".repeat(3900))),
            with(&(0..19).map(|n| format!("x{n}: y\r\n")).collect::<String>()),
            form(&"b".repeat(10_000)),
        ] {
            client.send(request);
            let reply = client.reply();
            assert!(reply.status == 200 && !reply.closes());
        }
    }
}

#[test]
fn a_request_that_breaks_off_is_answered_the_same() {
    let whole = form("a=1&b=2");
    for served in both(|_| {}) {
        for cut in 0..whole.len() {
            let mut client = served.client();
            client.send(&whole[..cut]);
            client.end_of_requests();
            let is_body = cut >= whole.find("\r\n\r\n").unwrap() + 4;
            let expected: &[u16] = if is_body { &[400] } else { &[] };
            assert_eq!(statuses(&client.rest()), expected, "cut at {cut}");
        }
        let mut client = served.client();
        client.send(&whole);
        client.end_of_requests();
        assert!(client.rest().ends_with(TWO_FIELDS));
    }
}

#[test]
fn head_has_the_length_and_no_body() {
    for served in both(|_| {}) {
        let mut client = served.client();
        client.send("HEAD /api?a=1&b=2 HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = client.reply_to_head();
        assert_eq!((reply.status, reply.header("content-length")), (200, Some("17")));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(client.get("/api?a=1&b=2").body, TWO_FIELDS);
    }
}

#[test]
fn requests_come_in_one_piece_or_in_bytes() {
    for served in both(|_| {}) {
        let mut client = served.client();
        let many: String =
            (0..500).map(|n| get(&format!("/api?n={n}")) + &form(&format!("m={n}"))).collect();
        client.send(&many);
        for n in 0..500 {
            assert_eq!(client.reply().body, format!("{{\"n\":\"{n}\"}}"));
            assert_eq!(client.reply().body, format!("{{\"m\":\"{n}\"}}"));
        }
        let some =
            form("a=1&b=2") + &chunked("3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n") + &get("/api?a=1&b=2");
        for byte in some.as_bytes() {
            client.stream().write_all(&[*byte]).unwrap();
            std::thread::yield_now();
        }
        (0..3).for_each(|_| assert_eq!(client.reply().body, TWO_FIELDS));
        let pairs = "k=v&".repeat(250_000);
        client.send(form(&pairs));
        assert_eq!(client.reply().body, r#"{"k":"v"}"#);
    }
}

#[test]
fn old_and_closing_clients() {
    for served in both(|_| {}) {
        let answers = served.ask("GET /api HTTP/1.0\r\n\r\n");
        assert!(statuses(&answers) == [200] && answers.ends_with("{}"), "{answers}");
        let answers = served.ask(get("/api").replace("Host", "Connection: x, Close\r\nHost"));
        assert!(answers.to_lowercase().contains("connection: close"), "{answers}");
        let mut client = served.client();
        client.send(
            form("12345").replace("Host", "Expect: 100-continue\r\nHost").replace("12345", ""),
        );
        assert_eq!(client.reply().status, 100);
        client.send("12345");
        assert_eq!(client.reply().body, r#"{"12345":""}"#);
        client.send("POST /api HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n");
        assert_eq!(statuses(&client.rest()), [413]);
    }
    for served in both(|options| options.requests_max = 2) {
        let mut client = served.client();
        assert!(!client.get("/api").closes());
        assert!(client.get("/api").closes());
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_large_upload_that_is_refused_gets_its_answer_not_a_reset() {
    for served in both(|_| {}) {
        let mut client = served.client();
        client.send(form(&"p".repeat(8_000_000)));
        assert!(client.rest().ends_with(r#""error":"the body is too long"}"#));
    }
}

#[test]
fn silence_and_slowness_end_in_408() {
    for served in both(|options| options.request_timeout = SHORT) {
        let half = form("12345");
        for (request, expected) in [
            // Nothing was asked, so nothing is answered.
            ("".to_owned(), &[][..]),
            ("\r\n".into(), &[]),
            ("G".into(), &[408]),
            (get("/api")[..20].into(), &[408]),
            (half[..half.len() - 1].into(), &[408]),
            (chunked("5\r\n12"), &[408]),
            (get("/api") + "GET /a", &[200, 408]),
        ] {
            let began = Instant::now();
            assert_eq!(statuses(&served.ask(&request)), expected, "{request}");
            assert!(began.elapsed() >= SHORT * 9 / 10, "{request}");
            assert!(began.elapsed() < SHORT + PATIENCE / 4, "{request}");
        }
        // A byte now and then does not postpone the deadline.
        let mut client = served.client();
        let began = Instant::now();
        client.send("GET /");
        while client.is_silent(Duration::from_millis(10)) {
            client.send("a");
            assert!(began.elapsed() < PATIENCE, "no end");
        }
        assert_eq!(client.reply().status, 408);
    }
    for served in both(|options| options.keep_alive = SHORT) {
        let mut client = served.client();
        assert_eq!(client.get("/api").status, 200);
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_client_that_does_not_take_its_answers_is_let_go() {
    for served in both(|options| {
        options.request_timeout = SHORT;
        options.connections_max = 1;
    }) {
        let mut greedy = served.client();
        greedy.stream().set_write_timeout(Some(SHORT)).unwrap();
        let name = "n".repeat(1_000_000);
        for _ in 0..40 {
            greedy.send(form(&name));
        }
        assert!(
            served.ask(get("/api").replace("Host", "Connection: close\r\nHost")).ends_with("{}")
        );
    }
}

#[test]
fn a_thousand_idle_connections_and_one_that_asks() {
    for served in both(|options| options.connections_max = 1100) {
        let mut idle: Vec<Client> = (0..1000).map(|_| served.client()).collect();
        assert_eq!(served.client().get("/api").status, 200);
        idle.iter_mut().for_each(|it| assert_eq!(it.get("/api?a=1&b=2").body, TWO_FIELDS));
        assert_eq!(served.client().get("/api").status, 200);
    }
    // Where fewer are allowed than there are, idle ones are closed.
    for served in both(|options| options.connections_max = 10) {
        let mut idle: Vec<Client> = (0..12).map(|_| Client::connect(served.port)).collect();
        assert_eq!(idle[11].get("/api").status, 200);
        assert_eq!(idle[0].rest(), "");
    }
}

#[test]
fn a_shutdown_answers_what_has_begun() {
    for served in both(|options| options.threads = 2) {
        let mut idle = served.client();
        assert_eq!(idle.get("/api").status, 200);
        let mut half = served.client();
        let request = form("a=1&b=2");
        half.send(get("/api") + &request[..request.len() - 1]);
        assert_eq!(half.reply().status, 200);
        served.reasons.try_send("a test").unwrap();
        eventually("nobody else comes in", || Client::try_connect(served.port).is_err());
        let last = idle.get("/api");
        assert!(last.status == 200 && last.closes());
        assert_eq!(served.end.try_recv().err(), Some(std::sync::mpsc::TryRecvError::Empty));
        half.send("2");
        let reply = half.reply();
        assert!(reply.body == TWO_FIELDS && reply.closes());
        served.end.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    for served in both(|options| options.drain_timeout = SHORT) {
        let mut half = served.client();
        half.send(get("/api") + "POST");
        assert_eq!(half.reply().status, 200);
        served.reasons.try_send("a test").unwrap();
        assert_ne!(served.end.recv_timeout(SHORT / 2).err(), Some(RecvTimeoutError::Disconnected));
        assert_eq!(half.rest(), "");
        let ended = served.end.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ended.unwrap_err().to_string(), "1 connection was cut off");
    }
}

#[test]
fn in_its_grace_a_server_accepts_and_is_not_ready() {
    for served in both(|options| options.grace = PATIENCE * 10) {
        let mut idle = served.client();
        let ready = idle.get("/ready");
        assert_eq!((ready.status, ready.body.as_str()), (200, r#"{"status":"ok"}"#));
        served.reasons.try_send("a test").unwrap();
        eventually("it is not ready", || served.client().get("/ready").status == 503);
        // Long after that it still accepts.
        assert!(idle.is_silent(SHORT));
        let (ready, other) = (served.client().get("/ready"), served.client().get("/api?a=1&b=2"));
        let why = r#"{"status":"unavailable","error":"this service has been told to end"}"#;
        assert_eq!((ready.body.as_str(), ready.header("retry-after")), (why, Some("1")));
        assert!(other.body == TWO_FIELDS && !other.closes(), "{other:?}");
        assert!(!idle.get("/api").closes());
        // Who insists does not wait for that.
        (0..2).for_each(|_| served.reasons.try_send("an impatient test").unwrap());
        served.end.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    for served in both(|options| options.grace = SHORT) {
        served.reasons.try_send("a test").unwrap();
        served.end.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}
