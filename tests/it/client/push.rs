//! A ring that is made like a folder.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    done, ended,
    files::{is_root, names},
    last, put, refused, ring_client,
    scripted::{node, rows},
    text,
};
use crate::cluster::Ring;

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn only_what_differs_is_put_and_only_delete_deletes() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for name in ["a", "a.txt", "a-b/c", "deep/er/x", "Gr\u{fc}\u{df}e", "empty"] {
        write(folder.path(), name, if name == "empty" { "" } else { name });
    }
    for name in ["other", "www.txt", "www/old", "www/deep"] {
        put(&one, name, b"x");
    }
    let said = text(done(&["push", dir, "www", "--node", &one]));
    assert_eq!(last(&said), "6 files put, 27 bytes", "{said}");
    assert!(said.lines().any(|line| line == "put     new      www/a-b/c"), "{said}");
    assert_eq!(done(&["get", "www/deep/er/x", "--node", &two]), b"deep/er/x");
    let list = || text(done(&["list", "--long", "--node", &two]));
    let before = list();
    assert_eq!(
        text(done(&["push", dir, "www/", "--node", &two])),
        "0 files put, 0 bytes; 6 unchanged\n"
    );
    assert_eq!(list(), before, "an unchanged file has no new version");

    // As many bytes, and others; a younger file with the same bytes; one less, one more.
    write(folder.path(), "a", "b");
    write(folder.path(), "a.txt", "a.txt");
    write(folder.path(), "new", "n");
    fs::remove_file(folder.path().join("a-b/c")).unwrap();
    let args = ["push", dir, "www", "--delete", "--node", &two];
    let before = list();
    let dry = text(done(&[&args[..], &["--dry-run"]].concat()));
    assert_eq!(list(), before, "a dry run does nothing");
    let summary = "2 files would be put, 2 bytes; 3 would be deleted; 4 unchanged";
    assert_eq!(last(&dry), summary, "{dry}");
    let said = text(done(&args));
    assert_eq!(last(&said), "2 files put, 2 bytes; 3 deleted; 4 unchanged", "{said}");
    let rows = |said: &str| -> BTreeSet<String> {
        said.lines().filter(|line| !line.contains(" files ")).map(str::to_owned).collect()
    };
    assert_eq!(rows(&dry), rows(&said), "a dry run says what is then done");
    let expected = [
        "delete           www/a-b/c",
        "delete           www/deep",
        "delete           www/old",
        "put     changed  www/a",
        "put     new      www/new",
    ];
    assert_eq!(rows(&said).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let left = ["Gr\u{fc}\u{df}e", "a", "a.txt", "deep/er/x", "empty", "new"];
    let left = left.map(|name| format!("www/{name}"));
    assert_eq!(names(&one), [&["other".into()][..], &["www.txt".into()], &left].concat());
    let told = text(done(&["push", dir, "www", "--json", "--node", &one]));
    let told: Vec<Value> = told.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(told.len() == 6 && told.iter().all(|it| it["outcome"] == "unchanged"), "{told:?}");
}

#[test]
fn an_empty_folder_deletes_nothing_unless_it_is_forced() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    put(&node, "a", b"x");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let dir = folder.path().to_str().unwrap();
    let why = refused(1, &["push", dir, "--delete", "--node", &node]);
    assert!(why.contains("--force"), "{why}");
    assert_eq!(text(done(&["push", dir, "--node", &node])), "0 files put, 0 bytes\n");
    let nowhere = folder.path().join("nowhere");
    refused(1, &["push", nowhere.to_str().unwrap(), "--delete", "--force", "--node", &node]);
    assert_eq!(names(&node), ["a"]);
    let said = text(done(&["push", dir, "--delete", "--force", "--node", &node]));
    assert_eq!(said, "delete           a\n0 files put, 0 bytes; 1 deleted\n");
}

