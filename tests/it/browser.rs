//! The page at `/_ring/` in a real browser. The steps are in `tests/python/page.py`.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::cluster::Ring;

/// A site for the ring: the names of its files, and what is in them.
const SITE: [(&str, &str); 4] = [
    (
        "index.html",
        "<!doctype html><title>It goes round</title><link rel=\"icon\" href=\"data:,\"><p>Hello",
    ),
    ("css/style.css", "p { color: teal }\n"),
    ("hello.txt", "hello\n"),
    ("Gr\u{fc}\u{df}e.txt", "hallo\n"),
];

#[test]
fn the_page_shows_the_ring_to_people_and_their_machines() {
    needs!("chromium", "chromedriver", "python3 axe_core_python");
    let ring = Ring::start(3, &[]);
    ring.settle();
    for (name, content) in SITE {
        assert_eq!(ring.nodes[0].client().put(&percent(name), content.as_bytes()).status(), 200);
    }
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../page");
    fs::create_dir_all(&shots).unwrap();
    let nodes: Vec<_> = ring.addresses().iter().map(ToString::to_string).collect();
    let pids: Vec<_> = ring.nodes.iter().map(|it| it.pid().as_raw_nonzero().get()).collect();
    let input = json!({ "nodes": nodes, "pids": pids, "title": "It goes round" });
    let axe = "import axe_core_python, os\n\
               print(os.path.join(os.path.dirname(axe_core_python.__file__), 'axe.min.js'), end='')";
    let axe = Command::new("python3").args(["-c", axe]).output().unwrap();
    let axe = String::from_utf8(axe.stdout).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/page.py");
    let mut test = Command::new("python3")
        .args([script, "--axe", &axe, "--shots", shots.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    test.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let said = test.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
}

/// A name as it is in a line of the protocol.
fn percent(name: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}
