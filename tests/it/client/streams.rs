//! Large files: what the client has in memory meanwhile, what it shows, and how it is interrupted.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{done, ring_client, run, text};
use crate::{cluster::Ring, service::tool};

const LARGE: usize = 64 << 20;
/// What a client may have in memory, whatever the size of the file.
const PEAK_KIB_MAX: u64 = 48 << 10;

/// Bytes that do not repeat.
fn bytes(count: usize) -> Vec<u8> {
    let mut output = vec![0; count];
    blake3::Hasher::new().finalize_xof().fill(&mut output);
    output
}

/// The most memory that a process has had, in KiB. `None`: it has ended, or this system does not say.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Runs a client, and expects success and little memory. Returns what it has written to stdout.
fn small(mut command: Command) -> Vec<u8> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (pid, mut out) = (child.id(), child.stdout.take().unwrap());
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        out.read_to_end(&mut all).unwrap();
        all
    });
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(pid).unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(output.stderr));
    assert!(peak > 0 && peak < PEAK_KIB_MAX, "{command:?} had {peak} KiB in memory");
    reading.join().unwrap()
}

#[test]
fn a_large_file_is_never_whole_in_memory() {
    if peak_kib(std::process::id()).is_none() {
        return crate::needs::skip("this system does not say how much memory a process has had");
    }
    let options = ["--max-file-bytes", "256MiB", "--max-store-bytes", "4GiB"];
    let ring = Ring::start(1, &options);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let path = |path: &str| at(path).to_str().unwrap().to_owned();
    let client = |args: &[&str]| ring_client(&[args, &["--node", &node]].concat());
    let same = |name: &str| assert!(fs::read(at(name)).unwrap() == bytes(LARGE), "{name}");
    fs::create_dir(at("in")).unwrap();
    fs::write(at("in/large"), bytes(LARGE)).unwrap();
    fs::write(at("in/small"), "small").unwrap();

    small(client(&["put", &path("in/large")]));
    small(client(&["get", "large", "-o", &path("got")]));
    same("got");
    let stdout = small(client(&["get", "large"]));
    assert!(stdout == bytes(LARGE));
    drop(stdout);
    let told = text(small(client(&["get", "large", "--version", "1", "--json"])));
    let hash = blake3::hash(&bytes(LARGE)).to_string();
    assert!(told.contains(&hash) && told.contains("67108864"), "{told}");
    let said = text(small(client(&["put", &path("in")])));
    assert_eq!(said.lines().last(), Some("1 file put, 5 bytes; 1 unchanged"), "{said}");

    // From a file that is stdin, and from a pipe.
    let mut put = client(&["put", "-", "--name", "in"]);
    put.stdin(File::open(at("in/large")).unwrap());
    small(put);
    let piped = |mut command: Command, from: &str| {
        let mut cat = Command::new("cat");
        let mut cat = cat.arg(at(from)).stdout(Stdio::piped()).spawn().unwrap();
        command.stdin(cat.stdout.take().unwrap());
        let output = small(command);
        assert!(cat.wait().unwrap().success());
        output
    };
    piped(client(&["put", "-", "--name", "piped"]), "in/large");
    for name in ["in", "piped"] {
        done(&["get", name, "-o", &path("got"), "--node", &node]);
        same("got");
        done(&["delete", name, "--node", &node]);
    }

    let said = text(small(client(&["push", &path("in"), "www"])));
    assert_eq!(said.lines().last(), Some("2 files put, 64.0MiB"), "{said}");
    let said = text(small(client(&["push", &path("in"), "www"])));
    assert_eq!(said.lines().last(), Some("0 files put, 0 bytes; 2 unchanged"), "{said}");
    let said = text(small(client(&["pull", &path("out"), "www"])));
    assert_eq!(said.lines().last(), Some("2 files got, 64.0MiB"), "{said}");
    same("out/large");
    small(client(&["verify", "www", "--local", &path("out")]));

    small(client(&["export", &path("backup.tar"), "--prefix", "www/"]));
    tool("tar", &["xf", &path("backup.tar"), "-C", &path("")]);
    same("www/large");
    let tar = small(client(&["export", "-", "--prefix", "www/"]));
    assert!(tar == fs::read(at("backup.tar")).unwrap());
    drop(tar);
    // From a file and from a pipe, what is there unchanged, what is new, and what has as many bytes.
    let import = |is_piped: bool, prefix: &str| {
        let from = if is_piped { "-".to_owned() } else { path("backup.tar") };
        let import = client(&["import", &from, "--prefix", prefix]);
        let said = if is_piped { piped(import, "backup.tar") } else { small(import) };
        text(said).lines().last().unwrap().to_owned()
    };
    for is_piped in [false, true] {
        let prefix = format!("again-{is_piped}/");
        assert_eq!(import(is_piped, &prefix), "2 files put, 64.0MiB");
        assert_eq!(import(is_piped, &prefix), "0 files put, 0 bytes; 2 unchanged");
        let name = format!("{prefix}www/large");
        let mut put = client(&["put", "-", "--name", &name]);
        fs::write(at("other"), vec![7; LARGE]).unwrap();
        put.stdin(File::open(at("other")).unwrap());
        small(put);
        assert_eq!(import(is_piped, &prefix), "1 file put, 64MiB; 1 unchanged");
        done(&["get", &name, "-o", &path("got"), "--node", &node]);
        same("got");
    }
}

