//! A service as a process, and third-party tools that call it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    process::{self, Child, ChildStdout, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::served::Client;

pub const ECHO: &str = env!("CARGO_BIN_EXE_echo-service");
pub const CALLER: &str = env!("CARGO_BIN_EXE_caller-service");
pub const FACADE: &str = env!("CARGO_BIN_EXE_facade-service");
pub const LOGGING: &str = env!("CARGO_BIN_EXE_logging-service");
pub const MESSAGES: &str = env!("CARGO_BIN_EXE_messages-service");

/// A port that stays free while nothing listens there: it is below those that the system gives to
/// listeners on port 0 and to connections.
pub fn own_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let of_process = (process::id() % 200) as u16 * 100;
    10_000 + of_process + TAKEN.fetch_add(1, Ordering::Relaxed) % 100
}

/// A running service; it is killed when it is dropped.
pub struct Service {
    child: Child,
    /// `None`: it is no longer read.
    out: Option<BufReader<ChildStdout>>,
    pub port: u16,
    /// What it printed when its port was open.
    pub greeting: String,
}

impl Service {
    /// Starts a service on any free port.
    pub fn start(binary: &str, args: &[&str]) -> Self {
        Self::of(Command::new(binary).args(["--port", "0"]).args(args)).expect("it starts")
    }

    /// Starts a service on a port at which it can be started again.
    pub fn start_at_own_port(binary: &str, args: &[&str]) -> Self {
        (0..20).find_map(|_| Self::start_at(binary, own_port(), args)).expect("a port is free")
    }

    /// `None`: the port is taken.
    pub fn start_at(binary: &str, port: u16, args: &[&str]) -> Option<Self> {
        Self::of(Command::new(binary).args(["--port", &port.to_string()]).args(args))
    }

    /// `None`: it ended before its port was open.
    pub fn of(command: &mut Command) -> Option<Self> {
        command.env("SMOLRING_GRPC_PORT", "0").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Try curl") {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                return None;
            }
            greeting += &crate::hello::message(line.trim_end());
            greeting.push('\n');
        }
        let first = greeting.lines().next().unwrap();
        let port = first.rsplit(':').next().unwrap().parse().unwrap();
        Some(Self { child, out: Some(out), port, greeting })
    }

    /// Its port for gRPC.
    pub fn grpc_port(&self) -> u16 {
        let line = self.greeting.lines().find_map(|line| line.strip_prefix("gRPC on "));
        line.and_then(|it| it.rsplit(':').next()).unwrap().parse().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks on a connection of its own.
    pub fn get(&self, path: &str) -> crate::served::Reply {
        Client::connect(self.port).get(path)
    }

    /// The next line of its log.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line of its log that is not about a request.
    pub fn event(&mut self) -> String {
        loop {
            let line = self.line();
            if !line.contains(" - ") {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// As `logging-service | head -3` does it.
    pub fn close_stdout(&mut self) {
        self.out = None;
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn thread_names(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        // A thread may end meanwhile.
        let name = |task: io::Result<fs::DirEntry>| {
            fs::read_to_string(task.ok()?.path().join("comm")).ok()
        };
        tasks.filter_map(name).collect()
    }

    /// What of its memory is in use now.
    pub fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn is_up(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: the rest of what it printed, and its exit code.
    pub fn end(&mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        if let Some(out) = &mut self.out {
            out.read_to_string(&mut rest).unwrap();
        }
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a tool that these tests need.
pub fn tool(name: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(name)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs it"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{name} {args:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

pub fn curl(args: &[&str]) -> String {
    let quick = ["--silent", "--show-error", "--max-time", "20"];
    tool("curl", &[&quick, args].concat())
}

/// Texts that have to come back as they were sent.
pub fn texts() -> Vec<String> {
    let odd = ["hello", " a  b ", "a&b=c", "100%", "%41%", "a+b", "é ü", "👩‍👩‍👧 🎉", "\"\\/"];
    let bytes: String = (0..=127).map(char::from).collect();
    let mut texts: Vec<String> = odd.map(String::from).into();
    texts.extend([bytes, "x".repeat(8 << 10), "\u{1}".repeat(8 << 10), "🎉".repeat(2 << 10)]);
    texts
}

/// The text in a query, with everything escaped that may be.
pub fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Sends all texts with `http.client`, as the texts that they are, and with `requests`; looks for
/// each under the names that lead to it in the answer.
pub fn python_gets_its_texts_back(url: &str, names: &[&str]) {
    let script = "import http.client, json, requests, sys, urllib.parse\n\
                  url, names = sys.argv[1], sys.argv[2:]\n\
                  def text(body):\n    \
                      for name in names: body = body[name]\n    \
                      return body\n\
                  place = urllib.parse.urlsplit(url)\n\
                  plain = http.client.HTTPConnection(place.netloc, timeout=20)\n\
                  session = requests.Session()\n\
                  for msg in ['hello', '', 'a b', ' ', 'a&b=c;d', '100%', '%41', 'a+b', '😀 ü',\n            \
                      '\\x00\\n', 'x' * 8192, '😀' * 2048, '&' * 8192]:\n    \
                      plain.request('GET', place.path + '?' + urllib.parse.urlencode({'msg': msg}))\n    \
                      answer = plain.getresponse()\n    \
                      assert answer.status == 200 and text(json.load(answer)) == msg, msg\n    \
                      answer = session.get(url, params={'msg': msg}, timeout=20)\n    \
                      assert answer.ok and text(answer.json()) == msg, msg\n\
                  print('all')\n";
    assert_eq!(tool("python3", &[&["-c", script, url], names].concat()), "all\n");
}
