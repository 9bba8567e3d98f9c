//! What a node says below `/_ring/`, and what its page needs.

use std::{
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{Site, ask, request};
use crate::{
    cluster::{Ring, until},
    served::Reply,
};

/// A client of `/_ring/events`.
struct Watcher(BufReader<TcpStream>);

#[derive(Debug)]
struct SentEvent {
    kind: String,
    id: Option<String>,
    data: Value,
}

impl Watcher {
    fn begin(node: SocketAddr, headers: &[&str]) -> Self {
        let mut stream = TcpStream::connect(node).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let text = request(node, "GET", "/_ring/events", headers, "").replace("1.1\r", "1.0\r");
        stream.write_all(text.as_bytes()).unwrap();
        let mut watcher = Self(BufReader::new(stream));
        let head = watcher.block().unwrap().join("\n").to_lowercase();
        assert!(head.starts_with("http/1.0 200") || head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        watcher
    }

    /// The lines up to the next empty one; `None` at the end.
    fn block(&mut self) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end() {
                "" => return Some(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// The next event; `None` at the end.
    fn next(&mut self) -> Option<SentEvent> {
        loop {
            let lines = self.block()?;
            let field = |key: &str| {
                let line = lines.iter().find_map(|it| it.strip_prefix(key)?.strip_prefix(": "));
                line.map(str::to_owned)
            };
            if let Some(kind) = field("event") {
                let data = serde_json::from_str(&field("data").unwrap()).unwrap();
                return Some(SentEvent { kind, id: field("id"), data });
            }
        }
    }

    /// The next of this kind that is so.
    fn until(&mut self, kind: &str, is_so: impl Fn(&Value) -> bool) -> SentEvent {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let event = self.next().expect("the stream goes on");
            if event.kind == kind && is_so(&event.data) {
                return event;
            }
        }
        panic!("no such {kind} has come");
    }
}

fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn a_watcher_sees_the_status_the_news_and_the_messages() {
    let mut ring = Ring::start(3, &[]);
    ring.settle();
    let [one, two, three] = ring.addresses()[..] else { panic!() };
    let mut watcher = Watcher::begin(one, &[]);
    let first = watcher.next().unwrap();
    assert_eq!((first.kind.as_str(), &first.data["node"]), ("status", &one.to_string().into()));
    watcher.until("status", |status| {
        let members = status["members"].as_array().unwrap();
        let says = |it: &Value| it["started_ms"].is_u64() && it["version"].is_string();
        members.len() == 3 && members.iter().all(says)
    });
    let status = json(&ask(one, "GET", "/_ring/status", &[], ""));
    let next: Vec<_> = status["members"].as_array().unwrap().iter().map(|it| &it["next"]).collect();
    let ringed = [two, three, one].map(|it| Value::from(it.to_string()));
    assert_eq!(next, ringed.iter().collect::<Vec<_>>());
    assert!(status["round_trip_us"].is_u64() && status["writable"] == true, "{status}");

    assert_eq!(ring.nodes[1].client().put("a%20b", b"12345").status(), 200);
    let put = watcher.until("message", |it| it["verb"] == "PUT");
    assert_eq!((&put.data["name"], &put.data["creator"]), (&"a b".into(), &two.to_string().into()));
    watcher.until("status", |status| status["files"] == 1);
    watcher.until("message", |it| it["verb"] == "CHECK" && it["creator"] == three.to_string());
    assert_eq!(ring.nodes[2].client().ask("DELETE a%20b").status(), 200);
    watcher.until("message", |it| it["verb"] == "DELETE" && it["creator"] == three.to_string());

    ring.nodes[2].kill();
    let gone = watcher.until("news", |news| news["text"].as_str().unwrap().contains("is gone"));
    assert_eq!(gone.data["member"], three.to_string());
    assert!(["dead", "out"].contains(&gone.data["kind"].as_str().unwrap()), "{gone:?}");
    watcher.until("status", |status| status["live_members"] == 2);

    // One that comes back gets what it has not had, and nothing twice.
    let id = gone.id.unwrap();
    let mut again = Watcher::begin(one, &[&format!("Last-Event-ID: {id}")]);
    let list = again.until("news", |_| true);
    let number = |id: &str| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(number(&list.id.unwrap()), number(&id) + 1);
    // An id of an earlier life of the node says nothing: all that is kept comes.
    let mut fresh = Watcher::begin(one, &["Last-Event-ID: 1-1000000"]);
    assert_eq!(number(&fresh.until("news", |_| true).id.unwrap()), 1);
}

#[test]
fn watchers_are_bounded_and_do_not_hold_up_the_end_of_a_node() {
    let mut site = Site::start(&[]);
    let mut watchers: Vec<_> = (0..64).map(|_| Watcher::begin(site.address, &[])).collect();
    let refused = site.get("/_ring/events");
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("too many clients watch"), "{}", refused.body);
    drop(watchers.pop());
    until("a place is free", || (site.get_status("/_ring/events") == 200).then_some(()));
    site.node.signal(Signal::TERM);
    for mut watcher in watchers {
        while watcher.next().is_some() {}
    }
    assert!(site.node.wait_for_exit().success());
}

#[test]
fn metrics_count_what_was_asked_and_prometheus_reads_them() {
    needs!("promtool", "python3 prometheus_client");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let site = Site::start(&["--data", data]);
    let mut client = site.node.client();
    assert_eq!(client.put("a", b"12345").status(), 200);
    assert_eq!(client.get("a"), b"12345");
    assert_eq!(client.ask("GET b").status(), 404);
    assert_eq!(site.put("/c", &[], "1").status, 201);
    assert_eq!(site.get("/c").status, 200);
    let text = site.get("/_ring/metrics");
    assert!(text.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "smolring_operations_total{operation=\"put\",code=\"200\"} 2",
        "smolring_operations_total{operation=\"get\",code=\"200\"} 2",
        "smolring_operations_total{operation=\"get\",code=\"404\"} 1",
        "smolring_operation_duration_seconds_count{operation=\"put\"} 2",
        "smolring_files 2",
        "smolring_store_bytes 264",
        "smolring_ready 1",
        "smolring_members{state=\"alive\"} 1",
        "smolring_disk_faults_total 0",
        "http_requests_total{code=\"201\"} 1",
    ] {
        assert!(text.body.lines().any(|it| it == line), "{line}: {}", text.body);
    }
    let number = |name: &str| -> f64 {
        let line = text.body.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {}", text.body)).parse().unwrap()
    };
    assert!(number("smolring_received_bytes_total") > 5.0);
    assert!(number("smolring_disk_commit_duration_seconds_count") >= 2.0);
    assert!(number("smolring_disk_bytes{kind=\"log\"}") > 0.0);
    let fed = |command: &mut Command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.body.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "{said}\n{}", text.body);
        said
    };
    fed(Command::new("promtool").args(["check", "metrics"]));
    let code = "import sys\n\
        from prometheus_client.parser import text_string_to_metric_families as families\n\
        read = {it.name: it for it in families(sys.stdin.read())}\n\
        samples = read['smolring_operations'].samples\n\
        print(int(sum(it.value for it in samples if it.labels['operation'] == 'put')))";
    assert_eq!(fed(Command::new("python3").args(["-c", code])), "2\n");
}

