//! The same file from nginx and from a node: the same statuses, headers and bytes.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Site;
use crate::served::{Client, Reply};

/// nginx with some files.
struct Nginx {
    child: Child,
    port: u16,
    folder: TempDir,
}

/// It takes its socket open, so no test has to wait for it.
const START: &str = "import os, socket, sys\n\
                     s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
                     os.set_inheritable(s.fileno(), True)\n\
                     port = str(s.getsockname()[1])\n\
                     text, path = sys.argv[1].replace('PORT', port), sys.argv[2]\n\
                     open(path, 'w').write(text)\n\
                     print(port, flush=True)\n\
                     os.environ['NGINX'] = '%d;' % s.fileno()\n\
                     os.execvp('nginx', ['nginx', '-p', os.path.dirname(path), '-c', path])\n";

impl Nginx {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let dir = folder.path();
        for (name, content) in files {
            let path = dir.join("files").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        // Its worker runs as user `nobody` if the test runs as root.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let config = include_str!("nginx.conf").replace("DIR", dir.to_str().unwrap());
        let mut child = Command::new("python3")
            .args(["-c", START, &config])
            .arg(dir.join("nginx.conf"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port, folder }
    }

    fn ask(&self, method: &str, target: &str, headers: &[&str]) -> Reply {
        let mut client = Client::connect(self.port);
        let address = ([127, 0, 0, 1], self.port).into();
        client.send(super::request(address, method, target, headers, ""));
        client.try_reply(method != "HEAD").unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Not KILL: nginx has to end its worker.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        assert!(self.folder.path().exists());
    }
}

/// What is compared of an answer: `ETag` and `Last-Modified` by whether they are there, boundaries as one.
fn compared(mut reply: Reply) -> (u16, Vec<(String, String)>, String) {
    let kind = reply.header("content-type").unwrap_or_default().to_owned();
    if let Some(boundary) = kind.strip_prefix("multipart/byteranges; boundary=") {
        reply.body = reply.body.replace(boundary, "B");
    }
    // Of pages that are made by the server, only that they are there.
    let is_made = reply.status >= 400 || reply.status == 301;
    let mut headers: Vec<_> =
        ["content-type", "content-range", "etag", "last-modified", "location"]
            .into_iter()
            .filter(|name| !is_made || ["content-range", "location"].contains(name))
            .filter_map(|name| Some((name.to_owned(), reply.header(name)?.to_owned())))
            .collect();
    // Of parts, the length depends on that of the boundary.
    let is_parts = kind.starts_with("multipart/");
    if !is_made && !is_parts {
        let length = reply.header("content-length").unwrap_or_default();
        headers.push(("content-length".into(), length.into()));
    }
    for (name, value) in &mut headers {
        match name.as_str() {
            "etag" | "last-modified" => *value = "some".into(),
            "content-type" if is_parts => *value = "multipart/byteranges".into(),
            // nginx says its address too.
            "location" => {
                *value =
                    value.split('/').skip(if value.starts_with("http") { 3 } else { 1 }).collect()
            }
            _ => {}
        }
    }
    let body = if is_made { String::new() } else { reply.body };
    (reply.status, headers, body)
}

#[test]
fn a_node_answers_as_nginx_does() {
    needs!("nginx", "python3");
    let files = [
        ("a.txt", "0123456789"),
        ("a.html", "<p>page</p>"),
        ("a.bin", "\x01\x02"),
        ("empty.txt", ""),
        ("d/index.html", "index"),
    ];
    let (nginx, site) = (Nginx::with(&files), Site::with(&files));
    let tags = |reply: Reply| {
        let of = |name: &str| reply.header(name).unwrap_or_default().to_owned();
        (of("etag"), of("last-modified"))
    };
    let (their_tags, our_tags) = (tags(nginx.ask("GET", "/a.txt", &[])), tags(site.get("/a.txt")));
    // ETAG and TIME are those of the server that is asked.
    let requests: &[(&str, &str, &[&str])] = &[
        ("GET", "/a.txt", &[]),
        ("HEAD", "/a.txt", &[]),
        ("GET", "/a.html", &[]),
        ("GET", "/a.bin", &[]),
        ("GET", "/empty.txt", &[]),
        ("GET", "/none", &[]),
        ("GET", "/d", &[]),
        ("GET", "/d/", &[]),
        ("GET", "/a.txt", &["If-None-Match: ETAG"]),
        ("GET", "/a.txt", &["If-None-Match: W/ETAG"]),
        ("GET", "/a.txt", &["If-None-Match: \"x\", ETAG"]),
        ("GET", "/a.txt", &["If-None-Match: \"x\""]),
        ("GET", "/a.txt", &["If-None-Match: *"]),
        ("HEAD", "/a.txt", &["If-None-Match: ETAG"]),
        ("GET", "/a.txt", &["If-Modified-Since: TIME"]),
        ("GET", "/a.txt", &["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("GET", "/a.txt", &["If-Modified-Since: nonsense"]),
        ("GET", "/a.txt", &["If-None-Match: \"x\"", "If-Modified-Since: TIME"]),
        ("GET", "/a.txt", &["If-Match: ETAG"]),
        ("GET", "/a.txt", &["If-Match: *"]),
        ("GET", "/a.txt", &["If-Match: \"x\""]),
        ("GET", "/a.txt", &["If-Unmodified-Since: TIME"]),
        ("GET", "/a.txt", &["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("GET", "/a.txt", &["Range: bytes=0-0"]),
        ("GET", "/a.txt", &["Range: bytes=2-"]),
        ("GET", "/a.txt", &["Range: bytes=-3"]),
        ("GET", "/a.txt", &["Range: bytes=-100"]),
        ("GET", "/a.txt", &["Range: bytes=5-100"]),
        ("GET", "/a.txt", &["Range: bytes=10-"]),
        ("GET", "/a.txt", &["Range: bytes=5-4"]),
        ("GET", "/a.txt", &["Range: bytes=-0"]),
        ("GET", "/a.txt", &["Range: bytes=a-b"]),
        ("GET", "/a.txt", &["Range: bytes="]),
        ("GET", "/a.txt", &["Range: lines=0-1"]),
        ("GET", "/a.txt", &["Range: BYTES=0-1"]),
        ("GET", "/a.txt", &["Range: bytes= 0 - 1 , 3 - 4"]),
        ("GET", "/a.txt", &["Range: bytes=0-0,2-3"]),
        ("GET", "/a.html", &["Range: bytes=5-6,0-1,-1"]),
        ("GET", "/a.bin", &["Range: bytes=0-0,1-1"]),
        ("GET", "/a.txt", &["Range: bytes=0-0,20-30"]),
        ("GET", "/a.txt", &["Range: bytes=0-9,0-9"]),
        ("GET", "/a.txt", &["Range: bytes=0-1,"]),
        ("GET", "/empty.txt", &["Range: bytes=0-"]),
        ("GET", "/empty.txt", &["Range: bytes=0-0"]),
        ("GET", "/empty.txt", &["Range: bytes=1-"]),
        ("GET", "/a.txt", &["Range: bytes=0-0", "If-Range: ETAG"]),
        ("GET", "/a.txt", &["Range: bytes=0-0", "If-Range: \"x\""]),
        ("GET", "/a.txt", &["Range: bytes=0-0", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("GET", "/a.txt", &["Range: bytes=0-0", "If-None-Match: ETAG"]),
    ];
    for (method, target, headers) in requests {
        let with = |(etag, time): &(String, String)| -> Vec<String> {
            headers.iter().map(|it| it.replace("ETAG", etag).replace("TIME", time)).collect()
        };
        let (theirs, ours) = (with(&their_tags), with(&our_tags));
        let theirs: Vec<_> = theirs.iter().map(String::as_str).collect();
        let ours: Vec<_> = ours.iter().map(String::as_str).collect();
        let (theirs, ours) = (nginx.ask(method, target, &theirs), site.ask(method, target, &ours));
        assert_eq!(compared(ours), compared(theirs), "{method} {target} {headers:?}");
    }
}
