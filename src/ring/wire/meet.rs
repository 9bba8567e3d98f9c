//! MEET: how two nodes greet each other on a new link.

use std::{net::SocketAddr, sync::Arc};

use super::{
    line::{BadKey, Line, push_line},
    members::{List, members, push_covered, push_members},
    name::is_ring_name,
    refusal::Reject,
};
use crate::ring::{coverage::Covers, version::Stamp, view::View};

/// The ring of a node that does not name one.
const RING_DEFAULT: &str = "smolring";

/// In which role a node opens or answers a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// As a member of its ring: both views merge.
    Member,
    /// It wants to be taken into the ring of the other end.
    Newcomer,
    /// It only asks which members there are, or for files. Neither view changes.
    Visitor,
}

impl Role {
    /// All roles, with their words on the wire.
    pub const WORDS: [(Self, &'static str); 3] =
        [(Self::Member, "member"), (Self::Newcomer, "newcomer"), (Self::Visitor, "visitor")];
}

/// A MEET: the sender, and the ring as it knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Greeting {
    /// The sender.
    pub node: SocketAddr,
    /// The role in which it greets.
    pub role: Role,
    /// The version of the protocol that it speaks.
    pub protocol: u64,
    /// The name of its ring.
    pub ring: Arc<str>,
    /// Its wall clock, in milliseconds since 1970.
    pub clock_ms: u64,
    /// What the receiver brought, as the sender knew it before the two met: perhaps in an earlier
    /// life, of which the receiver knows nothing.
    pub knew: u64,
    /// The ring as it knows it.
    pub view: View,
    /// What it covers, and can therefore give.
    pub covers: Covers,
}

impl Greeting {
    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let Self { node, role, protocol, ring, clock_ms, knew, view, covers } = self;
        let knew = if *knew > 0 { format!(" knew={knew}") } else { String::new() };
        let word = Role::WORDS.iter().find(|(it, _)| it == role).map_or("", |(_, word)| word);
        let mut body = String::new();
        push_members(&mut body, view, |body, member| push_covered(body, covers, member));
        let head = format_args!("MEET node={node} as={word} protocol={protocol} ring={ring}");
        let len = body.len();
        push_line(out, format_args!("{head} clock={clock_ms}{knew} stamp={stamp} len={len}"));
        out.extend_from_slice(body.as_bytes());
    }
}

pub(super) fn meet(line: Line<'_>, body: &[u8]) -> Result<Greeting, Reject> {
    let List { view, covers, .. } = members(body)?;
    let word = line.key("as").unwrap_or_default();
    let role = Role::WORDS.into_iter().find(|(_, it)| *it == word);
    let ring = line.key("ring").unwrap_or(RING_DEFAULT);
    if !is_ring_name(ring) {
        return Err(BadKey("ring").into());
    }
    Ok(Greeting {
        node: line.parsed("node")?,
        role: role.map_or(Role::Member, |(role, _)| role),
        protocol: line.number_or("protocol", 1)?,
        ring: ring.into(),
        clock_ms: line.number_or("clock", 0)?,
        knew: line.number_or("knew", 0)?,
        view,
        covers,
    })
}
