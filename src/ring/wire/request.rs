//! What a client asks: as a type, and as a line.

use std::net::SocketAddr;

use super::{
    encode::Encode,
    line::{BadKey, Line, push_line},
    name::{self, Name, encode},
    op::OpId,
    refusal::{Reject, Status},
};
use crate::ring::{item::Content, limits::LIST_NAMES_MAX, version::Version};

/// What a client asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Keep this file on every node.
    Put {
        /// The file's name.
        name: Name,
        /// The file's bytes.
        content: Content,
        /// What must be so, or nothing is written.
        only_if: Option<Condition>,
    },
    /// Give me this file.
    Get {
        /// The file's name.
        name: Name,
        /// Which version of it; else the newest.
        version: Option<Version>,
    },
    /// The rest of a content, from a byte on. Nodes ask each other for it.
    Pull {
        /// The file's name.
        name: Name,
        /// Which content.
        of: PullOf,
        /// The first byte.
        from: u64,
    },
    /// Delete this file on every node.
    Delete {
        /// The file's name.
        name: Name,
        /// What must be so, or nothing is deleted.
        only_if: Option<Condition>,
    },
    /// Which versions of this name are there?
    Log {
        /// The name.
        name: Name,
    },
    /// Which files are there?
    List {
        /// Only names that begin so; it may end anywhere in a name.
        prefix: String,
        /// Only names after this one.
        after: String,
        /// How many at most.
        limit: usize,
        /// Whether the hash of each is wanted.
        hashes: bool,
    },
    /// Which members does the ring have?
    Ring,
    /// Are you there?
    Ping,
    /// Which node are you, and what are your limits?
    Info,
    /// Where did the time of your last writes go?
    Trace {
        /// Only of this one.
        version: Option<Version>,
    },
    /// Do not seek this member any more: it will not return.
    Forget {
        /// The member, which must be gone.
        address: SocketAddr,
    },
    /// Close this connection, once everything asked before is answered.
    Quit,
}

/// What a client believes to be the newest version of a name when it writes that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// This one.
    Newest(Version),
    /// There is no file of this name.
    Absent,
}

impl Condition {
    const ABSENT: &str = "none";

    fn key(condition: Option<Self>) -> String {
        match condition {
            None => String::new(),
            Some(Self::Newest(version)) => format!(" if-version={version}"),
            Some(Self::Absent) => format!(" if-version={}", Self::ABSENT),
        }
    }

    fn read(line: Line<'_>) -> Result<Option<Self>, BadKey> {
        match line.key("if-version") {
            Some(Self::ABSENT) => Ok(Some(Self::Absent)),
            _ => Ok(line.optional("if-version")?.map(Self::Newest)),
        }
    }
}

/// Which content of a name is pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PullOf {
    /// That of one version.
    Version(Version),
    /// One that a client is still sending: this offer of the node that it sends it to.
    Offer(OpId),
}

impl Encode for Request {
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content> {
        match self {
            Self::Put { name, content, only_if } => {
                push_put(out, name, content.len(), *only_if);
                return Some(content);
            }
            Self::Get { name, version } => {
                let version = version.map_or(String::new(), |it| format!(" version={it}"));
                push_line(out, format_args!("GET {}{version}", name.wire()));
            }
            Self::Pull { name, of, from } => {
                let name = name.wire();
                match of {
                    PullOf::Version(version) => {
                        push_line(out, format_args!("PULL {name} version={version} from={from}"));
                    }
                    PullOf::Offer(op) => {
                        push_line(out, format_args!("PULL {name} offer={op} from={from}"));
                    }
                }
            }
            Self::Delete { name, only_if } => {
                let only_if = Condition::key(*only_if);
                push_line(out, format_args!("DELETE {}{only_if}", name.wire()));
            }
            Self::Trace { version: None } => push_line(out, format_args!("TRACE")),
            Self::Trace { version: Some(version) } => {
                push_line(out, format_args!("TRACE version={version}"));
            }
            Self::Log { name } => push_line(out, format_args!("LOG {}", name.wire())),
            Self::List { prefix, after, limit, hashes } => {
                let key = |key, text: &str| match text {
                    "" => String::new(),
                    text => format!(" {key}={}", encode(text)),
                };
                let (prefix, after) = (key("prefix", prefix), key("after", after));
                let limit = match *limit {
                    LIST_NAMES_MAX.. => String::new(),
                    limit => format!(" limit={limit}"),
                };
                let hashes = if *hashes { " hashes=1" } else { "" };
                push_line(out, format_args!("LIST{after}{prefix}{limit}{hashes}"));
            }
            Self::Ring => push_line(out, format_args!("RING")),
            Self::Ping => push_line(out, format_args!("PING")),
            Self::Info => push_line(out, format_args!("INFO")),
            Self::Forget { address } => push_line(out, format_args!("FORGET {address}")),
            Self::Quit => push_line(out, format_args!("QUIT")),
        }
        None
    }
}

/// Appends the line of a PUT; `content_bytes` bytes are to follow it.
pub(crate) fn push_put(
    out: &mut Vec<u8>,
    name: &Name,
    content_bytes: usize,
    only_if: Option<Condition>,
) {
    let only_if = Condition::key(only_if);
    push_line(out, format_args!("PUT {} len={content_bytes}{only_if}", name.wire()));
}

/// A PUT whose content is still to come.
pub(super) fn put(line: Line<'_>) -> Result<Request, Reject> {
    let name = line.name(1)?;
    if line.key("len").is_none() {
        let reason = "PUT needs len=, the number of bytes that follow: PUT NAME len=N";
        return Err(Reject::stay(Status::LengthRequired, reason));
    }
    Ok(Request::Put { name, content: Content::default(), only_if: Condition::read(line)? })
}

pub(super) fn get(line: Line<'_>) -> Result<Request, Reject> {
    Ok(Request::Get { name: line.name(1)?, version: line.optional("version")? })
}

pub(super) fn pull(line: Line<'_>) -> Result<Request, Reject> {
    let from = line.number_or("from", 0)?;
    let of = match line.key("offer") {
        Some(_) => PullOf::Offer(line.parsed("offer")?),
        None => PullOf::Version(line.parsed("version")?),
    };
    Ok(Request::Pull { name: line.name(1)?, of, from })
}

pub(super) fn delete(line: Line<'_>) -> Result<Request, Reject> {
    Ok(Request::Delete { name: line.name(1)?, only_if: Condition::read(line)? })
}

pub(super) fn log(line: Line<'_>) -> Result<Request, Reject> {
    Ok(Request::Log { name: line.name(1)? })
}

pub(super) fn trace(line: Line<'_>) -> Result<Request, Reject> {
    Ok(Request::Trace { version: line.optional("version")? })
}

pub(super) fn list(line: Line<'_>) -> Result<Request, Reject> {
    let text = |key| match name::decode(line.key(key).unwrap_or_default()) {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(BadKey(key)),
    };
    let limit = line.number_or("limit", LIST_NAMES_MAX as u64)?.min(LIST_NAMES_MAX as u64);
    let hashes = line.key("hashes") == Some("1");
    Ok(Request::List {
        prefix: text("prefix")?,
        after: text("after")?,
        limit: limit as usize,
        hashes,
    })
}

pub(super) fn forget(line: Line<'_>) -> Result<Request, Reject> {
    let address = line.word(1).and_then(|word| word.parse().ok());
    Ok(Request::Forget { address: address.ok_or(BadKey("address"))? })
}
