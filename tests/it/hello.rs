//! `hello-server` as a process: what it prints, what it answers, how it ends, and how other clients
//! get on with it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::net::UnixDatagram,
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::served::{Client, PATIENCE, eventually, statuses};

pub const BINARY: &str = env!("CARGO_BIN_EXE_hello-server");

/// A running server; it is killed when it is dropped.
pub struct Hello {
    child: Child,
    out: BufReader<ChildStdout>,
    pub port: u16,
}

impl Hello {
    pub fn start(args: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["--port", "0"]).args(args);
        Self::of(&mut command)
    }

    pub fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // In JSON a line is an object.
        let mut line = || message(&line(&mut out));
        let first = line();
        let port = first.strip_prefix("Server listening on port ").unwrap().parse().unwrap();
        let url = format!("http://localhost:{port}");
        assert_eq!(line(), format!("Visit {url} or use curl -v {url}"));
        Self { child, out, port }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn line(&mut self) -> String {
        line(&mut self.out)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// All that it writes to stderr until its end, where that is a pipe.
    pub fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        errors
    }

    /// Waits for its end: the rest of what it printed, and its exit code.
    pub fn end(&mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }

    fn resident_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a line says, whether it is an object of JSON or not.
pub fn message(line: &str) -> String {
    let object: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let message = object.as_ref().and_then(|it| it["message"].as_str());
    message.unwrap_or(line).to_owned()
}

fn line(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line.trim_end_matches('\n').to_owned()
}

/// Runs a tool that these tests need.
fn tool(name: &str, package: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(name)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install the Debian package {package}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{name} {args:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

fn curl(args: &[&str]) -> String {
    let quick = ["--silent", "--show-error", "--max-time", "20"];
    tool("curl", "curl", &[&quick, args].concat())
}

#[test]
fn every_path_and_method_is_greeted() {
    needs!("curl");
    let hello = Hello::start(&[]);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/test", "/api/v1/users", "/any/path/here?x=1", "/health/more"] {
            assert_eq!(curl(&["-X", method, &hello.url(path)]), "Hello, World!");
        }
    }
    let answer = curl(&["-i", &hello.url("/")]);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for header in ["Content-Type: text/html; charset=utf-8\r\n", "Content-Length: 13\r\n"] {
        assert!(answer.contains(header), "{answer}");
    }
    assert!(answer.contains("\r\nServer: smolring/") && answer.contains(" GMT\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nHello, World!"), "{answer}");
    let head = curl(&["--head", &hello.url("/")]);
    assert!(head.contains("Content-Length: 13") && head.ends_with("\r\n\r\n"), "{head}");
    // The body is ignored, and read.
    assert_eq!(curl(&["--data", "x=1", &hello.url("/")]), "Hello, World!");
    assert_eq!(curl(&["-H", "Transfer-Encoding: chunked", "-d", "x", &hello.url("/")]).len(), 13);
}

