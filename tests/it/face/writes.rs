//! PUT and DELETE.

use std::{fs, process::Command, time::Duration};

use tempfile::TempDir;

use super::{Site, request, tag};
use crate::served::Client;

#[test]
fn a_file_is_put_replaced_and_deleted() {
    let site = Site::start(&[]);
    let put = site.put("/a/b.txt", &[], "one");
    assert_eq!((put.status, put.body.as_str()), (201, ""));
    assert_eq!(put.header("etag"), Some(tag("one").as_str()));
    assert_eq!(put.header("smolring-copies"), Some("1"));
    let again = site.put("/a/b.txt", &[], "two");
    assert_eq!((again.status, again.header("etag")), (204, Some(tag("two").as_str())));
    assert_ne!(again.header("smolring-version"), put.header("smolring-version"));
    assert_eq!(site.get("/a/b.txt").body, "two");
    let gone = site.ask("DELETE", "/a/b.txt", &[]);
    assert_eq!((gone.status, gone.header("smolring-copies")), (204, Some("1")));
    assert_eq!(site.get("/a/b.txt").status, 404);
    assert_eq!(site.ask("DELETE", "/a/b.txt", &[]).status, 404);
    assert_eq!(site.put("/a/b.txt", &[], "three").status, 201);
}

#[test]
fn a_write_that_depends_on_what_there_is_is_done_only_then() {
    let site = Site::start(&[]);
    let (one, two) = (format!("If-Match: {}", tag("one")), format!("If-Match: {}", tag("two")));
    for (headers, body, status) in [
        (&[one.as_str()][..], "x", 412),
        (&["If-Match: *"], "x", 412),
        (&["If-None-Match: *"], "one", 201),
        (&["If-None-Match: *"], "x", 412),
        (&[two.as_str()], "x", 412),
        (&[one.as_str()], "two", 204),
        (&[one.as_str()], "x", 412),
        (&["If-Match: *"], "three", 204),
        (&["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], "x", 412),
    ] {
        let before = site.get("/a").body;
        let answer = site.put("/a", headers, body);
        assert_eq!(answer.status, status, "{headers:?} {body}");
        if status == 412 {
            assert_eq!(site.get("/a").body, before);
        }
    }
    assert_eq!(site.get("/a").body, "three");
    assert_eq!(site.ask("DELETE", "/a", &[&two]).status, 412);
    assert_eq!(site.ask("DELETE", "/a", &["If-None-Match: *"]).status, 412);
    assert_eq!(site.ask("DELETE", "/a", &[&format!("If-Match: {}", tag("three"))]).status, 204);
    assert_eq!(site.ask("DELETE", "/a", &["If-Match: *"]).status, 412);
}

#[test]
fn what_cannot_be_a_file_is_refused_and_nothing_is_stored() {
    let site = Site::start(&["--max-file-bytes", "1KiB"]);
    let long = "x".repeat(1025);
    for (target, headers, body, status) in [
        ("/", &[][..], "x", 405),
        ("/a/", &[], "x", 405),
        ("/_ring/a", &[], "x", 405),
        ("/a/../b", &[], "x", 400),
        ("/a", &["Content-Range: bytes 0-0/2"], "x", 400),
        ("/a", &["Content-Encoding: gzip"], "x", 415),
        ("/a", &[], long.as_str(), 413),
    ] {
        let answer = site.put(target, headers, body);
        assert_eq!(answer.status, status, "{target} {headers:?}: {}", answer.body);
    }
    assert_eq!(site.ask("POST", "/a", &[]).status, 405);
    let options = site.ask("OPTIONS", "/a", &[]);
    assert_eq!(options.header("allow"), Some("GET, HEAD, PUT, DELETE, OPTIONS"));
    // In chunks, its length is not known before.
    let mut client = site.client();
    client.send(format!(
        "PUT /a HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        site.address
    ));
    client.send(format!("401\r\n{long}\r\n0\r\n\r\n"));
    assert_eq!(client.reply().status, 413);
    assert_eq!(site.node.client().ask("LIST").key("count"), Some("0"));
    let mut client = site.client();
    client.send(format!(
        "PUT /a HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        site.address
    ));
    client.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.reply().status, 201);
    assert_eq!(site.get("/a").body, "abcde");
}

#[test]
fn a_client_that_waits_is_refused_before_it_sends() {
    let site = Site::start(&["--max-file-bytes", "1KiB"]);
    let expecting = |headers: &[&str], bytes: usize| {
        let length = format!("Content-Length: {bytes}");
        let all = [&["Expect: 100-continue", &length], headers].concat();
        let mut client = site.client();
        client.send(request(site.address, "PATCH", "/a", &all, "").replacen("PATCH", "PUT", 1));
        let status = client.reply().status;
        (client, status)
    };
    let (mut client, status) = expecting(&[], 3);
    assert_eq!(status, 100);
    client.send("abc");
    assert_eq!(client.reply().status, 201);
    for (headers, bytes, expected) in [
        (&["If-None-Match: *"][..], 3, 412),
        (&["If-Match: \"x\""], 3, 412),
        (&["Origin: http://evil.example"], 3, 403),
        (&["Content-Encoding: gzip"], 3, 415),
        (&[], 1025, 413),
    ] {
        assert_eq!(expecting(headers, bytes).1, expected, "{headers:?}");
    }
    assert_eq!(site.get("/a").body, "abc");
}

#[test]
fn half_a_body_is_no_file() {
    let site = Site::start(&[]);
    let mut client = site.client();
    client.send(format!(
        "PUT /a HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\nabc",
        site.address
    ));
    assert!(client.is_silent(Duration::from_millis(20)));
    client.end_of_requests();
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
    assert_eq!(site.get("/a").status, 404);
}

#[test]
fn a_large_file_goes_through_a_node_piece_by_piece() {
    needs!("curl");
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let site = Site::start(&["--data", &data, "--max-file-bytes", "128MiB"]);
    let content: Vec<u8> =
        (0..100_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, &content).unwrap();
    let url = format!("http://{}/large.bin", site.address);
    let before = site.node.peak_bytes();
    let curl = |args: &[&str]| {
        let out =
            Command::new("curl").args(["-sS", "--fail"]).args(args).arg(&url).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    curl(&["-T", from.to_str().unwrap()]);
    curl(&["-o", to.to_str().unwrap()]);
    assert!(fs::read(&to).unwrap() == content);
    curl(&["-o", to.to_str().unwrap(), "-r", "50000000-50999999"]);
    assert!(fs::read(&to).unwrap() == content[50_000_000..51_000_000]);
    curl(&["-o", to.to_str().unwrap(), "-r", "0-9,99999990-"]);
    let parts = fs::read(&to).unwrap();
    let has = |part: &[u8]| parts.windows(part.len()).any(|it| it == part);
    assert!(parts.len() < 1000 && has(&content[..10]) && has(&content[99_999_990..]));
    if let (Some(before), Some(after)) = (before, site.node.peak_bytes()) {
        println!("{} MiB more than before", (after - before) >> 20);
        assert!(after - before < 48 << 20, "{before} bytes before, {after} after");
    }
    // A client that does not take its file is let go, and others are served.
    let mut slow = Client::connect_to(site.address).unwrap();
    slow.send(request(site.address, "GET", "/large.bin", &[], ""));
    assert_eq!(site.ask("GET", "/large.bin", &["Range: bytes=0-0"]).status, 206);
}
