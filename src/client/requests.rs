//! The requests of a client as functions, and the types of their answers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use blake3::Hash;

use super::{
    connection::Connection,
    content::Body,
    error::Error,
    member::Member,
    meter::Meter,
    pieces::WHOLE_BYTES_MAX,
    reply::Reply,
    sink::{Filling, Of, Sink},
};
use crate::ring::{
    codec::Encode,
    limits::{LINE_BYTES_MAX, LIST_NAMES_MAX, NAME_BYTES_MAX},
    line::{BadKey, Line},
    message::{Condition, FileRow, Request, WriteTrace},
    name::Name,
    version::Version,
    wire::request::push_put,
};

/// Why a content that is written to a pipe is not asked for again.
const WRITTEN: &str = "what was written cannot be taken back";

/// A file as a node sent it; its hash was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// The version of this write.
    pub version: Version,
}

/// A line of a LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// The name of the file.
    pub name: Name,
    /// Its size.
    pub bytes: u64,
    /// The version of this write.
    pub version: Version,
    /// BLAKE3 of its bytes, if that was asked for and the node holds them.
    pub hash: Option<Hash>,
}

/// One answer to LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Sorted by name.
    pub entries: Vec<ListedFile>,
    /// Whether names follow after the last one.
    pub more: bool,
}

/// What came of a GET. The hash was checked.
#[derive(Clone, Debug)]
pub(super) enum Fetched {
    /// A small file.
    Whole(File),
    /// A large one, all of which went to the sink.
    Large(Of),
}

impl Fetched {
    pub fn version(&self) -> Version {
        match self {
            Self::Whole(file) => file.version,
            Self::Large(of) => of.version,
        }
    }

    pub fn bytes(&self) -> u64 {
        match self {
            Self::Whole(file) => file.content.len() as u64,
            Self::Large(of) => of.bytes,
        }
    }

    pub fn hash(&self) -> Hash {
        match self {
            Self::Whole(file) => blake3::hash(&file.content),
            Self::Large(of) => of.hash,
        }
    }
}

/// What a node holds of a name, beside a file with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The same bytes, in this version.
    Same(Version),
    /// Nothing, or other bytes.
    Other,
    /// The name, but the node does not say with which bytes: it has no room for them, or is too old
    /// to say.
    Unknown,
}

/// The answer to a PING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The node that answered.
    pub node: String,
    /// From before the request was written until the answer was read.
    pub round_trip: Duration,
}

impl Connection {
    /// Stores a file in the ring. The answer has the keys `version` and `copies`.
    pub async fn put(&mut self, name: &Name, content: &[u8]) -> Result<Reply, Error> {
        self.put_if(name, content, None).await
    }

    /// The same where something must be so, or else nothing is put. Status 412: it is not so.
    pub async fn put_if(
        &mut self,
        name: &Name,
        content: &[u8],
        only_if: Option<Condition>,
    ) -> Result<Reply, Error> {
        self.put_body(name, &mut Body::Bytes(content), only_if).await
    }

    /// The same with a content that may be read while it is sent. What was counted of one that was
    /// not put is taken back.
    pub(super) async fn put_body(
        &mut self,
        name: &Name,
        body: &mut Body<'_>,
        only_if: Option<Condition>,
    ) -> Result<Reply, Error> {
        let mut line = Vec::new();
        let bytes = usize::try_from(body.bytes()).unwrap_or(usize::MAX);
        push_put(&mut line, name, bytes, only_if);
        let answer = self.begin(&line, body).await;
        let result = match answer {
            Ok(answer) => self.rest(answer).await.and_then(|reply| self.succeeded(reply)),
            Err(error) => Err(error),
        };
        if let (Err(_), Body::Supply(supply, meter)) = (&result, body) {
            meter.back(supply.sent);
        }
        result
    }

    /// Fetches a file and checks its hash. Status 404: no member has it.
    pub async fn get(&mut self, name: &Name) -> Result<File, Error> {
        self.fetch(name, None).await
    }

    /// The same of one version.
    pub async fn get_version(&mut self, name: &Name, version: Version) -> Result<File, Error> {
        self.fetch(name, Some(version)).await
    }

    async fn fetch(&mut self, name: &Name, version: Option<Version>) -> Result<File, Error> {
        let reply = self.ask(&Request::Get { name: name.clone(), version }).await?;
        let version = reply.version_of_file().map_err(|what| self.bad(what))?;
        Ok(File { content: reply.body, version })
    }

