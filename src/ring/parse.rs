//! The grammar itself: each message of a line and its content, and back.

use std::{collections::BTreeSet, net::SocketAddr, str::FromStr};

use bytes::Bytes;

use super::{
    codec::{Reject, line as push_line, optional_name},
    limits::{LIST_NAMES_MAX, MEMBERS_MAX},
    line::{BadKey, Line, decimal},
    message::{
        Check, Content, ForwardGet, ForwardPut, Item, Message, OpId, Peer, Request, Status, Sync,
    },
    name::{self, Name},
    table::{BUCKETS, Digest},
    version::Version,
    view::{Member, State, View, ViewHash},
};

/// A content, and its hash where that was made while it arrived.
struct Body {
    bytes: Bytes,
    hash: Option<blake3::Hash>,
}

/// A message of its line, its content, and the hash of that if it is known.
pub(super) fn message(
    line: Line<'_>,
    bytes: Bytes,
    hash: Option<blake3::Hash>,
) -> Result<Message, Reject> {
    let body = Body { bytes, hash };
    let verb = line.word(0).unwrap_or_default();
    let request = match verb {
        "PUT" if line.key("len").is_none() => {
            let reason = "PUT needs len=, the number of bytes that follow: PUT NAME len=N";
            return Err(Reject::stay(Status::LengthRequired, reason));
        }
        "PUT" => Request::Put { name: name(line)?, content: body.bytes.into() },
        "GET" => Request::Get { name: name(line)? },
        "LIST" => list(line)?,
        "RING" => Request::Ring,
        "PING" => Request::Ping,
        "INFO" => Request::Info,
        "QUIT" => Request::Quit,
        _ => return peer(verb, line, body).map(Message::Peer),
    };
    Ok(Message::Request(request))
}

/// The name that stands second on a line.
pub(super) fn name(line: Line<'_>) -> Result<Name, Reject> {
    nth_name(line, 1)
}

fn nth_name(line: Line<'_>, n: usize) -> Result<Name, Reject> {
    // Who forgets the name must not store a file that is called `len=5`.
    let word = line.word(n).filter(|word| !word.starts_with("len="));
    Name::from_wire(word.unwrap_or_default())
        .map_err(|error| Reject::stay(Status::BadRequest, error.to_string()))
}

fn list(line: Line<'_>) -> Result<Request, Reject> {
    let text = |key| match name::decode(line.key(key).unwrap_or_default()) {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Reject::from(BadKey(key))),
    };
    let limit = match line.key("limit") {
        None => LIST_NAMES_MAX,
        Some(limit) => decimal(limit).ok_or(BadKey("limit"))?.min(LIST_NAMES_MAX as u64) as usize,
    };
    Ok(Request::List { prefix: text("prefix")?, after: text("after")?, limit })
}

fn peer(verb: &str, line: Line<'_>, body: Body) -> Result<Peer, Reject> {
    let kind = line.word(1).unwrap_or_default();
    match (verb, kind) {
        ("MEET", _) => Ok(Peer::Meet {
            node: line.parsed("node")?,
            join: flag(line, "join")?,
            view: view(&body.bytes)?,
        }),
        ("CHECK", _) => Ok(Peer::Check(Check {
            op: op(line)?,
            digest: Digest(hex(line.key("digest"), "digest")?),
            ready: flag(line, "ready")?,
            same: flag(line, "same")?,
            hops: line.number("hops")? as usize,
            view: view(&body.bytes)?,
        })),
        ("CHECKED", _) => {
            let view = line.key("len").map(|_| view(&body.bytes)).transpose()?;
            Ok(Peer::Checked { op: op(line)?, ready: flag(line, "ready")?, view })
        }
        ("FORWARD", "PUT") => forward_put(line, body).map(Peer::ForwardPut),
        ("FORWARD", "GET") => Ok(Peer::ForwardGet(ForwardGet {
            op: op(line)?,
            view: circle(line)?,
            name: nth_name(line, 2)?,
            hops: line.number("hops")? as usize,
            found: item(line, body)?,
        })),
        ("SYNC", _) => sync(kind, line, body).map(Peer::Sync),
        _ => Err(unknown_verb(verb)),
    }
}

pub(super) fn unknown_verb(verb: &str) -> Reject {
    let verb: String = verb.chars().take(32).collect();
    let verbs = "PUT, GET, LIST, RING, PING, INFO or QUIT";
    let reason = format!("the verb {verb:?} is unknown; ask with {verbs}");
    Reject::stay(Status::BadRequest, reason)
}

