//! OFFER: a large file that a client is still sending to its creator.

use std::net::SocketAddr;

use super::{
    line::{BadKey, Line, push_line},
    name::Name,
    op::OpId,
    refusal::Reject,
};
use crate::ring::{version::Stamp, view::ViewHash};

/// An OFFER on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct Offer {
    /// Names it, and the node whose client is sending the file.
    pub op: OpId,
    /// The circle that it passes through.
    pub view: ViewHash,
    /// The file's name.
    pub name: Name,
    /// Its length.
    pub bytes: usize,
    /// Where it can be pulled from.
    pub at: SocketAddr,
}

impl Offer {
    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let Self { op, view, name, bytes, at } = self;
        let head = format_args!("OFFER {} op={op} view={view}", name.wire());
        push_line(out, format_args!("{head} size={bytes} at={at} stamp={stamp}"));
    }
}

pub(super) fn offer(line: Line<'_>) -> Result<Offer, Reject> {
    Ok(Offer {
        op: line.parsed("op")?,
        view: ViewHash(line.hex("view")?),
        name: line.name(1)?,
        bytes: usize::try_from(line.number("size")?).map_err(|_| BadKey("size"))?,
        at: line.parsed("at")?,
    })
}
