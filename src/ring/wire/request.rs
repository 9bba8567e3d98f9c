//! What a client asks: as a type, and as a line.

use std::net::SocketAddr;

use super::{
    encode::Encode,
    line::{BadKey, Line, push_line},
    name::{self, Name, encode},
    refusal::{Reject, Status},
};
use crate::ring::{item::Content, limits::LIST_NAMES_MAX};

/// What a client asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Keep this file on every node.
    Put {
        /// The file's name.
        name: Name,
        /// The file's bytes.
        content: Content,
    },
    /// Give me this file.
    Get {
        /// The file's name.
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
    /// Do not seek this member any more: it will not return.
    Forget {
        /// The member, which must be gone.
        address: SocketAddr,
    },
    /// Close this connection, once everything asked before is answered.
    Quit,
}

impl Encode for Request {
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content> {
        match self {
            Self::Put { name, content } => {
                push_put(out, name, content.len());
                return Some(content);
            }
            Self::Get { name } => push_line(out, format_args!("GET {}", name.wire())),
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
pub(crate) fn push_put(out: &mut Vec<u8>, name: &Name, content_bytes: usize) {
    push_line(out, format_args!("PUT {} len={content_bytes}", name.wire()));
}

/// A PUT whose content is still to come.
pub(super) fn put(line: Line<'_>) -> Result<Request, Reject> {
    let name = line.name(1)?;
    if line.key("len").is_none() {
        let reason = "PUT needs len=, the number of bytes that follow: PUT NAME len=N";
        return Err(Reject::stay(Status::LengthRequired, reason));
    }
    Ok(Request::Put { name, content: Content::default() })
}

pub(super) fn get(line: Line<'_>) -> Result<Request, Reject> {
    Ok(Request::Get { name: line.name(1)? })
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
