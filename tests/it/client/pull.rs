//! A folder that is made like the ring, and nothing outside of it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::UNIX_EPOCH,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{done, ended, files::endless_node, last, put, refused, ring_client, text};
use crate::cluster::{Ring, until};

/// All files and folders below a folder, sorted; folders end in a slash.
fn tree(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !path.is_symlink() {
                found.push(below + "/");
                folders.push(path);
            } else {
                found.push(below);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn only_what_differs_is_got_and_only_delete_deletes() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let names = ["www/a", "www/a.txt", "www/a-b/c", "www/deep/er/x", "www/Gr\u{fc}\u{df}e"];
    let versions = names.map(|name| put(&one, name, name.as_bytes()));
    put(&one, "other", b"x");
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("new/copy");
    let dir = copy.to_str().unwrap();
    let args = ["pull", dir, "www", "--node", &two];
    let said = text(done(&[&args[..], &["--dry-run"]].concat()));
    assert_eq!(last(&said), "5 files would be got, 47 bytes", "{said}");
    assert!(!home.path().join("new").exists(), "a dry run makes nothing");
    let said = text(done(&args));
    assert_eq!(last(&said), "5 files got, 47 bytes", "{said}");
    assert!(said.lines().any(|line| line == "get     new      www/a-b/c"), "{said}");
    for (name, version) in names.iter().zip(versions) {
        let path = copy.join(name.strip_prefix("www/").unwrap());
        assert_eq!(fs::read(&path).unwrap(), name.as_bytes());
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let put_at = u64::from_str_radix(&version[..16], 16).unwrap() >> 16;
        assert_eq!(modified.duration_since(UNIX_EPOCH).unwrap().as_millis(), u128::from(put_at));
    }
    assert_eq!(text(done(&args)), "0 files got, 0 bytes; 5 unchanged\n");

    fs::write(copy.join("a"), "WWW/a").unwrap();
    for (folder, name) in [("more", "more/old"), ("deep/er", "deep/er/old")] {
        fs::create_dir_all(copy.join(folder)).unwrap();
        fs::write(copy.join(name), "x").unwrap();
    }
    fs::create_dir(copy.join("empty")).unwrap();
    let said = text(done(&args));
    assert_eq!(said, "get     changed  www/a\n1 file got, 5 bytes; 4 unchanged\n");
    let delete = [&args[..], &["--delete"]].concat();
    let before = tree(&copy);
    let said = text(done(&[&delete[..], &["--dry-run"]].concat()));
    assert_eq!(last(&said), "0 files would be got, 0 bytes; 2 would be deleted; 5 unchanged");
    assert_eq!(tree(&copy), before);
    let said = text(done(&delete));
    assert_eq!(last(&said), "0 files got, 0 bytes; 2 deleted; 5 unchanged", "{said}");
    let left = [
        "Gr\u{fc}\u{df}e",
        "a",
        "a-b/",
        "a-b/c",
        "a.txt",
        "deep/",
        "deep/er/",
        "deep/er/x",
        "empty/",
    ];
    assert_eq!(tree(&copy), left);

    // The wrong name of a folder is not taken for an order to delete all.
    let why = refused(1, &["pull", dir, "wwww", "--delete", "--node", &two]);
    assert!(why.contains("--force"), "{why}");
    assert_eq!(tree(&copy), left);
}

/// A folder with something in the way of every name but the last, and a place outside of it.
fn obstacles(home: &Path) -> (PathBuf, PathBuf) {
    let (copy, outside) = (home.join("copy"), home.join("outside"));
    for folder in ["folder", "full"] {
        fs::create_dir_all(copy.join(folder)).unwrap();
    }
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "safe").unwrap();
    fs::write(copy.join("folder/inside"), "mine").unwrap();
    fs::write(copy.join("file"), "mine").unwrap();
    symlink(outside.join("file"), copy.join("link")).unwrap();
    symlink(outside.join("new"), copy.join("dangling")).unwrap();
    symlink(&outside, copy.join("way-out")).unwrap();
    crate::service::tool("mkfifo", &[copy.join("full/pipe").to_str().unwrap()]);
    (copy, outside)
}

