//! GET and HEAD of files.

use super::{Site, request, tag};

const DIGITS: &str = "0123456789";

#[test]
fn a_file_has_its_type_its_tag_and_its_time() {
    let site = Site::with(&[("a.html", "<p>"), ("a.bin", "x"), ("empty.txt", "")]);
    let page = site.get("/a.html");
    assert_eq!((page.status, page.body.as_str()), (200, "<p>"));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("etag"), Some(tag("<p>").as_str()));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("accept-ranges"), Some("bytes"));
    assert!(page.header("last-modified").unwrap().ends_with(" GMT"));
    let sandbox = page.header("content-security-policy").unwrap();
    assert!(sandbox.starts_with("sandbox ") && !sandbox.contains("same-origin"), "{sandbox}");
    let other = site.get("/a.bin");
    assert_eq!(other.header("content-type"), Some("application/octet-stream"));
    assert_eq!(other.header("content-security-policy"), None);
    assert_eq!(site.get("/empty.txt").header("content-length"), Some("0"));
    let trusting = Site::start(&["--trust-pages"]);
    assert_eq!(trusting.put("/a.html", &[], "<p>").status, 201);
    assert_eq!(trusting.get("/a.html").header("content-security-policy"), None);
}

#[test]
fn head_is_get_without_the_content() {
    let site = Site::with(&[("a", DIGITS)]);
    let mut client = site.client();
    for (target, headers) in [
        ("/a", &[][..]),
        ("/a", &["If-None-Match: *"]),
        ("/a", &["If-Match: \"x\""]),
        ("/none", &[]),
        ("/", &[]),
    ] {
        client.send(request(site.address, "HEAD", target, headers, ""));
        let head = client.reply_to_head();
        client.send(request(site.address, "GET", target, headers, ""));
        let get = client.reply();
        assert_eq!(head.status, get.status, "{target} {headers:?}");
        let others = |all: &[(String, String)]| -> Vec<_> {
            let mut all: Vec<_> = all.iter().filter(|(name, _)| name != "date").cloned().collect();
            all.sort();
            all
        };
        assert_eq!(others(&head.headers), others(&get.headers), "{target} {headers:?}");
    }
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let site = Site::with(&[("a", DIGITS)]);
    let first = site.get("/a");
    let (etag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for (header, status) in [
        (format!("If-None-Match: {etag}"), 304),
        (format!("If-None-Match: W/{etag}"), 304),
        (format!("If-None-Match: \"x\", {etag}"), 304),
        ("If-None-Match: \"x\"".into(), 200),
        (format!("If-Modified-Since: {modified}"), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT".into(), 200),
        (format!("If-Match: {etag}"), 200),
        ("If-Match: \"x\"".into(), 412),
        (format!("If-Unmodified-Since: {modified}"), 200),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT".into(), 412),
    ] {
        let answer = site.ask("GET", "/a", &[&header]);
        assert_eq!(answer.status, status, "{header}");
        assert_eq!(answer.body, if status == 200 { DIGITS } else { "" }, "{header}");
        assert_eq!(answer.header("etag"), Some(etag), "{header}");
    }
    assert_eq!(site.put("/a", &[], "new").status, 204);
    assert_eq!(site.ask("GET", "/a", &[&format!("If-None-Match: {etag}")]).body, "new");
}

#[test]
fn parts_of_a_file_are_sent() {
    let site = Site::with(&[("a.txt", DIGITS)]);
    let part = |headers: &[&str]| {
        let answer = site.ask("GET", "/a.txt", headers);
        let range = answer.header("content-range").unwrap_or_default().to_owned();
        (answer.status, range, answer.body)
    };
    assert_eq!(part(&["Range: bytes=2-4"]), (206, "bytes 2-4/10".into(), "234".into()));
    assert_eq!(part(&["Range: bytes=-1"]), (206, "bytes 9-9/10".into(), "9".into()));
    assert_eq!(part(&["Range: bytes=10-"]), (416, "bytes */10".into(), String::new()));
    assert_eq!(part(&["Range: lines=1-2"]), (200, String::new(), DIGITS.into()));
    let (old, own) = ("If-Range: \"x\"", format!("If-Range: {}", tag(DIGITS)));
    assert_eq!(part(&["Range: bytes=0-0", old]), (200, String::new(), DIGITS.into()));
    assert_eq!(part(&["Range: bytes=0-0", &own]), (206, "bytes 0-0/10".into(), "0".into()));
    let several = site.ask("GET", "/a.txt", &["Range: bytes=0-1,20-30,8-"]);
    let kind = several.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let one = |range: &str, bytes: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes {range}/10\r\n\r\n{bytes}"
        )
    };
    let expected = one("0-1", "01") + &one("8-9", "89") + &format!("\r\n--{boundary}--\r\n");
    assert_eq!((several.status, several.body), (206, expected));
    // A part of HEAD is nothing; its answer is that of all of it.
    let mut client = site.client();
    client.send(request(site.address, "HEAD", "/a.txt", &["Range: bytes=0-0"], ""));
    let head = client.reply_to_head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
}

