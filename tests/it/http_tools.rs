//! `http-get` and `http-post`, against both form servers and against servers that misbehave; and
//! other clients against both form servers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use crate::{
    api::both,
    outgoing::scripted::Scripted,
    service::{FACADE, LOGGING, Service},
};

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
    for args in [
        &["ftp://x"][..],
        &["http://x", "no-field"],
        &["--nonsense"],
        &["--timeout", "x"],
        &["x", "a:=1"],
        &["x", "-j", "a:=nonsense"],
        &["x", "-H", "no header"],
        &["x", "-H", "a b: c"],
        &["x", "-H", "a: b\r\nc: d"],
        &["x", "a\n:b"],
        &["x", "Transfer-Encoding:chunked"],
        &["x", "-X", "A B"],
        &["x", "-X", "CONNECT"],
        &["x", "-d", "@/no/such/file"],
        &["x", "-d", "a", "b=c"],
        &["x", "a=@/no/such/file"],
    ] {
        let (_, err, code) = run(POST, args);
        assert!(code == 2 && err.contains("http-post --help"), "{err}");
    }
    for program in [GET, POST] {
        let (help, _, code) = run(program, &["--help"]);
        let line = "[<options>] [<url> [<key=value>...]]\n";
        assert!(code == 0 && help.contains(line) && help.contains("(SMOLRING_TIMEOUT)"), "{help}");
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

/// What a program shows on stderr with `-v`, against a server that says 200 to whatever comes.
fn sent(program: &str, args: &[&str]) -> String {
    let server = Scripted::always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let place = server.address.to_string();
    let args: Vec<String> = args.iter().map(|arg| arg.replace("PLACE", &place)).collect();
    let args: Vec<&str> =
        [&["-v"], &args.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat();
    let (out, err, code) = run(program, &args);
    assert_eq!((out.as_str(), code), ("ok", 0), "{args:?}: {err}");
    let request = &server.requests()[0];
    let body = String::from_utf8_lossy(&request.body).into_owned();
    assert!(err.starts_with(&request.head), "it shows what it sends: {err}");
    format!("{}{body}", request.head)
}

#[test]
fn requests_of_any_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, "{\"a\": 1}\n").unwrap();
    let file = file.to_str().unwrap();
    let (at_file, field_of_file, json_of_file) =
        (format!("@{file}"), format!("a=@{file}"), format!("a:=@{file}"));
    for (program, args, first, lines, body) in [
        (
            POST,
            &["PLACE/message", "msg=hello", "--json"][..],
            "POST /message",
            &["Content-Type: application/json"][..],
            r#"{"msg":"hello"}"#,
        ),
        (
            POST,
            &["-j", "PLACE", "a=\"\n", "b:=[1, null]", "c:=12345678901234567890123", "a=2"],
            "POST /",
            &["Accept: application/json, */*;q=0.5"],
            r#"{"b":[1, null],"c":12345678901234567890123,"a":"2"}"#,
        ),
        (POST, &["-j", "PLACE"], "POST /", &["Content-Length: 2"], "{}"),
        (GET, &["-j", "PLACE", "a=1"], "GET /", &["Content-Length: 9"], r#"{"a":"1"}"#),
        (GET, &["-j", "PLACE?b"], "GET /?b", &[], ""),
        (
            POST,
            &["PLACE/p?x", "q==1 2", "a=1"],
            "POST /p?x&q=1+2",
            &["Content-Type: application/x-www-form-urlencoded"],
            "a=1",
        ),
        (
            POST,
            &["PLACE", "X-A:b=c", "a=b:c", "d\\:e=f"],
            "POST /",
            &["X-A: b=c"],
            "a=b%3Ac&d%3Ae=f",
        ),
        (
            POST,
            &["PLACE", "-H", "X-A: 1", "-HX-A:2", "-H", "Accept:", "-H", "X-B;"],
            "POST /",
            &["X-A: 1", "X-A: 2", "X-B: "],
            "",
        ),
        (
            GET,
            &["PLACE", "-H", "user-agent: me", "Host:other"],
            "GET /",
            &["user-agent: me", "Host: other"],
            "",
        ),
        (GET, &["PLACE/a", "-X", "DELETE", "x=1"], "DELETE /a?x=1", &[], ""),
        (GET, &["PLACE", "-X", "get"], "get /", &[], ""),
        (
            POST,
            &["PLACE", "-X", "PUT", "-d", "a=1", "-d", "b"],
            "PUT /",
            &["Content-Length: 5"],
            "a=1&b",
        ),
        (
            POST,
            &["PLACE", "--json", "-d", &at_file],
            "POST /",
            &["Content-Type: application/json", "Content-Length: 9"],
            "{\"a\": 1}\n",
        ),
        (
            POST,
            &["PLACE", "-d", &at_file, "-H", "Content-Type: text/plain"],
            "POST /",
            &["Content-Type: text/plain"],
            "{\"a\": 1}\n",
        ),
        (POST, &["PLACE", &field_of_file], "POST /", &[], "a=%7B%22a%22%3A+1%7D%0A"),
        (POST, &["PLACE", "-j", &json_of_file], "POST /", &[], r#"{"a":{"a": 1}}"#),
        (
            GET,
            &["http://Ann:p%40ss:w@PLACE/x"],
            "GET /x",
            &["Authorization: Basic QW5uOnBAc3M6dw=="],
            "",
        ),
        (GET, &["Ann@PLACE", "Authorization:Bearer x"], "GET /", &["Authorization: Bearer x"], ""),
    ] {
        let request = sent(program, args);
        let (head, sent_body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("{first} HTTP/1.1\r\n")), "{args:?}: {head}");
        for line in lines {
            assert!(head.split("\r\n").any(|it| it == *line), "{args:?}: {line} is not in {head}");
        }
        assert_eq!(sent_body, body, "{args:?}");
        let names =
            head.split("\r\n").skip(1).filter_map(|it| Some(it.split_once(':')?.0.to_lowercase()));
        let names: Vec<String> = names.filter(|name| !name.starts_with("x-")).collect();
        let once: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len(), "each default is set once: {head}");
        let is_without = args.contains(&"Accept:");
        assert_eq!(names.iter().any(|name| name == "accept"), !is_without, "{head}");
    }
}

