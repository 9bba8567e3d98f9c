//! Folders, and what is not there.

use super::Site;

#[test]
fn a_folder_is_its_index_or_else_its_names() {
    let site = Site::with(&[
        ("a/index.html", "index"),
        ("b/one.txt", "1"),
        ("b/two%20%26%20%3Cthree%3E.txt", "2"),
        ("b/sub/x", "3"),
        ("b/sub/y", "4"),
        ("c", "a file"),
        ("c/d", "and a folder"),
    ]);
    let moved = site.get("/a?x=1");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/a/?x=1")));
    let index = site.get("/a/");
    assert_eq!((index.status, index.body.as_str()), (200, "index"));
    assert_eq!(site.ask("GET", "/a/", &["Accept: application/json"]).body, "index");
    let page = site.ask("GET", "/b/", &["Accept: text/html"]);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("vary"), Some("Accept"));
    for part in [
        "<a href=\"one.txt\">one.txt</a>",
        "<a href=\"two%20%26%20%3Cthree%3E.txt\">two &amp; &lt;three&gt;.txt</a>",
        "<a href=\"sub/\">sub/</a>",
        "<a href=\"../\">",
    ] {
        assert_eq!(page.body.matches(part).count(), 1, "{part} in {}", page.body);
    }
    let json = site.ask("GET", "/b/", &["Accept: application/json"]);
    let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(json["folders"], serde_json::json!(["sub/"]));
    assert_eq!(json["files"][0]["name"], "one.txt");
    assert_eq!(json["next"], serde_json::Value::Null);
    // A name may be a file and a folder.
    assert_eq!(site.get("/c").body, "a file");
    assert!(site.get("/c/").body.contains("href=\"d\""));
    assert!(site.get("/").body.contains("/_ring/ is its page"));
    assert!(site.get("/").body.contains("href=\"b/\""));
}

#[test]
fn a_folder_with_many_names_is_shown_page_by_page_and_whole() {
    let site = Site::start(&[]);
    let mut client = site.node.client();
    let mut bytes = String::new();
    for i in 0..5_200 {
        bytes += &format!("PUT many/{i:05} len=1\nx");
    }
    for i in 0..1_500 {
        bytes += &format!("PUT many/s{:02}/{i} len=1\nx", i % 3);
    }
    client.send(bytes);
    (0..6_700).for_each(|_| assert_eq!(client.answer().status(), 200));
    let (mut names, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let target = format!("/many/?after={after}");
        let page = site.ask("GET", &target, &["Accept: application/json"]);
        let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        let of = |key: &str| page[key].as_array().unwrap().clone();
        names.extend(of("files").iter().map(|it| it["name"].as_str().unwrap().to_owned()));
        names.extend(of("folders").iter().map(|it| it.as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let mut expected: Vec<_> = (0..5_200).map(|i| format!("{i:05}")).collect();
    expected.extend((0..3).map(|i| format!("s{i:02}/")));
    assert_eq!((names, pages), (expected, 2));
}

#[test]
fn what_is_not_there_is_said_in_the_form_that_is_asked_for() {
    let site = Site::with(&[("a", "x")]);
    for (accept, kind) in [
        ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("*/*", "application/problem+json"),
    ] {
        for target in ["/none", "/none/", "/none.html", "/a/b"] {
            let answer = site.ask("GET", target, &[&format!("Accept: {accept}")]);
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (404, Some(kind)),
                "{target}"
            );
            assert_eq!(answer.header("vary"), Some("Accept"));
        }
    }
    let problem = site.get("/none%3Cscript%3E");
    let problem: serde_json::Value = serde_json::from_str(&problem.body).unwrap();
    assert_eq!((&problem["status"], &problem["title"]), (&404.into(), &"Not Found".into()));
    let page = site.ask("GET", "/none%3Cscript%3E", &["Accept: text/html"]);
    assert!(!page.body.contains("<script>"), "{}", page.body);
    assert_eq!(site.put("/404.html", &[], "<p>gone</p>").status, 201);
    let page =
        site.ask("GET", "/none", &["Accept: text/html", "If-None-Match: *", "Range: bytes=0-0"]);
    assert_eq!((page.status, page.body.as_str()), (404, "<p>gone</p>"));
    assert!(page.header("etag").is_none() && page.header("content-security-policy").is_some());
    let json = site.ask("GET", "/none", &["Accept: application/json"]);
    assert_eq!(json.header("content-type"), Some("application/problem+json"));
    assert_eq!(site.get("/404.html").status, 200);
}
