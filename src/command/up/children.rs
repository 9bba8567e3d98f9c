//! The nodes of a local ring, each a process of its own.

use std::{
    env,
    fmt::Write as _,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{self, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use async_io::Timer;
use rustix::process::{Pid, Signal, kill_process};
use smol::{
    channel::{self, Receiver, Sender},
    future,
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    stream::StreamExt,
};

use crate::client::{Client, Node, Source, Timeouts};

/// How long a node may take to say where it listens.
const LISTENING_WITHIN: Duration = Duration::from_secs(10);
/// How long the nodes may take to leave; then they are killed.
const LEFT_WITHIN: Duration = Duration::from_secs(15);
/// How often a node that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// All nodes that were started, and what they say.
pub(super) struct Children {
    nodes: Vec<Running>,
    said: Receiver<Word>,
    says: Sender<Word>,
}

struct Running {
    address: SocketAddr,
    child: Child,
}

/// A line of a node, or `None` when it has ended.
struct Word {
    address: SocketAddr,
    line: Option<String>,
}

impl Default for Children {
    fn default() -> Self {
        let (says, said) = channel::bounded(1024);
        Self { nodes: Vec::new(), said, says }
    }
}

impl Children {
    /// Starts the next node, after the last one in the list, and waits until it listens.
    pub(super) async fn start(&mut self) -> Result<(), String> {
        let mut command = process::Command::new(program()?);
        command.args(["ring-node", "--end-with-parent", &process::id().to_string()]);
        // Settings that are meant for one node would put all of these in one place.
        for variable in ["IP", "PORT", "PREV_IP", "PREV_PORT", "ADVERTISE"] {
            command.env_remove(format!("SMOLRING_{variable}"));
        }
        if let Some(last) = self.nodes.last() {
            let (ip, port) = (last.address.ip().to_string(), last.address.port().to_string());
            command.args(["--prev-ip", &ip, "--prev-port", &port]);
        }
        // Ctrl-C is for this process, which then ends the nodes in order.
        command.process_group(0);
        let mut command = Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start a node: {error}"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("a node has no output".into());
        };
        let mut stdout = BufReader::new(stdout).lines();
        let first = async { stdout.next().await.and_then(Result::ok) };
        let first = future::or(first, async {
            Timer::after(LISTENING_WITHIN).await;
            None
        });
        let address = first.await.as_deref().and_then(listening);
        let Some(address) = address else {
            let _ = child.kill();
            let mut errors = BufReader::new(stderr).lines();
            let why = errors.next().await.and_then(Result::ok).unwrap_or_default();
            return Err(format!("a node did not start: {why}"));
        };
        smol::spawn(relay(address, stdout, self.says.clone())).detach();
        smol::spawn(relay_errors(address, stderr, self.says.clone())).detach();
        self.nodes.push(Running { address, child });
        Ok(())
    }

    /// Waits until every node has all members in its list and what they hold.
    pub(super) async fn ready(&self, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        let all = self.nodes.len() as u64;
        for node in self.nodes() {
            let mut client = Client::new(vec![node.clone()], Timeouts::default());
            loop {
                let info = client.info().await;
                if info.is_ok_and(|info| {
                    info.number("members") == Ok(all) && info.number("ready") == Ok(1)
                }) {
                    break;
                }
                if Instant::now() > until {
                    return Err(format!("the node at {node} is not ready after {within:?}"));
                }
                Timer::after(ASK_AGAIN).await;
            }
        }
        Ok(())
    }

    /// Where the nodes are, in the order in which they were started.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let node =
            |it: &Running| Node { host: it.address.ip().to_string(), port: it.address.port() };
        self.nodes.iter().map(node).collect()
    }

    /// Three commands to paste.
    pub(super) fn things_to_try(&self, sources: &[Source]) -> String {
        let smolring = invoked();
        let (first, last) = (&self.nodes[0], &self.nodes[self.nodes.len() - 1]);
        let victim = &self.nodes[self.nodes.len() / 2];
        let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        let page = names.iter().find(|name| name.ends_with(".html")).or(names.first());
        let name = page.unwrap_or(&"index.html");
        let mut text = String::from("\nTry now, in another terminal:\n");
        let ip = first.address.ip();
        let port = last.address.port();
        let _ = writeln!(text, "  {smolring} ring-client get '{name}' -i {ip} -p {port}");
        let port = first.address.port();
        let _ = writeln!(text, "  {smolring} ring-client put Cargo.toml -i {ip} -p {port}");
        let _ = writeln!(text, "  kill -9 {}", victim.child.id());
        let _ = writeln!(text, "\nWhat happens, until Ctrl-C:");
        text
    }

    /// Shows what the nodes say, a line each. Ends when all of them have ended.
    pub(super) async fn watch(
        &mut self,
        print: impl Fn(&str) -> Result<(), String>,
    ) -> Result<crate::cli::Exit, String> {
        // What was said so far belongs to the start.
        while self.said.try_recv().is_ok() {}
        let mut running = self.nodes.len();
        while running > 0 {
            let Ok(Word { address, line }) = self.said.recv().await else { break };
            match line {
                Some(line) => print(&format!("{address} | {line}\n"))?,
                None => {
                    running -= 1;
                    print(&self.obituary(address).await)?;
                }
            }
        }
        Err("all nodes have ended".into())
    }

    async fn obituary(&mut self, address: SocketAddr) -> String {
        let smolring = invoked();
        let node = self.nodes.iter_mut().find(|node| node.address == address);
        let status = match node {
            Some(node) => node.child.status().await.ok(),
            None => None,
        };
        let how =
            status.map_or_else(|| "it has ended".into(), |status: ExitStatus| status.to_string());
        let prev = self.nodes.iter().find(|node| node.address != address);
        let prev = prev.map_or(String::new(), |prev| {
            format!(" -i {} -p {}", prev.address.ip(), prev.address.port())
        });
        let (ip, port) = (address.ip(), address.port());
        format!(
            "{address} | ended, {how}. To bring it back: {smolring} ring-node --ip {ip} --port \
             {port}{prev}\n"
        )
    }

    /// Ends every node: in order if it can, by force if it must.
    pub(super) async fn end(&mut self) {
        for node in &mut self.nodes {
            if let (Ok(None), Some(pid)) = (node.child.try_status(), pid(&node.child)) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let until = Instant::now() + LEFT_WITHIN;
        for node in &mut self.nodes {
            let ended = async { drop(node.child.status().await) };
            future::or(ended, async {
                Timer::at(until).await;
            })
            .await;
            if matches!(node.child.try_status(), Ok(None)) {
                let _ = node.child.kill();
            }
        }
    }
}

/// Passes on the rest of a node's stdout, and then its end.
async fn relay(
    address: SocketAddr,
    mut lines: smol::io::Lines<impl smol::io::AsyncBufRead + Unpin>,
    says: Sender<Word>,
) {
    while let Some(Ok(line)) = lines.next().await {
        let _ = says.send(Word { address, line: Some(line) }).await;
    }
    let _ = says.send(Word { address, line: None }).await;
}

async fn relay_errors(address: SocketAddr, stderr: impl AsyncRead + Unpin, says: Sender<Word>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Some(Ok(line)) = lines.next().await {
        let _ = says.send(Word { address, line: Some(line) }).await;
    }
}

/// The address in a node's first line, `listening on IP:PORT …`.
fn listening(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.split(' ').next()?.parse().ok()
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}

/// What the user typed to start this program.
fn invoked() -> String {
    env::args().next().unwrap_or_else(|| "smolring".into())
}
