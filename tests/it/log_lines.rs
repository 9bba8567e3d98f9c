//! What is printed: lines that programs read, and lines that do nothing to a terminal.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use rustix::process::Signal;

use crate::{
    cluster::{Process, own_ip, until},
    hello::Hello,
    served::Client,
    service::{FACADE, LOGGING, Service, curl},
};

fn smolring(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolring"));
    command.args(args);
    command
}

/// All that a command prints until it has ended by SIGTERM, which it is sent after `line`.
fn printed_until(command: &mut Command, line: &str, meanwhile: impl FnOnce(&str)) -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&text).contains(line) {
        let bytes = out.read(&mut piece).unwrap();
        assert!(bytes > 0, "no {line}: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..bytes]);
    }
    meanwhile(&String::from_utf8_lossy(&text));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    out.read_to_end(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(text).unwrap()
}

/// The status of the answer to a message.
fn post(port: u16, body: &str) -> u16 {
    let mut client = Client::connect(port);
    let length = body.len();
    client.send(format!("POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"));
    client.reply().status
}

#[test]
fn in_json_every_line_is_an_object_with_a_time() {
    let ip = own_ip();
    for (args, ready) in [
        (&["hello-server", "--port=0"][..], "Visit "),
        (&["logging-service", "--port=0", "--grpc-port=0"], "Try "),
        (&["facade-service", "--port=0"], "Try "),
        (&["raw-api-server", "--port=0"], "Visit "),
        (&["ring-node", "--port=0", "--ip", &ip], "ready: "),
    ] {
        let mut command = smolring(&[args, &["--log-format", "json"]].concat());
        let text = printed_until(&mut command, ready, |text| {
            if let Some((_, port)) = text.split_once("listening on http://127.0.0.1:") {
                let port = port.split('"').next().unwrap().parse().unwrap();
                let status = post(port, "{\"id\":\"1\",\"msg\":\"a\\n\\u202e\\\"\"}");
                assert_eq!(status, if args[0] == "logging-service" { 200 } else { 404 });
            }
        });
        let count = text.lines().count();
        assert!(count >= 3, "{text}");
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
            assert!(line["message"].is_string() || line["status"].is_number(), "{line}");
        }
        assert!(!text.contains('\u{202e}'), "{text}");
        if args[0] == "logging-service" {
            assert!(text.contains(r#""message":"[LOGGED] 1 -> a\n\u202e\""}"#), "{text}");
        }
    }
}

#[test]
fn in_json_what_goes_to_stderr_is_an_object_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let kubernetes = "tcp://10.96.0.12:4043";
    for (args, variables, code, parts) in [
        // A port that is taken, also after a variable that is skipped.
        (
            &["hello-server", "--ip=127.0.0.1", "--port", &taken, "--log-format=json"][..],
            &[][..],
            1,
            &["in use"][..],
        ),
        (
            &["hello-server"],
            &[
                ("SMOLRING_PORT", kubernetes),
                ("PORT", &taken),
                ("LOG_FORMAT", "json"),
                ("SMOLRING_IP", "127.0.0.1"),
            ],
            1,
            &["SMOLRING_PORT=tcp://10.96.0.12:4043 is skipped", "in use"],
        ),
        (
            &["ring-node", "--ip=127.0.0.1"],
            &[
                ("SMOLRING_PORT", &taken),
                ("SMOLRING_PREV_PORT", kubernetes),
                ("SMOLRING_LOG_FORMAT", "json"),
            ],
            1,
            &["SMOLRING_PREV_PORT=", "in use"],
        ),
        // Wrong usage: before and behind the format, and in a variable.
        (&["echo-service", "--log-format", "json", "--prot=1"], &[], 2, &["did you mean --port?"]),
        (
            &["api-server", "--port=\"\n\u{202e}", "--log-format", "json"],
            &[],
            2,
            &["--port \"\n\u{202e}:"],
        ),
        (&["facade-service"], &[("PORT", "x"), ("LOG_FORMAT", "json")], 2, &["PORT=x"]),
        (&["ring-node", "--log-format=json", "--port"], &[], 2, &["needs a value"]),
    ] {
        let mut command = smolring(args);
        command.envs(variables.iter().copied());
        let output = command.stdout(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert_eq!(text.lines().count(), parts.len(), "{args:?}: {text}");
        assert!(!text.contains('\u{202e}'), "{text}");
        for (line, part) in text.lines().zip(parts) {
            let line: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
            assert!(line["message"].as_str().unwrap().contains(part), "{line} has no {part}");
        }
    }
    // A variable that another command's log has is none of the client's.
    let mut client = smolring(&["ring-client", "list", "--no-such-option"]);
    let output = client.env("SMOLRING_LOG_FORMAT", "json").output().unwrap();
    assert!(output.stderr.starts_with(b"smolring ring-client: "), "{output:?}");
}

#[test]
fn quiet_shows_no_text_of_a_message() {
    let mut service = Service::start(LOGGING, &["--quiet"]);
    let body = r#"{"id":"1","msg":"a secret"}"#;
    (0..2).for_each(|_| assert_eq!(post(service.port, body), 200));
    service.signal(Signal::TERM);
    let (rest, _) = service.end();
    assert!(rest.starts_with("[LOGGED] 1\n[DUPLICATE] 1\n"), "{rest}");
    assert!(!rest.contains("secret"), "{rest}");
    let mut node = Process::start(&["--ip", &own_ip(), "--port", "0", "--quiet"], &[]);
    until("it is ready", || (node.client().ask("INFO").key("ready") == Some("1")).then_some(()));
    node.signal(Signal::TERM);
    node.wait_for_exit();
    let lines: Vec<String> = node.lines().into_iter().map(|line| line.text).collect();
    assert!(lines[0].starts_with("listening on ") && lines.len() == 2, "{lines:?}");
}

#[test]
fn of_a_long_message_the_beginning_is_printed() {
    let mut service = Service::start(LOGGING, &[]);
    let msg = "ü".repeat(20_000);
    assert_eq!(post(service.port, &format!(r#"{{"id":"1","msg":"{msg}"}}"#)), 200);
    let line = service.event();
    assert!(line.starts_with("[LOGGED] 1 -> üü") && line.ends_with("ü... (40000 bytes)"), "{line}");
    assert!(line.len() < 17_000, "{} bytes", line.len());
}

/// The line that a server with these options writes about a request, and the length of its answer.
fn logged(name: &str, args: &[&str], request: &str) -> (String, usize) {
    let mut command = smolring(&[&[name, "--port", "0"], args].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        line.trim_end().to_owned()
    };
    let port = line().rsplit(' ').next().unwrap().parse().unwrap();
    line();
    let mut client = Client::connect(port);
    client.send(request);
    let bytes = client.reply().body.len();
    let line = line();
    child.kill().unwrap();
    child.wait().unwrap();
    (line, bytes)
}

#[test]
fn the_combined_format_and_the_client_behind_a_proxy() {
    for name in ["hello-server", "raw-api-server"] {
        let (line, bytes) = logged(
            name,
            &["--log-format", "combined", "--trust-proxy"],
            "GET /health?a HTTP/1.1\r\nHost: x\r\nReferer: http://a/\"\r\nUser-Agent: t\\1\r\n\
             X-Forwarded-For: 10.0.0.1, 203.0.113.7\r\n\r\n",
        );
        let (start, rest) = line.split_once(" - - [").unwrap();
        let (time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(start, "203.0.113.7", "{name}: {line}");
        // As in 27/Nov/2026:20:00:00 +0000.
        assert!(time.len() == 26 && time.ends_with(" +0000") && &time[2..3] == "/", "{line}");
        let end = format!(r#""GET /health?a HTTP/1.1" 200 {bytes} "http://a/\x22" "t\x5C1""#);
        assert_eq!(rest, end, "{name}");
        // A proxy may add a header of its own, which is then the last.
        let (line, bytes) = logged(
            name,
            &["--log-format", "combined", "--trust-proxy"],
            "GET / HTTP/1.0\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n",
        );
        assert!(line.starts_with("203.0.113.7 - - ["), "{name}: {line}");
        let end = format!(r#""GET / HTTP/1.0" 200 {bytes} "-" "-""#);
        assert!(line.ends_with(&end), "{name}: {line}");
        // Without the option a client could write anything there.
        let spoofed = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
        let (line, _) = logged(name, &[], spoofed);
        assert!(line.contains(" 127.0.0.1:") && !line.contains("203.0.113.7"), "{name}: {line}");
    }
}

#[test]
fn over_http2_the_combined_format_is_that_of_nginx_too() {
    needs!("curl");
    let mut hello = Hello::start(&["--log-format", "combined"]);
    let url = format!("http://127.0.0.1:{}/a", hello.port);
    curl(&["--http2-prior-knowledge", "-A", "x", &url]);
    let line = hello.line();
    assert!(line.ends_with(r#""GET /a HTTP/2.0" 200 13 "-" "x""#), "{line}");
}

/// A gRPC server that answers each call with a long and nasty message.
fn nasty_grpc() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let frame = |kind: u8, flags: u8, id: u8, load: &[u8]| {
                let length = (load.len() as u32).to_be_bytes();
                [&length[1..], &[kind, flags, 0, 0, 0, id], load].concat()
            };
            let message = format!("%E2%80%AE%1B[31m%E2%80%A8{}", "x".repeat(3000));
            let mut block = vec![0x88];
            for (name, value) in [
                ("content-type", "application/grpc"),
                ("grpc-status", "14"),
                ("grpc-message", message.as_str()),
            ] {
                block.extend([0, name.len() as u8]);
                block.extend(name.as_bytes());
                match value.len() {
                    length @ ..127 => block.push(length as u8),
                    length => block.extend([
                        127,
                        ((length - 127) % 128) as u8 | 128,
                        ((length - 127) / 128) as u8,
                    ]),
                }
                block.extend(value.as_bytes());
            }
            stream.write_all(&frame(4, 0, 0, &[])).unwrap();
            stream.write_all(&frame(4, 1, 0, &[])).unwrap();
            thread::spawn(move || {
                let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
                // The call is there when its headers are: a frame of type 1.
                while !types(&received).contains(&1) {
                    match stream.read(&mut buffer) {
                        Ok(bytes @ 1..) => received.extend_from_slice(&buffer[..bytes]),
                        _ => return,
                    }
                }
                let _ = stream.write_all(&frame(1, 5, 1, &block));
                while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
            });
        }
    });
    port
}

/// The types of the frames that a client of HTTP/2 has sent whole, after its preface.
fn types(received: &[u8]) -> Vec<u8> {
    let (mut rest, mut types) = (received.get(24..).unwrap_or_default(), Vec::new());
    while let [a, b, c, kind, ..] = *rest {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(next) = rest.get(9 + length..) else { break };
        types.push(kind);
        rest = next;
    }
    types
}

#[test]
fn what_another_service_says_is_short_and_printable() {
    let grpc = format!("127.0.0.1:{}", nasty_grpc());
    let args = ["--logging-grpc", &grpc, "--attempts", "1", "--attempt-timeout", "5s"];
    let mut facade = Service::start(FACADE, &args);
    let mut client = Client::connect(facade.port);
    client.send(
        "POST /grpc_message HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{\"msg\":\"x\"}",
    );
    let reply = client.reply();
    assert_eq!(reply.status, 503);
    assert!(!reply.body.contains('\u{202e}') && reply.body.len() < 1200, "{reply:?}");
    let line = facade.line();
    assert!(line.contains("failed: \\u{202e}\\u{1b}[31m\\u{2028}xxx"), "{line}");
    assert!(line.len() < 500 && !line.contains('\u{202e}'), "{} bytes: {line}", line.len());
}

#[test]
fn a_file_name_does_nothing_to_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a\u{202e}\u{1b}[31mb\u{2028}c";
    let path = folder.path().join(name);
    let client = env!("CARGO_BIN_EXE_ring-client");
    let output = Command::new(client).args(["put", path.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("a\\u{202e}") && said.contains("[31mb\\u{2028}c"), "{said:?}");
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
    std::fs::create_dir(&path).unwrap();
    let output = smolring(&["up", path.to_str().unwrap(), "--nodes", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let data = path.join("a\nb");
    let service = Service::start(LOGGING, &["--data", data.to_str().unwrap()]);
    assert!(service.greeting.contains("c/a\\nb\n"), "{}", service.greeting);
    let missing = path.join("missing");
    let output = smolring(&["up", missing.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\\u{202e}") && !said.contains('\u{202e}'), "{said:?}");
}
