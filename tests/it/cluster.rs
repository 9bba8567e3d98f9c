//! Rings of real processes, and raw connections to them.
//!
//! A [`Process`] is one running binary; its output is read on threads of their own into a list of
//! lines that tests wait on. A [`Ring`] is several `ring-node` processes that know each other. A
//! [`Client`] is a bare socket: what it sends is what the test wrote.
//!
//! Everything waits for an event, and gives up after [`DEADLINE`]. Whatever a test started is
//! killed when it goes out of scope; a node that panicked makes its test fail.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for what should happen soon. Far too long for a machine that is idle.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two questions where there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        // Only to leave the cores to the nodes: the condition is checked again each time.
        thread::park_timeout(PAUSE);
    }
}

/// One line of a process.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// When it was written, as it says itself: what stands before `text`.
    pub time: Option<String>,
    /// Without its time and its LF.
    pub text: String,
    /// Whether it was written to stderr.
    pub is_error: bool,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<Line>, usize)>,
    news: Condvar,
}

impl Log {
    fn read(self: &Arc<Self>, pipe: impl Read + Send + 'static, is_error: bool) -> JoinHandle<()> {
        self.lines.lock().unwrap().1 += 1;
        let log = self.clone();
        thread::spawn(move || {
            for text in BufReader::new(pipe).lines().map_while(Result::ok) {
                let (time, text) = match text.split_once("Z ") {
                    Some((time, text)) if !is_error => (Some(format!("{time}Z")), text.into()),
                    _ => (None, text),
                };
                let line = Line { at: Instant::now(), time, text, is_error };
                log.lines.lock().unwrap().0.push(line);
                log.news.notify_all();
            }
            log.lines.lock().unwrap().1 -= 1;
            log.news.notify_all();
        })
    }

    /// Waits until `probe` finds something in the lines. It is also told whether all are read.
    fn wait<T>(&self, what: &str, mut probe: impl FnMut(&[Line], bool) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        let mut guard = self.lines.lock().unwrap();
        loop {
            let (lines, open) = &*guard;
            if let Some(found) = probe(lines, *open == 0) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || *open == 0 {
                let why = if *open == 0 { "the process has ended" } else { "it takes too long" };
                let lines: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
                drop(guard);
                panic!("{why}: {what}; it has written {lines:#?}");
            }
            guard = self.news.wait_timeout(guard, left).unwrap().0;
        }
    }
}

/// A running `ring-node`, or one that has just refused to run.
pub struct Process {
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `ring-node` with these options and with none of its variables in the environment but
    /// `variables`.
    pub fn start(options: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ring-node"));
        Self::of(command.args(options), variables)
    }