#[test]
fn earlier_versions_are_there_as_log_shows_them() {
    let site = Site::start(&[]);
    let versions: Vec<_> = ["one", "two"]
        .iter()
        .map(|content| site.put("/a", &[], content).header("smolring-version").unwrap().to_owned())
        .collect();
    let one = site.get(&format!("/a?version={}", versions[0]));
    assert_eq!((one.status, one.body.as_str()), (200, "one"));
    assert_eq!(one.header("cache-control"), Some("max-age=31536000, immutable"));
    assert_eq!(one.header("smolring-version"), Some(versions[0].as_str()));
    let escaped = versions[1].replace(':', "%3A").replace('@', "%40");
    assert_eq!(site.get(&format!("/a?version={escaped}")).body, "two");
    assert_eq!(site.get("/a?version=0000000000000001@127.0.0.1:1").status, 404);
    assert_eq!(site.get("/a?version=newest").status, 400);
    assert_eq!(site.put(&format!("/a?version={}", versions[0]), &[], "x").status, 405);
    let log = site.node.client().ask("LOG a");
    assert!(versions.iter().all(|version| log.text().contains(version)), "{}", log.text());
}

#[test]
fn a_shorter_form_is_sent_to_those_that_take_it() {
    let site = Site::with(&[
        ("a.css", "plain"),
        ("a.css.gz", "gzip"),
        ("a.css.br", "brotli"),
        ("b.css", "alone"),
        ("c.css.gz", "without"),
    ]);
    let form = |headers: &[&str]| {
        let answer = site.ask("GET", "/a.css", headers);
        assert_eq!(answer.header("content-type"), Some("text/css; charset=utf-8"));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.header("etag"), Some(tag(&answer.body).as_str()));
        (answer.header("content-encoding").map(str::to_owned), answer.body)
    };
    let of = |coding: &str, body: &str| (Some(coding.to_owned()), body.to_owned());
    assert_eq!(form(&[]), (None, "plain".into()));
    assert_eq!(form(&["Accept-Encoding: gzip, br"]), of("br", "brotli"));
    assert_eq!(form(&["Accept-Encoding: gzip"]), of("gzip", "gzip"));
    assert_eq!(form(&["Accept-Encoding: br;q=0, gzip"]), of("gzip", "gzip"));
    assert_eq!(form(&["Accept-Encoding: zstd"]), (None, "plain".into()));
    let alone = site.ask("GET", "/b.css", &["Accept-Encoding: gzip"]);
    assert_eq!((alone.body.as_str(), alone.header("vary")), ("alone", None));
    assert_eq!(site.ask("GET", "/c.css", &["Accept-Encoding: gzip"]).status, 404);
    let raw = site.ask("GET", "/a.css.gz", &["Accept-Encoding: gzip"]);
    assert_eq!((raw.body.as_str(), raw.header("content-encoding")), ("gzip", None));
    assert_eq!(raw.header("content-type"), Some("application/gzip"));
    let tag = format!("If-None-Match: {}", tag("brotli"));
    assert_eq!(site.ask("GET", "/a.css", &["Accept-Encoding: br", &tag]).status, 304);
    assert_eq!(site.ask("GET", "/a.css", &[&tag]).status, 200);
}