#[test]
fn versions_are_listed_and_restored() {
    let site = Site::start(&[]);
    for content in ["one", "two", "three"] {
        site.put("/d/a%20b", &[], content);
    }
    site.ask("DELETE", "/d/a%20b", &[]);
    let versions = json(&site.get("/_ring/versions?name=d/a%20b"));
    let versions = versions["versions"].as_array().unwrap();
    let shown: Vec<_> = versions.iter().map(|it| (&it["deleted"], &it["bytes"])).collect();
    let (yes, no) = (Value::from(true), Value::from(false));
    let sizes = [Value::Null, 5.into(), 3.into()];
    assert_eq!(shown, [(&yes, &sizes[0]), (&no, &sizes[1]), (&no, &sizes[2])]);
    let restore = |name: &str, version: &Value, headers: &[&str]| {
        let target = format!("/_ring/restore?name={name}&version={}", version.as_str().unwrap());
        site.ask("POST", &target, &[headers, &["Content-Length: 0"]].concat())
    };
    let [deleted, _, two] = versions.as_slice() else { panic!() };
    assert_eq!(restore("d/a%20b", &two["version"], &["Sec-Fetch-Site: cross-site"]).status, 403);
    assert_eq!(restore("d/a%20b", &deleted["version"], &[]).status, 404);
    assert_eq!(restore("d/x", &two["version"], &[]).status, 404);
    assert_eq!(restore("", &two["version"], &[]).status, 400);
    assert_eq!(restore("d/a%20b", &"1".into(), &[]).status, 400);
    assert_eq!(site.get("/d/a%20b").status, 404);
    let restored = restore("d/a%20b", &two["version"], &[]);
    assert_eq!((restored.status, site.get("/d/a%20b").body.as_str()), (201, "two"));
    assert_eq!(restore("d/a%20b", &versions[1]["version"], &[]).status, 204);
    assert_eq!(site.get("/d/a%20b").body, "three");
    assert_eq!(site.get("/_ring/versions?name=").status, 400);
    assert_eq!(site.get("/_ring/restore").status, 405);
}