    /// Starts a command that becomes `ring-node`.
    pub fn of(command: &mut Command, variables: &[(&str, &str)]) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SMOLRING_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ring-node starts");
        let log = Arc::new(Log::default());
        let stdout = log.read(child.stdout.take().expect("it is piped"), false);
        let stderr = log.read(child.stderr.take().expect("it is piped"), true);
        Self { child, log, readers: vec![stdout, stderr] }
    }

    /// Where it listens, which is its first line.
    pub fn address(&self) -> SocketAddr {
        self.wait_for("its address", |text| text.starts_with("listening on "));
        let lines = self.lines();
        let first = lines[0].text.strip_prefix("listening on ").expect("it is the first line");
        first.split(' ').next().and_then(|it| it.parse().ok()).expect("it is an address")
    }

    /// All that it has written so far.
    pub fn lines(&self) -> Vec<Line> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// Waits for a line like this, which may be there already.
    pub fn wait_for(&self, what: &str, like: impl Fn(&str) -> bool) -> Line {
        self.log.wait(what, |lines, _| lines.iter().find(|line| like(&line.text)).cloned())
    }

    /// Waits until the last list that it printed has just these members. When did it print that?
    pub fn wait_for_list(&self, members: &[SocketAddr]) -> Instant {
        let wanted: BTreeSet<_> = members.iter().copied().collect();
        let what = format!("the list {members:?}");
        self.log.wait(&what, |lines, _| {
            let mut lists = lines.iter().rev().filter_map(|line| Some((line.at, list(line)?)));
            let (at, list) = lists.next()?;
            (list.into_iter().collect::<BTreeSet<_>>() == wanted).then_some(at)
        })
    }

    /// The list that it printed last, beginning with `first`.
    pub fn list_from(&self, first: SocketAddr) -> Vec<SocketAddr> {
        let mut list = self.lines().iter().rev().find_map(list).expect("it has printed a list");
        let at = list.iter().position(|&it| it == first).expect("it is in the list");
        list.rotate_left(at);
        list
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits for its end, and for its last words.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        self.log.wait("its end", |_, all_read| all_read.then_some(()));
        self.child.wait().expect("it is a child")
    }

    /// kill -9, and waits until that is done.
    pub fn kill(&mut self) {
        // It is no failure here if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address()).expect("a running node takes connections")
    }

    /// Resident memory in bytes, where the system tells.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// The same without what is in files, as its program is.
    pub fn own_bytes(&self) -> Option<u64> {
        self.memory("RssAnon:")
    }

    /// The most that it has ever been.
    pub fn peak_bytes(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse().ok().map(|kib: u64| kib << 10)
    }

    /// Clock ticks (100 a second on Linux) of a core that it has used, where the system tells.
    pub fn cpu_ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let (user, system) = (fields.next()?, fields.next()?);
        Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
    }

    /// Its INFO says that it is ready, and that this many members are alive.
    pub fn wait_until_ready(&self, members: usize) {
        let (mut client, members) = (self.client(), members.to_string());
        until("it is ready, and so many are alive", || {
            let info = client.ask("INFO");
            (info.key("ready") == Some("1") && info.key("members") == Some(&members)).then_some(())
        });
    }

    /// The lines so far that have this in them.
    pub fn lines_with(&self, words: &str) -> Vec<String> {
        let texts = self.lines().into_iter().map(|line| line.text);
        texts.filter(|text| text.contains(words)).collect()
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let lines = self.lines();
        if thread::panicking() {
            for line in lines.iter().rev().take(40).rev() {
                println!("[{}] {:?} {}", self.child.id(), line.at, line.text);
            }
        } else if let Some(line) = lines.iter().find(|line| line.text.contains("panicked at")) {
            panic!("a node panicked: {}", line.text);
        }
    }
}

/// The members of a printed list: `127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1)`.
fn list(line: &Line) -> Option<Vec<SocketAddr>> {
    let members = line.text.split(" -> ").filter(|word| !word.starts_with('('));
    let address = |word: &str| word.split_once("(WS")?.0.parse().ok();
    members.map(address).collect()
}

/// Several nodes, each of which has been told of an earlier one.
pub struct Ring {
    /// In the order of their start, which is the order of the circle as long as none restarts.
    pub nodes: Vec<Process>,
    ip: String,
    options: Vec<String>,
}

impl Ring {
    /// Starts this many nodes with these options, and waits until they are one ring and ready.
    pub fn start(size: usize, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut ring = Self { nodes: Vec::new(), ip: own_ip(), options };
        for i in 0..size {
            let prev = i.checked_sub(1).map(|prev| ring.nodes[prev].address().port());
            let node = ring.start_node(0, prev);
            ring.nodes.push(node);
        }
        ring.settle();
        ring
    }

    /// Adds a node right after one of the others, and does not wait for it.
    pub fn add(&mut self, prev: usize) {
        let node = self.start_node(0, Some(self.nodes[prev].address().port()));
        self.nodes.push(node);
    }

    /// Starts a node that has ended at the address that it had. Without `prev` it begins a ring.
    pub fn restart(&mut self, i: usize, prev: Option<usize>) {
        let prev = prev.map(|prev| self.nodes[prev].address().port());
        self.nodes[i] = self.start_node(self.nodes[i].address().port(), prev);
    }

    /// The addresses of all nodes.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Process::address).collect()
    }

    /// Waits until every node lists all of them in the same order, has caught up, and holds what
    /// the others hold.
    pub fn settle(&self) {
        let nodes: Vec<_> = self.nodes.iter().collect();
        settle(&nodes, &self.addresses());
    }

    fn start_node(&self, port: u16, prev: Option<u16>) -> Process {
        let (port, prev) = (port.to_string(), prev.map(|port| port.to_string()));
        let mut options = vec!["--ip", &self.ip, "--port", &port];
        if let Some(prev) = &prev {
            options.extend(["--prev-ip", &self.ip, "--prev-port", prev]);
        }
        options.extend(self.options.iter().map(String::as_str));
        let node = Process::start(&options, &[]);
        node.address();
        node
    }
}

