//! The grammar itself: each message of a line and its content, and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::SocketAddr,
    str::FromStr,
};

use bytes::Bytes;

use super::{
    codec::{Reject, line as push_line, optional_name},
    coverage::{Covers, Lacks},
    limits::{LIST_NAMES_MAX, MEMBERS_MAX},
    line::{BadKey, Line, decimal},
    message::{
        Check, Content, Envelope, ForwardGet, ForwardPut, Greeting, Item, Message, OpId, Peer,
        Report, Request, Role, Status, Sync,
    },
    name::{self, Name, is_ring_name},
    table::{BUCKETS, Digest},
    version::{Stamp, Version},
    view::{Cause, Member, State, View, ViewHash},
};

/// The ring of a node that says nothing of it.
const RING_DEFAULT: &str = "smolring";

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
        "PUT" => {
            Request::Put { name: name(line)?, content: Content::hashed(body.bytes, body.hash) }
        }
        "GET" => Request::Get { name: name(line)? },
        "LIST" => list(line)?,
        "RING" => Request::Ring,
        "PING" => Request::Ping,
        "INFO" => Request::Info,
        "QUIT" => Request::Quit,
        "FORGET" => {
            let address = line.word(1).and_then(|word| word.parse().ok());
            Request::Forget { address: address.ok_or(BadKey("address"))? }
        }
        _ => {
            let stamp = match line.key("stamp") {
                None => Stamp(0),
                Some(stamp) => stamp.parse().map_err(|()| BadKey("stamp"))?,
            };
            let message = peer(verb, line, body)?;
            return Ok(Message::Peer(Envelope { stamp, message }));
        }
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
        ("MEET", _) => meet(line, &body.bytes).map(|greeting| Peer::Meet(Box::new(greeting))),
        ("REFUSE", _) => Ok(Peer::Refuse {
            node: line.parsed("node")?,
            is_joining: flag(line, "joining")?,
            reason: line.text().replace(char::is_control, "?"),
        }),
        ("CHECK", _) => {
            let List { view, covers, held, reports } = list_of_members(&body.bytes)?;
            let digest = Digest(hex(line.key("digest"), "digest")?);
            let hops = line.number("hops")? as usize;
            let op = op(line)?;
            Ok(Peer::Check(Box::new(Check { op, digest, hops, view, covers, held, reports })))
        }
        ("CHECKED", _) => {
            let list = line.key("len").map(|_| list_of_members(&body.bytes)).transpose()?;
            let view = list.map(|list| list.view);
            Ok(Peer::Checked { op: op(line)?, view })
        }
        ("FORWARD", "PUT") => {
            forward_put(line, body).map(|forward| Peer::ForwardPut(Box::new(forward)))
        }
        ("FORWARD", "GET") => Ok(Peer::ForwardGet(Box::new(ForwardGet {
            op: op(line)?,
            view: circle(line)?,
            name: nth_name(line, 2)?,
            hops: line.number("hops")? as usize,
            lacks: lacks(line)?,
            found: item(line, body)?,
        }))),
        ("SYNC", _) => sync(kind, line, body).map(Peer::Sync),
        _ => Err(unknown_verb(verb)),
    }
}

pub(super) fn unknown_verb(verb: &str) -> Reject {
    let verb: String = verb.chars().take(32).collect();
    let verbs = "PUT, GET, LIST, RING, PING, INFO, FORGET or QUIT";
    let reason = format!("the verb {verb:?} is unknown; ask with {verbs}");
    Reject::stay(Status::BadRequest, reason)
}

fn meet(line: Line<'_>, body: &[u8]) -> Result<Greeting, Reject> {
    let List { view, covers, .. } = list_of_members(body)?;
    let word = line.key("as").unwrap_or_default();
    let role = Role::WORDS.into_iter().find(|(_, it)| *it == word);
    let ring = line.key("ring").unwrap_or(RING_DEFAULT);
    if !is_ring_name(ring) {
        return Err(BadKey("ring").into());
    }
    let number = |key, default| line.key(key).map_or(Ok(default), |_| line.number(key));
    Ok(Greeting {
        node: line.parsed("node")?,
        role: role.map_or(Role::Member, |(role, _)| role),
        protocol: number("protocol", 1)?,
        ring: ring.into(),
        clock_ms: number("clock", 0)?,
        knew: number("knew", 0)?,
        view,
        covers,
    })
}

fn lacks(line: Line<'_>) -> Result<Option<Lacks>, Reject> {
    let Some(bits) = line.key("lacks") else { return Ok(None) };
    let pairs = u64::try_from(hex(line.key("of"), "of")?).map_err(|_| BadKey("of"))?;
    Ok(Some(Lacks { bits: hex(Some(bits), "lacks")?, pairs }))
}