    /// Fetches a file, or one version of it. A small one is returned, and counted; a large one goes to
    /// a sink. What was counted of one that did not become whole is taken back. An inner error is the
    /// sink's.
    pub(super) async fn get_into<S: Sink>(
        &mut self,
        name: &Name,
        version: Option<Version>,
        to: &mut Filling<S>,
        meter: &Meter,
    ) -> Result<Result<Fetched, S::Failure>, Error> {
        let pinned = to.pinned();
        let version = pinned.map(|(of, _)| of.version).or(version);
        let mut line = Vec::new();
        Request::Get { name: name.clone(), version }.encode(&mut line);
        let answer = self.begin(&line, &mut Body::Bytes(&[])).await?;
        let is_small = answer.bytes <= WHOLE_BYTES_MAX as u64 && pinned.is_none();
        if answer.status != 200 || is_small {
            let reply = self.rest(answer).await?;
            let reply = self.succeeded(reply).map_err(|error| match pinned {
                Some(_) if !error.next_node_may_help() => {
                    Error::Once { error: error.into(), why: WRITTEN }
                }
                _ => error,
            })?;
            let version = reply.version_of_file().map_err(|what| self.bad(what))?;
            meter.moved(reply.body.len() as u64);
            return Ok(Ok(Fetched::Whole(File { content: reply.body, version })));
        }
        let of = self.of(&answer.line, answer.bytes)?;
        if pinned.is_some_and(|(begun, _)| begun != of) {
            return Err(self.bad("another content of the same version".into()));
        }
        let taken = pinned.map_or(0, |(_, taken)| taken);
        meter.one_has(of.bytes);
        let (pour, writing) = to.write(of);
        let mut counted = 0;
        let count = |bytes: usize| {
            counted += bytes as u64;
            meter.moved(bytes as u64);
        };
        let received = self.rest_into(&answer, taken, pour, count).await;
        let written = writing.end(to).await;
        let is_right = matches!((&received, &written), (Ok(()), Ok(hash)) if *hash == of.hash);
        if !is_right {
            // What is there stays where the rest can follow.
            let stays = to.pinned().map_or(0, |(_, now)| now - taken);
            meter.back(counted.saturating_sub(stays));
        }
        let hash = match written {
            Err(failure) => return Ok(Err(failure)),
            Ok(hash) => hash,
        };
        received?;
        if hash == of.hash {
            return Ok(Ok(Fetched::Large(of)));
        }
        let error = self.bad("the content does not have the hash that it should have".into());
        match to.pinned() {
            None => Err(error),
            Some(_) => Err(Error::Once { error: error.into(), why: WRITTEN }),
        }
    }

    /// Which content an answer to GET announces.
    fn of(&self, line: &str, bytes: u64) -> Result<Of, Error> {
        let line = Line::new(line);
        let version = line.key("version").and_then(|it| it.parse().ok());
        let hash = line.key("blake3").and_then(|it| Hash::from_hex(it).ok());
        let bad = |key| self.bad(BadKey(key).to_string());
        let version = version.ok_or_else(|| bad("version"))?;
        Ok(Of { version, bytes, hash: hash.ok_or_else(|| bad("blake3"))? })
    }

    /// Deletes a file in the ring. The answer has the keys `version` and `copies`. Status 404: no
    /// member has it; 412: what must be so is not.
    pub async fn delete(
        &mut self,
        name: &Name,
        only_if: Option<Condition>,
    ) -> Result<Reply, Error> {
        self.ask(&Request::Delete { name: name.clone(), only_if }).await
    }

    /// The versions of a name, the newest first; a deletion has no bytes. Status 404: there are none.
    pub async fn log(&mut self, name: &Name) -> Result<Vec<FileRow>, Error> {
        let reply = self.ask(&Request::Log { name: name.clone() }).await?;
        reply.files().map_err(|what| self.bad(what))
    }

    /// Where the time of the node's last writes went, the newest first; `version`: of this one alone.
    pub async fn traces(&mut self, version: Option<Version>) -> Result<Vec<WriteTrace>, Error> {
        Ok(self.ask(&Request::Trace { version }).await?.traces())
    }

    /// One page of the names that begin with `prefix` and come after `after`.
    pub async fn list(&mut self, prefix: &str, after: Option<&Name>) -> Result<Page, Error> {
        self.page(prefix, after, false).await
    }

    /// The same with the hash of each file.
    pub async fn list_hashes(&mut self, prefix: &str, after: Option<&Name>) -> Result<Page, Error> {
        self.page(prefix, after, true).await
    }