#[test]
fn places_of_any_form() {
    for served in both(|_| {}) {
        let port = served.port;
        for place in
            [format!(":{port}/api"), format!("127.1:{port}/api"), format!("0x7f.1:{port}/api")]
        {
            assert_eq!(run(GET, &[&place, "a=1"]), (r#"{"a":"1"}"#.into(), String::new(), 0));
        }
        let (_, err, _) = run(GET, &["-v", &format!("127.1:{port}/api")]);
        assert!(err.contains(&format!("\r\nHost: 127.0.0.1:{port}\r\n")), "{err}");
        let (out, err, code) = run(GET, &[&port.to_string()]);
        assert_eq!((out.as_str(), code), ("", 2), "a port is no host: {err}");
        assert!(err.contains(&format!("write :{port} ")), "{err}");
    }
}

#[test]
fn an_answer_may_go_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer");
    let path = file.to_str().unwrap();
    let server = Scripted::always("HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n\0\x01abc");
    let (out, _, code) = run(GET, &[&server.url(), "-o", path]);
    assert_eq!((out.as_str(), code), ("", 4));
    assert_eq!(std::fs::read(&file).unwrap(), b"\0\x01abc");
    assert_eq!(run(GET, &[&server.url(), "-o", "-"]).0, "\0\x01abc");
    // Where nobody answers, what was there stays.
    let free = TcpListener::bind("127.0.43.1:0").unwrap().local_addr().unwrap();
    assert_eq!(run(GET, &[&free.to_string(), "-o", path]).2, 69);
    assert_eq!(std::fs::read(&file).unwrap(), b"\0\x01abc");
    let (_, err, code) = run(GET, &[&server.url(), "-o", folder.path().to_str().unwrap()]);
    assert!(code == 1 && err.contains(" cannot write /") && !err.contains("stdout"), "{err}");
}

#[test]
fn redirects_are_followed_if_that_is_wanted() {
    let end = Scripted::always("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend");
    let to = end.url();
    let elsewhere = Scripted::new(move |_, visitor| {
        let Some(request) = visitor.request() else { return };
        let path = request.head.split(' ').nth(1).unwrap().to_owned();
        let (status, location) = match path.as_str() {
            "/loop" => (302, "loop".into()),
            "/tls" => (302, "https://x.example/".into()),
            "/odd" => (302, "\u{1b}[m\u{202e}".into()),
            "/near" => (301, "/away308?x=1".into()),
            path => {
                let status = path.get(5..8).and_then(|it| it.parse().ok());
                (status.unwrap_or(404), format!("{to}there"))
            }
        };
        visitor.say(format!(
            "HTTP/1.1 {status} x\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nbody"
        ));
    });
    let url = |path: &str| format!("http://Ann:pw@{}{path}", elsewhere.address);
    let own = ["-H", "Cookie: a=1", "-H", "X-A: b"];
    for (args, path, first, body) in [
        (&[GET, "a=1"][..], "/away302", "GET /there ", ""),
        (&[POST, "a=1"], "/away301", "GET /there ", ""),
        (&[POST, "a=1"], "/away303", "GET /there ", ""),
        (&[POST, "-X", "PUT", "a=1"], "/away302", "PUT /there ", "a=1"),
        (&[POST, "-X", "PUT", "a=1"], "/away303", "GET /there ", ""),
        (&[POST, "a=1"], "/away307", "POST /there ", "a=1"),
        (&[POST, "-j", "a=1"], "/near", "GET /there ", ""),
        (&[POST, "-j", "a=1"], "/away308", "POST /there ", r#"{"a":"1"}"#),
    ] {
        let (program, rest) = args.split_first().unwrap();
        let (options, fields) = rest.split_at(rest.len() - 1);
        let fields = if *program == GET { &[][..] } else { fields };
        let url = url(path);
        let all = [&["-F"][..], &own, options, &[url.as_str()], fields].concat();
        assert_eq!(run(program, &all), ("end".into(), String::new(), 0), "{all:?}");
        let last = end.requests().pop().unwrap();
        assert!(last.head.starts_with(first), "{all:?}: {}", last.head);
        assert_eq!(String::from_utf8(last.body).unwrap(), body, "{all:?}");
        assert!(last.head.contains("\r\nX-A: b\r\n"), "{}", last.head);
        assert!(last.head.contains(&format!("\r\nHost: {}\r\n", end.address)), "{}", last.head);
        for secret in ["Authorization", "Cookie"] {
            assert!(!last.head.contains(secret), "{}", last.head);
            assert!(elsewhere.requests().pop().unwrap().head.contains(secret));
        }
        assert_eq!(last.head.contains("Content-Type"), !body.is_empty(), "{}", last.head);
    }
    for (args, message) in [
        (&["-F"][..], "more than 10 times"),
        (&[], "answers with status 302; --follow goes to loop\n"),
    ] {
        let (_, err, code) = run(GET, &[args, &[&url("/loop")]].concat());
        assert!(code == 1 && err.contains(message), "{err}");
    }
    for args in [&["-F"][..], &[]] {
        let (_, err, code) = run(GET, &[args, &[&url("/odd")]].concat());
        assert!(code == 1 || code == 4, "{err}");
        assert!(!err.contains(['\u{1b}', '\u{202e}']), "{err:?}");
    }
    let (_, err, code) = run(GET, &["-F", &url("/tls")]);
    assert!(code == 1 && err.contains("there is no TLS here"), "{err}");
}

#[test]
fn an_answer_to_head_has_no_body() {
    let url = misbehaving(Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), false);
    let (out, err, code) = run(GET, &["-X", "HEAD", "-i", &url]);
    assert_eq!((err.as_str(), code), ("", 0));
    assert_eq!(out, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
}

#[test]
fn they_get_along_with_our_facade() {
    let logging = Service::start(LOGGING, &["--quiet"]);
    let facade = Service::start(FACADE, &["--quiet", "--logging-url", &logging.url("")]);
    let place = format!(":{}/message", facade.port);
    let (out, err, code) = run(POST, &[&place, "msg=hello", "--json", "-H", "Idempotency-Key: k"]);
    assert_eq!(out, r#"{"message_id":"k","message":"hello"}"#, "{err}");
    assert_eq!(code, 0);
    let log = format!(":{}/log", logging.port);
    let (out, err, _) = run(POST, &[&log, "-d", r#"{"id":"2","msg":"x"}"#]);
    assert_eq!(out, r#"{"detail":"logged","outcome":"logged"}"#, "{err}");
}

#[test]
fn a_health_check_is_0_if_the_server_is_well_and_else_1_with_one_line() {
    let smolring = env!("CARGO_BIN_EXE_smolring");
    let check = |args: &[&str]| run(smolring, &[&["healthcheck"], args].concat());
    let is_one = |(out, said, code): &(String, String, i32), why: &str| {
        assert_eq!((out.as_str(), said.lines().count(), *code), ("", 1, 1), "{said}");
        assert!(said.starts_with("smolring healthcheck: ") && said.contains(why), "{said}");
    };
    for served in both(|_| {}) {
        let url = format!("http://127.0.0.1:{}", served.port);
        let well = (String::new(), String::new(), 0);
        assert_eq!(check(&[&format!("{url}/health")]), well);
        is_one(&check(&[&format!("{url}/other")]), "answers with status 404");
        let port = served.port.to_string();
        let output = Command::new(smolring).arg("healthcheck").env("PORT", port).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    is_one(&check(&[&misbehaving(Some("HTTP/1.1 503 Busy\r\n\r\n"), true)]), "status 503");
    is_one(&check(&[&misbehaving(Some("what\r\n\r\n"), true)]), "is no good");
    is_one(&check(&["--timeout", "200ms", &misbehaving(None, false)]), "within 200ms");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    is_one(&check(&[&format!("http://{closed}/")]), "cannot reach");
    let (_, said, code) = check(&["https://localhost/"]);
    assert!(code == 2 && said.lines().count() == 1, "{said}");
}