fn forward_put(line: Line<'_>, body: Body) -> Result<ForwardPut, Reject> {
    let refused = match line.key("refused") {
        None => None,
        Some(code) => {
            let status = decimal(code).and_then(Status::from_code).ok_or(BadKey("refused"))?;
            Some((status, line.parsed("by")?))
        }
    };
    let newest = line.key("newest").map(str::parse).transpose().map_err(|()| BadKey("newest"))?;
    Ok(ForwardPut {
        op: op(line)?,
        view: circle(line)?,
        name: nth_name(line, 2)?,
        version: line.parsed("version")?,
        copies: line.number("copies")? as usize,
        newest,
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
            Sync::Digests { digests }
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
pub(super) fn encode_peer<'a>(envelope: &'a Envelope, out: &mut Vec<u8>) -> Option<&'a Content> {
    let Envelope { stamp, message } = envelope;
    match message {
        Peer::Meet(greeting) => {
            let Greeting { node, role, protocol, ring, clock_ms, knew, view, covers } = &**greeting;
            let knew = if *knew > 0 { format!(" knew={knew}") } else { String::new() };
            let body = view_body(view, |address, _| covered(covers, address));
            let word = Role::WORDS.iter().find(|(it, _)| it == role).map_or("", |(_, word)| word);
            push_line(
                out,
                format_args!(
                    "MEET node={node} as={word} protocol={protocol} ring={ring} clock={clock_ms}{knew} \
                     stamp={stamp} len={}",
                    body.len()
                ),
            );
            out.extend_from_slice(body.as_bytes());
        }
        Peer::Refuse { node, is_joining, reason } => {
            let joining = u8::from(*is_joining);
            let reason = reason.replace(|c: char| c.is_control(), "?");
            let head = format_args!("REFUSE node={node} joining={joining} stamp={stamp}");
            push_line(out, format_args!("{head} : {reason}"));
        }
        Peer::Check(check) => {
            let Check { op, digest, hops, view, covers, held, reports } = &**check;
            let body = view_body(view, |address, _| {
                let mut keys = covered(covers, address);
                if held.of(address) > 0 {
                    let _ = write!(keys, " held={}", held.of(address));
                }
                keys + &reports.get(&address).map(report_keys).unwrap_or_default()
            });
            let len = body.len();
            push_line(
                out,
                format_args!("CHECK op={op} digest={digest} hops={hops} stamp={stamp} len={len}"),
            );
            out.extend_from_slice(body.as_bytes());
        }
        Peer::Checked { op, view } => {
            let body = view.as_ref().map(|view| view_body(view, |_, _| String::new()));
            let len = body.as_ref().map_or(String::new(), |body| format!(" len={}", body.len()));
            push_line(out, format_args!("CHECKED op={op} stamp={stamp}{len}"));
            out.extend(body.unwrap_or_default().bytes());
        }
        Peer::ForwardPut(forward) => {
            let ForwardPut { op, view, name, version, copies, newest, refused, item } = &**forward;
            let (name, mut more) = (name.wire(), String::new());
            if let Some(newest) = newest {
                let _ = write!(more, " newest={newest}");
            }
            if let Some((status, by)) = refused {
                let _ = write!(more, " refused={} by={by}", status.words().0);
            }
            let head = format_args!(
                "FORWARD PUT {name} op={op} view={view} version={version} copies={copies}{more} \
                 stamp={stamp}"
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
        Peer::ForwardGet(forward) => {
            let ForwardGet { op, view, name, hops, lacks, found } = &**forward;
            let lacks = lacks.map_or(String::new(), |Lacks { bits, pairs }| {
                format!(" lacks={bits:x} of={pairs:x}")
            });
            let name = name.wire();
            let head = format_args!(
                "FORWARD GET {name} op={op} view={view} hops={hops}{lacks} stamp={stamp}"
            );
            return push_item(out, head, found.as_ref());
        }
        Peer::Sync(sync) => return encode_sync(sync, *stamp, out),
    }
    None
}

fn encode_sync<'a>(sync: &'a Sync, stamp: Stamp, out: &mut Vec<u8>) -> Option<&'a Content> {
    match sync {
        Sync::Buckets => push_line(out, format_args!("SYNC BUCKETS stamp={stamp}")),
        Sync::Digests { digests } => {
            let len = digests.len() * size_of::<Digest>();
            push_line(out, format_args!("SYNC DIGESTS stamp={stamp} len={len}"));
            out.extend(digests.iter().flat_map(|digest| digest.0.to_le_bytes()));
        }
        Sync::Names { bucket, after } => {
            let after = optional_name("after", after.as_ref());
            push_line(out, format_args!("SYNC NAMES bucket={bucket} stamp={stamp}{after}"));
        }
        Sync::Listed { bucket, more, files } => {
            let mut body = Vec::new();
            for (name, bytes, version) in files {
                let name = name.wire();
                push_line(&mut body, format_args!("{name} len={bytes} version={version}"));
            }
            let (more, len) = (u8::from(*more), body.len());
            let head = format_args!("SYNC LISTED bucket={bucket} more={more} stamp={stamp}");
            push_line(out, format_args!("{head} len={len}"));
            out.extend_from_slice(&body);
        }
        Sync::Pull { name } => {
            push_line(out, format_args!("SYNC PULL {} stamp={stamp}", name.wire()));
        }
        Sync::Item { name, item } => {
            let head = format_args!("SYNC ITEM {} stamp={stamp}", name.wire());
            return push_item(out, head, item.as_ref());
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

/// A line a member, each with the keys that `more` adds to it.
fn view_body(view: &View, more: impl Fn(SocketAddr, &Member) -> String) -> String {
    let mut body = String::new();
    for (address, member) in view.members() {
        let Member { incarnation, state, position, brings, from, within, lost } = member;
        let _ = match state {
            State::Alive => write!(body, "{address} alive"),
            State::Gone { since_ms, cause } => {
                write!(body, "{address} gone since={since_ms} cause={}", cause.words().0)
            }
            State::Left { since_ms } => write!(body, "{address} left since={since_ms}"),
        };
        let _ = write!(body, " incarnation={incarnation} position={position:x}");
        for (key, number) in [("brings", brings), ("from", from), ("lost", lost)] {
            if number > 0 {
                let _ = write!(body, " {key}={number}");
            }
        }
        if within != ViewHash(0) {
            let _ = write!(body, " within={within}");
        }
        let _ = writeln!(body, "{}", more(address, &member));
    }
    body
}

fn covered(covers: &Covers, address: SocketAddr) -> String {
    match covers.of(address) {
        0 => String::new(),
        brings => format!(" covered={brings}"),
    }
}

fn report_keys(report: &Report) -> String {
    let Report { clock_ms, ready, full, files, bytes, leaving } = report;
    let leaving = if *leaving { " leaving=1" } else { "" };
    let (ready, full) = (u8::from(*ready), u8::from(*full));
    format!(" clock={clock_ms} ready={ready} full={full} files={files} bytes={bytes}{leaving}")
}

/// What a list of members says.
struct List {
    view: View,
    covers: Covers,
    held: Covers,
    reports: BTreeMap<SocketAddr, Report>,
}

fn list_of_members(body: &[u8]) -> Result<List, Reject> {
    let mut view = View::default();
    let (mut covers, mut held, mut reports) =
        (Covers::default(), Covers::default(), BTreeMap::new());
    for line in lines(body)? {
        let address: SocketAddr = first(line)?;
        let state = match line.word(1) {
            Some("alive") => State::Alive,
            Some("gone") => State::Gone {
                since_ms: line.number("since")?,
                cause: Cause::from_word(line.key("cause").unwrap_or_default()),
            },
            Some("left") => State::Left { since_ms: line.number("since")? },
            _ => return Err(BadKey("alive|gone|left").into()),
        };
        let number = |key| line.key(key).map_or(Ok(0), |_| line.number(key));
        let position = hex(line.key("position"), "position")?;
        let incarnation = line.number("incarnation")?;
        let (brings, from, lost) = (number("brings")?, number("from")?, number("lost")?);
        let within = match line.key("within") {
            None => ViewHash(0),
            Some(_) => hash_of(line, "within")?,
        };
        let member = Member { incarnation, state, position, brings, from, within, lost };
        view.set(address, member);
        for (covers, key) in [(&mut covers, "covered"), (&mut held, "held")] {
            if number(key)? > 0 {
                covers.add(address, number(key)?);
            }
        }
        if line.key("clock").is_some() {
            let report = Report {
                clock_ms: line.number("clock")?,
                ready: flag(line, "ready")?,
                full: flag(line, "full")?,
                files: line.number("files")? as usize,
                bytes: line.number("bytes")? as usize,
                leaving: line.key("leaving").is_some_and(|it| it == "1"),
            };
            reports.insert(address, report);
        }
        if view.members().len() > MEMBERS_MAX {
            let reason = format!("a ring has at most {MEMBERS_MAX} members");
            return Err(Reject::stay(Status::BadRequest, reason));
        }
    }
    Ok(List { view, covers, held, reports })
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
    hash_of(line, "view")
}

fn hash_of(line: Line<'_>, key: &'static str) -> Result<ViewHash, Reject> {
    let hash = u64::try_from(hex(line.key(key), key)?);
    Ok(ViewHash(hash.map_err(|_| BadKey(key))?))
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