#[test]
fn what_is_in_the_way_stays_and_nothing_is_written_outside() {
    needs!("mkfifo");
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let in_the_way =
        ["folder", "file/below", "link", "dangling", "way-out/file", "way-out/new/x", "full"];
    for name in in_the_way.iter().chain(&["good"]) {
        put(&node, name, b"theirs");
    }
    let home = tempfile::tempdir().unwrap();
    let (copy, outside) = obstacles(home.path());
    let before = tree(&copy);
    let args = ["pull", copy.to_str().unwrap(), "--node", &node];
    for more in [&["--dry-run"][..], &[]] {
        let (said, errors) = ended(1, &[&args[..], more].concat());
        for name in in_the_way {
            let begin = format!("ring-client: {name} was not got: ");
            assert!(errors.lines().any(|line| line.starts_with(&begin)), "{name}: {errors}");
        }
        assert_eq!(errors.lines().count(), in_the_way.len(), "{errors}");
        let would = if more.is_empty() { "" } else { "would be " };
        assert_eq!(last(&said), format!("1 file {would}got, 6 bytes; 7 failed"), "{said}");
    }
    let mut after = tree(&copy);
    after.retain(|name| name != "good");
    assert_eq!(after, before);
    assert_eq!(fs::read(copy.join("file")).unwrap(), b"mine");
    assert_eq!(
        (tree(&outside), fs::read(outside.join("file")).unwrap()),
        (vec!["file".into()], b"safe".to_vec())
    );

    // Files and links in the place of others go, what they lead to stays, and so does the pipe.
    let (said, errors) = ended(1, &[&args[..], &["--delete"]].concat());
    assert_eq!(
        last(&said),
        "4 files got, 24 bytes; 2 deleted; 1 unchanged; 3 failed; 2 skipped",
        "{said}{errors}"
    );
    for name in ["folder", "file/below", "link", "dangling"] {
        assert_eq!(fs::read(copy.join(name)).unwrap(), b"theirs", "{name}");
        assert!(!copy.join(name).is_symlink());
    }
    for name in ["way-out/file", "way-out/new/x", "full"] {
        assert!(errors.contains(&format!("{name} was not got: ")), "{errors}");
    }
    assert!(copy.join("way-out").is_symlink() && copy.join("full/pipe").exists());
    assert_eq!(
        (tree(&outside), fs::read(outside.join("file")).unwrap()),
        (vec!["file".into()], b"safe".to_vec())
    );
}

#[test]
fn a_link_to_the_same_bytes_is_as_good_as_a_file() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::write(home.path().join("file"), "same").unwrap();
    symlink("../file", copy.join("link")).unwrap();
    let dir = copy.to_str().unwrap();
    done(&["push", dir, "--node", &node]);
    for more in [&[][..], &["--delete"]] {
        let args = [&["pull", dir, "--node", &node], more].concat();
        assert_eq!(text(done(&args)), "0 files got, 0 bytes; 1 unchanged\n");
    }
    assert!(copy.join("link").is_symlink());
}

#[test]
fn names_that_are_file_and_folder_at_once_cannot_both_be_got() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    put(&node, "a", b"file");
    put(&node, "a/b", b"below");
    let home = tempfile::tempdir().unwrap();
    let args = ["pull", home.path().to_str().unwrap(), "--node", &node];
    for more in [&[][..], &["--delete"], &["--delete"]] {
        let (said, errors) = ended(1, &[&args[..], more].concat());
        assert!(last(&said).ends_with("1 failed"), "{said}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        // Whichever was first stays.
        assert_eq!(tree(home.path()).iter().filter(|it| !it.ends_with('/')).count(), 1);
    }
}

#[test]
fn an_interrupted_pull_leaves_nothing_half() {
    let node = endless_node();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let folder = tempfile::tempdir().unwrap();
        let found = || tree(folder.path()).into_iter().filter(|name| !name.ends_with('/'));
        let mut pull = ring_client(&["pull", folder.path().to_str().unwrap(), "--node", &node]);
        let child = pull.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("a file is half written", || {
            found().any(|name| name.ends_with(".part")).then_some(())
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = text(output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        for name in found() {
            assert!(!name.contains(".part"), "{name} is left");
            assert_eq!(fs::metadata(folder.path().join(name)).unwrap().len(), 8 << 20);
        }
    }
}