fn forward_put(line: Line<'_>, body: Body) -> Result<ForwardPut, Reject> {
    let refused = match line.key("refused") {
        None => None,
        Some(code) => Some(decimal(code).and_then(Status::from_code).ok_or(BadKey("refused"))?),
    };
    Ok(ForwardPut {
        op: op(line)?,
        view: circle(line)?,
        name: nth_name(line, 2)?,
        version: line.parsed("version")?,
        copies: line.number("copies")? as usize,
        refused,
        item: item(line, body)?,
    })
}

fn sync(kind: &str, line: Line<'_>, body: Body) -> Result<Sync, Reject> {
    let bucket = || u8::try_from(line.number("bucket")?).map_err(|_| BadKey("bucket"));
    Ok(match kind {
        "BUCKETS" => Sync::Buckets,
        "DIGESTS" => {
            let (chunks, rest) = body.bytes.as_chunks();
            if chunks.len() != BUCKETS || !rest.is_empty() {
                return Err(BadKey("len").into());
            }
            let digests = chunks.iter().map(|chunk| Digest(u128::from_le_bytes(*chunk))).collect();
            Sync::Digests { ready: flag(line, "ready")?, digests }
        }
        "NAMES" => {
            let after = line.key("after").map(Name::from_wire).transpose();
            Sync::Names { bucket: bucket()?, after: after.map_err(|_| BadKey("after"))? }
        }
        "LISTED" => Sync::Listed {
            bucket: bucket()?,
            more: flag(line, "more")?,
            files: files(&body.bytes)?,
        },
        "PULL" => Sync::Pull { name: nth_name(line, 2)? },
        "ITEM" => Sync::Item { name: nth_name(line, 2)?, item: item(line, body)? },
        _ => return Err(Reject::stay(Status::BadRequest, "SYNC has no such message")),
    })
}

/// The line of a peer's message. A file's content is not copied but returned.
pub(super) fn encode_peer<'a>(message: &'a Peer, out: &mut Vec<u8>) -> Option<&'a Content> {
    match message {
        Peer::Meet { node, join, view } => {
            let body = view_body(view);
            let (join, len) = (u8::from(*join), body.len());
            push_line(out, format_args!("MEET node={node} join={join} len={len}"));
            out.extend_from_slice(body.as_bytes());
        }
        Peer::Check(Check { op, digest, ready, same, hops, view }) => {
            let body = view_body(view);
            let (ready, same, len) = (u8::from(*ready), u8::from(*same), body.len());
            push_line(
                out,
                format_args!(
                    "CHECK op={op} digest={digest} ready={ready} same={same} hops={hops} len={len}"
                ),
            );
            out.extend_from_slice(body.as_bytes());
        }
        Peer::Checked { op, ready, view } => {
            let body = view.as_ref().map(view_body);
            let len = body.as_ref().map_or(String::new(), |body| format!(" len={}", body.len()));
            push_line(out, format_args!("CHECKED op={op} ready={}{len}", u8::from(*ready)));
            out.extend(body.unwrap_or_default().bytes());
        }
        Peer::ForwardPut(forward) => {
            let ForwardPut { op, view, name, version, copies, refused, item } = forward;
            let name = name.wire();
            let refused = refused.map_or(String::new(), |it| format!(" refused={}", it.words().0));
            let head = format_args!(
                "FORWARD PUT {name} op={op} view={view} version={version} copies={copies}{refused}"
            );
            return match item {
                None => {
                    push_line(out, head);
                    None
                }
                Some(Item { hash, content, .. }) => {
                    push_line(out, format_args!("{head} blake3={hash} len={}", content.len()));
                    Some(content)
                }
            };
        }
        Peer::ForwardGet(ForwardGet { op, view, name, hops, found }) => {
            let name = name.wire();
            let head = format_args!("FORWARD GET {name} op={op} view={view} hops={hops}");
            return push_item(out, head, found.as_ref());
        }
        Peer::Sync(sync) => return encode_sync(sync, out),
    }
    None
}

fn encode_sync<'a>(sync: &'a Sync, out: &mut Vec<u8>) -> Option<&'a Content> {
    match sync {
        Sync::Buckets => push_line(out, format_args!("SYNC BUCKETS")),
        Sync::Digests { ready, digests } => {
            let len = digests.len() * size_of::<Digest>();
            push_line(out, format_args!("SYNC DIGESTS ready={} len={len}", u8::from(*ready)));
            out.extend(digests.iter().flat_map(|digest| digest.0.to_le_bytes()));
        }
        Sync::Names { bucket, after } => {
            let after = optional_name("after", after.as_ref());
            push_line(out, format_args!("SYNC NAMES bucket={bucket}{after}"));
        }
        Sync::Listed { bucket, more, files } => {
            let mut body = Vec::new();
            for (name, bytes, version) in files {
                let name = name.wire();
                push_line(&mut body, format_args!("{name} len={bytes} version={version}"));
            }
            let (more, len) = (u8::from(*more), body.len());
            push_line(out, format_args!("SYNC LISTED bucket={bucket} more={more} len={len}"));
            out.extend_from_slice(&body);
        }
        Sync::Pull { name } => push_line(out, format_args!("SYNC PULL {}", name.wire())),
        Sync::Item { name, item } => {
            let name = name.wire();
            return push_item(out, format_args!("SYNC ITEM {name}"), item.as_ref());
        }
    }
    None
}

