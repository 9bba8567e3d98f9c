//! What every service says about itself, and the options that all share.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    served::{Client, Reply, eventually},
    service::{CALLER, ECHO, FACADE, LOGGING, MESSAGES, Service},
};

/// Any server, by its name as a command.
struct Server {
    child: Child,
    port: u16,
    /// Kept open: what is written after its end is not an error of the server.
    _out: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
        command.args([name, "--quiet"]).args(args).stdout(Stdio::piped());
        let mut child = command.env("SMOLRING_GRPC_PORT", "0").spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        let port = first.trim().rsplit([':', ' ']).next().unwrap().parse().unwrap();
        Self { child, port, _out: out }
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        let mut client = Client::connect(self.port);
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        client.try_reply(method != "HEAD").unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All but hello-server, which greets at every path.
const NAMED: [&str; 7] = [
    "echo-service",
    "caller-service",
    "messages-service",
    "logging-service",
    "facade-service",
    "api-server",
    "raw-api-server",
];

#[test]
fn every_service_says_what_it_is_and_what_it_offers() {
    for name in NAMED {
        let server = Server::start(name, &["-p", "0"]);
        let text = server.ask("GET", "/", "");
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(text.body.starts_with(&format!("{name}: ")), "{name}: {}", text.body);
        let page = server.ask("GET", "/", "Accept: text/html,*/*;q=0.8\r\n");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.body.contains(&format!("<h1>{name}</h1>")), "{}", page.body);
        // Each path that it offers is one.
        let offers = text.body.lines().skip(2).filter_map(|line| line.trim().split_once("  "));
        let mut count = 0;
        for (offer, _) in offers.filter(|(offer, _)| offer.starts_with("GET /")) {
            let path = offer.strip_prefix("GET ").unwrap();
            if path == "/logs?follow" {
                continue;
            }
            let reply = server.ask("HEAD", path, "");
            // Those behind it are not there.
            let statuses: &[u16] = match (name, path) {
                ("caller-service", "/ready" | "/call-echo?msg=hello") => &[503],
                ("facade-service", "/ready") => &[503],
                _ => &[200],
            };
            assert!(statuses.contains(&reply.status), "{name} {path}: {reply:?}");
            count += 1;
        }
        assert!(count > 3, "{name}: {}", text.body);
        // By whichever part of the service it is refused, that is said in the same form.
        let ask = |path: &str| server.ask("POST", path, "Content-Length: 0\r\n");
        let (own, asked) = (ask("/health"), server.ask("OPTIONS", "*", ""));
        for refused in [ask("/"), ask("/ready"), ask("/metrics"), asked, own.clone()] {
            assert_eq!(
                (refused.status, refused.header("allow")),
                (405, Some("GET, HEAD")),
                "{name}"
            );
            let kind = refused.header("content-type");
            assert_eq!((kind, &refused.body), (own.header("content-type"), &own.body), "{name}");
        }
        assert_eq!(server.ask("GET", "/health", "").body, r#"{"status":"ok"}"#, "{name}");
        for path in ["/", "/ready", "/metrics"] {
            let mut client = Client::connect(server.port);
            client.send(format!("GET {path} HTTP/1.1\r\n\r\n"));
            assert_eq!(client.reply().status, 400, "{name} {path} without a host");
        }
    }
    let hello = Server::start("hello-server", &["--bind", "127.0.0.1:0"]);
    assert_eq!(hello.ask("GET", "/", "Accept: text/html\r\n").body, "Hello, World!");
    assert_eq!(hello.ask("GET", "/ready", "").body, r#"{"status":"ok"}"#);
    assert_eq!(hello.ask("POST", "/ready", "Content-Length: 0\r\n").body, "Hello, World!");
}

#[test]
fn requests_are_counted_in_the_form_of_prometheus() {
    for name in ["hello-server", "api-server", "raw-api-server"] {
        let server = Server::start(name, &["--port", "0", "--threads", "2"]);
        let other = if name == "hello-server" { 200 } else { 404 };
        (0..5).for_each(|_| assert_eq!(server.ask("GET", "/nothing", "").status, other));
        Client::connect(server.port).send("nonsense\r\n\r\n");
        let metrics = || server.ask("GET", "/metrics", "");
        let kind = metrics().header("content-type").unwrap().to_owned();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        eventually("the refusal is counted", || metrics().body.contains("code=\"400\"} 1\n"));
        // The end of an answer may come before the end of what is counted of it.
        eventually("it is alone", || metrics().body.contains("http_requests_in_flight 1\n"));
        let text = metrics().body;
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
        };
        assert!(value(&format!("http_requests_total{{code=\"{other}\"}}")) >= 5.0);
        assert!(value("http_request_duration_seconds_count") >= 5.0);
        assert!(value("http_request_duration_seconds_bucket{le=\"+Inf\"}") >= 5.0);
        for line in text.lines() {
            let is_sample = line.rsplit_once(' ').is_some_and(|(_, it)| it.parse::<f64>().is_ok());
            assert!(
                line.starts_with("# HELP ") || line.starts_with("# TYPE ") || is_sample,
                "{line}"
            );
        }
    }
}

#[test]
fn requests_are_counted_while_they_last_and_by_how_long_that_was() {
    let server = Server::start("echo-service", &["-p", "0", "--delay", "20s"]);
    let metrics = |server: &Server| server.ask("GET", "/metrics", "").body;
    let mut client = Client::connect(server.port);
    client.send("GET /echo?msg=a HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("it lasts", || metrics(&server).contains("http_requests_in_flight 2\n"));
    let server = Server::start("echo-service", &["-p", "0", "--delay", "60ms"]);
    assert_eq!(server.ask("GET", "/echo?msg=a", "").status, 200);
    eventually("its time is counted", || {
        let text = metrics(&server);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        let name = "http_request_duration_seconds";
        let [quick, all, seconds] =
            ["_bucket{le=\"0.05\"}", "_count", "_sum"].map(|it| value(&format!("{name}{it}")));
        quick + 1.0 == all && seconds >= 0.06
    });
}

#[test]
fn ready_looks_at_what_is_behind_and_repeats_are_counted() {
    let logging = Service::start_at_own_port(LOGGING, &[]);
    let messages = Service::start(MESSAGES, &[]);
    let (url, grpc) = (logging.url(""), format!("127.0.0.1:{}", logging.grpc_port()));
    let places = ["--logging-url", &url, "--logging-grpc", &grpc, "--messages-url"];
    let facade = Service::start(
        FACADE,
        &[&places[..], &[&messages.url(""), "--attempt-timeout", "300ms", "--retry-for", "2s"]]
            .concat(),
    );
    let post = |service: &Service, path: &str, body: &str| {
        let mut client = Client::connect(service.port);
        let length = body.len();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.reply().status
    };
    assert_eq!(facade.get("/ready").body, r#"{"status":"ok"}"#);
    (0..3).for_each(|_| assert_eq!(post(&logging, "/log", r#"{"id":"1","msg":"x"}"#), 200));
    assert!(logging.get("/metrics").body.contains("\nsmolring_duplicates_total 2\n"));
    messages.kill();
    let ready = facade.get("/ready");
    assert_eq!((ready.status, ready.header("retry-after")), (503, Some("1")));
    assert!(ready.body.contains("messages service unavailable: connection refused"), "{ready:?}");
    logging.kill();
    let ready = facade.get("/ready");
    assert!(ready.body.contains("logging service unavailable: connection refused"), "{ready:?}");
    assert_eq!(facade.get("/health").status, 200);
    assert_eq!(post(&facade, "/message", r#"{"msg":"x"}"#), 503);
    let text = facade.get("/metrics").body;
    let retries = text.lines().find_map(|line| line.strip_prefix("smolring_retries_total "));
    assert!(retries.unwrap().parse::<u64>().unwrap() >= 1, "{text}");

    let echo = Service::start(ECHO, &[]);
    let caller = Service::start(CALLER, &["--echo-url", &echo.url("")]);
    assert_eq!(caller.get("/ready").status, 200);
    echo.kill();
    let ready = caller.get("/ready");
    assert!(ready.status == 503 && ready.body.contains("echo service unavailable: "), "{ready:?}");
}

#[test]
fn who_is_told_to_end_or_says_nothing_makes_who_needs_it_not_ready() {
    let start = |name| Service::start(name, &["--grace", "1h"]);
    let (ending, other, messages) = (start(LOGGING), start(LOGGING), start(MESSAGES));
    let facade = |by_http: &[&str], by_grpc: &Service, more: &[&str]| {
        let grpc = format!("127.0.0.1:{}", by_grpc.grpc_port());
        let (urls, messages) = (by_http.join(","), messages.url(""));
        let places = ["--logging-url", &urls, "--logging-grpc", &grpc, "--messages-url", &messages];
        Service::start(FACADE, &[&places[..], more].concat())
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let (ending_url, other_url) = (ending.url(""), other.url(""));
    let over_http = facade(&[&ending_url], &other, &[]);
    let over_grpc = facade(&[&other_url], &ending, &[]);
    let has_another = facade(&[&ending_url, &other_url], &other, &[]);
    let times =
        ["--attempt-timeout", "300ms", "--retry-for", "400ms", "--request-timeout", "500ms"];
    let late = facade(&[&silent, &silent, &silent], &other, &times);
    for facade in [&over_http, &over_grpc, &has_another] {
        assert_eq!(facade.get("/ready").status, 200);
    }
    ending.signal(Signal::TERM);
    eventually("it is told", || ending.get("/ready").status == 503);
    for (facade, why) in [
        (&over_http, "logging service unavailable: it answers 503 at /ready"),
        (&over_grpc, "logging service over gRPC unavailable: it says that it is not ready"),
        (&late, "what this service needs does not answer in time"),
    ] {
        let ready = facade.get("/ready");
        let body = format!(r#"{{"status":"unavailable","error":"{why}"}}"#);
        assert_eq!((ready.status, ready.body), (503, body));
    }
    assert_eq!(has_another.get("/ready").status, 200);
    messages.signal(Signal::TERM);
    eventually("its messages are gone", || has_another.get("/ready").status == 503);
}

#[test]
fn pages_of_other_origins_may_ask_where_the_user_says_so() {
    let page = "Origin: https://app.example\r\n";
    let asks = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n";
    for name in ["hello-server", "api-server", "raw-api-server"] {
        let server =
            Server::start(name, &["-p0", "--cors", "https://app.example,http://b.example"]);
        let answer = server.ask("GET", "/health", page);
        let allowed =
            |reply: &Reply| reply.header("access-control-allow-origin").map(str::to_owned);
        assert_eq!(allowed(&answer).as_deref(), Some("https://app.example"), "{name}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{name}");
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, Some("X-Request-Id, Retry-After"), "{name}");
        let preflight = server.ask("OPTIONS", "/api", &format!("{page}{asks}"));
        assert_eq!(preflight.status, 204, "{name}");
        assert_eq!(allowed(&preflight).as_deref(), Some("https://app.example"));
        assert!(preflight.header("access-control-allow-methods").unwrap().contains("PUT"));
        assert_eq!(preflight.header("access-control-allow-headers"), Some("x-a"));
        let other =
            server.ask("OPTIONS", "/api", &format!("Origin: http://evil.example\r\n{asks}"));
        assert_eq!((allowed(&other), other.status == 204), (None, false), "{name}");
        assert_eq!(allowed(&server.ask("GET", "/health", "")), None);

        let open = Server::start(name, &["-p0", "--cors", "*"]);
        assert_eq!(allowed(&open.ask("GET", "/nothing", page)).as_deref(), Some("*"), "{name}");
        let closed = Server::start(name, &["-p0"]);
        assert_eq!(allowed(&closed.ask("GET", "/health", page)), None, "{name}");
    }
}

#[test]
fn without_keep_alive_each_connection_has_one_request() {
    for name in ["hello-server", "raw-api-server"] {
        let server = Server::start(name, &["--host", "127.0.0.1", "-p", "0", "--keep-alive", "0"]);
        let mut client = Client::connect(server.port);
        let reply = client.get("/health");
        assert!(reply.status == 200 && reply.closes(), "{name}: {reply:?}");
        assert_eq!(client.rest(), "");
    }
}
