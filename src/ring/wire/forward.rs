//! FORWARD: writes and GETs on their way round the ring.

use std::{fmt::Write as _, net::SocketAddr};

use super::{
    item::{apart, item, push_item},
    line::{BadKey, Line, push_line},
    name::Name,
    op::OpId,
    refusal::{Reject, Status},
};
use crate::ring::{
    coverage::Lacks,
    digits::Hex,
    item::{Body, Content, Item, ItemValue},
    version::{Stamp, Version},
    view::ViewHash,
};

/// A PUT or a DELETE on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct ForwardPut {
    /// Names the operation, and the node that began it.
    pub op: OpId,
    /// The circle that it is to close: the creator's live members when it sent this.
    pub view: ViewHash,
    /// The file's name.
    pub name: Name,
    /// Its new version.
    pub version: Version,
    /// Members that hold it so far.
    pub copies: usize,
    /// The version that it had on its round before, if there was one; this one takes its place.
    pub instead: Option<Version>,
    /// The newest version that a member held already, if that is not this one.
    pub newest: Option<Version>,
    /// Why the first member that could not keep it did not, and which that is, for the creator to
    /// tell the client.
    pub refused: Option<(Status, SocketAddr)>,
    /// The OFFER of its creator, by its count, with which the content may have come already.
    pub offer: Option<u64>,
    /// What it writes, where the receiver needs that.
    pub carried: Carried,
}

/// What a message about one version of a name brings of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Carried {
    /// The file.
    Content(Item),
    /// The mark that the name is deleted. The version is all that there is to it.
    Tombstone,
    /// Nothing: the receiver is its creator, and has the file.
    Known,
}

impl Carried {
    /// The file, if one is carried.
    pub fn item(&self) -> Option<&Item> {
        match self {
            Self::Content(item) => Some(item),
            Self::Tombstone | Self::Known => None,
        }
    }

    /// The same, to be changed.
    pub fn item_mut(&mut self) -> Option<&mut Item> {
        match self {
            Self::Content(item) => Some(item),
            Self::Tombstone | Self::Known => None,
        }
    }
}

/// A GET on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct ForwardGet {
    /// Names the operation, and the node that began it.
    pub op: OpId,
    /// The circle that it is to close.
    pub view: ViewHash,
    /// The file's name.
    pub name: Name,
    /// Nodes that it has visited.
    pub hops: usize,
    /// What none of those that it has visited covers; absent where that does not matter, because its
    /// creator covers everything.
    pub lacks: Option<Lacks>,
    /// The one version that is wanted; else the newest is.
    pub wanted: Option<Version>,
    /// What was found so far: the newest version, or the one that is wanted. Every node that it
    /// passes learns it.
    pub found: Option<Item>,
}

impl ForwardPut {
    /// The offer with which its content may have come already.
    pub fn offered(&self) -> Option<OpId> {
        self.offer.map(|count| OpId { count, ..self.op })
    }

    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) -> Option<&Content> {
        let Self { op, view, name, version, copies, instead, newest, refused, offer, carried } =
            self;
        let (name, mut more) = (name.wire(), String::new());
        if let Some(instead) = instead {
            let _ = write!(more, " instead={instead}");
        }
        if let Some(newest) = newest {
            let _ = write!(more, " newest={newest}");
        }
        if let Some((status, by)) = refused {
            let _ = write!(more, " refused={} by={by}", status.words().0);
        }
        if let Some(offer) = offer {
            let _ = write!(more, " offer={offer}");
        }
        let kind = if *carried == Carried::Tombstone { "DELETE" } else { "PUT" };
        let head = format_args!("FORWARD {kind} {name} op={op} view={view} version={version}");
        let head = format_args!("{head} copies={copies}{more} stamp={stamp}");
        if let Some(ItemValue::File { hash, body }) = carried.item().map(|item| &item.value) {
            if let Body::Apart { at, bytes } = *body {
                push_line(out, format_args!("{head}{}", apart(*hash, at, bytes)));
                return None;
            }
            let (hash, content) = (Hex(*hash), body.content());
            push_line(out, format_args!("{head} blake3={hash} len={}", content.len()));
            return Some(content);
        }
        push_line(out, head);
        None
    }
}

impl ForwardGet {
    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) -> Option<&Content> {
        let Self { op, view, name, hops, lacks, wanted, found } = self;
        let lacks = lacks
            .map_or(String::new(), |Lacks { bits, pairs }| format!(" lacks={bits:x} of={pairs:x}"));
        let name = name.wire();
        let wanted = wanted.map_or(String::new(), |version| format!(" wanted={version}"));
        let head =
            format_args!("FORWARD GET {name} op={op} view={view} hops={hops}{lacks}{wanted}");
        push_item(out, format_args!("{head} stamp={stamp}"), found.as_ref())
    }
}

pub(super) fn put(line: Line<'_>) -> Result<ForwardPut, Reject> {
    let carried = match item(line)? {
        None => Carried::Known,
        Some(item) if item.body().is_some() => Carried::Content(item),
        Some(_) => return Err(BadKey("deleted").into()),
    };
    write(line, carried)
}

pub(super) fn delete(line: Line<'_>) -> Result<ForwardPut, Reject> {
    write(line, Carried::Tombstone)
}

fn write(line: Line<'_>, carried: Carried) -> Result<ForwardPut, Reject> {
    let refused = match line.key("refused") {
        None => None,
        Some(_) => {
            let status = Status::from_code(line.number("refused")?).ok_or(BadKey("refused"))?;
            Some((status, line.parsed("by")?))
        }
    };
    Ok(ForwardPut {
        op: line.parsed("op")?,
        view: ViewHash(line.hex("view")?),
        name: line.name(2)?,
        version: line.parsed("version")?,
        copies: line.number("copies")? as usize,
        instead: line.optional("instead")?,
        newest: line.optional("newest")?,
        refused,
        offer: line.key("offer").map(|_| line.number("offer")).transpose()?,
        carried,
    })
}

pub(super) fn get(line: Line<'_>) -> Result<ForwardGet, Reject> {
    let lacks = match line.key("lacks") {
        None => None,
        Some(_) => Some(Lacks { bits: line.hex("lacks")?, pairs: line.hex("of")? }),
    };
    Ok(ForwardGet {
        op: line.parsed("op")?,
        view: ViewHash(line.hex("view")?),
        name: line.name(2)?,
        hops: line.number("hops")? as usize,
        lacks,
        wanted: line.optional("wanted")?,
        found: item(line)?,
    })
}
