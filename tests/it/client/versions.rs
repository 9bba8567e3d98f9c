//! Versions: shown, got, expected; and files that are deleted.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use super::{
    done, ended,
    files::names,
    last, put, refused,
    scripted::{node, rows},
    text, version,
};
use crate::cluster::Ring;

#[test]
fn versions_are_shown_and_got_and_a_deletion_is_one_of_them() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let versions = ["first", "second!"].map(|content| put(&one, "a b", content.as_bytes()));
    let log = text(done(&["log", "a b", "--node", &two]));
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{log}");
    let hash = blake3::hash(b"second!").to_string();
    assert_eq!(lines[0][0], "1");
    assert_eq!(lines[0][2..], [&one, "7", &versions[1], &hash[..12]], "{log}");
    assert_eq!((lines[1][0], lines[1][3], lines[1][4]), ("2", "5", versions[0].as_str()));

    let get = |version: &str| done(&["get", "a b", "--version", version, "--node", &two]);
    assert_eq!((get("1"), get("2")), (b"second!".to_vec(), b"first".to_vec()));
    assert_eq!(get(&versions[0]), b"first");
    let why = refused(3, &["get", "a b", "--version", "3", "--node", &two]);
    assert!(why.contains("holds 2 versions"), "{why}");
    let other = format!("0{}", &versions[0][1..]).replacen("01", "02", 1);
    refused(3, &["get", "a b", "--version", &other, "--node", &two]);

    let said = text(done(&["delete", "a b", "--node", &two]));
    assert!(said.starts_with("200 OK version=") && said.ends_with(" copies=2\n"), "{said}");
    refused(3, &["get", "a b", "--node", &one]);
    assert!(refused(3, &["delete", "a b", "--node", &one]).contains("no file a b"));
    let log = text(done(&["log", "a b", "--node", &one]));
    let first: Vec<&str> = log.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(first[2..], [&two, "deleted", version(&said), "-"], "{log}");
    let why = refused(3, &["get", "a b", "--version", "1", "--node", &one]);
    assert!(why.contains("is a deletion"), "{why}");
    assert_eq!(get("2"), b"second!");

    let told: Value =
        serde_json::from_slice(&done(&["log", "a b", "--json", "--node", &one])).unwrap();
    let told = told["versions"].as_array().unwrap();
    assert_eq!((told[0]["deleted"].as_bool(), &told[0]["bytes"]), (Some(true), &Value::Null));
    assert_eq!((told[1]["number"].as_u64(), told[1]["bytes"].as_u64()), (Some(2), Some(7)));
    assert_eq!(told[1]["blake3"].as_str(), Some(hash.as_str()));
    refused(3, &["log", "nothing", "--node", &one]);
    for args in [&["get", "x", "--version", "0"][..], &["get", "x", "y", "--version", "1"]] {
        refused(2, args);
    }
    // Without a value it is the question that it is everywhere else.
    for args in [&["--version"][..], &["list", "--version"], &["get", "-V"]] {
        assert_eq!(text(done(args)), concat!("ring-client ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn several_files_are_deleted_by_name_folder_and_prefix() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    for name in ["a", "img/a", "img/b", "img2", "tmp-1", "tmp-2", "keep"] {
        put(&one, name, b"x");
    }
    let args = ["delete", "img/a", "img/", "a", "nothing", "--prefix", "tmp-", "--node", &two];
    let (said, errors) = ended(3, &args);
    assert_eq!(last(&said), "5 files deleted; 1 not there", "{said}");
    assert!(said.lines().any(|line| line.starts_with("img/b  200 OK version=")), "{said}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("nothing"), "{errors}");
    assert_eq!(names(&one), ["img2", "keep"]);
    assert!(ended(3, &["delete", "img/", "--node", &one]).1.contains("begins with img/"));
    let told = text(done(&["delete", "--prefix", "", "--json", "--node", &one]));
    let told: Vec<Value> = told.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(told.iter().all(|it| it["outcome"] == "deleted" && it["copies"] == 2), "{told:?}");
    assert_eq!((told.len(), names(&two)), (2, vec![]));
    refused(2, &["delete", "--node", &one]);
    refused(2, &["delete", "a", "b", "--if-version", &format!("0000000000000001@{one}")]);
}

#[test]
fn nothing_is_written_where_another_version_is_the_newest() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let put_if = |content: &str, expected: &str| {
        fs::write(&file, content).unwrap();
        let file = file.to_str().unwrap();
        super::run(&["put", file, "--if-version", expected, "--node", &node])
    };
    let first = put_if("one", "none");
    assert_eq!(first.status.code(), Some(0));
    let first = version(&text(first.stdout)).to_owned();
    let again = put_if("two", "none");
    let errors = text(again.stderr);
    assert_eq!(again.status.code(), Some(6), "{errors}");
    assert!(errors.contains("412") && errors.contains(&first), "{errors}");
    let second = version(&text(put_if("two", &first).stdout)).to_owned();
    assert_eq!(put_if("three", &first).status.code(), Some(6));
    assert_eq!(done(&["get", "file", "--node", &node]), b"two");

    refused(6, &["delete", "file", "--if-version", &first, "--node", &node]);
    assert_eq!(names(&node), ["file"]);
    done(&["delete", "file", "--if-version", &second, "--node", &node]);
    assert_eq!(put_if("four", "none").status.code(), Some(0), "a deleted file is no file");
    for args in [
        &["put", "Cargo.toml", "--if-version", "x"][..],
        &["put", "src", "--if-version", "none"],
        &["put", "Cargo.toml", "Cargo.lock", "--if-version", "none"],
    ] {
        refused(2, args);
    }
}

/// A node that breaks off at the first of these requests, and later finds it done or not: `log` has
/// the versions that it then has.
fn breaking(verb: &'static str, later: &'static str, log: Vec<String>) -> String {
    let asked = AtomicUsize::new(0);
    node(move |line| match line.split(' ').next() {
        Some(it) if it == verb => {
            (asked.fetch_add(1, Ordering::Relaxed) > 0).then(|| format!("{later}\n"))
        }
        Some("LOG") if log.is_empty() => Some("404 NOT FOUND : no member has x\n".into()),
        Some("LOG") => Some(rows("", &log)),
        _ => Some("400 BAD REQUEST\n".into()),
    })
}

const OLD: &str = "0000000000000001@127.0.0.1:1";
const NEW: &str = "0000000000000002@127.0.0.1:1";

#[test]
fn a_delete_that_is_repeated_finds_out_whether_it_was_done() {
    let deletion = format!("x deleted=1 version={NEW}");
    let file = format!("x len=1 version={OLD} blake3={}", blake3::hash(b"x"));
    let missing = "404 NOT FOUND : no member has x";
    let done_before = breaking("DELETE", missing, vec![deletion.clone(), file.clone()]);
    let said = text(done(&["delete", "x", "--node", &done_before]));
    assert!(said.starts_with(&format!("200 OK version={NEW}")), "{said}");
    // Nobody has deleted it: there was no such file.
    let never = breaking("DELETE", missing, vec![]);
    refused(3, &["delete", "x", "--node", &never]);
    // With a condition, the version before the deletion must be the one that was expected.
    let changed = "412 PRECONDITION FAILED : there is no file x";
    let log = vec![deletion, file];
    let args = |node: &str, expected: &str| {
        let args = ["delete", "x", "--if-version", expected, "--node", node];
        super::run(&args).status.code()
    };
    assert_eq!(args(&breaking("DELETE", changed, log.clone()), OLD), Some(0));
    let other = "0000000000000000@127.0.0.1:1";
    assert_eq!(args(&breaking("DELETE", changed, log), other), Some(6));
}

#[test]
fn a_put_on_a_condition_that_is_repeated_finds_out_whether_it_was_done() {
    let changed = "412 PRECONDITION FAILED : the newest version of x is another";
    let row = |version: &str, content: &[u8]| {
        format!("x len=5 version={version} blake3={}", blake3::hash(content))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    fs::write(&file, "alice").unwrap();
    let put = |node: &str, expected: &str| {
        let file = file.to_str().unwrap();
        // A put is repeated at the next node.
        let args = ["put", file, "--if-version", expected, "--node", node, "--node", node];
        super::run(&args).status.code()
    };
    let ours = vec![row(NEW, b"alice"), row(OLD, b"older")];
    assert_eq!(put(&breaking("PUT", changed, ours.clone()), OLD), Some(0));
    assert_eq!(put(&breaking("PUT", changed, ours), "none"), Some(6));
    let others = vec![row(NEW, b"other"), row(OLD, b"older")];
    assert_eq!(put(&breaking("PUT", changed, others), OLD), Some(6));
}
