//! `ring-client` as a user meets it: its output, its files, its exit codes.

mod archive;
mod files;
mod forget;
mod json;
mod pull;
mod push;
mod scripted;
mod status;
mod streams;
mod verify;
mod versions;

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::cluster::Ring;

/// A command of the crate without any of its variables in the environment.
fn ring_client(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ring-client"));
    command.args(args).env_remove("SMOLRING_NODE").env_remove("SMOLRING_TIMEOUT");
    command
}

fn run(args: &[&str]) -> Output {
    ring_client(args).output().expect("ring-client runs")
}

/// Runs it, and expects success and nothing on stderr.
fn done(args: &[&str]) -> Vec<u8> {
    let output = run(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{args:?}: {errors}");
    output.stdout
}

/// Runs it, and expects this exit code, nothing on stdout and one line on stderr, which it returns.
fn refused(code: i32, args: &[&str]) -> String {
    let output = run(args);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
    assert!(output.stdout.is_empty(), "{args:?} wrote to stdout");
    assert_eq!(errors.lines().count(), 1, "{args:?}: {errors}");
    errors
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Runs it, and expects this exit code. Returns what it has written to stdout and to stderr.
fn ended(code: i32, args: &[&str]) -> (String, String) {
    let output = run(args);
    let (said, errors) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}{errors}");
    (said, errors)
}

/// The last line: the summary.
fn last(said: &str) -> &str {
    said.lines().last().unwrap_or_default()
}

/// Puts bytes under a name, and returns the version.
fn put(node: &str, name: &str, content: &[u8]) -> String {
    let mut command = ring_client(&["put", "-", "--name", name, "--node", node]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(output.stdout);
    assert!(output.status.success(), "{said}");
    version(&said).to_owned()
}

/// The version in an answer.
fn version(answer: &str) -> &str {
    let rest = answer.split("version=").nth(1).unwrap_or_else(|| panic!("no version in {answer}"));
    rest.split_whitespace().next().unwrap()
}

/// Host and port of each node of a ring, as arguments.
fn places(ring: &Ring) -> Vec<(String, String)> {
    let addresses = ring.addresses().into_iter();
    addresses.map(|it| (it.ip().to_string(), it.port().to_string())).collect()
}

/// An address at which nothing listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn the_commands_of_the_original_work_to_the_letter() {
    let ring = Ring::start(2, &[]);
    let [(ip, port), (ip_2, port_2)] = &places(&ring)[..] else { unreachable!() };
    let put = text(done(&["-put", "test_files/index.html", "-i", ip, "-p", port]));
    assert!(put.starts_with("200 OK version=") && put.ends_with(" copies=2\n"), "{put}");
    let got = done(&["-get", "index.html", "-i", ip_2, "-p", port_2]);
    assert_eq!(got, fs::read("test_files/index.html").unwrap());
    let got = done(&["--get", "index.html", "--ip", ip_2, "--port", port_2]);
    assert_eq!(got, fs::read("test_files/index.html").unwrap());
    done(&["-p", port, "-i", ip, "--put", "test_files/css/style.css"]);
    assert_eq!(text(done(&["list", "-i", ip_2, "-p", port_2])), "index.html\nstyle.css\n");
}

#[test]
fn a_folder_goes_in_with_its_paths_and_comes_out_the_same() {
    let ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    let folder = tempfile::tempdir().unwrap();
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let files = [
        ("all bytes", every_byte.as_slice()),
        ("empty", b""),
        ("a/b/c.txt", b"deep"),
        ("Gr\u{fc}\u{df}e 100%.txt", b"hello"),
    ];
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let put = text(done(&["put", folder.path().to_str().unwrap(), "--node", &one]));
    assert_eq!(put.lines().filter(|line| line.contains("  200 OK ")).count(), files.len());
    for (name, content) in files {
        assert_eq!(done(&["get", name, "--node", &two]), content, "{name}");
        let target = folder.path().join("out");
        done(&["get", name, "-o", target.to_str().unwrap(), "--node", &two]);
        assert_eq!(fs::read(target).unwrap(), content, "{name}");
    }
    assert_eq!(text(done(&["list", "a", "--node", &two])), "a/b/c.txt\nall bytes\n");
    assert_eq!(text(done(&["list", "a/", "--node", &two])), "a/b/c.txt\n");
    assert_eq!(text(done(&["list", "nothing", "--node", &two])), "");
}

#[test]
fn stdin_is_a_file_too() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let mut command = ring_client(&["put", "-", "--name", "typed.txt", "--node", &node]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed in").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(done(&["get", "typed.txt", "--node", &node]), b"typed in");
}

#[test]
fn what_is_not_there_is_exit_code_3_and_leaves_no_file() {
    let ring = Ring::start(2, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let why = refused(3, &["get", "no such", "-o", target.to_str().unwrap(), "--node", &node]);
    assert!(why.contains("404"), "{why}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_next_node_is_asked_when_one_is_down() {
    let mut ring = Ring::start(2, &[]);
    let [one, two] = [0, 1].map(|i| ring.addresses()[i].to_string());
    done(&["put", "test_files/index.html", "--node", &nobody(), "--node", &one]);
    ring.nodes[0].kill();
    let got = done(&["get", "index.html", "--node", &one, "--node", &two]);
    assert_eq!(got, fs::read("test_files/index.html").unwrap());
    let nodes = format!("{one},{two}");
    let output = ring_client(&["list"]).env("SMOLRING_NODE", nodes).output().unwrap();
    assert_eq!(text(output.stdout), "index.html\n");
    ring.nodes[1].wait_for_list(&[ring.nodes[1].address()]);
    let seen = text(done(&["ring", "--node", &two]));
    assert_eq!(seen.lines().next(), Some(format!("{two}(WS1)").as_str()));
    assert!(seen.lines().any(|line| line.starts_with(&one) && line.contains("gone")), "{seen}");
    refused(69, &["ping", "--node", &one]);
    refused(69, &["get", "index.html", "--node", &nobody()]);
    refused(69, &["put", "test_files/index.html", "--node", &nobody()]);
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_goes_to_stdout() {
    for args in [
        &["frobnicate"][..],
        &[],
        &["get"],
        &["put"],
        &["put", "-"],
        &["get", "x", "--port", "many"],
        &["get", "x", "--node", "here:x"],
        &["get", "/etc/passwd"],
        &["bench", "--clients", "0"],
        &["ping", "--count", "0"],
        &["ping", "--timeout", "1000000000000"],
        &["ping", "--timeout", "99999999999999999999"],
        &["bench", "--seconds", "1000000000000d"],
        &["get", "x", "-o"],
        &["get", "x", "-o", "--json"],
        &["put", "test_files/index.html", "--name"],
        &["put", "test_files/index.html", "--name", "--"],
        &["list", "--long=yes"],
        &["list", "-l=yes"],
        &["ring", "--node"],
        &["ring", "-p"],
    ] {
        refused(2, args);
    }
    for (args, parts) in [
        (&["get", "x", "-o"][..], ["-o needs a value: -o <file>", "See `ring-client get --help`"]),
        (&["get", "x", "--ouput", "y"], ["did you mean --output?", "See `ring-client get --help`"]),
        (&["-p", "1", "gte", "x"], ["did you mean `get`?", "See `ring-client --help`"]),
        (&["get"], ["<name> is missing", "See `ring-client get --help`"]),
        (&["get", "x", "y"], ["-o FOLDER", "See `ring-client get --help`"]),
        (&["ping", "--count", "0"], ["--count must be", "See `ring-client ping --help`"]),
        (&["ping", "-pmany"], ["--port many: it is no whole number", "ring-client ping --help"]),
    ] {
        let why = refused(2, args);
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    }
    let help = text(done(&["get", "--help"]));
    assert!(help.contains("-o, --output") && help.contains("-p, --port"), "{help}");
    for args in [&["--help"][..], &["get", "--help"], &["bench", "--help"], &["--version"]] {
        assert!(!done(args).is_empty());
    }
    let output = ring_client(&["list"]).env("SMOLRING_NODE", "here:x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(output.stderr).contains("SMOLRING_NODE"));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), vec![b'x'; 4 << 20]).unwrap();
    done(&["put", folder.path().to_str().unwrap(), "--node", &node]);
    let mut command = ring_client(&["get", "large", "--node", &node]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", text(output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_refused_file_says_why_and_the_others_go_on() {
    let ring = Ring::start(1, &["--max-file-bytes", "1KiB"]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), vec![b'x'; 1 << 20]).unwrap();
    fs::write(folder.path().join("small"), "x").unwrap();
    let output = run(&["put", folder.path().to_str().unwrap(), "--node", &node]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(output.stderr);
    assert!(errors.contains("large") && errors.contains("413"), "{errors}");
    let why = "this file has 1MiB, and this node takes at most 1KiB; see its --max-file-bytes";
    assert!(errors.contains(why), "{errors}");
    assert_eq!(text(done(&["list", "--node", &node])), "small\n");
}

#[test]
fn bench_measures_right_answers_only() {
    let ring = Ring::start(3, &[]);
    let nodes: Vec<_> = ring.addresses().iter().map(ToString::to_string).collect();
    for mode in ["get", "put", "mixed"] {
        let mut args = vec!["bench", "--mode", mode, "--seconds", "0.3", "--clients", "16"];
        args.extend(["--names", "50", "--size", "300", "--pipeline", "4", "--json"]);
        args.extend(nodes.iter().flat_map(|node| ["--node", node]));
        let report: serde_json::Value = serde_json::from_slice(&done(&args)).unwrap();
        assert!(report["ops_per_s"].as_f64().unwrap() > 0.0, "{report}");
        assert_eq!(report["errors"], 0, "{report}");
        for key in ["p50_us", "p99_us", "p99_9_us"] {
            assert!(report[key].as_f64().unwrap() > 0.0, "{report}");
        }
    }
    assert!(Path::new("test_files").is_dir(), "tests run in the folder of the crate");
}

#[test]
fn ping_and_info_say_who_answers() {
    let ring = Ring::start(1, &[]);
    let node = ring.addresses()[0].to_string();
    let pings = text(done(&["ping", "--count", "3", "--timeout", "36500d", "--node", &node]));
    assert_eq!(pings.lines().filter(|line| line.starts_with(&node)).count(), 3, "{pings}");
    let info = text(done(&["info", "--node", &node]));
    for line in [format!("node={node}").as_str(), "ready=1", "members=1", "files=0"] {
        assert!(info.lines().any(|it| it == line), "{line} is not in {info}");
    }
}