#[test]
fn a_large_version_is_restored_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(&["--data", folder.path().to_str().unwrap()]);
    let large: String = (0..400_000).map(|i| format!("{i:07}\n")).collect();
    site.put("/large", &[], &large);
    let version = site.ask("HEAD", "/large", &[]).header("smolring-version").unwrap().to_owned();
    site.put("/large", &[], "small");
    let target = format!("/_ring/restore?name=large&version={version}");
    assert_eq!(site.ask("POST", &target, &["Content-Length: 0"]).status, 204);
    assert!(site.get("/large").body == large);
}

#[test]
fn files_come_from_a_form() {
    let site = Site::start(&[]);
    let part = |head: &str, content: &str| {
        format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    };
    let form = |parts: &[String]| parts.concat() + "--XX--\r\n";
    let kind = "Content-Type: multipart/form-data; boundary=XX";
    let post = |body: &str, headers: &[&str]| {
        ask(site.address, "POST", "/_ring/upload", &[headers, &[kind]].concat(), body)
    };
    let two = form(&[
        part("name=\"folder\"", "in/here/"),
        part("name=\"file\"; filename=\"a b.txt\"", "1\r\n--X\r\n"),
        part("name=\"file\"; filename=\"sub/c\"", ""),
        part("name=\"file\"; filename=\"\"", ""),
    ]);
    let done = post(&two, &[]);
    assert_eq!(done.status, 200, "{}", done.body);
    let names: Vec<_> =
        json(&done)["files"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["in/here/a b.txt", "in/here/sub/c"]);
    assert_eq!(site.get("/in/here/a%20b.txt").body, "1\r\n--X\r\n");
    let page = post(&two, &["Accept: text/html"]).body;
    assert!(page.contains("<a href=\"/in/here/a%20b.txt\">"), "{page}");

    let bad = form(&[
        part("name=f; filename=first", "1"),
        part("name=f; filename=\"../x\"", "2"),
        part("name=f; filename=third", "3"),
    ]);
    let refused = post(&bad, &[]);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("the first 1 of the files are put"), "{}", refused.body);
    assert_eq!((site.get("/first").status, site.get("/third").status), (200, 404));
    let cut = part("name=f; filename=cut", "1");
    assert_eq!((post(&cut, &[]).status, site.get("/cut").status), (400, 404));
    assert_eq!(post(&two, &["Origin: http://evil.example"]).status, 403);
    let text = ask(site.address, "POST", "/_ring/upload", &["Content-Type: text/plain"], "x");
    assert_eq!(text.status, 415);
    let many: Vec<_> = (0..1001).map(|i| part("name=x", &i.to_string())).collect();
    assert_eq!(post(&form(&many), &[]).status, 400);
    let read_only = Site::start(&["--read-only-http"]);
    let post = |target: &str| ask(read_only.address, "POST", target, &[kind], &two).status;
    assert_eq!((post("/_ring/upload"), post("/_ring/restore?name=a&version=x")), (405, 405));
    assert_eq!(json(&read_only.get("/_ring/status"))["writable"], false);
}

#[test]
fn files_are_searched_by_what_their_names_contain() {
    let site = Site::start(&[]);
    let mut client = site.node.client();
    for i in 0..2500 {
        client.send(format!("PUT f{i:04}{} len=0\n", if i % 1000 == 999 { "-Odd" } else { "" }));
    }
    (0..2500).for_each(|_| assert_eq!(client.answer().status(), 200));
    let found = |query: &str| {
        let page = json(&site.get(&format!("/_ring/files?{query}")));
        let names = page["files"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        (names, page["next"].as_str().map(str::to_owned))
    };
    let (all, next) = found("contains=oDD");
    assert_eq!((all.as_slice(), next), (&["f0999-Odd".into(), "f1999-Odd".into()][..], None));
    let (first, next) = found("contains=odd&limit=1");
    assert_eq!(first, ["f0999-Odd"]);
    let (second, _) = found(&format!("contains=odd&limit=1&after={}", next.unwrap()));
    assert_eq!(second, ["f1999-Odd"]);
    assert_eq!(found("contains=nowhere"), (vec![], None));
}

#[test]
fn a_browser_sees_the_page_where_there_is_no_site_and_others_see_a_list() {
    let site = Site::with(&[("a", "1")]);
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    let page = site.ask("GET", "/", &[browser]);
    let own = site.get("/_ring/");
    assert!(page.body == own.body && page.body.contains("<script"));
    assert_eq!(page.header("vary"), Some("Accept"));
    let policy = own.header("content-security-policy").unwrap();
    for rule in [
        "default-src 'none'",
        "script-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(site.get("/").body.contains("<a href=\"a\">"));
    site.put("/index.html", &[], "<title>mine</title>");
    assert!(site.ask("GET", "/", &[browser]).body.contains("mine"));
}