/// Waits until these nodes, which have these addresses, list just these members in the same order,
/// are ready, and hold the same files.
pub fn settle(nodes: &[&Process], addresses: &[SocketAddr]) {
    for node in nodes {
        node.wait_for_list(addresses);
    }
    let mut clients: Vec<_> = nodes.iter().map(|node| node.client()).collect();
    until("one ring, all ready, all with the same files", || {
        let infos: Vec<_> = clients.iter_mut().map(|client| client.ask("INFO")).collect();
        let digest = infos[0].key("digest").expect("INFO has it").to_owned();
        let is_same =
            |info: &Answer| info.key("ready") == Some("1") && info.key("digest") == Some(&digest);
        let lists: Vec<_> = clients.iter_mut().map(|client| client.members()).collect();
        let is_one = lists.iter().all(|list| *list == lists[0] && list.len() == addresses.len());
        (is_one && infos.iter().all(is_same)).then_some(())
    });
}

/// Addresses with ports that were free a moment ago, on localhost too, for nodes that start again
/// where they were.
pub fn free_addresses<const N: usize>(ip: &str) -> [SocketAddr; N] {
    let mut sockets = Vec::new();
    while sockets.len() < N {
        let socket = TcpListener::bind((ip, 0)).expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        let local = TcpListener::bind(("127.0.0.1", address.port()));
        if local.is_ok() || ip == "127.0.0.1" {
            sockets.push((address, socket, local));
        }
    }
    std::array::from_fn(|i| sockets[i].0)
}

/// A loopback address for one ring alone: a ring looks for its gone members, and must not find a
/// node of another test that was given the same port. Only Linux answers on all of 127.0.0.0/8.
pub fn own_ip() -> String {
    static RINGS: AtomicU8 = AtomicU8::new(1);
    if !cfg!(target_os = "linux") {
        return "127.0.0.1".into();
    }
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{}", high | 0x80, RINGS.fetch_add(1, Ordering::Relaxed))
}

/// What a node answered: the line without its end, and the bytes that its `len=` announces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub line: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.line.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default()
    }

    /// The value of a key, without what follows ` : `.
    pub fn key(&self, key: &str) -> Option<&str> {
        let words = self.line.split(" : ").next()?.split(' ');
        words.filter_map(|word| word.split_once('=')).find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a table is UTF-8")
    }
}

/// A connection that sends what it is given, and reads answers one at a time.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        let mut answer = Answer { line, body: Vec::new() };
        if let Some(len) = answer.key("len").and_then(|len| len.parse().ok()) {
            answer.body = vec![0; len];
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    pub fn try_put(&mut self, name: &str, content: &[u8]) -> io::Result<Answer> {
        let mut bytes = format!("PUT {name} len={}\n", content.len()).into_bytes();
        bytes.extend_from_slice(content);
        self.try_send(bytes)?;
        self.try_answer()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the node reads");
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("the node answers")
    }

    /// Sends a line and reads the answer.
    pub fn ask(&mut self, line: &str) -> Answer {
        self.send(format!("{line}\n"));
        self.answer()
    }

    pub fn put(&mut self, name: &str, content: &[u8]) -> Answer {
        self.try_put(name, content).expect("the node answers a PUT")
    }

    /// The bytes of a file that must be there.
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        let answer = self.ask(&format!("GET {name}"));
        assert_eq!(answer.status(), 200, "GET {name}: {}", answer.line);
        answer.body
    }

    /// The live members in the order of the circle, beginning with the lowest position.
    pub fn members(&mut self) -> Vec<SocketAddr> {
        let answer = self.ask("RING");
        let live = answer.text().lines().filter(|line| line.split(' ').nth(1) == Some("alive"));
        live.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    }

    /// Nothing is sent on this connection for this long: for tests in which only silence shows
    /// something.
    pub fn hears_nothing_for(self, so_long: Duration) {
        let mut stream = self.stream.into_inner();
        stream.set_read_timeout(Some(so_long)).expect("it is connected");
        let silence = stream.read(&mut [0]).expect_err("nothing is said");
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock, "{silence}");
    }

    /// Closes the writing side.
    pub fn finish(&mut self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("it is connected");
    }

    /// Everything up to the end of the connection, however that comes.
    pub fn rest(&mut self) -> Vec<u8> {
        let (mut rest, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return rest,
                Ok(read) => rest.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the connection stays open after {:?}", String::from_utf8_lossy(&rest))
                }
                Err(_) => return rest,
            }
        }
    }
}