/// A node that takes a PUT slowly, 256 KiB at a time, and answers it if it is whole. Returns its
/// address, and how many bytes have come over each connection when that has ended.
fn slow_node(pause: Duration) -> (String, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut out = stream.try_clone().unwrap();
            let (mut input, mut line) = (BufReader::with_capacity(1 << 18, stream), String::new());
            input.read_line(&mut line).unwrap();
            let length = line.split("len=").nth(1).map_or(0, |it| it.trim().parse().unwrap());
            let mut taken = 0;
            while taken < length {
                thread::sleep(pause);
                let read = input.fill_buf().map_or(0, <[u8]>::len);
                input.consume(read);
                taken += read;
                if read == 0 {
                    break;
                }
            }
            if taken == length {
                let _ = out.write_all(b"200 OK version=01a21de07a850000@127.0.0.1:1 copies=1\n");
            }
            let _ = tell.send(taken);
        }
    });
    (address, told)
}

fn large_file(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes(16 << 20)).unwrap();
    (folder, path)
}

#[test]
fn an_interrupted_put_leaves_nothing_whole() {
    let (node, taken) = slow_node(Duration::from_millis(50));
    let (_folder, path) = large_file("large");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut put = ring_client(&["put", path.to_str().unwrap(), "--node", &node]);
        let child = put.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(400));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = text(output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        let taken = taken.recv().unwrap();
        assert!(taken < 16 << 20, "all of it has come");
    }
}

/// What a client shows on a terminal of 50 columns.
fn on_a_terminal(args: &[&str]) -> String {
    let words = args.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let line =
        format!("stty cols 50 rows 20; exec '{}' {words}", env!("CARGO_BIN_EXE_ring-client"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(output.stdout)
}

#[test]
fn a_long_transfer_is_a_line_on_a_terminal_and_nowhere_else() {
    needs!("script", "stty");
    let (node, _taken) = slow_node(Duration::from_millis(30));
    let (_folder, path) = large_file("a file with a name that is far too long for the line");
    let put = ["put", path.to_str().unwrap(), "--node", &node];
    let shown = on_a_terminal(&put);
    let states: Vec<_> = shown.split(['\r', '\n']).filter(|it| it.contains("/s  ")).collect();
    assert!(states.len() > 2, "{shown:?}");
    for state in &states {
        let state = console::strip_ansi_codes(state);
        assert!(state.starts_with("a file w") && state.contains("\u{2026}  "), "{state:?}");
        assert!(state.contains("MiB of 16MiB  ") && state.contains(" left"), "{state:?}");
        assert!(console::measure_text_width(state.trim_end()) < 50, "{state:?}");
    }
    // It makes room for the answer, and is gone in the end.
    let erased: Vec<&str> = shown.split("\x1b[2K").collect();
    assert!(erased.iter().any(|it| it.starts_with("200 OK version=")), "{shown:?}");
    assert_eq!(erased.last().unwrap().trim(), "", "{shown:?}");

    let put_json = [&put[..], &["--json"]].concat();
    assert!(!on_a_terminal(&put_json).contains("MiB"));
    // Soon over.
    let small = Path::new("test_files/index.html").to_str().unwrap();
    assert!(!on_a_terminal(&["put", small, "--node", &node]).contains("/s"));
    let output = run(&put);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(output.stderr));
}
