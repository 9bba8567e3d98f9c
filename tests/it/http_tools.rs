//! `http-get` and `http-post`, against both form servers and against servers that misbehave; and
//! other people's clients against both form servers.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use crate::api::both;

const GET: &str = env!("CARGO_BIN_EXE_http-get");
const POST: &str = env!("CARGO_BIN_EXE_http-post");

/// Standard output, standard error, exit code.
fn run(program: &str, args: &[&str]) -> (String, String, i32) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn fields_go_there_and_come_back() {
    for served in both(|_| {}) {
        let url = format!("http://127.0.0.1:{}/api", served.port);
        for program in [GET, POST] {
            let expected = "{\"name\":\"Ann\",\"a b\":\"ü&=+%\",\"e\":\"\"}";
            let args = [url.as_str(), "name=Ann", "a b=ü&=+%", "e="];
            assert_eq!(run(program, &args), (expected.into(), String::new(), 0));
            let (out, err, _) = run(program, &[&["-i", "-v", "--time"], &args[..2]].concat());
            assert!(out.starts_with("HTTP/1.1 200 OK\r\n"), "{out}");
            assert!(out.ends_with("\r\n\r\n{\"name\":\"Ann\"}"), "{out}");
            let line = ["GET /api?name=Ann HTTP/1.1\r\n", "POST /api HTTP/1.1\r\n"];
            assert!(err.starts_with(line[usize::from(program == POST)]), "{err}");
            for part in ["resolve ", ", connect ", ", first byte ", ", total ", "ms\n"] {
                assert!(err.contains(part), "{err}");
            }
        }
        let (out, _, code) = run(GET, &[&format!("127.0.0.1:{}/other", served.port)]);
        assert_eq!((out.as_str(), code), ("Not Found", 4));
    }
}

/// Answers one connection with these bytes and a close; `None` never answers.
fn misbehaving(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut space = [0; 4096];
        let _ = stream.read(&mut space);
        match answer {
            Some(answer) => drop(stream.write_all(answer.as_bytes())),
            // Until the client has gone.
            None => drop(stream.read(&mut space)),
        }
    });
    url
}

#[test]
fn servers_that_nobody_here_wrote() {
    for (answer, code, out) in [
        ("HTTP/1.1 200 OK\r\n\r\nuntil the close", 0, "until the close"),
        ("HTTP/1.0 200 OK\n\nold", 0, "old"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            0,
            "abc",
        ),
        ("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 204 No\r\n\r\n", 0, ""),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", 5, "no"),
        ("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", 1, ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 1, "half"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1, ""),
        ("HTTP/1.1 200 OK\r\nContent-Le", 1, ""),
        ("220 mail.example ESMTP\r\n", 1, ""),
        ("", 1, ""),
    ] {
        let (shown, err, exit) = run(GET, &[&misbehaving(Some(answer))]);
        assert_eq!((exit, shown.as_str()), (code, out), "{answer}: {err}");
        assert_eq!(err.is_empty(), code != 1, "{answer}: {err}");
    }
    let (_, err, code) = run(POST, &["--timeout", "100ms", &misbehaving(None), "a=1"]);
    assert!(code == 1 && err.contains("within 100ms"), "{err}");
}

#[test]
fn nobody_there_and_usage() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, err, code) = run(GET, &[&free.to_string()]);
    assert!(code == 69 && err.contains("refused"), "{err}");
    for args in [&["ftp://x"][..], &["http://x", "no-field"], &["--nonsense"], &["--timeout", "x"]]
    {
        let (_, err, code) = run(POST, args);
        assert!(code == 2 && err.contains("http-post --help"), "{err}");
    }
    let (help, _, code) = run(GET, &["--help"]);
    assert!(code == 0 && help.contains("name=Ann") && help.contains("(TIMEOUT)"), "{help}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let status = child.args(["http-get", "--help"]).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
}

#[test]
fn other_clients_get_along_with_both_servers() {
    let script = "import http.client, sys, urllib.parse\n\
        c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)\n\
        kind = {'Content-Type': 'application/x-www-form-urlencoded'}\n\
        for n in range(50):\n    \
            fields = urllib.parse.urlencode({'n': n, 'ü': 'a b&'})\n    \
            want = ('{\"n\":\"%d\",\"ü\":\"a b&\"}' % n).encode()\n    \
            for ask in [('GET', '/api?' + fields), ('POST', '/api', fields, kind)]:\n        \
                c.request(*ask); r = c.getresponse()\n        \
                assert (r.status, r.read()) == (200, want)\n\
        c.request('POST', '/api', iter([b'a=', b'1']), kind, encode_chunked=True)\n\
        assert c.getresponse().read() == b'{\"a\":\"1\"}'\n";
    for served in both(|_| {}) {
        let port = served.port.to_string();
        let (_, err, code) = run("python3", &["-c", script, &port]);
        assert_eq!(code, 0, "{err}");
        let url = format!("http://127.0.0.1:{port}/api");
        let curl =
            |args: &[&str]| run("curl", &[&["-sS", "--max-time", "20"], args, &[&url]].concat()).0;
        assert_eq!(curl(&["-G", "--data-urlencode", "a=ü &"]), "{\"a\":\"ü &\"}");
        assert_eq!(curl(&["-d", "a=1", "-d", "b=2"]), r#"{"a":"1","b":"2"}"#);
        assert_eq!(
            curl(&["-F", "a=1", "-F", "f=@/dev/null", "-F", "b=\"2"]),
            r#"{"a":"1","b":"\"2"}"#
        );
        assert_eq!(curl(&["-H", "Transfer-Encoding: chunked", "-d", "a=1"]), r#"{"a":"1"}"#);
        assert!(curl(&["-i", "-X", "PUT"]).contains("Allow: GET, HEAD, POST"));
        assert!(curl(&["--json", "{}", "-i"]).starts_with("HTTP/1.1 415 "));
    }
}
