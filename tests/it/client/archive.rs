//! Archives: from the ring to tar and Python and back, whole or not at all, and what hostile ones do.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    done, ended,
    files::{endless_node, names},
    last, put, refused, ring_client, run, text,
};
use crate::cluster::{Ring, until};

/// Names and contents that tar has several ways to write.
fn samples() -> Vec<(String, Vec<u8>)> {
    let part = |c: &str, count| c.repeat(count);
    vec![
        ("empty".into(), Vec::new()),
        ("block".into(), vec![7; 512]),
        ("img/logo.png".into(), (0..=255).cycle().take(100_001).collect()),
        ("Gr\u{fc}\u{df}e \u{1f600}.txt".into(), b"hello".to_vec()),
        (part("n", 100), b"as long as a header allows".to_vec()),
        (part("n", 101), b"one longer".to_vec()),
        (format!("{}/{}", part("p", 120), part("q", 90)), b"in two parts".to_vec()),
        (format!("{}deepest", part("deep \u{e4}/", 120)), b"long".to_vec()),
        ("-v --help".into(), b"an odd name".to_vec()),
    ]
}

fn shell(folder: &Path, line: &str) -> Output {
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    output
}

fn python(folder: &Path, code: &str) -> String {
    let code = format!("import io, sys, tarfile\n{code}");
    let output = Command::new("python3").args(["-c", &code]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    text(output.stdout)
}

fn write_all(folder: &Path) {
    for (name, content) in samples() {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[test]
fn what_is_exported_is_unpacked_by_tar_and_by_python() {
    needs!("tar", "python3");
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    ["in", "tar", "python"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    write_all(&at("in"));
    done(&["push", at("in").to_str().unwrap(), "--node", &one]);
    let archive = at("a.tar");
    let said = text(done(&["export", archive.to_str().unwrap(), "--node", &two]));
    assert!(said.starts_with("9 files exported to ") && said.ends_with(", 98.2KiB\n"), "{said}");
    shell(home.path(), "tar xf a.tar -C tar 2>&1 && test -z \"$(tar tf a.tar 2>&1 >/dev/null)\"");
    python(home.path(), "tarfile.open('a.tar').extractall('python')");
    let list = text(done(&["list", "--long", "--node", &one]));
    for (name, content) in samples() {
        let line = list.lines().find(|line| line.ends_with(&format!("  {name}"))).unwrap();
        let stamp = &line.split_whitespace().nth(1).unwrap()[..16];
        let put_at_s = (u64::from_str_radix(stamp, 16).unwrap() >> 16) / 1000;
        for folder in ["tar", "python"] {
            let path = at(folder).join(&name);
            assert!(fs::read(&path).unwrap() == content, "{folder}: {name}");
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
            assert_eq!(modified.as_secs(), put_at_s, "{folder}: {name}");
        }
    }
    // Onto stdout it is the same, and back in the ring nothing has changed.
    let streamed = done(&["export", "-", "--node", &one]);
    assert!(streamed == fs::read(&archive).unwrap());
    let said = text(done(&["import", archive.to_str().unwrap(), "--node", &two]));
    assert_eq!(said, "0 files put, 0 bytes; 9 unchanged\n");
    done(&["delete", "--prefix", "", "--node", &one]);
    let said = text(done(&["import", archive.to_str().unwrap(), "--node", &two]));
    assert!(last(&said).starts_with("9 files put, "), "{said}");
    done(&["verify", "--local", at("in").to_str().unwrap(), "--node", &one]);

    let said = text(done(&[
        "export",
        at("b.tar").to_str().unwrap(),
        "--prefix",
        "n",
        "--json",
        "--node",
        &one,
    ]));
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((told["files"].as_u64(), told["bytes"].as_u64()), (Some(2), Some(36)));
    let listed = text(shell(home.path(), "tar tf b.tar").stdout);
    assert_eq!(listed.lines().map(str::len).collect::<Vec<_>>(), [100, 101]);
}

#[test]
fn what_tar_and_python_write_is_imported() {
    needs!("tar", "python3");
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("in");
    fs::create_dir(&folder).unwrap();
    write_all(&folder);
    let by_python = |format: &str| {
        python(
            home.path(),
            &format!(
                "with tarfile.open('a.tar', 'w', format=tarfile.{format}) as t: t.add('in', '.')"
            ),
        );
    };
    let by_tar = |format: &str| {
        shell(home.path(), &format!("tar -C in --format={format} -cf a.tar ."));
    };
    let archive = home.path().join("a.tar");
    for format in ["gnu", "posix", "GNU_FORMAT", "PAX_FORMAT"] {
        match format.ends_with("FORMAT") {
            true => by_python(format),
            false => by_tar(format),
        }
        let said = text(done(&["import", archive.to_str().unwrap(), "--node", &node]));
        assert!(last(&said).starts_with("9 files put, "), "{format}: {said}");
        done(&["verify", "--local", folder.to_str().unwrap(), "--node", &node]);
        done(&["delete", "--prefix", "", "--node", &node]);
    }
    // The oldest forms have no long names.
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir_all(folder.join("img")).unwrap();
    fs::write(folder.join("img/a"), "a").unwrap();
    for format in ["v7", "ustar"] {
        by_tar(format);
        let mut import = ring_client(&["import", "-", "--prefix", format, "--node", &node]);
        let mut child = import.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&fs::read(&archive).unwrap()).unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_eq!(names(&node), ["ustarimg/a", "v7img/a"]);
}

/// Adds files, and then what no ring can hold.
const HOSTILE: &str = "
def add(name, content=b'x', **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    t.addfile(info, io.BytesIO(content))
with tarfile.open('a.tar', 'w', format=tarfile.PAX_FORMAT) as t:
    add('good', b'old')
    for name in ['/etc/passwd', '../up', 'a/../../b', 'line\\nfeed', '\\x1b[31mred', 'x' * 1100]:
        add(name)
    add('link', b'', type=tarfile.SYMTYPE, linkname='/etc/passwd')
    add('hard', b'', type=tarfile.LNKTYPE, linkname='good')
    add('device', b'', type=tarfile.CHRTYPE)
    add('pipe', b'', type=tarfile.FIFOTYPE)
    add('folder', b'', type=tarfile.DIRTYPE)
    add('not \\udcff UTF-8')
    add('./sub//good', b'sub')
    add('good', b'new')
";

#[test]
fn what_cannot_be_in_the_ring_is_named_and_the_rest_is_put() {
    needs!("python3");
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let home = tempfile::tempdir().unwrap();
    python(home.path(), HOSTILE);
    let archive = home.path().join("a.tar");
    let (said, errors) = ended(1, &["import", archive.to_str().unwrap(), "--node", &node]);
    assert_eq!(last(&said), "3 files put, 9 bytes; 11 skipped", "{said}{errors}");
    assert_eq!(errors.lines().count(), 11, "{errors}");
    assert!(!errors.contains('\x1b') && errors.contains("\\u{1b}[31mred"), "{errors}");
    for (name, why) in [
        ("/etc/passwd", "absolute"),
        ("../up", ".."),
        ("link", "a link"),
        ("hard", "a hard link"),
        ("device", "a device"),
        ("pipe", "a pipe"),
        ("not \u{fffd} UTF-8", "not UTF-8"),
    ] {
        let begin = format!("ring-client: skipped {name}: ");
        let line = errors.lines().find(|line| line.starts_with(&begin));
        assert!(line.is_some_and(|line| line.contains(why)), "{name}: {errors}");
    }
    assert_eq!(names(&node), ["good", "sub/good"]);
    assert_eq!(done(&["get", "good", "--node", &node]), b"new", "the last of a name counts");
}

#[test]
fn a_cut_or_damaged_archive_has_put_whole_files_only() {
    needs!("tar");
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("a.tar");
    let path = archive.to_str().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(home.path().join(name), name.repeat(1000)).unwrap();
    }
    shell(home.path(), "tar cf a.tar a b c");
    let whole = fs::read(&archive).unwrap();
    let import = |bytes: &[u8], code| {
        done_or_empty(&node);
        fs::write(&archive, bytes).unwrap();
        let (said, errors) = ended(code, &["import", path, "--node", &node]);
        assert_eq!(errors.lines().count(), usize::from(code != 0), "{errors}");
        (names(&node).join(" "), errors, said)
    };
    // A file is a header and two blocks.
    for (cut, there) in [(1536 + 600, "a"), (1536, "a"), (2 * 1536 - 100, "a"), (3 * 1536, "a b c")]
    {
        let (found, errors, _) = import(&whole[..cut], 1);
        assert_eq!(found, there, "cut at {cut}");
        assert!(errors.contains(&format!("it is cut: it ends after {cut} bytes")), "{errors}");
    }
    let mut damaged = whole.clone();
    damaged[1536 + 10] ^= 1;
    let (found, errors, said) = import(&damaged, 1);
    assert_eq!((found.as_str(), last(&said)), ("a", "1 file put, 1000 bytes"));
    assert!(errors.contains("damaged at byte 1536"), "{errors}");
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (&[b'x'; 5000], "no tar archive"),
        (b"\x1f\x8b\x08 and more", "gzip -dc FILE | ring-client import -"),
    ] {
        let (found, errors, _) = import(bytes, 1);
        assert!(found.is_empty() && errors.contains(why), "{errors}");
    }
    assert_eq!(import(&whole, 0).0, "a b c");
    refused(1, &["import", "/no/such/file", "--node", &node]);
    ended(69, &["import", path, "--node", &super::nobody()]);
}

fn done_or_empty(node: &str) {
    if !names(node).is_empty() {
        done(&["delete", "--prefix", "", "--node", node]);
    }
}

#[test]
fn an_export_that_fails_leaves_the_archive_as_it_was() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("a.tar");
    let path = archive.to_str().unwrap();
    let is_as_it_was = || {
        assert_eq!(fs::read(&archive).unwrap(), b"older");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    };
    fs::write(&archive, "older").unwrap();
    assert!(refused(3, &["export", path, "--node", &node]).contains("no files"));
    refused(3, &["export", "-", "--node", &node]);
    put(&node, "a", b"x");
    refused(3, &["export", path, "--prefix", "b", "--node", &node]);
    refused(69, &["export", path, "--node", &super::nobody()]);
    is_as_it_was();

    // Each file has 8 MiB, and there are a thousand.
    let endless = endless_node();
    let mut export = ring_client(&["export", path, "--node", &endless]);
    let child = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it is half written", || (fs::read_dir(home.path()).unwrap().count() == 2).then_some(()));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", text(output.stderr));
    is_as_it_was();

    // A backup that nothing reads to its end is none.
    let mut export = ring_client(&["export", "-", "--node", &endless]);
    let mut child = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(output.stderr));
    let both = run(&["export", "-", "--json", "--node", &node]);
    assert_eq!(both.status.code(), Some(2));
}
