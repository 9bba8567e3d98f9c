//! KEEP: on its way round behind the writes of its creator.

use std::{collections::BTreeSet, fmt::Write as _, iter, net::SocketAddr};

use super::{
    line::{BadKey, Line, push_line},
    op::OpId,
    refusal::{Reject, Status},
};
use crate::ring::{limits::MEMBERS_MAX, version::Stamp, view::ViewHash};

/// All writes, where single ones are not named.
const ALL: &str = "all";

/// A KEEP on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct Keep {
    /// Names it, and the node that began it.
    pub op: OpId,
    /// The circle that it is to close.
    pub view: ViewHash,
    /// Nodes that it has visited.
    pub hops: usize,
    /// Why the first member that could not keep something did not, and which that is.
    pub refused: Option<(Status, SocketAddr)>,
    /// What it and others could not keep.
    pub failed: Failed,
    /// What a member lacks whose content is still on its way to it.
    pub pending: Failed,
    /// How long it waited at each member for its store, in microseconds.
    pub waits: Vec<u32>,
}

/// Writes of one node that others could not keep, or not yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failed {
    /// Those with these times.
    Some(BTreeSet<Stamp>),
    /// All: there are too many to name.
    All,
}

impl Default for Failed {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Failed {
    /// Whether this write is one of them.
    pub fn has(&self, stamp: Stamp) -> bool {
        match self {
            Self::Some(stamps) => stamps.contains(&stamp),
            Self::All => true,
        }
    }

    /// Adds a write; from `most` on, all count.
    pub fn add(&mut self, stamp: Stamp, most: usize) {
        match self {
            Self::Some(stamps) if stamps.len() < most => drop(stamps.insert(stamp)),
            _ => *self = Self::All,
        }
    }

    fn push(&self, key: &str, out: &mut String) {
        let stamps = match self {
            Self::All => ALL.to_owned(),
            Self::Some(stamps) if stamps.is_empty() => return,
            Self::Some(stamps) => stamps.iter().map(Stamp::to_string).collect::<Vec<_>>().join(","),
        };
        let _ = write!(out, " {key}={stamps}");
    }

    fn read(line: Line<'_>, key: &'static str) -> Result<Self, BadKey> {
        match line.key(key) {
            None => Ok(Self::default()),
            Some(ALL) => Ok(Self::All),
            Some(stamps) => {
                let stamps: Result<_, _> = stamps.split(',').map(str::parse).collect();
                Ok(Self::Some(stamps.map_err(|()| BadKey(key))?))
            }
        }
    }

    /// Adds all of the other.
    pub fn add_all(&mut self, other: Self, most: usize) {
        match other {
            Self::Some(stamps) => stamps.into_iter().for_each(|stamp| self.add(stamp, most)),
            Self::All => *self = Self::All,
        }
    }
}

impl Keep {
    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let Self { op, view, hops, refused, failed, pending, waits } = self;
        let mut more = String::new();
        if let Some((status, by)) = refused {
            let _ = write!(more, " refused={} by={by}", status.words().0);
        }
        failed.push("failed", &mut more);
        pending.push("pending", &mut more);
        for (wait, begin) in waits.iter().zip([" waits="].into_iter().chain(iter::repeat(","))) {
            let _ = write!(more, "{begin}{wait}");
        }
        push_line(out, format_args!("KEEP op={op} view={view} hops={hops}{more} stamp={stamp}"));
    }
}

pub(super) fn keep(line: Line<'_>) -> Result<Keep, Reject> {
    let refused = match line.key("refused") {
        None => None,
        Some(_) => {
            let status = Status::from_code(line.number("refused")?).ok_or(BadKey("refused"))?;
            Some((status, line.parsed("by")?))
        }
    };
    Ok(Keep {
        op: line.parsed("op")?,
        view: ViewHash(line.hex("view")?),
        hops: line.number("hops")? as usize,
        refused,
        failed: Failed::read(line, "failed")?,
        pending: Failed::read(line, "pending")?,
        waits: match line.key("waits") {
            None => Vec::new(),
            // It is for people: what is odd is left out.
            Some(waits) => {
                waits.split(',').map_while(|it| it.parse().ok()).take(MEMBERS_MAX).collect()
            }
        },
    })
}
