//! Style that matters.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, with their texts.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no Rust files");
    found
}

#[test]
fn the_ring_decides_without_clocks_sockets_or_chance() {
    let banned = [
        "Instant",
        "SystemTime",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "HashMap",
        "HashSet",
        "smol::",
        "async",
        "thread",
        "std::io::Read",
        "std::env",
        "crate::net",
        "crate::client",
        "crate::cli",
        "crate::command",
    ];
    for (path, text) in sources("src/ring") {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (line, number) in code.zip(1..) {
            for word in banned {
                assert!(!line.contains(word), "{path:?}, code line {number} has {word}: {line}");
            }
        }
    }
}

#[test]
fn arrows_never_point_up() {
    for (folder, above) in [
        ("src/net", ["crate::client", "crate::command", "crate::cli"].as_slice()),
        ("src/client", ["crate::net", "crate::command"].as_slice()),
    ] {
        for (path, text) in sources(folder) {
            for module in above {
                assert!(!text.contains(module), "{path:?} names {module}");
            }
        }
    }
}

#[test]
fn a_file_is_one_noun() {
    for folder in ["src", "bins", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 600, "{path:?} has {lines} lines");
        }
    }
}

#[test]
fn the_version_is_in_the_changelog() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let heading = format!("## {}\n", env!("CARGO_PKG_VERSION"));
    assert!(changelog.contains(&heading), "CHANGELOG.md has no {heading:?}");
}
