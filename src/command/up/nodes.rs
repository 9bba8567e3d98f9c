//! The nodes of a local ring.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_io::Timer;
use async_net::TcpStream;
use smol::future;

use super::children::{Children, Started, invoked, quoted};
use crate::{
    client::{Client, Node, Source, Timeouts, shown},
    random,
};

/// How often a node that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a node that counts as alive may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Variables that the nodes are not to see: with them, all would listen at one address, join another
/// ring, or print what is not understood here.
const HIDDEN_VARIABLES: &[&str] = &[
    "SMOLRING_IP",
    "SMOLRING_PORT",
    "SMOLRING_PREV",
    "SMOLRING_PREV_IP",
    "SMOLRING_PREV_PORT",
    "SMOLRING_RING",
    "SMOLRING_ADVERTISE",
    "SMOLRING_LOG_FORMAT",
    "SMOLRING_QUIET",
    "SMOLRING_DATA",
];

/// Where the nodes are, in the order in which they were started, and their processes' ids.
pub(super) struct Nodes {
    /// The name of this run's ring alone, so that no node of another run joins it.
    ring: String,
    /// Options from the user that every node is given.
    options: Vec<String>,
    /// The folder in which each has a folder for its files, by its number.
    data: Option<PathBuf>,
    started: Vec<(SocketAddr, u32)>,
}

impl Nodes {
    /// A ring that has no node yet.
    pub(super) fn new(options: &[String], data: Option<&Path>) -> Self {
        let ring = match data {
            // Files belong to a ring of one name.
            Some(folder) => {
                let hash = blake3::hash(folder.as_os_str().as_encoded_bytes());
                format!("up-{}", &hash.to_hex()[..8])
            }
            None => format!("up-{:08x}", random::bits() as u32),
        };
        let data = data.map(Path::to_path_buf);
        Self { ring, options: options.to_vec(), data, started: Vec::new() }
    }

    /// The one that was started first.
    pub(super) fn first(&self) -> Option<SocketAddr> {
        self.started.first().map(|(address, _)| *address)
    }

    /// The folder of the node with this number.
    fn folder(&self, number: usize) -> Option<String> {
        self.data.as_ref().map(|data| data.join((number + 1).to_string()).display().to_string())
    }

    /// Starts the next node, after the last one in the list, and waits until it listens.
    pub(super) async fn start(&mut self, children: &mut Children) -> Result<(), String> {
        let mut args = vec!["ring-node".to_owned(), "--ring".into(), self.ring.clone()];
        match self.started.last() {
            Some((last, _)) => args.extend(["--prev".into(), last.to_string()]),
            None => args.push("--bootstrap".into()),
        }
        if let Some(folder) = self.folder(self.started.len()) {
            args.extend(["--data".into(), folder]);
        }
        args.extend_from_slice(&self.options);
        let mut started = Started::new(&args, needs)?;
        let address = started.first_lines("a node", listening).await?;
        self.started.push((address, started.pid()));
        children.add(&address.to_string(), started);
        Ok(())
    }

    /// The command that starts the node of this label again: in the ring if another node is still
    /// alive, or else as the first of a new one.
    pub(super) async fn restart(&self, label: &str) -> Option<String> {
        let number = self.started.iter().position(|(it, _)| it.to_string() == label)?;
        let (address, _) = &self.started[number];
        let (ip, port, ring) = (address.ip(), address.port(), &self.ring);
        let mut command = format!("ring-node --ip {ip} --port {port} --ring {ring}");
        let mut is_first = true;
        for (other, _) in self.started.iter().filter(|(it, _)| it != address) {
            if is_alive(*other).await {
                let _ = write!(command, " --prev {other}");
                is_first = false;
            }
        }
        command += if is_first { " --bootstrap" } else { "" };
        if let Some(folder) = self.folder(number) {
            let _ = write!(command, " --data {}", quoted(&folder));
        }
        for option in &self.options {
            let _ = write!(command, " {}", quoted(option));
        }
        Some(command)
    }

    /// Waits until every node has all members in its list, and all their files.
    pub(super) async fn ready(&self, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        let all = self.started.len() as u64;
        for node in self.all() {
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

    /// The nodes, as a client asks them.
    pub(super) fn all(&self) -> Vec<Node> {
        let node = |it: &(SocketAddr, u32)| Node { host: it.0.ip().to_string(), port: it.0.port() };
        self.started.iter().map(node).collect()
    }

    /// Some commands to paste.
    pub(super) fn things_to_try(&self, sources: &[Source]) -> String {
        let client = format!("{} ring-client", invoked());
        let ((first, _), (last, _)) = (self.started[0], self.started[self.started.len() - 1]);
        let (_, victim) = self.started[self.started.len() / 2];
        let mut text = String::from("\nTry now, in another terminal:\n");
        if let Some(name) = proposed(sources.iter().map(|source| source.name.as_str())) {
            let (word, ip, port) = (quoted(name), last.ip(), last.port());
            let _ = match name.starts_with('-') {
                false => writeln!(text, "  {client} get {word} -i {ip} -p {port}"),
                // It would be taken for an option.
                true => writeln!(text, "  {client} get -i {ip} -p {port} -- {word}"),
            };
        }
        let (ip, port) = (first.ip(), first.port());
        let _ = writeln!(text, "  date | {client} put - --name now.txt -i {ip} -p {port}");
        let _ = writeln!(text, "  {client} status -i {ip} -p {port}");
        let _ = writeln!(text, "  kill -9 {victim}");
        let _ = writeln!(text, "\nWhat happens, until Ctrl-C:");
        text
    }
}

/// The file to try: a page, or else the first. A name that is not shown as it is cannot be copied.
fn proposed<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.filter(|name| shown(name) == **name).collect();
    let page = names.iter().find(|name| name.ends_with(".html"));
    page.or(names.first()).copied()
}

/// Whether a node needs this variable of its environment.
fn needs(variable: &str) -> bool {
    variable.starts_with("SMOLRING_") && !HIDDEN_VARIABLES.contains(&variable)
}

/// Whether a node takes connections there.
async fn is_alive(address: SocketAddr) -> bool {
    let connected = async { TcpStream::connect(address).await.is_ok() };
    let late = async {
        Timer::after(CONNECT_WITHIN).await;
        false
    };
    future::or(connected, late).await
}

/// The address in a node's first line, `TIME listening on IP:PORT …`, or the same in JSON.
fn listening(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on ")?.1.split([' ', '"']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_where_it_listens_in_each_format() {
        let text = "2026-11-27T16:39:37.721Z listening on 127.0.1.1:4043 and on 127.0.0.1";
        let json = r#"{"time":"2026-11-27T16:39:37.721Z","message":"listening on 127.0.1.1:4043"}"#;
        for line in [text, json] {
            assert_eq!(listening(line), Some(([127, 0, 1, 1], 4043).into()));
        }
        assert_eq!(listening("ring-node: port 1 of 127.0.0.1 is already in use"), None);
    }

    #[test]
    fn a_page_is_proposed_unless_its_name_cannot_be_copied() {
        for (names, proposal) in [
            (&["a", "it's.html", "z.html"][..], Some("it's.html")),
            (&["b", "-v"], Some("b")),
            (&["-v.html"], Some("-v.html")),
            (&["a\u{202e}b.html", "c"], Some("c")),
            (&["a\u{2028}b.html"], None),
            (&[], None),
        ] {
            assert_eq!(proposed(names.iter().copied()), proposal, "{names:?}");
        }
    }
}
