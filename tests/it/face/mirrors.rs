//! Programs of others that read a ring over HTTP: rclone, wget, Python's requests.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use super::Site;

const FILES: [(&str, &str); 5] = [
    ("a.txt", "one\n"),
    ("b c/d.txt", "two\n"),
    ("b c/e/\u{fc} 100%.txt", "three\n"),
    ("b c/empty", ""),
    ("z#?&.html", "<p>four</p>\n"),
];

/// The files of a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
    }
    found
}

fn site() -> Site {
    let site = Site::start(&[]);
    for (name, content) in FILES {
        let name = name.replace('%', "%25").replace(' ', "%20").replace('\u{fc}', "%C3%BC");
        let name = name.replace('#', "%23").replace('?', "%3F");
        assert_eq!(site.put(&format!("/{name}"), &[], content).status, 201, "{name}");
    }
    site
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn rclone_reads_a_ring() {
    needs!("rclone");
    let (site, copy) = (site(), tempfile::tempdir().unwrap());
    let url = format!("http://{}/", site.address);
    let to = copy.path().to_str().unwrap();
    let config = copy.path().with_extension("conf");
    let rclone = |args: &[&str]| {
        let own = ["--config", config.to_str().unwrap(), "--http-url", &url];
        run(Command::new("rclone").args(args).args(own))
    };
    rclone(&["copy", ":http:", to]);
    let expected = FILES.map(|(name, content)| (name.to_owned(), content.to_owned()));
    assert_eq!(files(copy.path()), expected.into());
    // Nothing differs, by size and by time.
    rclone(&["check", ":http:", to, "--one-way"]);
    let listed = rclone(&["lsf", "-R", "--files-only", ":http:b c"]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

#[test]
fn wget_mirrors_a_ring() {
    needs!("wget");
    let (site, copy) = (site(), tempfile::tempdir().unwrap());
    let url = format!("http://{}/", site.address);
    run(Command::new("wget")
        .args(["-q", "-r", "-np", "-nH", "--restrict-file-names=nocontrol", &url])
        .current_dir(&copy));
    let mut found = files(copy.path());
    // wget keeps the lists of folders too.
    found.retain(|name, _| !name.ends_with("index.html"));
    let expected = FILES.map(|(name, content)| (name.to_owned(), content.to_owned()));
    assert_eq!(found, expected.into());
}

#[test]
fn requests_sees_types_tags_ranges_and_conditions() {
    needs!("python3 requests");
    let site = site();
    let script = r#"
import sys, requests
node = sys.argv[1]
with requests.Session() as session:
    page = session.get(node + "/z%23%3F&.html")
    assert page.status_code == 200 and page.text == "<p>four</p>\n", page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8", page.headers
    assert page.headers["cache-control"] == "no-cache" and page.headers["x-content-type-options"] == "nosniff"
    tag, time = page.headers["etag"], page.headers["last-modified"]
    for header in ({"If-None-Match": tag}, {"If-Modified-Since": time}):
        same = session.get(page.url, headers=header)
        assert same.status_code == 304 and not same.content and same.headers["etag"] == tag, header
    part = session.get(page.url, headers={"Range": "bytes=3-6", "If-Range": tag})
    assert part.status_code == 206 and part.text == "four", part.text
    assert part.headers["content-range"] == "bytes 3-6/12"
    assert session.get(page.url, headers={"Range": "bytes=99-"}).status_code == 416
    several = session.get(page.url, headers={"Range": "bytes=0-0,-1"})
    assert several.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert session.head(page.url).headers["content-length"] == "12"
    assert session.get(page.url, headers={"If-Match": '"x"'}).status_code == 412
    new = session.put(node + "/new", data=b"1", headers={"If-None-Match": "*"})
    assert new.status_code == 201 and new.headers["smolring-copies"] == "1", new.headers
    old = new.headers["smolring-version"]
    assert session.put(node + "/new", data=b"2", headers={"If-None-Match": "*"}).status_code == 412
    assert session.put(node + "/new", data=b"2", headers={"If-Match": new.headers["etag"]}).status_code == 204
    earlier = session.get(node + "/new", params={"version": old})
    assert earlier.content == b"1" and "immutable" in earlier.headers["cache-control"], earlier.headers
    # A generator has no length: it comes in chunks.
    assert session.put(node + "/chunks", data=(b"x" * 1000 for _ in range(300))).status_code == 201
    assert len(session.get(node + "/chunks").content) == 300_000
    missing = session.get(node + "/missing", headers={"Accept": "application/json"})
    assert missing.headers["content-type"] == "application/problem+json" and missing.json()["status"] == 404
    listed = session.get(node + "/b%20c/", headers={"Accept": "application/json"}).json()
    assert listed["folders"] == ["e/"] and [it["name"] for it in listed["files"]] == ["d.txt", "empty"]
    assert session.delete(node + "/new").status_code == 204 and session.get(node + "/new").status_code == 404
"#;
    let node = format!("http://{}", site.address);
    run(Command::new("python3").args(["-c", script, &node]));
}
