//! Clients over HTTP while nodes are killed: what one has acknowledged is there.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::request;
use crate::{
    cluster::{Ring, until},
    served::Client,
};

const WRITERS: usize = 8;
const KILLS: usize = 6;
/// Writes that are acknowledged between two kills.
const WRITES_BETWEEN: usize = 60;
/// The pause between two requests of a client, so that the nodes have the cores.
const REST: Duration = Duration::from_millis(2);

fn content(name: &str) -> String {
    name.repeat(name.len() * 7)
}

/// A client that goes to the next node where one does not answer, or cannot.
struct Writer<'a> {
    nodes: &'a [SocketAddr],
    at: usize,
    client: Option<Client>,
}

impl Writer<'_> {
    /// Puts a file until a node has acknowledged that.
    fn put(&mut self, name: &str) {
        until("a node takes the file", || {
            let status = self.try_put(name);
            if let Ok(201 | 204) = status {
                return Some(());
            }
            (self.at, self.client) = (self.at + 1, None);
            thread::sleep(REST);
            None
        });
    }

    fn try_put(&mut self, name: &str) -> io::Result<u16> {
        let node = self.nodes[self.at % self.nodes.len()];
        if self.client.is_none() {
            self.client = Some(Client::connect_to(node)?);
        }
        let client = self.client.as_mut().expect("it is connected");
        client.try_send(request(node, "PUT", &format!("/{name}"), &[], &content(name)))?;
        Ok(client.try_reply(true)?.status)
    }
}

#[test]
fn what_was_acknowledged_over_http_is_not_lost_when_nodes_are_killed() {
    let mut ring = Ring::start(3, &["--check-interval", "100ms"]);
    ring.settle();
    let nodes = ring.addresses();
    let (done, acked) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let writes = AtomicUsize::new(0);
    thread::scope(|scope| {
        for i in 0..WRITERS {
            let (nodes, done, acked, writes) = (&nodes, &done, &acked, &writes);
            scope.spawn(move || {
                let mut writer = Writer { nodes, at: i, client: None };
                for number in 0.. {
                    if done.load(SeqCst) {
                        return;
                    }
                    let name = format!("w{i}/{number}");
                    writer.put(&name);
                    acked.lock().unwrap().push(name);
                    writes.fetch_add(1, SeqCst);
                    thread::sleep(REST);
                }
            });
        }
        for kill in 0..KILLS {
            let so_far = writes.load(SeqCst);
            until("clients write", || {
                (writes.load(SeqCst) >= so_far + WRITES_BETWEEN).then_some(())
            });
            let (victim, other) = (kill % 3, (kill + 1) % 3);
            ring.nodes[victim].signal(Signal::KILL);
            ring.nodes[victim].kill();
            ring.restart(victim, Some(other));
            ring.settle();
        }
        done.store(true, SeqCst);
    });
    let acked = acked.into_inner().unwrap();
    assert!(acked.len() >= KILLS * WRITES_BETWEEN);
    for node in ring.addresses() {
        let mut client = Client::connect_to(node).unwrap();
        for name in &acked {
            client.send(request(node, "GET", &format!("/{name}"), &[], ""));
            let reply = client.reply();
            assert!(reply.status == 200 && reply.body == content(name), "{name} at {node}");
        }
    }
}