    async fn page(
        &mut self,
        prefix: &str,
        after: Option<&Name>,
        hashes: bool,
    ) -> Result<Page, Error> {
        let beyond = |after: &Name| after.as_str() > prefix && !after.as_str().starts_with(prefix);
        if prefix.len() > NAME_BYTES_MAX || after.is_some_and(beyond) {
            return Ok(Page { entries: Vec::new(), more: false });
        }
        let after = after.filter(|after| after.as_str() >= prefix);
        let list = |prefix: &str| Request::List {
            prefix: prefix.to_owned(),
            after: after.map_or("", Name::as_str).to_owned(),
            limit: LIST_NAMES_MAX,
            hashes,
        };
        // Two long names do not fit one line. Then the node lists all names, and the first one
        // without the prefix ends the list, because it is sorted.
        let (mut line, mut is_narrow) = (Vec::new(), !prefix.is_empty());
        list(prefix).encode(&mut line);
        if line.len() > LINE_BYTES_MAX {
            is_narrow = false;
            line.clear();
            list("").encode(&mut line);
        }
        let reply = self.succeed(&line, &[]).await?;
        let files = reply.files().map_err(|what| self.bad(what))?.into_iter();
        let mut entries: Vec<_> = files
            .map(|FileRow { name, bytes, version, hash }| ListedFile {
                name,
                bytes: bytes.unwrap_or(0) as u64,
                version,
                hash,
            })
            .collect();
        let mut more = self.number(&reply, "more")? != 0;
        let before = after.into_iter().chain(entries.iter().map(|entry| &entry.name));
        if !before.is_sorted_by(|a, b| a < b) || (more && entries.is_empty()) {
            return Err(self.bad("a list of names that is out of order".into()));
        }
        if !is_narrow {
            let wanted = entries.partition_point(|entry| entry.name.as_str().starts_with(prefix));
            more &= wanted == entries.len();
            entries.truncate(wanted);
        }
        Ok(Page { entries, more })
    }

    /// Whether the node holds a file of this name with this hash, and in which version.
    pub async fn held(&mut self, name: &Name, hash: Hash) -> Result<Held, Error> {
        Ok(match self.listed(name).await? {
            Some(FileRow { version, hash: Some(listed), .. }) if listed == hash => {
                Held::Same(version)
            }
            Some(FileRow { hash: None, .. }) => Held::Unknown,
            _ => Held::Other,
        })
    }

    /// What the node lists of a name.
    pub(super) async fn listed(&mut self, name: &Name) -> Result<Option<FileRow>, Error> {
        let (prefix, after) = (name.to_string(), String::new());
        // Of all names that begin like this one, this one is the first.
        let reply = self.ask(&Request::List { prefix, after, limit: 1, hashes: true }).await?;
        let files = reply.files().map_err(|what| self.bad(what))?;
        Ok(files.into_iter().find(|listed| listed.name == *name))
    }

    /// The members that the node knows: live ones first, in the order of the ring.
    pub async fn ring(&mut self) -> Result<Vec<Member>, Error> {
        let reply = self.ask(&Request::Ring).await?;
        reply.members().map_err(|what| self.bad(what))
    }

    /// Measures the time to the node and back.
    pub async fn ping(&mut self) -> Result<Pong, Error> {
        let begun = Instant::now();
        let reply = self.ask(&Request::Ping).await?;
        let round_trip = begun.elapsed();
        Ok(Pong { node: self.key(&reply, "node")?.to_owned(), round_trip })
    }

    /// What the node says about itself and its limits, as keys of the answer.
    pub async fn info(&mut self) -> Result<Reply, Error> {
        self.ask(&Request::Info).await
    }

    /// Lets the ring forget a member that is gone. Status 404: it knows no such member; 400: it is
    /// alive.
    pub async fn forget(&mut self, member: SocketAddr) -> Result<Reply, Error> {
        self.ask(&Request::Forget { address: member }).await
    }

    /// Makes a request that brings no content.
    async fn ask(&mut self, request: &Request) -> Result<Reply, Error> {
        let mut line = Vec::new();
        request.encode(&mut line);
        self.succeed(&line, &[]).await
    }

    /// Like [`request`](Self::request), with every status but 200 an error.
    async fn succeed(&mut self, line: &[u8], content: &[u8]) -> Result<Reply, Error> {
        let reply = self.exchange(line, content).await?;
        self.succeeded(reply)
    }

    fn succeeded(&self, reply: Reply) -> Result<Reply, Error> {
        if reply.status == 200 {
            return Ok(reply);
        }
        let text = reply.line.split_once(' ').map_or("", |(_, text)| text).replacen(" : ", ": ", 1);
        Err(Error::Status { node: self.node.clone(), status: reply.status, text })
    }

    fn key<'a>(&self, reply: &'a Reply, key: &'static str) -> Result<&'a str, Error> {
        reply.key(key).ok_or_else(|| self.bad(BadKey(key).to_string()))
    }

    fn number(&self, reply: &Reply, key: &'static str) -> Result<u64, Error> {
        reply.number(key).map_err(|bad| self.bad(bad.to_string()))
    }
}
