//! A client that knows several nodes and asks the next when one is down.

use std::net::SocketAddr;

use blake3::Hash;

use super::{
    connection::{Connection, Timeouts},
    error::Error,
    member::Member,
    node::Node,
    reply::Reply,
    requests::{File, Held, Page, Pong},
};
use crate::ring::{message::FileRow, name::Name, version::Version};

/// Asks one node after the other until one answers, and stays with that one.
///
/// Every request of the protocol may safely be made twice, so a request whose connection broke
/// is made again at the next node. 503 also leads to the next node; every other refusal is
/// final.
#[derive(Debug)]
pub struct Client {
    nodes: Vec<Node>,
    current: usize,
    timeouts: Timeouts,
    connection: Option<Connection>,
}

impl Client {
    /// A client of these nodes; nothing is connected yet. Without a node every request is
    /// [`Error::Unreachable`].
    pub fn new(nodes: Vec<Node>, timeouts: Timeouts) -> Self {
        Self { nodes, current: 0, timeouts, connection: None }
    }

    /// Stores a file; see [`Connection::put`].
    pub async fn put(&mut self, name: &Name, content: &[u8]) -> Result<Reply, Error> {
        self.ask(async |node| node.put(name, content).await).await
    }

    /// Fetches a file; see [`Connection::get`].
    pub async fn get(&mut self, name: &Name) -> Result<File, Error> {
        self.ask(async |node| node.get(name).await).await
    }

    /// Fetches one version of a file; see [`Connection::get_version`].
    pub async fn get_version(&mut self, name: &Name, version: Version) -> Result<File, Error> {
        self.ask(async |node| node.get_version(name, version).await).await
    }

    /// Deletes a file; see [`Connection::delete`].
    pub async fn delete(&mut self, name: &Name) -> Result<Reply, Error> {
        self.ask(async |node| node.delete(name).await).await
    }

    /// Lists the versions of a name; see [`Connection::log`].
    pub async fn log(&mut self, name: &Name) -> Result<Vec<FileRow>, Error> {
        self.ask(async |node| node.log(name).await).await
    }

    /// Lists a page of names; see [`Connection::list`].
    pub async fn list(&mut self, prefix: &str, after: Option<&Name>) -> Result<Page, Error> {
        self.ask(async |node| node.list(prefix, after).await).await
    }

    /// Compares what is held of a name; see [`Connection::held`].
    pub async fn held(&mut self, name: &Name, hash: Hash) -> Result<Held, Error> {
        self.ask(async |node| node.held(name, hash).await).await
    }

    /// Lists the members; see [`Connection::ring`].
    pub async fn ring(&mut self) -> Result<Vec<Member>, Error> {
        self.ask(async |node| node.ring().await).await
    }

    /// Measures a round trip; see [`Connection::ping`].
    pub async fn ping(&mut self) -> Result<Pong, Error> {
        self.ask(async |node| node.ping().await).await
    }

    /// Asks for limits and counts; see [`Connection::info`].
    pub async fn info(&mut self) -> Result<Reply, Error> {
        self.ask(async |node| node.info().await).await
    }

    /// Lets the ring forget a member; see [`Connection::forget`].
    pub async fn forget(&mut self, member: SocketAddr) -> Result<Reply, Error> {
        self.ask(async |node| node.forget(member).await).await
    }

    /// Makes a request at one node after the other, once at each.
    pub async fn ask<T>(
        &mut self,
        mut request: impl AsyncFnMut(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut unreachable = Vec::new();
        let mut failure = None;
        let mut tried = 0;
        while tried < self.nodes.len() {
            let reused = self.connection.is_some();
            let error = match self.ask_current(&mut request).await {
                Err(error) if error.next_node_may_help() => error,
                result => return result,
            };
            // The node may have closed a connection that was idle for long. That is no failure
            // of the node, so it is asked again over a new one.
            if reused && matches!(error, Error::Closed { .. }) {
                continue;
            }
            tried += 1;
            self.connection = None;
            self.current = (self.current + 1) % self.nodes.len();
            match error {
                Error::Unreachable { node, cause } => unreachable.push((node, cause)),
                error => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| all_unreachable(unreachable)))
    }

    async fn ask_current<T>(
        &mut self,
        request: &mut impl AsyncFnMut(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.nodes[self.current], self.timeouts).await?,
        };
        let result = request(&mut connection).await;
        self.connection = connection.usable().then_some(connection);
        result
    }
}

fn all_unreachable(tried: Vec<(String, String)>) -> Error {
    let cause = tried.last().map_or_else(|| "no node is given".into(), |(_, cause)| cause.clone());
    let nodes: Vec<String> = tried.into_iter().map(|(node, _)| node).collect();
    Error::Unreachable { node: nodes.join(", "), cause }
}
