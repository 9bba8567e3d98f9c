//! What is not meant for a node, or is meant to harm it.

use super::{Site, ask, request};
use crate::{cluster::Process, served::statuses, smuggling};

#[test]
fn no_target_leads_out_of_the_store_or_harms_the_node() {
    let site = Site::with(&[("a", "x")]);
    let own = format!("http://{}/a", site.address);
    let (long, longer) = (format!("/{}", "a".repeat(5000)), format!("/{}", "a".repeat(8193)));
    let cases: &[(&[u8], u16)] = &[
        (b"/../a", 400),
        (b"/../../etc/passwd", 400),
        (b"/a/../../b", 400),
        (b"/%2e%2e/a", 400),
        (b"/%2E%2E%2Fa", 400),
        (b"/..%2fa", 400),
        (b"/./a", 400),
        (b"/a%00", 400),
        (b"/%00", 400),
        (b"/a%0d%0aX-Evil:%201", 400),
        (b"//evil.example/a", 400),
        (b"//", 400),
        (b"/a//b", 400),
        (b"/%2Fetc/passwd", 400),
        (b"/\xff", 400),
        (b"/%ff", 400),
        (b"/%c3", 400),
        (b"/..%5c..%5ca", 404),
        (b"/%252e%252e/a", 404),
        (b"/\"<>", 404),
        (b"/%", 404),
        (b"/a#b", 200),
        (own.as_bytes(), 200),
        (b"http://evil.example/a", 421),
        (long.as_bytes(), 400),
        (longer.as_bytes(), 414),
        (b"*", 400),
        (b"a", 400),
        (b"?version=", 400),
        (b"/?", 200),
        (b"/a?%ff=%00&&=", 200),
    ];
    for (target, status) in cases {
        let shown = String::from_utf8_lossy(target);
        let mut client = site.client();
        client.send(b"GET ");
        client.send(target);
        client.send(format!(" HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.address));
        let answer = client.rest();
        assert_eq!(statuses(&answer), [*status], "{shown}: {answer}");
        assert!(!answer.to_lowercase().contains("\r\nx-evil"), "{shown}: {answer}");
        assert!(!answer.to_lowercase().contains("\r\nlocation: //"), "{shown}: {answer}");
    }
    assert_eq!(site.get("/a").body, "x");
}

#[test]
fn a_name_that_leads_to_this_machine_by_chance_is_no_host_of_a_node() {
    let site = Site::with(&[("a", "x")]);
    let port = site.address.port();
    for (host, status) in [
        (format!("{}", site.address), 200),
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("evil.example:{port}"), 421),
        ("ring.example".into(), 421),
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            if method == "DELETE" && status == 200 {
                continue;
            }
            let answer = ask(site.address, method, "/a", &[&format!("Host: {host}")], "x");
            let is_refused = answer.status == 421;
            assert_eq!(is_refused, status == 421, "{method} at {host}: {}", answer.status);
        }
        let status_page =
            ask(site.address, "GET", "/_ring/status", &[&format!("Host: {host}")], "");
        assert_eq!(status_page.status, status, "{host}");
    }
    assert_eq!(site.get("/a").body, "x");
    let named = Site::start(&["--host", "ring.example", "--host", "Other.Example"]);
    for (host, status) in [("RING.example:1", 404), ("other.example", 404), ("evil.example", 421)] {
        assert_eq!(named.ask("GET", "/a", &[&format!("Host: {host}")]).status, status, "{host}");
    }
    let by_variable = Process::start(
        &["--ip", &crate::cluster::own_ip(), "--port", "0", "--bootstrap"],
        &[("SMOLRING_HOST", "a.example, b.example")],
    );
    by_variable.wait_until_ready(1);
    let at = |host: &str| {
        ask(by_variable.address(), "GET", "/a", &[&format!("Host: {host}")], "").status
    };
    assert_eq!((at("a.example"), at("b.example"), at("c.example")), (404, 404, 421));
}

#[test]
fn a_page_of_another_origin_writes_nothing() {
    let site = Site::with(&[("a", "x")]);
    let own = format!("Origin: http://{}", site.address);
    for (headers, is_allowed) in [
        (&["Sec-Fetch-Site: cross-site"][..], false),
        (&["Sec-Fetch-Site: same-site"], false),
        (&["Origin: http://evil.example"], false),
        // A page from the store is in a sandbox, and has no origin.
        (&["Origin: null"], false),
        (&["Origin: null", "Sec-Fetch-Site: cross-site"], false),
        (&[own.as_str()], true),
        (&["Sec-Fetch-Site: same-origin"], true),
    ] {
        for method in ["PUT", "DELETE"] {
            assert_eq!(site.node.client().put("a", b"x").status(), 200);
            let answer = ask(site.address, method, "/a", headers, "evil");
            assert_eq!(answer.status, if is_allowed { 204 } else { 403 }, "{method} {headers:?}");
            if !is_allowed {
                assert_eq!(site.get("/a").body, "x", "{method} {headers:?}");
            }
        }
    }
    let answer = site.ask("GET", "/a", &["Origin: http://evil.example"]);
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
}

#[test]
fn no_request_has_two_readings_at_a_node() {
    let site = Site::start(&["--host", "*"]);
    smuggling::at_node(|| site.client());
    let mut client = site.client();
    client.send(request(site.address, "GET", "/", &[], ""));
    assert_eq!(client.reply().status, 200);
}