#[test]
fn what_cannot_be_read_is_named_and_what_is_below_it_is_not_deleted() {
    needs!("mkfifo");
    if is_root() {
        needs!("setpriv");
    }
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    for name in
        ["closed", "closed-a", "closed-a/x", "closed/x", "closed/y/z", "gone", "pipe", "pipe/x"]
    {
        put(&node, name, b"x");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["closed/x", "closed-a/x", "good", "sub/file"] {
        write(folder.path(), name, name);
    }
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "x").unwrap();
    crate::service::tool("mkfifo", &[at("pipe").to_str().unwrap()]);
    symlink("good", at("link")).unwrap();
    symlink("..", at("sub/circle")).unwrap();
    for closed in ["closed", "closed-a"] {
        fs::set_permissions(at(closed), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let args = ["push", folder.path().to_str().unwrap(), "--delete", "--node", &node];
    // The superuser reads what has no permissions, but for this.
    let output = match is_root() {
        false => ring_client(&args).output(),
        true => Command::new("setpriv")
            .args(["--bounding-set", "-dac_override,-dac_read_search"])
            .arg(env!("CARGO_BIN_EXE_ring-client"))
            .args(args)
            .output(),
    };
    for closed in ["closed", "closed-a"] {
        fs::set_permissions(at(closed), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let output = output.unwrap();
    let (said, errors) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 5, "{errors}");
    for name in ["/closed:", "/closed-a:", "/\u{fffd}:", "/pipe:", "/circle:"] {
        assert!(errors.contains(name), "{name}: {errors}");
    }
    assert_eq!(last(&said), "3 files put, 16 bytes; 2 deleted; 5 skipped", "{said}");
    let left = [
        // The folder has no such file: it is a folder there.
        "closed-a",
        "closed-a/x",
        "closed/x",
        "closed/y/z",
        "good",
        "link",
        "pipe",
        "pipe/x",
        "sub/file",
    ];
    assert_eq!(names(&node), left);
}

#[test]
fn what_another_client_has_put_meanwhile_is_not_deleted() {
    let version = "0000000000000001@127.0.0.1:1";
    let node = node(move |line| {
        let listed = ["a", "b"].map(|name| format!("{name} len=1 version={version}"));
        Some(match line {
            _ if line.starts_with("LIST") => rows(" more=0", &listed),
            // It has another version by now.
            _ if line == format!("DELETE a if-version={version}") => {
                "412 PRECONDITION FAILED : the newest version of a is another\n".into()
            }
            // Another client has deleted it.
            _ if line == format!("DELETE b if-version={version}") => "404 NOT FOUND\n".into(),
            _ if line.starts_with("PUT c ") => format!("200 OK version={version} copies=1\n"),
            _ => "400 BAD REQUEST : this is not asked\n".into(),
        })
    });
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "c", "c");
    let args = ["push", folder.path().to_str().unwrap(), "--delete", "--node", &node];
    let (said, errors) = ended(1, &args);
    assert_eq!(last(&said), "1 file put, 1 byte; 1 deleted; 1 failed", "{said}");
    assert!(errors.contains("a was not deleted: ") && errors.lines().count() == 1, "{errors}");
}

#[test]
fn a_push_that_was_killed_is_repeated_and_does_the_rest() {
    const FILES: usize = 200;
    let ring = Ring::start(2, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let content = |i: usize| format!("{i:03}").repeat(70_000);
    for i in 0..FILES {
        write(folder.path(), &format!("f/{i:03}"), &content(i));
    }
    let mut push =
        ring_client(&["push", dir, "--node", &node]).stdout(Stdio::piped()).spawn().unwrap();
    // Some are put, and others are on their way.
    let mut lines = BufReader::new(push.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("put     new "));
    push.kill().unwrap();
    push.wait().unwrap();
    let there = names(&node).len();
    assert!((1..FILES).contains(&there), "{there}");
    let said = text(done(&["push", dir, "--node", &node]));
    assert!(last(&said).starts_with(&format!("{} file", said.lines().count() - 1)), "{said}");
    let unchanged = FILES - (said.lines().count() - 1);
    assert!(unchanged >= 1 && last(&said).ends_with(&format!("; {unchanged} unchanged")), "{said}");
    done(&["verify", "--local", dir, "--node", &node]);
}
