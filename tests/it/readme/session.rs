//! A shell in a network of its own, in which this crate's programs are on the PATH.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::needs::{is_here, skip};

/// How long to wait for a line.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is printed after each command that is not in the background.
const DONE: &str = "=== done ===";
/// What the shell runs first. Background commands print to the third descriptor.
const PRELUDE: &str = "exec 3>&2 4>&1 2>&1
ip link set lo up; for n in 1 2 3; do ip address add 192.0.2.$n/32 dev lo; done\n";

pub struct Session {
    child: Child,
    /// `None`: it has ended.
    stdin: Option<ChildStdin>,
    foreground: Receiver<String>,
    background: Receiver<String>,
    /// What the background has printed.
    heard: Vec<String>,
    _folder: TempDir,
}

impl Session {
    /// Whether this system lets a test have a network of its own. Prints a note if not.
    pub fn is_possible() -> bool {
        if !["unshare", "ip", "bash"].into_iter().all(is_here) {
            return false;
        }
        let made = unshare().args(["-c", "ip link set lo up"]).output();
        let is_made = made.is_ok_and(|it| it.status.success());
        if !is_made {
            skip("this system lets nobody have a network namespace");
        }
        is_made
    }

    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        symlink(crate_folder.join("test_files"), folder.path().join("test_files")).unwrap();
        let bins = Path::new(env!("CARGO_BIN_EXE_smolring")).parent().unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        symlink(bins, folder.path().join("target/release")).unwrap();
        let path = env::var("PATH").unwrap_or_default();
        let mut child = unshare()
            .current_dir(folder.path())
            .env("PATH", format!("{}:{path}:/usr/sbin", bins.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let foreground = lines(child.stdout.take().unwrap());
        let background = lines(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        let mut session =
            Self { child, stdin, foreground, background, heard: Vec::new(), _folder: folder };
        session.send(PRELUDE);
        session
    }

    /// Types a command, and expects what is shown: these lines and no others, in any order; or, of one in
    /// the background, each of these lines. If none is shown, it says that it listens.
    pub fn type_in(&mut self, command: &str, shown: &[String]) {
        if command.ends_with('&') {
            self.send(&format!("exec >&3 2>&3\n{command}\nexec >&4 2>&4\n"));
            let from = self.heard.len();
            self.hear(from, shown);
            let listens = |line: &String| line.to_lowercase().contains("listening on");
            while shown.is_empty() && !self.heard[from..].iter().any(listens) {
                self.next_heard("listening on");
            }
            return;
        }
        let [mut printed, mut shown] = [normals(&self.run(command)), normals(shown)];
        printed.sort();
        shown.sort();
        assert_eq!(printed, shown, "of {command}");
    }

    /// Types a command of which the background prints what is shown.
    pub fn type_in_and_hear(&mut self, command: &str, shown: &[String]) {
        let from = self.heard.len();
        self.run(command);
        self.hear(from, shown);
    }

    /// What follows these words in what the background prints.
    pub fn wait_for(&mut self, words: &str) -> String {
        for at in 0.. {
            if at == self.heard.len() {
                self.next_heard(words);
            }
            if let Some((_, rest)) = self.heard[at].split_once(words) {
                return rest.trim().to_owned();
            }
        }
        unreachable!("it is waited for until it fails")
    }

    /// What a command prints.
    fn run(&mut self, command: &str) -> Vec<String> {
        self.send(&format!("{command}\nprintf '\\n{DONE}\\n'\n"));
        let mut printed = Vec::new();
        loop {
            match self.foreground.recv_timeout(PATIENCE) {
                Ok(line) if line == DONE => break,
                Ok(line) => printed.push(line),
                Err(error) => panic!("{command}: {error}, after {printed:#?}"),
            }
        }
        printed
    }

    /// Waits until the background has printed each of these lines, after the first `from`.
    fn hear(&mut self, from: usize, shown: &[String]) {
        for line in normals(shown) {
            while !normals(&self.heard[from..]).contains(&line) {
                self.next_heard(&line);
            }
        }
    }

    fn next_heard(&mut self, what: &str) {
        match self.background.recv_timeout(PATIENCE) {
            Ok(line) => self.heard.push(line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("no {what:?} in {:#?}", self.heard)
            }
        }
    }

    fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The first process of a namespace takes all others with it.
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell that is root in its own namespaces of users, networks and processes.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "bash"]);
    command
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// These lines without what differs each time, and without empty ones.
fn normals(lines: &[String]) -> Vec<String> {
    let lines = lines.iter().map(|line| normal(line.trim_end()));
    lines.filter(|line| !line.is_empty()).collect()
}

/// A line without what differs each time: `#` stands for a time, an id, a hash, a process id, and
/// the cause for which a node is gone.
pub fn normal(line: &str) -> String {
    if let Some((before, _)) = line.split_once(" is gone: ") {
        return normal(before) + " is gone: #";
    }
    let mut normal = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let counts = ["kill -9 ", "\"uptime\":", "\"elapsed_ms\":"];
        if let Some(time) = rest.get(..24).filter(|it| is_time(it)) {
            normal.push('#');
            rest = &rest[time.len()..];
        } else if let Some(uuid) = rest.get(..36).filter(|it| is_uuid(it)) {
            normal.push('#');
            rest = &rest[uuid.len()..];
        } else if counts.iter().any(|it| normal.ends_with(it)) && is_number(rest) {
            normal.push('#');
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            rest = &rest[end..];
        } else if word > 0 {
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            let is_hash = word >= 8 && rest[..word].chars().all(is_hex);
            normal.push_str(if is_hash { "#" } else { &rest[..word] });
            rest = &rest[word..];
        } else {
            normal.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    normal
}

/// `2026-11-27T16:39:27.938Z`
fn is_time(text: &str) -> bool {
    text.char_indices().all(|(at, c)| match at {
        4 | 7 => c == '-',
        10 => c == 'T',
        13 | 16 => c == ':',
        19 => c == '.',
        23 => c == 'Z',
        _ => c.is_ascii_digit(),
    })
}

fn is_uuid(text: &str) -> bool {
    text.char_indices().all(|(at, c)| match at {
        8 | 13 | 18 | 23 => c == '-',
        _ => c.is_ascii_hexdigit(),
    })
}
