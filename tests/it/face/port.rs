//! One port, two protocols.

use std::time::Duration;

use rustix::process::Signal;

use super::{Site, ask, request, tag};
use crate::{
    cluster::{Ring, until},
    served::Client,
    service::curl,
};

#[test]
fn what_is_put_at_one_node_in_either_protocol_is_a_site_at_all() {
    let ring = Ring::start(3, &[]);
    let [first, second, third] = ring.addresses()[..] else { panic!("three") };
    let put = ask(first, "PUT", "/a/index.html", &[], "<h1>one</h1>");
    assert_eq!((put.status, put.header("smolring-copies")), (201, Some("3")));
    assert_eq!(ring.nodes[0].client().put("b.txt", b"two").status(), 200);
    for node in [second, third] {
        let page = ask(node, "GET", "/a/", &[], "");
        assert_eq!((page.status, page.body.as_str()), (200, "<h1>one</h1>"));
        assert_eq!(page.header("etag"), Some(tag("<h1>one</h1>").as_str()));
        assert_eq!(page.header("smolring-version"), put.header("smolring-version"));
        assert_eq!(ask(node, "GET", "/b.txt", &[], "").body, "two");
    }
    assert_eq!(ring.nodes[2].client().get("a/index.html"), b"<h1>one</h1>");
    assert_eq!(ask(third, "DELETE", "/b.txt", &[], "").status, 204);
    assert_eq!(ask(first, "GET", "/b.txt", &[], "").status, 404);
    assert_eq!(ring.nodes[1].client().ask("GET b.txt").status(), 404);
}

#[test]
fn a_request_is_recognised_however_it_is_cut() {
    let site = Site::with(&[("a", "content")]);
    let bytes = request(site.address, "GET", "/a", &["Connection: close"], "");
    for cut in (1..20).chain([bytes.len() - 1]) {
        let mut client = site.client();
        client.send(&bytes[..cut]);
        // The node has read the first part before the second comes.
        client.stream().set_nodelay(true).unwrap();
        assert!(client.is_silent(Duration::from_millis(5)), "cut at {cut}");
        client.send(&bytes[cut..]);
        let answer = client.rest();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("content"),
            "{cut}: {answer}"
        );
    }
    // Bytes of neither protocol are answered in the line protocol.
    for bytes in ["\x16\x03\x01\x02\n", "HELLO\n", "GET /a\n", "get / http/1.1\n", "GET / HTTP/9\n"]
    {
        let mut client = site.client();
        client.send(bytes);
        client.end_of_requests();
        let answer = client.rest();
        assert!(answer.starts_with("400 BAD REQUEST : "), "{bytes:?}: {answer}");
    }
}

#[test]
fn http2_is_spoken_with_prior_knowledge() {
    needs!("curl");
    let site = Site::with(&[("a.txt", "content")]);
    let url = format!("http://{}/a.txt", site.address);
    let format = "%{http_version} %{response_code} %{content_type}";
    for (option, version) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1"), ("-0", "1")] {
        let answer = curl(&["-s", option, "-w", format, &url]);
        let expected = format!("content{version} 200 text/plain; charset=utf-8");
        assert_eq!(answer, expected, "{option}");
    }
    let put = curl(&[
        "-s",
        "--http2-prior-knowledge",
        "-w",
        "%{response_code}",
        "-X",
        "PUT",
        "-d",
        "new",
        &url,
    ]);
    assert_eq!(put, "204");
    assert_eq!(site.node.client().get("a.txt"), b"new");
}

#[test]
fn http_is_off_where_the_user_says_so_and_read_only_where_he_says_that() {
    let off = Site::start(&["--no-http"]);
    let answer = off.get("/");
    assert_eq!((answer.status, answer.closes()), (501, true));
    assert!(answer.body.contains("line protocol"), "{}", answer.body);
    assert_eq!(off.node.client().ask("PING").status(), 200);
    let read_only = Site::start(&["--read-only-http"]);
    let answer = read_only.put("/a", &[], "x");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(read_only.ask("DELETE", "/a", &[]).status, 405);
    assert_eq!(read_only.node.client().put("a", b"x").status(), 200);
    assert_eq!(read_only.get("/a").body, "x");
}

#[test]
fn a_node_that_leaves_says_so_before_and_answers_what_was_asked() {
    let mut site = Site::start(&["--grace", "1h"]);
    assert_eq!(site.get("/_ring/ready").status, 200);
    assert_eq!(site.put("/a", &[], "x").status, 201);
    let mut idle = site.client();
    idle.send(request(site.address, "GET", "/a", &[], ""));
    assert!(!idle.reply().closes());
    site.node.signal(Signal::TERM);
    until("it says that it is not ready", || {
        (site.get("/_ring/ready").status == 503).then_some(())
    });
    assert_eq!(site.get("/_ring/health").status, 200);
    assert_eq!(site.get("/a").body, "x", "it serves as long as its grace lasts");
    drop(site);
    // Told to end at once, it closes what is idle, and has answered what came before.
    site = Site::with(&[("a", "x")]);
    let mut idle = site.client();
    idle.send(request(site.address, "GET", "/a", &[], ""));
    assert_eq!(idle.reply().body, "x");
    site.node.signal(Signal::TERM);
    assert!(site.node.wait_for_exit().success());
    assert_eq!(idle.rest(), "");
}

#[test]
fn a_node_says_what_it_is() {
    let ring = Ring::start(2, &[]);
    assert_eq!(ring.nodes[0].client().put("a/1", b"one").status(), 200);
    assert_eq!(ring.nodes[0].client().put("b", b"two").status(), 200);
    ring.settle();
    let [first, second] = ring.addresses()[..] else { panic!("two") };
    let json = |path: &str| -> serde_json::Value {
        let answer = ask(second, "GET", path, &[], "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        serde_json::from_str(&answer.body).unwrap()
    };
    let status = json("/_ring/status");
    assert_eq!(status["node"], second.to_string());
    assert_eq!((&status["state"], &status["ready"]), (&"member".into(), &true.into()));
    assert_eq!(status["files"], 2);
    let members = status["members"].as_array().unwrap();
    let own: Vec<_> = members.iter().filter(|it| it["self"] == true).collect();
    assert_eq!((members.len(), own.len()), (2, 1));
    assert_eq!(own[0]["address"], second.to_string());
    assert!(members.iter().any(|it| it["address"] == first.to_string() && it["state"] == "alive"));
    let files = json("/_ring/files?limit=1");
    assert_eq!((&files["files"][0]["name"], &files["next"]), (&"a/1".into(), &"a/1".into()));
    assert_eq!(files["files"][0]["blake3"], tag("one").trim_matches('"'));
    let files = json("/_ring/files?limit=1&after=a/1");
    assert_eq!(
        (&files["files"][0]["name"], &files["next"]),
        (&"b".into(), &serde_json::Value::Null)
    );
    assert_eq!(json("/_ring/files?prefix=a/")["files"].as_array().unwrap().len(), 1);
    assert_eq!(ask(second, "GET", "/_ring/files?limit=x", &[], "").status, 400);
    assert_eq!(ask(second, "GET", "/_ring/none", &[], "").status, 404);
    assert_eq!(ask(second, "GET", "/_ring", &[], "").header("location"), Some("/_ring/"));
    assert_eq!(ask(second, "PUT", "/_ring/status", &[], "x").status, 405);
    let mut client = Client::connect_to(second).unwrap();
    client.send(request(second, "HEAD", "/_ring/health", &[], ""));
    let head = client.reply_to_head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("16")));
}
