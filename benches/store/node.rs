//! A whole node with many small files, and one without any: how soon it answers, and what memory it takes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::FILES;

const IP: &str = "127.0.1.1";
/// PUTs that wait for their answers.
const AT_ONCE: u64 = 500;

/// Opens a node on an empty folder, fills it, and opens it again.
pub fn opening() {
    let folder = tempfile::tempdir_in(".").expect("there is room");
    let (mut node, mut client) = open(folder.path(), "an empty folder");
    for from in (0..FILES).step_by(AT_ONCE as usize) {
        put(&mut client, from, AT_ONCE.min(FILES - from));
    }
    println!("  {FILES} files of 100 bytes later: {}", memory(&node));
    terminate(&mut node);
    for how in ["closed", "killed"] {
        let (mut node, mut client) = open(folder.path(), &format!("{FILES} files, {how} before"));
        let began = Instant::now();
        let names = list(&mut client);
        println!("  LIST of {names} names: {:?}, {}", began.elapsed(), memory(&node));
        node.kill().expect("it runs");
        node.wait().expect("it is a child");
    }
}

/// Starts a node, and waits until it answers.
fn open(folder: &Path, what: &str) -> (Child, BufReader<TcpStream>) {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ring-node"));
    command.args(["--ip", IP, "--port", "0", "--durability", "os", "--bootstrap", "--data"]);
    let mut node = command.arg(folder).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut lines = BufReader::new(node.stdout.take().expect("it is piped"));
    lines.read_line(&mut line).expect("it says where it listens");
    let address = line.split("listening on ").nth(1).and_then(|it| it.split_whitespace().next());
    let stream = TcpStream::connect(address.expect("it is its first line")).expect("it listens");
    let mut client = BufReader::new(stream);
    ask(&mut client, "INFO");
    let took = began.elapsed();
    // What it does not need any more once it runs is given back by then.
    std::thread::sleep(Duration::from_secs(1));
    println!("a node on {what}: the first answer after {took:?}, {}", memory(&node));
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    (node, client)
}

fn put(client: &mut BufReader<TcpStream>, from: u64, count: u64) {
    let content = "x".repeat(100);
    let all =
        (from..from + count).map(|it| format!("PUT dir{}/file{it} len=100\n{content}", it % 300));
    client.get_mut().write_all(all.collect::<String>().as_bytes()).expect("it reads");
    for _ in 0..count {
        assert!(answer(client).0.starts_with("200"));
    }
}

/// How many names there are.
fn list(client: &mut BufReader<TcpStream>) -> usize {
    let (mut names, mut after) = (0, String::new());
    loop {
        let (line, rows) = ask(client, &format!("LIST{after}"));
        names += rows.lines().count();
        match rows.lines().last().and_then(|row| row.split(' ').next()) {
            Some(last) if line.contains(" more=1") => after = format!(" after={last}"),
            _ => return names,
        }
    }
}

fn ask(client: &mut BufReader<TcpStream>, line: &str) -> (String, String) {
    client.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    answer(client)
}

/// The line of an answer, and what follows it.
fn answer(client: &mut BufReader<TcpStream>) -> (String, String) {
    let (mut line, mut rest) = (String::new(), String::new());
    client.read_line(&mut line).expect("it answers");
    let bytes = line.split_whitespace().find_map(|it| it.strip_prefix("len="));
    let bytes = bytes.and_then(|it| it.parse().ok()).unwrap_or(0);
    client.take(bytes).read_to_string(&mut rest).expect("it answers in UTF-8");
    (line, rest)
}

fn terminate(node: &mut Child) {
    let pid = rustix::process::Pid::from_child(node);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    node.wait().expect("it is a child");
}

/// Resident memory, and how much of it is not the program's and the libraries'.
fn memory(node: &Child) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", node.id())).expect("this is Linux");
    let mib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("it runs");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        format!("{:.1}", kib / 1024.0)
    };
    let (all, most, own) = (mib("VmRSS:"), mib("VmHWM:"), mib("RssAnon:"));
    format!("{all} MiB (at most {most}; {own} besides program and libraries)")
}
