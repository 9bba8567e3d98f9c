//! The nodes of a local ring.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use async_io::Timer;

use super::children::{Children, Started, invoked};
use crate::client::{Client, Node, Source, Timeouts};

/// How often a node that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Settings that are meant for one node would put all of them in one place.
const OF_ONE_NODE: &[&str] = &[
    "SMOLRING_IP",
    "SMOLRING_PORT",
    "SMOLRING_PREV_IP",
    "SMOLRING_PREV_PORT",
    "SMOLRING_ADVERTISE",
];

/// Where the nodes are, in the order in which they were started, and their processes' ids.
#[derive(Default)]
pub(super) struct Nodes(Vec<(SocketAddr, u32)>);

impl Nodes {
    /// Starts the next node, after the last one in the list, and waits until it listens.
    pub(super) async fn start(&mut self, children: &mut Children) -> Result<(), String> {
        let mut args = vec!["ring-node".to_owned()];
        if let Some((last, _)) = self.0.last() {
            let (ip, port) = (last.ip().to_string(), last.port().to_string());
            args.extend(["--prev-ip".into(), ip, "--prev-port".into(), port]);
        }
        let mut started = Started::new(&args, OF_ONE_NODE)?;
        let address = started.greeting("a node", listening).await?;
        self.0.push((address, started.pid()));
        children.add(&address.to_string(), started);
        Ok(())
    }

    /// The command that brings the node back that has this label.
    pub(super) fn again(&self, label: &str) -> Option<String> {
        let address: SocketAddr = label.parse().ok()?;
        let mut again = format!("ring-node --ip {} --port {}", address.ip(), address.port());
        if let Some((other, _)) = self.0.iter().find(|(other, _)| *other != address) {
            let _ = write!(again, " -i {} -p {}", other.ip(), other.port());
        }
        Some(again)
    }

    /// Waits until every node has all members in its list and what they hold.
    pub(super) async fn ready(&self, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        let all = self.0.len() as u64;
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

    /// As a client asks them.
    pub(super) fn all(&self) -> Vec<Node> {
        let node = |it: &(SocketAddr, u32)| Node { host: it.0.ip().to_string(), port: it.0.port() };
        self.0.iter().map(node).collect()
    }

    /// Three commands to paste.
    pub(super) fn things_to_try(&self, sources: &[Source]) -> String {
        let smolring = invoked();
        let ((first, _), (last, _)) = (self.0[0], self.0[self.0.len() - 1]);
        let (_, victim) = self.0[self.0.len() / 2];
        let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        let page = names.iter().find(|name| name.ends_with(".html")).or(names.first());
        let name = page.unwrap_or(&"index.html");
        let mut text = String::from("\nTry now, in another terminal:\n");
        let ip = first.ip();
        let port = last.port();
        let _ = writeln!(text, "  {smolring} ring-client get '{name}' -i {ip} -p {port}");
        let port = first.port();
        let _ = writeln!(text, "  {smolring} ring-client put Cargo.toml -i {ip} -p {port}");
        let _ = writeln!(text, "  kill -9 {victim}");
        let _ = writeln!(text, "\nWhat happens, until Ctrl-C:");
        text
    }
}

/// The address in a node's first line, `TIME listening on IP:PORT …`.
fn listening(line: &str) -> Option<SocketAddr> {
    line.split_once(" listening on ")?.1.split(' ').next()?.parse().ok()
}
