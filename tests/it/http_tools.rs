//! `http-get` and `http-post`, against both form servers and against servers that misbehave; and
//! other clients against both form servers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use crate::api::both;

pub const GET: &str = env!("CARGO_BIN_EXE_http-get");
pub const POST: &str = env!("CARGO_BIN_EXE_http-post");

/// Standard output, standard error, exit code.
pub fn run(program: &str, args: &[&str]) -> (String, String, i32) {
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
        assert!(out.contains("Not Found") && code == 4, "{out}");
    }
}

/// Answers one connection with these bytes, and closes it or leaves it open; `None` never answers.
fn misbehaving(answer: Option<&'static str>, closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut space = [0; 4096];
        let _ = stream.read(&mut space);
        match answer {
            Some(answer) => drop(stream.write_all(answer.as_bytes())),
            None => assert!(!closes),
        }
        // Until the client has gone.
        while !closes && stream.read(&mut space).is_ok_and(|bytes| bytes > 0) {}
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
        let (shown, err, exit) = run(GET, &[&misbehaving(Some(answer), true)]);
        assert_eq!((exit, shown.as_str()), (code, out), "{answer}: {err}");
        assert_eq!(err.is_empty(), code != 1, "{answer}: {err}");
    }
    // An answer ends where its head says, even if its connection stays open.
    for (answer, out) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab", "ab"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "a"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        let shown = run(GET, &[&misbehaving(Some(answer), false)]);
        assert_eq!(shown, (out.into(), String::new(), 0));
    }
    let (_, err, code) = run(POST, &["--timeout", "100ms", &misbehaving(None, false), "a=1"]);
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
    for program in [GET, POST] {
        let (help, _, code) = run(program, &["--help"]);
        let line = "[<options>] [<url> [<key=value>...]]\n";
        assert!(code == 0 && help.contains(line) && help.contains("(TIMEOUT)"), "{help}");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_smolring"));
    let status = child.args(["http-get", "--help"]).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
}

/// Port 5000 may be taken by another process, so this tests only what needs no server there.
#[test]
fn without_arguments_they_ask_as_the_example_does() {
    for (program, line, body) in [
        (GET, "GET /api?name=Ann&age=30 HTTP/1.1\r\n", ""),
        (POST, "POST /api HTTP/1.1\r\n", "name=Ann&age=30\n"),
    ] {
        let (_, err, _) = run(program, &["-v", "--timeout", "5s"]);
        let (request, rest) = err.split_once("\r\n\r\n").unwrap();
        assert!(request.starts_with(line), "{err}");
        assert!(request.contains("\r\nHost: localhost:5000\r\n"), "{err}");
        assert!(rest.starts_with(body), "{err}");
    }
    for server in [env!("CARGO_BIN_EXE_api-server"), env!("CARGO_BIN_EXE_raw-api-server")] {
        let mut child =
            Command::new(server).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let answers = [GET, POST].map(|program| run(program, &[]));
        child.kill().unwrap();
        let err = child.wait_with_output().unwrap().stderr;
        if line.is_empty() {
            let err = String::from_utf8(err).unwrap();
            assert!(err.contains("Port 5000 is already in use"), "{err}");
            continue;
        }
        assert_eq!(line, "Server listening on port 5000\n");
        for answer in answers {
            assert_eq!(answer, (r#"{"name":"Ann","age":"30"}"#.into(), String::new(), 0));
        }
    }
}

#[test]
fn other_clients_get_along_with_both_servers() {
    needs!("curl", "python3 requests");
    let script = "import http.client, requests, sys, urllib.parse\n\
        c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)\n\
        kind = {'Content-Type': 'application/x-www-form-urlencoded'}\n\
        for n in range(50):\n    \
            fields = urllib.parse.urlencode({'n': n, 'ü': 'a b&'})\n    \
            want = ('{\"n\":\"%d\",\"ü\":\"a b&\"}' % n).encode()\n    \
            for ask in [('GET', '/api?' + fields), ('POST', '/api', fields, kind)]:\n        \
                c.request(*ask); r = c.getresponse()\n        \
                assert (r.status, r.read()) == (200, want)\n\
        c.request('POST', '/api', iter([b'a=', b'1']), kind, encode_chunked=True)\n\
        assert c.getresponse().read() == b'{\"a\":\"1\"}'\n\
        url, session = 'http://127.0.0.1:%s/api' % sys.argv[1], requests.Session()\n\
        odd = {'a b': 'ü&=+%', 'empty': '', '😀': '\\x00\\n', 'long': 'x' * 9000}\n\
        assert session.get(url, params={'a': ['1', '2'], 'b': 'c d'}).json() == {'a': '1', 'b': 'c d'}\n\
        for n in range(20):\n    \
            assert session.post(url, data=odd, timeout=20).json() == odd\n    \
            files = {'f': ('name.txt', b'not a field')}\n    \
            assert session.post(url, data=odd, files=files, timeout=20).json() == odd\n\
        assert [session.request(m, url).status_code for m in ('PUT', 'HEAD', 'POST')] == [405, 200, 200]\n\
        assert session.get(url + '/x').status_code == 404\n\
        assert session.post(url, json={}).status_code == 415\n";
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
