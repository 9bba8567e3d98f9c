//! Many files: folders with odd things in them, what is sent again, and what a get writes.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{done, refused, ring_client, run, text};
use crate::cluster::{Ring, until};

pub fn names(node: &str) -> Vec<String> {
    text(done(&["list", "--node", node])).lines().map(str::to_owned).collect()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn one_odd_entry_keeps_no_other_from_being_put() {
    needs!("mkfifo");
    if is_root() {
        needs!("setpriv");
    }
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &[u8]| folder.path().join(OsStr::from_bytes(path));
    fs::create_dir(at(b"closed")).unwrap();
    fs::write(at(b"closed/x"), "x").unwrap();
    fs::write(at(b"unreadable"), "x").unwrap();
    let deep = (0..9).map(|_| "d".repeat(120)).collect::<Vec<_>>().join("/");
    fs::create_dir_all(at(deep.as_bytes())).unwrap();
    fs::write(at(deep.as_bytes()).join("far"), "x").unwrap();
    for name in [&b"line\nfeed"[..], b"not \xff UTF-8", b"good", b"-v.html"] {
        fs::write(at(name), "x").unwrap();
    }
    for closed in ["closed", "unreadable"] {
        fs::set_permissions(at(closed.as_bytes()), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // The superuser reads what has no permissions, but for this.
    let put = ["put", folder.path().to_str().unwrap(), "/no/such/path", "--node", &node];
    let put = |more: &[&str]| match is_root() {
        false => run(&[&put[..], more].concat()),
        true => Command::new("setpriv")
            .args(["--bounding-set", "-dac_override,-dac_read_search"])
            .arg(env!("CARGO_BIN_EXE_ring-client"))
            .args(put)
            .args(more)
            .output()
            .unwrap(),
    };
    let odd =
        ["closed", "unreadable", "line\\nfeed", "not \u{fffd} UTF-8", "/far", "/no/such/path"];
    let output = put(&[]);
    let (said, errors) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(names(&node), ["-v.html", "good"]);
    for name in odd {
        assert!(errors.lines().any(|line| line.contains(name)), "{name}: {errors}");
    }
    assert_eq!(errors.lines().count(), odd.len(), "{errors}");
    assert_eq!(said.lines().last(), Some("2 files put, 2 bytes; 1 not put; 5 skipped"), "{said}");

    // Each is an object as well.
    let told = text(put(&["--json", "--all"]).stdout);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |outcome: &str| told.iter().filter(|it| it["outcome"] == outcome).count();
    assert_eq!((count("put"), count("failed"), count("skipped")), (2, 1, 5), "{told:?}");
    fs::set_permissions(at(b"closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn special_files_are_an_error_unless_they_may_be_skipped() {
    needs!("mkfifo");
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    crate::service::tool("mkfifo", &[at("pipe").to_str().unwrap()]);
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("nowhere", at("broken")).unwrap();
    symlink(".", at("circle")).unwrap();
    symlink("/dev/null", at("device")).unwrap();
    fs::write(at("file"), "x").unwrap();
    let dir = folder.path().to_str().unwrap();
    let output = run(&["put", dir, "--node", &node]);
    let errors = text(output.stderr);
    assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 5), "{errors}");
    for name in ["pipe", "socket", "broken", "circle", "device"] {
        assert!(errors.contains(&format!("skipped {}", at(name).display())), "{errors}");
    }
    assert_eq!(text(output.stdout).lines().last(), Some("1 file put, 1 byte; 5 skipped"));
    let said = text(done(&["put", dir, "--skip-special", "--node", &node]));
    assert_eq!(said.lines().last(), Some("0 files put, 0 bytes; 1 unchanged; 5 skipped"));
    // Alone, it is named in any case.
    assert!(refused(1, &["put", at("pipe").to_str().unwrap(), "--node", &node]).contains("pipe"));
    assert_eq!(names(&node), ["file"]);
}

#[test]
fn what_the_ring_has_unchanged_is_not_sent_again() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let dir = folder.path().to_str().unwrap();
    // Each is the beginning of the next name.
    for name in ["a", "a b", "a b c", "empty", "other"] {
        fs::write(at(name), if name == "empty" { "" } else { name }).unwrap();
    }
    let versions = || {
        let list = text(done(&["list", "--long", "--node", &one]));
        let line = |line: &str| {
            let words: Vec<&str> = line.splitn(2, "  ").collect();
            words[1].to_owned()
        };
        list.lines().map(|it| line(it.trim_start())).collect::<Vec<String>>()
    };
    let said = text(done(&["put", dir, "--node", &one]));
    assert_eq!(said.lines().last(), Some("5 files put, 14 bytes"), "{said}");
    let before = versions();
    // The same bytes, though the file is younger; and other bytes, though as many.
    fs::write(at("a"), "a").unwrap();
    fs::write(at("other"), "OTHER").unwrap();
    let said = text(done(&["put", dir, "--node", &two]));
    assert_eq!(said.lines().last(), Some("1 file put, 5 bytes; 4 unchanged"), "{said}");
    assert!(said.lines().any(|line| line.starts_with("a b c  unchanged version=")), "{said}");
    assert_eq!(done(&["get", "other", "--node", &one]), b"OTHER");
    let after = versions();
    assert_eq!(after[..4], before[..4]);
    assert_ne!(after[4], before[4]);
    let told = text(done(&["put", dir, "--json", "--node", &two]));
    assert!(told.lines().all(|line| line.contains(r#""outcome":"unchanged""#)), "{told}");
    // A lone file, and all if that is wanted, is put anew.
    let lone = text(done(&["put", at("a").to_str().unwrap(), "--node", &two]));
    assert!(lone.starts_with("200 OK version=") && lone.ends_with(" copies=2\n"), "{lone}");
    let said = text(done(&["put", dir, "--all", "--node", &two]));
    assert_eq!(said.lines().last(), Some("5 files put, 14 bytes"), "{said}");
}

#[test]
fn several_names_and_prefixes_are_got_into_a_folder() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    done(&["put", "test_files", "--node", &one]);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("a copy/deep");
    let to = copy.to_str().unwrap();
    let same = |name: &str| {
        assert_eq!(
            fs::read(copy.join(name)).unwrap(),
            fs::read(Path::new("test_files").join(name)).unwrap()
        );
    };
    let said = text(done(&["get", "index.html", "img/", "empty", "-o", to, "--node", &two]));
    assert!(said.starts_with("3 files got, ") && said.lines().count() == 1, "{said}");
    ["index.html", "img/ring.png", "empty"].iter().for_each(|name| same(name));
    assert!(!copy.join("css").exists());
    let said = text(done(&["get", "--prefix", "", "-o", to, "--node", &two]));
    assert!(said.starts_with("5 files got, 2237 bytes"), "{said}");
    ["Gr\u{fc}\u{df}e.txt", "css/style.css"].iter().for_each(|name| same(name));
    // What was got is what was put.
    let said = text(done(&["put", to, "--node", &one]));
    assert_eq!(said.lines().last(), Some("0 files put, 0 bytes; 5 unchanged"), "{said}");

    // Onto stdout they stand one after the other.
    let both = done(&["get", "css/style.css", "index.html", "-o", "-", "--node", &two]);
    let [style, index] = ["css/style.css", "index.html"].map(|it| fs::read(copy.join(it)).unwrap());
    assert_eq!(both, [style, index.clone()].concat());
    let told = text(done(&["get", "--prefix", "c", "index.html", "--json", "--node", &two]));
    assert_eq!(told.lines().count(), 2, "{told}");

    // One that fails keeps no other from being got.
    fs::write(copy.join("file"), "").unwrap();
    let clash = copy.join("file").to_str().unwrap().to_owned();
    let mut put = ring_client(&["put", "-", "--name", "file/below", "--node", &one]);
    assert!(put.stdin(Stdio::null()).output().unwrap().status.success());
    fs::remove_file(copy.join("index.html")).unwrap();
    let output = run(&["get", "nothing", "file/below", "index.html", "-o", to, "--node", &two]);
    let errors = text(output.stderr);
    assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 2), "{errors}");
    assert!(errors.contains("nothing was not got: ") && errors.contains(&clash), "{errors}");
    assert_eq!(text(output.stdout), format!("1 file got, {} bytes; 2 not got\n", index.len()));
    same("index.html");
    assert!(refused(3, &["get", "nope/", "-o", to, "--node", &two]).contains("begins with nope/"));
    let output = run(&["get", "nothing", "index.html", "-o", to, "--node", &two]);
    assert_eq!(output.status.code(), Some(3));

    for (why, args) in [
        ("-o FOLDER", &["get", "a", "b", "--node", &two][..]),
        ("-o FOLDER", &["get", "img/", "--node", &two]),
        ("is no folder", &["get", "a", "b", "-o", "Cargo.toml", "--node", &two]),
        ("cannot be a name", &["get", "../", "-o", to, "--node", &two]),
        ("cannot be a name", &["get", "/", "-o", to, "--node", &two]),
    ] {
        let said = refused(2, args);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_file_that_is_got_has_the_time_of_its_version_and_keeps_its_permissions() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(at("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let put = text(done(&["put", at("run.sh").to_str().unwrap(), "--node", &node]));
    let stamp = put.split("version=").nth(1).unwrap().split('@').next().unwrap();
    let put_at = u64::from_str_radix(stamp, 16).unwrap() >> 16;
    let modified = |name: &str| {
        let modified = fs::metadata(at(name)).unwrap().modified().unwrap();
        modified.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    };
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    for name in ["run.sh", "copy.sh"] {
        done(&["get", "run.sh", "-o", at(name).to_str().unwrap(), "--node", &node]);
        assert_eq!(modified(name), put_at);
    }
    assert_eq!((mode("run.sh"), mode("copy.sh") & 0o111), (0o755, 0));
    let into = at("into/");
    done(&["get", "run.sh", "-o", &format!("{}/", into.display()), "--node", &node]);
    assert!(into.join("run.sh").exists(), "a folder is made where the target ends in /");
    assert!(
        modified("into/run.sh")
            <= SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    );
}

/// A node that has endlessly many large files, and answers each.
pub fn endless_node() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let content: &'static [u8] = vec![b'x'; 8 << 20].leak();
    let hash = blake3::hash(content);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut out = stream.try_clone().unwrap();
                let version = "version=01a21de07a850000@127.0.0.1:1";
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let answered = match line.starts_with("LIST") {
                        true => {
                            let rows: String =
                                (0..1000).map(|i| format!("f/{i:04} len=1 {version}\n")).collect();
                            let len = rows.len();
                            write!(out, "200 OK len={len} count=1000 more=0\n{rows}")
                        }
                        false => {
                            let len = content.len();
                            writeln!(out, "200 OK len={len} {version} blake3={hash}")
                                .and_then(|()| out.write_all(content))
                        }
                    };
                    if answered.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn an_interrupted_get_leaves_nothing_half() {
    let node = endless_node();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let folder = tempfile::tempdir().unwrap();
        let found = || {
            let entries = fs::read_dir(folder.path().join("f")).into_iter().flatten();
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let mut get =
            ring_client(&["get", "f/", "-o", folder.path().to_str().unwrap(), "--node", &node]);
        let child = get.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("a file is half written", || {
            found().iter().any(|name| name.ends_with(".part")).then_some(())
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = text(output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        for name in found() {
            assert!(name.len() == 4, "{name} is left");
            assert_eq!(fs::metadata(folder.path().join("f").join(name)).unwrap().len(), 8 << 20);
        }
    }
}
