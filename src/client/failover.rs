//! A client that knows several nodes and asks the next when one is down.

use std::net::SocketAddr;

use blake3::Hash;

use super::{
    connection::{Connection, Timeouts},
    content::Content,
    error::Error,
    local::READS_MAX,
    member::Member,
    meter::Meter,
    node::Node,
    reply::Reply,
    requests::{Fetched, File, Held, Page, Pong},
    sink::{Filling, Sink},
};
use crate::ring::{
    message::{Condition, FileRow, WriteTrace},
    name::Name,
    version::Version,
};

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
        let mut content = Content::Whole(content.into());
        self.put_content(name, &mut content, None, &Meter::default()).await
    }

    /// Fetches a file; see [`Connection::get`].
    pub async fn get(&mut self, name: &Name) -> Result<File, Error> {
        self.ask(async |node| node.get(name).await).await
    }

    /// Fetches one version of a file; see [`Connection::get_version`].
    pub async fn get_version(&mut self, name: &Name, version: Version) -> Result<File, Error> {
        self.ask(async |node| node.get_version(name, version).await).await
    }

    /// Stores a file where something is so; see [`Connection::put_if`].
    ///
    /// An attempt whose answer did not come may have put it. So when a later one finds that something
    /// else is so by now, and the newest version has these bytes and follows what was expected, that
    /// is success.
    pub async fn put_if(
        &mut self,
        name: &Name,
        content: &[u8],
        only_if: Condition,
    ) -> Result<Reply, Error> {
        let mut content = Content::Whole(content.into());
        self.put_content(name, &mut content, Some(only_if), &Meter::default()).await
    }

    /// Stores a content that may be read while it is sent, like [`put`](Self::put) and
    /// [`put_if`](Self::put_if). One that changes meanwhile is read again from its start. One that
    /// comes only once is sent to one node only.
    pub(super) async fn put_content(
        &mut self,
        name: &Name,
        content: &mut Content<'_>,
        only_if: Option<Condition>,
        meter: &Meter,
    ) -> Result<Reply, Error> {
        let mut may_be_done = false;
        let mut put = async |node: &mut Connection, content: &mut Content<'_>| {
            let mut body = content.body(meter);
            meter.one_has(body.bytes());
            match (node.put_body(name, &mut body, only_if).await, only_if) {
                (Err(error), Some(only_if)) if may_be_done && error.status() == Some(412) => {
                    let log = node.log(name).await?;
                    let hash = content.hash().await?;
                    let is_this = |row: &FileRow| hash.is_some() && row.hash == hash;
                    let is_done = log.first().is_some_and(is_this) && follows(only_if, log.get(1));
                    if is_done { Ok(done_before(log[0].version, "put")) } else { Err(error) }
                }
                (Err(error), _) if content.has_come() && error.next_node_may_help() => {
                    let why = "the content came over a pipe, and cannot be sent a second time";
                    Err(Error::Once { error: error.into(), why })
                }
                (result, _) => {
                    may_be_done |= result.as_ref().is_err_and(Error::outcome_unknown);
                    result
                }
            }
        };
        let mut result = self.ask(async |node| put(node, content).await).await;
        for _ in 1..READS_MAX {
            if !matches!(result, Err(Error::Changed { .. })) || !content.renew().await? {
                break;
            }
            result = self.ask(async |node| put(node, content).await).await;
        }
        if let (Ok(_), Content::Whole(bytes)) = (&result, content) {
            meter.moved(bytes.len() as u64);
        }
        result
    }

    /// Fetches a file, or one version of it. A small one is returned; a large one goes to a sink. An
    /// inner error is the sink's.
    pub(super) async fn get_into<S: Sink>(
        &mut self,
        name: &Name,
        version: Option<Version>,
        to: &mut Filling<S>,
        meter: &Meter,
    ) -> Result<Result<Fetched, S::Failure>, Error> {
        loop {
            let before = to.pinned().map(|(_, taken)| taken);
            let result = self.ask(async |node| node.get_into(name, version, to, meter).await).await;
            let now = to.pinned().map(|(_, taken)| taken);
            match result {
                // A node does not wait for long for who reads what is written here. The rest follows.
                Err(error) if error.next_node_may_help() && now > before => {}
                result => return result,
            }
        }
    }

    /// What a node lists of a name; see [`Connection::listed`].
    pub(super) async fn listed(&mut self, name: &Name) -> Result<Option<FileRow>, Error> {
        self.ask(async |node| node.listed(name).await).await
    }

    /// Deletes a file; see [`Connection::delete`]. It is repeated once where the outcome is unknown.
    ///
    /// An attempt whose answer did not come may have deleted it. So when a later one finds no file,
    /// and the newest version of the name is a deletion, that is success.
    pub async fn delete(
        &mut self,
        name: &Name,
        only_if: Option<Condition>,
    ) -> Result<Reply, Error> {
        let mut may_be_done = false;
        let mut delete = async |node: &mut Connection| match node.delete(name, only_if).await {
            Err(error) if may_be_done && matches!(error.status(), Some(404 | 412)) => {
                let log = node.log(name).await.or_else(none_if_404)?;
                let is_deletion = |row: &FileRow| row.bytes.is_none();
                let follows = only_if.is_none_or(|it| follows(it, log.get(1)));
                let is_done = log.first().is_some_and(is_deletion) && follows;
                if is_done { Ok(done_before(log[0].version, "deleted")) } else { Err(error) }
            }
            result => {
                may_be_done |= result.as_ref().is_err_and(Error::outcome_unknown);
                result
            }
        };
        match self.ask(&mut delete).await {
            Err(error) if error.outcome_unknown() => self.ask(delete).await,
            result => result,
        }
    }

    /// Lists the versions of a name; see [`Connection::log`].
    pub async fn log(&mut self, name: &Name) -> Result<Vec<FileRow>, Error> {
        self.ask(async |node| node.log(name).await).await
    }

    /// Where the time of the node's last writes went; see [`Connection::traces`].
    pub async fn traces(&mut self, version: Option<Version>) -> Result<Vec<WriteTrace>, Error> {
        self.ask(async |node| node.traces(version).await).await
    }

    /// Lists a page of names; see [`Connection::list`].
    pub async fn list(&mut self, prefix: &str, after: Option<&Name>) -> Result<Page, Error> {
        self.ask(async |node| node.list(prefix, after).await).await
    }

    /// Lists a page of names with hashes; see [`Connection::list_hashes`].
    pub async fn list_hashes(&mut self, prefix: &str, after: Option<&Name>) -> Result<Page, Error> {
        self.ask(async |node| node.list_hashes(prefix, after).await).await
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

/// Whether the version before a write is the one that it expected. `None`: there is none, or it is not
/// kept.
fn follows(only_if: Condition, before: Option<&FileRow>) -> bool {
    match only_if {
        Condition::Newest(version) => before.is_none_or(|row| row.version == version),
        Condition::Absent => before.is_none_or(|row| row.bytes.is_none()),
    }
}

/// Stands for the answer that did not come.
fn done_before(version: Version, what: &str) -> Reply {
    let line = format!("200 OK version={version} : it was {what} before the connection broke");
    Reply { status: 200, line, body: Vec::new() }
}

fn none_if_404(error: Error) -> Result<Vec<FileRow>, Error> {
    if error.status() == Some(404) { Ok(Vec::new()) } else { Err(error) }
}

fn all_unreachable(tried: Vec<(String, String)>) -> Error {
    let cause = tried.last().map_or_else(|| "no node is given".into(), |(_, cause)| cause.clone());
    let nodes: Vec<String> = tried.into_iter().map(|(node, _)| node).collect();
    Error::Unreachable { node: nodes.join(", "), cause }
}
