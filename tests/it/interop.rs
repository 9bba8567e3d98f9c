//! `http-get` and `http-post` against other servers, Flask and nginx; and nginx in front of both
//! form servers.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    api::both,
    http_tools::{GET, POST, run},
    served::Served,
};

/// Another server that has printed its port; it ends when it is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse();
        let port = port.unwrap_or_else(|_| panic!("{command:?}: tests/run installs what it needs"));
        Self { child, port }
    }

    fn flask(protocol: &str) -> Self {
        Self::start(Command::new("python3").args(["tests/it/interop/flask_api.py", protocol]))
    }

    /// nginx on a socket that is open before it starts, so no test has to wait for it.
    fn nginx(dir: &Path, [tide, raw]: &[Served; 2]) -> Self {
        let script = "import os, socket, sys\n\
                      s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
                      os.set_inheritable(s.fileno(), True)\n\
                      port = str(s.getsockname()[1])\n\
                      text, path = sys.argv[1].replace('PORT', port), sys.argv[2]\n\
                      open(path, 'w').write(text)\n\
                      print(port, flush=True)\n\
                      os.environ['NGINX'] = '%d;' % s.fileno()\n\
                      os.execvp('nginx', ['nginx', '-p', os.path.dirname(path), '-c', path])\n";
        let mut config = include_str!("interop/nginx.conf").replace("DIR", dir.to_str().unwrap());
        for (name, port) in [("TIDE", tide.port), ("RAW", raw.port)] {
            config = config.replace(name, &port.to_string());
        }
        // Its worker runs as user `nobody` if the test runs as root.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.join("nginx.conf");
        Self::start(Command::new("python3").args(["-c", script, &config]).arg(path))
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not KILL: nginx has to end its worker.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Sends this many fields of 100,000 bytes: a single argument may not have many more.
fn post_long(url: &str, fields: u32) -> (String, i32) {
    let fields = (0..fields).map(|n| format!("{n}={}", "x".repeat(100_000)));
    let args: Vec<String> = [url.to_owned()].into_iter().chain(fields).collect();
    let (out, _, code) = run(POST, &args.iter().map(String::as_str).collect::<Vec<_>>());
    (out, code)
}

/// The head of a successful answer, in lower case, and its body.
fn head_and_body(program: &str, url: &str) -> (String, String) {
    let (out, err, code) = run(program, &["-i", url]);
    assert_eq!((code, err.as_str()), (0, ""), "{url}: {out}");
    let (head, body) = out.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn flask_reads_the_fields_as_our_servers_do() {
    let ours = both(|_| {});
    let flasks = ["HTTP/1.0", "HTTP/1.1"].map(Server::flask);
    for fields in [
        &["name=Ann", "age=30"][..],
        &["text=a b&c=d+e%20%", "ü=é 👩‍👩‍👧", "empty=", "=no name"],
        &["a=1", "a=2"],
        &[],
    ] {
        for program in [GET, POST] {
            let answers = flasks.iter().map(|it| it.port).chain(ours.iter().map(|it| it.port));
            let mut answers = answers.map(|port| -> Value {
                let url = format!("http://127.0.0.1:{port}/api");
                let (out, err, code) = run(program, &[&[url.as_str()], fields].concat());
                assert_eq!((code, err.as_str()), (0, ""), "{fields:?}");
                serde_json::from_str(&out).unwrap()
            });
            let first = answers.next().unwrap();
            assert_eq!(first.as_object().unwrap().is_empty(), fields.is_empty());
            assert!(answers.all(|answer| answer == first), "{program} {fields:?}: {first}");
        }
    }
    let long = "x".repeat(100_000);
    for flask in &flasks {
        let (out, ..) = run(POST, &[&flask.url("/api"), &format!("long={long}")]);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!({ "long": long }));
    }
}

#[test]
fn flask_answers_in_every_framing() {
    needs!("python3 flask");
    for protocol in ["HTTP/1.0", "HTTP/1.1"] {
        let flask = Server::flask(protocol);
        let (head, body) = head_and_body(GET, &flask.url("/pieces"));
        assert!(head.starts_with(&protocol.to_lowercase()), "{head}");
        assert_eq!(head.contains("transfer-encoding: chunked"), protocol == "HTTP/1.1", "{head}");
        assert!(!head.contains("content-length"), "{head}");
        assert!(body.starts_with("piece 0\n") && body.ends_with("piece 999\n"), "{body}");
        assert_eq!(head_and_body(GET, &flask.url("/empty")).1, "");
        for (program, path, code) in [
            (GET, "/nothing", 4),
            (GET, "/broken", 5),
            (POST, "/broken", 4),
            (POST, "/pieces", 4),
            (GET, "/moved", 1),
        ] {
            let (out, err, exit) = run(program, &[&flask.url(path)]);
            assert_eq!(exit, code, "{path}: {out}{err}");
            assert_eq!(err.contains("302"), code == 1, "{path}: {err}");
            assert!(out.contains("<title>"), "{path}: {out}");
        }
    }
}

#[test]
fn nginx_answers_files_chunks_and_errors() {
    needs!("nginx", "python3");
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    fs::create_dir_all(files.join("parts")).unwrap();
    fs::write(files.join("hello.txt"), "Hello from nginx\n").unwrap();
    fs::write(files.join("empty.txt"), "").unwrap();
    let large: String = (0..2_000_000).map(|n| format!("{n:07}\n")).collect();
    fs::write(files.join("large.txt"), &large).unwrap();
    let page = "one<!--# set var=\"x\" value=\"two\" --> <!--# echo var=\"x\" --> three\n";
    fs::write(files.join("parts/page.txt"), page.repeat(1000)).unwrap();
    let nginx = Server::nginx(dir.path(), &both(|_| {}));

    let (head, body) = head_and_body(GET, &nginx.url("/hello.txt"));
    assert!(head.contains("server: nginx") && head.contains("content-length: 17"), "{head}");
    assert_eq!(body, "Hello from nginx\n");
    assert_eq!(head_and_body(GET, &nginx.url("/empty.txt?a=1")).1, "");
    let (head, body) = head_and_body(GET, &nginx.url("/parts/page.txt"));
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, "one two three\n".repeat(1000));
    let (_, body) = head_and_body(GET, &nginx.url("/large.txt"));
    assert!(body == large, "{} bytes of {}", body.len(), large.len());

    for (program, path, code, text) in [
        (GET, "/nothing.txt", 4, "404 Not Found"),
        (POST, "/hello.txt", 4, "405 Not Allowed"),
        (GET, "/gone", 4, "gone for good"),
        (GET, "/broken", 5, "503 Service"),
        (GET, "/parts", 1, "301 Moved"),
    ] {
        let (out, err, exit) = run(program, &[&nginx.url(path), "a=1"]);
        assert!(exit == code && out.contains(text), "{path}: {exit}, {out}{err}");
    }
    let (out, code) = post_long(&nginx.url("/tide/api"), 12);
    assert!(code == 4 && out.contains("413 Request Entity Too Large"), "{out}");
}

#[test]
fn nginx_passes_requests_on_to_both_servers_and_keeps_its_connections() {
    needs!("nginx", "python3");
    let dir = tempfile::tempdir().unwrap();
    // A client that is told that this was the last answer connects again; nginx does.
    let servers = both(|options| options.requests_max = 7);
    let nginx = Server::nginx(dir.path(), &servers);
    for name in ["/tide/api", "/raw/api"] {
        for n in 0..20 {
            let field = format!("n={n}");
            for program in [GET, POST] {
                let (out, err, code) = run(program, &[&nginx.url(name), &field, "a=ü &"]);
                let expected = format!("{{\"n\":\"{n}\",\"a\":\"ü &\"}}");
                assert_eq!((out, code), (expected, 0), "{name}: {err}");
            }
        }
        let (out, code) = post_long(&nginx.url(name), 8);
        assert!(code == 0 && out.len() > 800_000, "{out:.100}");
        assert_eq!(run(GET, &[&nginx.url(&name.replace("api", "x"))]).2, 4);
    }
}