#[test]
fn health_is_json() {
    needs!("curl");
    let hello = Hello::start(&[]);
    let answer = curl(&["-i", &hello.url("/health")]);
    assert!(answer.contains("Content-Type: application/json"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let health: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(health["status"], "healthy");
    assert!(health["uptime"].as_f64().unwrap() < 60.0);
    assert!(body.starts_with(r#"{"status":"healthy","uptime":"#), "{body}");
    assert_eq!(curl(&["-X", "POST", &hello.url("/health")]), "Hello, World!");
}

#[test]
fn every_method_is_answered() {
    let mut hello = Hello::start(&[]);
    let mut client = Client::connect(hello.port);
    for method in ["GET", "QUERY", "PURGE", "FOO", "get", "PRI", "M-SEARCH", "X!#$%&'*+.^_`|~"] {
        for path in ["/", "/a/b", "/health"] {
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let reply = client.reply();
            let is_health = (method, path) == ("GET", "/health");
            assert_eq!(
                (reply.status, reply.body == "Hello, World!"),
                (200, !is_health),
                "{method}"
            );
            assert!(hello.line().contains(" - ") && !reply.closes());
        }
    }
    client.send("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.reply().status, 501);
}

#[test]
fn errors_are_text_of_the_same_type() {
    let mut hello = Hello::start(&["--request-timeout", "200ms"]);
    for (request, line, body) in [
        (
            "NONSENSE\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "Bad Request\nthe first line is not a method, a target and a version\n",
        ),
        (
            "GET /a HTTP/1.1\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "Bad Request\nthere is no Host header\n",
        ),
        ("GET / HTTP/1.1\r\nHo", "HTTP/1.1 408 Request Timeout\r\n", "Request Timeout"),
    ] {
        let mut client = Client::connect(hello.port);
        client.send(request);
        let answer = client.rest();
        assert!(answer.starts_with(line), "{answer}");
        assert!(answer.contains("Content-Type: text/html; charset=utf-8\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
    for (what, cause) in [
        (" - - - 400 ", " cause=\"the first line is not a method, a target and a version\""),
        (" - GET /a 400 ", " cause=\"there is no Host header\""),
        (" - GET / 408 15 ", ""),
    ] {
        let line = hello.line();
        assert!(line.contains(what) && line.ends_with(cause), "{line}");
    }
}

#[test]
fn each_request_is_one_line_of_the_log() {
    let mut hello = Hello::start(&[]);
    let mut client = Client::connect(hello.port);
    client.get("/api/data?x=1");
    let line = hello.line();
    let (time, rest) = line.split_once(" - ").unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
    let words: Vec<&str> = rest.split(' ').collect();
    assert_eq!(words[..4], ["GET", "/api/data?x=1", "200", "13"], "{line}");
    let millis: f64 = words[4].strip_suffix("ms").unwrap().parse().unwrap();
    assert!(millis < 10_000.0, "{line}");
    assert_eq!(words[5], client.stream().local_addr().unwrap().to_string(), "{line}");

    let mut hello = Hello::of(
        Command::new(BINARY).arg("--port=0").env("LOG_FORMAT", "json").env("REQUEST_TIMEOUT", "9"),
    );
    Client::connect(hello.port).get("/%0a%22'\"\\?");
    let entry: serde_json::Value = serde_json::from_str(&hello.line()).unwrap();
    assert_eq!((&entry["method"], &entry["status"]), (&"GET".into(), &200.into()), "{entry}");
    assert!(entry["url"].as_str().unwrap().starts_with("/%0a%22'"), "{entry}");

    let mut hello = Hello::start(&["--quiet"]);
    Client::connect(hello.port).get("/");
    hello.signal(Signal::TERM);
    assert!(hello.end().0.starts_with("Received SIGTERM"));
}

#[test]
fn signals_end_it_in_order() {
    let all = [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT"), (Signal::HUP, "SIGHUP")];
    for (signal, name) in all {
        let mut hello = Hello::start(&[]);
        hello.signal(signal);
        let (rest, code) = hello.end();
        let expected =
            format!("Received {name}, shutting down gracefully...\nServer closed successfully\n");
        assert_eq!((rest, code), (expected, Some(0)));
    }
}

#[test]
fn no_accepted_request_is_lost_when_it_is_told_to_end_under_load() {
    for round in 0..5 {
        let mut hello = Hello::start(&["--quiet"]);
        let port = hello.port;
        let keeping = (0..8).map(|_| thread::spawn(move || keep_asking(port)));
        let changing = (0..2).map(|_| thread::spawn(move || keep_connecting(port)));
        let clients: Vec<_> = keeping.chain(changing).collect();
        // Let them all get going.
        let mut client = Client::connect(port);
        (0..200 * (round + 1)).for_each(|_| assert_eq!(client.get("/").status, 200));
        hello.signal(Signal::TERM);
        let last = client.get("/");
        assert_eq!(last.status, 200);
        let answered: usize = clients.into_iter().map(|it| it.join().unwrap()).sum();
        assert!(answered > 0);
        let (rest, code) = hello.end();
        assert!(rest.ends_with("Server closed successfully\n"), "{rest}");
        assert_eq!(code, Some(0));
    }
}

/// Asks on one connection until the server says that this answer was the last.
fn keep_asking(port: u16) -> usize {
    let mut client = Client::connect(port);
    for n in 1.. {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = client.try_reply(true).expect("every request has its answer");
        assert_eq!(reply.body, "Hello, World!");
        if reply.closes() {
            return n;
        }
    }
    0
}

/// Connects for each request until nothing listens. A connection that ends before a byte of an
/// answer, at that moment, was the kernel's and never accepted.
fn keep_connecting(port: u16) -> usize {
    let mut answered = 0;
    while let Ok(mut client) = Client::try_connect(port) {
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        match client.try_reply(true) {
            Ok(reply) => assert_eq!(reply.body, "Hello, World!"),
            Err(_) => {
                eventually("nobody listens", || Client::try_connect(port).is_err());
                return answered;
            }
        }
        answered += 1;
    }
    answered
}

#[test]
fn a_taken_and_a_forbidden_port_say_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(BINARY).env("PORT", &port).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("Port {port} is already in use")), "{error}");
    assert!(output.stdout.is_empty());
    assert_eq!(output.status.code(), Some(1));
    // Root may bind any port, so the privilege is taken away first (setpriv is in util-linux).
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-net_bind_service", BINARY]);
        command
    } else {
        Command::new(BINARY)
    };
    let unprivileged = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if unprivileged.trim().parse::<u16>().unwrap() > 80 {
        let output = command.args(["--port", "80"]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("Permission denied - cannot bind to port 80"), "{error}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn usage_errors_and_help() {
    for args in [&["--nonsense"][..], &["--port", "x"], &["--port"], &["file"]] {
        let output = Command::new(BINARY).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("See `hello-server --help`"));
    }
    let output = Command::new(BINARY).env("PORT", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let help = Command::new(BINARY).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for part in ["default 3000 (PORT)", "(REQUEST_TIMEOUT)", "--drain-timeout", "--version"] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn it_is_an_applet_too_and_hears_on_ipv4_and_ipv6() {
    needs!("curl");
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let hello = Hello::of(command.args(["hello-server", "--port", "0"]));
    let url = format!("http://localhost:{}", hello.port);
    assert_eq!(curl(&["--ipv4", &url]), "Hello, World!");
    if TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(curl(&["--globoff", &format!("http://[::1]:{}", hello.port)]), "Hello, World!");
    }
    let hello = Hello::start(&["--ip", "127.0.0.1", "--threads", "2"]);
    assert_eq!(curl(&[&hello.url("/")]), "Hello, World!");
}

#[test]
fn no_thread_of_another_runtime() {
    needs!("curl");
    let hello = Hello::start(&["--quiet"]);
    assert_eq!(curl(&[&hello.url("/")]), "Hello, World!");
    assert_eq!(curl(&["--http2-prior-knowledge", &hello.url("/")]), "Hello, World!");
    let tasks = fs::read_dir(format!("/proc/{}/task", hello.child.id())).unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["async-io", "hello-server", "log"]);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let mut hello = Hello::start(&[]);
    let mut client = Client::connect(hello.port);
    let path = format!("/{}", "x".repeat(900));
    // Far more than a pipe and the server's own buffer hold.
    for _ in 0..60 {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(100));
        (0..100).for_each(|_| assert_eq!(client.reply().status, 200));
    }
    hello.signal(Signal::TERM);
    let began = Instant::now();
    assert_eq!(hello.child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < PATIENCE);
    drop(hello);

    // And a reader that has gone away.
    let Hello { out, port, .. } = &mut Hello::start(&[]);
    *out = BufReader::new(
        Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap(),
    );
    let mut client = Client::connect(*port);
    (0..100).for_each(|_| assert_eq!(client.get("/").status, 200));
}

#[test]
fn a_head_that_comes_slowly_ends_in_408() {
    let hello = Hello::start(&["--quiet", "--head-timeout", "250ms", "--request-timeout", "60s"]);
    for asked_before in [false, true] {
        let mut client = Client::connect(hello.port);
        if asked_before {
            assert_eq!(client.get("/").status, 200);
        }
        let began = Instant::now();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
        // A byte now and then does not postpone the end.
        while client.is_silent(Duration::from_millis(20)) {
            assert!(began.elapsed() < PATIENCE, "no end");
            client.send("a");
        }
        assert!(began.elapsed() >= Duration::from_millis(225), "{:?}", began.elapsed());
        let rest = client.rest();
        assert!(rest.starts_with("HTTP/1.1 408 ") && rest.ends_with("Request Timeout"), "{rest}");
    }
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_others_are_served() {
    const IDLE: usize = 10_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let enough = limit.maximum.is_none_or(|most| most > IDLE as u64 + 500);
    assert!(enough, "raise the hard limit of open files (ulimit -Hn) over {IDLE}");
    let hello = Hello::start(&["--quiet", "--max-connections", "20000"]);
    let mut client = Client::connect(hello.port);
    assert_eq!(client.get("/").status, 200);
    let before = hello.resident_kib();
    let mut idle: Vec<Client> = (0..IDLE).map(|_| Client::connect(hello.port)).collect();
    assert_eq!(client.get("/").status, 200);
    let mut last = Client::connect(hello.port);
    assert_eq!(last.get("/").status, 200);
    let fresh = hello.resident_kib() - before;
    assert!(fresh < 40_000, "{fresh} KiB for {IDLE} connections that said nothing");
    // One request on each, and then they are idle again.
    idle.iter_mut().for_each(|it| assert_eq!(it.get("/").status, 200));
    let used = hello.resident_kib() - before;
    assert!(used < 200_000, "{used} KiB for {IDLE} connections after a request on each");
    assert_eq!(last.get("/").status, 200);
    drop((hello, idle));

    // With far fewer allowed than there are, the idle ones give way.
    let hello = Hello::start(&["--quiet"]);
    let idle: Vec<Client> = (0..IDLE).map(|_| Client::connect(hello.port)).collect();
    assert_eq!(Client::connect(hello.port).get("/").status, 200);
    drop(idle);
    println!("{IDLE} idle connections: {fresh} KiB fresh, {used} KiB after a request on each");
}

#[test]
fn systemd_is_told_and_its_socket_is_taken() {
    needs!("python3");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 100];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    };
    // Python plays the part of systemd: it binds the socket, and becomes the server.
    let script = "import os, socket, sys\n\
                  s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
                  os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
                  os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n\
                  os.execv(sys.argv[1], [sys.argv[1], '--port', '1'])\n";
    let mut command = Command::new("python3");
    let mut hello = Hello::of(command.args(["-c", script, BINARY]).env("NOTIFY_SOCKET", &path));
    assert_eq!(told(), "READY=1");
    assert_ne!(hello.port, 1);
    assert_eq!(Client::connect(hello.port).get("/").status, 200);
    hello.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(hello.end().1, Some(0));
}

#[test]
fn other_clients_get_along_with_it() {
    needs!("curl", "nghttp", "h2load", "python3");
    let hello = Hello::start(&["--quiet"]);
    let url = hello.url("/");
    assert_eq!(curl(&["--http2-prior-knowledge", "-d", "body", &url]), "Hello, World!");
    assert_eq!(curl(&["--http1.0", &url]), "Hello, World!");
    let head = curl(&["--http2-prior-knowledge", "--head", &url]);
    assert!(head.starts_with("HTTP/2 200") && head.contains("content-length: 13"), "{head}");
    let out = tool("nghttp", "nghttp2-client", &["--no-verify-peer", "-v", &url, &url]);
    assert!(out.contains("Hello, World!") && out.contains(":status: 200"), "{out}");
    for protocol in ["--h1", "-ph2c"] {
        let args = ["-n", "5000", "-c", "20", "-m", "10", protocol, &url];
        let out = tool("h2load", "nghttp2-client", &args);
        assert!(out.contains("5000 succeeded, 0 failed, 0 errored"), "{out}");
    }
    let script = "import http.client, sys\n\
                  c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)\n\
                  for method in ['GET', 'POST', 'HEAD', 'PUT'] * 50:\n    \
                      c.request(method, '/a?b', body=b'x' * 1000 if method[0] == 'P' else None)\n    \
                      r = c.getresponse(); body = r.read()\n    \
                      assert r.status == 200 and r.getheader('Content-Length') == '13'\n    \
                      assert body == (b'' if method == 'HEAD' else b'Hello, World!'), body\n\
                  c.request('POST', '/', body=iter([b'ab', b'c']), encode_chunked=True,\n          \
                            headers={'Transfer-Encoding': 'chunked'})\n\
                  print(c.getresponse().read().decode())\n";
    let out = tool("python3", "python3", &["-c", script, &hello.port.to_string()]);
    assert_eq!(out, "Hello, World!\n");
}

#[test]
fn limits_hold_over_http2() {
    needs!("curl");
    let hello = Hello::start(&["--quiet", "--max-body-bytes", "1000", "--max-url-bytes", "100"]);
    let status = |args: &[&str]| {
        let format = ["--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}"];
        curl(&[&format, args].concat())
    };
    assert_eq!(status(&["-d", &"x".repeat(1000), &hello.url("/")]), "200");
    for bytes in [1001, 200_000] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, vec![b'x'; bytes]).unwrap();
        let data = format!("@{}", file.path().display());
        assert_eq!(status(&["--data-binary", &data, &hello.url("/")]), "413");
    }
    assert_eq!(status(&[&hello.url(&format!("/{}", "u".repeat(100)))]), "414");
    assert_eq!(status(&["-H", "X: ü", &hello.url("/?ü")]), "200");
    assert_eq!(status(&[&hello.url("/")]), "200");
}

#[test]
fn a_silent_http2_client_is_let_go() {
    let hello = Hello::start(&["--quiet", "--keep-alive", "200ms", "--request-timeout", "200ms"]);
    let mut client = Client::connect(hello.port);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let began = Instant::now();
    let answer = client.rest();
    assert!(statuses(&answer).is_empty(), "{answer}");
    assert!(began.elapsed() >= Duration::from_millis(150));
}