fn push_item<'a>(
    out: &mut Vec<u8>,
    head: std::fmt::Arguments<'_>,
    item: Option<&'a Item>,
) -> Option<&'a Content> {
    let Some(Item { version, hash, content }) = item else {
        push_line(out, head);
        return None;
    };
    let len = content.len();
    push_line(out, format_args!("{head} version={version} blake3={hash} len={len}"));
    Some(content)
}

/// The item that a line describes, if it has a content. The content must match its hash.
fn item(line: Line<'_>, body: Body) -> Result<Option<Item>, Reject> {
    if line.key("len").is_none() {
        return Ok(None);
    }
    let hash = line.key("blake3").and_then(|it| blake3::Hash::from_hex(it).ok());
    let hash = hash.ok_or(BadKey("blake3"))?;
    if body.hash.unwrap_or_else(|| blake3::hash(&body.bytes)) != hash {
        return Err(Reject::stay(Status::BadRequest, "the content does not match its blake3="));
    }
    Ok(Some(Item { version: line.parsed("version")?, hash, content: body.bytes.into() }))
}

fn view_body(view: &View) -> String {
    let mut body = String::new();
    for (address, Member { incarnation, state, position }) in view.members() {
        use std::fmt::Write as _;
        let _ = match state {
            State::Alive => write!(body, "{address} alive"),
            State::Gone { since_ms } => write!(body, "{address} gone since={since_ms}"),
        };
        let _ = writeln!(body, " incarnation={incarnation} position={position:x}");
    }
    body
}

fn view(body: &[u8]) -> Result<View, Reject> {
    let mut view = View::default();
    for line in lines(body)? {
        let address: SocketAddr = first(line)?;
        let state = match line.word(1) {
            Some("alive") => State::Alive,
            Some("gone") => State::Gone { since_ms: line.number("since")? },
            _ => return Err(BadKey("alive|gone").into()),
        };
        let position = hex(line.key("position"), "position")?;
        let incarnation = line.number("incarnation")?;
        view.set(address, Member { incarnation, state, position });
        if view.members().len() > MEMBERS_MAX {
            let reason = format!("a ring has at most {MEMBERS_MAX} members");
            return Err(Reject::stay(Status::BadRequest, reason));
        }
    }
    Ok(view)
}

fn files(body: &[u8]) -> Result<Vec<(Name, usize, Version)>, Reject> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for line in lines(body)? {
        let name = nth_name(line, 0)?;
        if seen.insert(name.clone()) {
            files.push((name, line.number("len")? as usize, line.parsed("version")?));
        }
    }
    Ok(files)
}

fn lines(body: &[u8]) -> Result<impl Iterator<Item = Line<'_>>, Reject> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Reject::stay(Status::BadRequest, "the list is not UTF-8"))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(Line::new))
}

fn first<T: FromStr>(line: Line<'_>) -> Result<T, Reject> {
    Ok(line.word(0).and_then(|word| word.parse().ok()).ok_or(BadKey("address"))?)
}

fn op(line: Line<'_>) -> Result<OpId, Reject> {
    let parts = line.key("op").and_then(|op| op.split_once('/'));
    let (creator, count) = parts.ok_or(BadKey("op"))?;
    let creator = creator.parse().map_err(|_| BadKey("op"))?;
    Ok(OpId { creator, count: decimal(count).ok_or(BadKey("op"))? })
}

fn flag(line: Line<'_>, key: &'static str) -> Result<bool, Reject> {
    match line.number(key)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(BadKey(key).into()),
    }
}

fn circle(line: Line<'_>) -> Result<ViewHash, Reject> {
    let hash = u64::try_from(hex(line.key("view"), "view")?);
    Ok(ViewHash(hash.map_err(|_| BadKey("view"))?))
}

fn hex(word: Option<&str>, key: &'static str) -> Result<u128, Reject> {
    let digits = word.filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    Ok(digits.and_then(|word| u128::from_str_radix(word, 16).ok()).ok_or(BadKey(key))?)
}

impl From<BadKey> for Reject {
    fn from(error: BadKey) -> Self {
        Reject::stay(Status::BadRequest, error.to_string())
    }
}
