//! A real Redis, started for a test and ended with it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{served::eventually, service::own_port};

/// A running Redis that keeps nothing on the disk.
pub struct RedisServer {
    child: Child,
    pub port: u16,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts one on a port at which it can be started again.
    pub fn start() -> Self {
        (0..20).find_map(|_| Self::start_at(own_port())).expect("a port for Redis")
    }

    /// `None`: the port is taken.
    pub fn start_at(port: u16) -> Option<Self> {
        Self::start_with(port, &[])
    }

    fn start_with(port: u16, more: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(more)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server: {error}; tests/run installs it"));
        let out = BufReader::new(child.stdout.take().unwrap());
        for line in out.lines() {
            if line.unwrap().contains("eady to accept connections") {
                return Some(Self { child, port, _folder: folder });
            }
        }
        child.wait().unwrap();
        None
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Forgets all.
    pub fn empty(&self) {
        self.ask("FLUSHALL");
    }

    fn ask(&self, command: &str) -> String {
        let client = redis::Client::open(self.url()).unwrap();
        let mut words = command.split(' ');
        let mut ask = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            ask.arg(word);
        });
        ask.query(&mut client.get_connection().unwrap()).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three of them that share the keys.
pub struct RedisCluster([RedisServer; 3]);

impl RedisCluster {
    pub fn start() -> Self {
        let node = || {
            let start = |_| {
                let bus = own_port().to_string();
                let more = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                Some((RedisServer::start_with(own_port(), &more)?, bus))
            };
            (0..20).find_map(start).expect("ports for a node")
        };
        let nodes = [node(), node(), node()];
        let slots = ["0 5460", "5461 10922", "10923 16383"];
        for ((server, bus), slots) in nodes.iter().zip(slots) {
            server.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
            nodes[0].0.ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", server.port));
        }
        let is_whole = |(server, _): &(RedisServer, String)| {
            server.ask("CLUSTER INFO").contains("cluster_state:ok")
        };
        eventually("a cluster", || nodes.iter().all(is_whole));
        Self(nodes.map(|(server, _)| server))
    }

    /// Through one of its nodes, which does not have the keys of the log.
    pub fn url(&self) -> String {
        self.0[0].url().replace("redis://", "redis+cluster://").replace("/0", "")
    }
}
