//! Style that matters, and which modules of `src` may use which.

mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules of `src`, bottom-up. Each may use those of the lines above its own, and none beside it.
const LAYERS: &[&[&str]] = &[
    &["by_number", "durations", "printable", "timestamp"],
    &["ring", "cli", "random"],
    &["connect", "http1", "store"],
    &["serve"],
    &["net", "client", "http"],
    &["face", "grpc", "http_tools"],
    &["services"],
    &["command"],
    &["lib"],
];

/// Files that may use each other in a circle, by how their names begin. ARCHITECTURE.md says why.
const CIRCLES: &[&[&str]] = &[
    // One Node, a file for each of its duties.
    &[
        "ring/node",
        "ring/arriving",
        "ring/checks",
        "ring/commits",
        "ring/short_links",
        "ring/forward",
        "ring/giving_up",
        "ring/joining",
        "ring/keeping",
        "ring/leaving",
        "ring/links",
        "ring/membership",
        "ring/offers",
        "ring/operations",
        "ring/reading",
        "ring/requests",
        "ring/sync",
        "ring/traced",
    ],
    // The driver starts tasks, and they call it.
    &["net/driver", "net/http", "net/link", "net/pull", "net/task", "net/upload"],
];

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
        "fastrand",
        "RandomState",
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

/// Each file of `src`, and those that it uses.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    imports::uses(&root().join("src"), &sources("src"))
}

/// The place of a file's module in the table.
fn layer(file: &str) -> usize {
    let module = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let layer = LAYERS.iter().position(|it| it.contains(&module));
    layer.unwrap_or_else(|| panic!("say in LAYERS where the module {module} stands"))
}

#[test]
fn arrows_never_point_up() {
    for (file, used) in uses() {
        let module = file.split('/').next();
        for other in used.iter().filter(|other| other.split('/').next() != module) {
            assert!(layer(other) < layer(&file), "{file} uses {other}, which is not below it");
        }
    }
}

#[test]
fn files_use_each_other_in_no_circle_but_those_that_are_named() {
    for circle in imports::circles(&uses()) {
        let is_allowed = |names: &&[&str]| {
            circle.iter().all(|file| names.iter().any(|name| file.starts_with(name)))
        };
        assert!(CIRCLES.iter().any(is_allowed), "these use each other: {circle:?}");
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    for (library, rooms) in [
        ("hyper", ["face/", "http/", "grpc/"].as_slice()),
        ("tide", &["http/", "services/"]),
        ("surf", &["http/", "services/"]),
        ("tonic", &["grpc/", "services/"]),
        ("redis", &["services/logging/"]),
        ("redb", &["services/logging/"]),
        ("tar_core", &["client/archive/"]),
    ] {
        for (path, text) in sources("src") {
            let file = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
            if rooms.iter().any(|room| file.starts_with(room)) {
                continue;
            }
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let is_named = words
                    .any(|it| it.split("::").next() == Some(library) && it != library)
                    || line.trim_start().starts_with(&format!("use {library}"));
                assert!(!is_named, "{file} names {library}: {line}");
            }
        }
    }
}

#[test]
fn features_choose_modules_and_not_lines() {
    for (path, text) in sources("src") {
        let is_a_boundary = ["lib.rs", "mod.rs", "applet.rs"].iter().any(|it| path.ends_with(it));
        assert!(is_a_boundary || !text.contains("feature = \""), "{path:?} asks for a feature");
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
