//! CHECK and CHECKED: the pulse of the ring.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use super::{
    line::{Line, push_line},
    members::{List, Report, members, push_covered, push_members, push_report},
    op::OpId,
    refusal::Reject,
};
use crate::ring::{coverage::Covers, index::Digest, version::Stamp, view::View};

/// A CHECK on its way round the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Names it, and the node that began it.
    pub op: OpId,
    /// Digest of the newest versions that the sender holds.
    pub digest: Digest,
    /// Digest of all versions that it holds.
    pub history: Digest,
    /// Nodes that it has visited.
    pub hops: usize,
    /// The list of members.
    pub view: View,
    /// What the sender covers, and can therefore give.
    pub covers: Covers,
    /// What those that it has visited can give together, its creator not counted.
    pub held: Covers,
    /// What those that it has visited say of themselves.
    pub reports: BTreeMap<SocketAddr, Report>,
}

impl Check {
    pub(super) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let Self { op, digest, history, hops, view, covers, held, reports } = self;
        let mut body = String::new();
        push_members(&mut body, view, |body, member| {
            push_covered(body, covers, member);
            if held.of(member) > 0 {
                let _ = write!(body, " held={}", held.of(member));
            }
            reports.get(&member).inspect(|report| push_report(body, report));
        });
        let head = format_args!("CHECK op={op} digest={digest} history={history} hops={hops}");
        push_line(out, format_args!("{head} stamp={stamp} len={}", body.len()));
        out.extend_from_slice(body.as_bytes());
    }
}

pub(super) fn check(line: Line<'_>, body: &[u8]) -> Result<Check, Reject> {
    let List { view, covers, held, reports } = members(body)?;
    let (digest, history) = (Digest(line.hex("digest")?), Digest(line.hex("history")?));
    let hops = line.number("hops")? as usize;
    Ok(Check { op: line.parsed("op")?, digest, history, hops, view, covers, held, reports })
}

/// The answer to a CHECK: which one it was, and the view of the node that answers, if that differs.
pub(super) fn checked(line: Line<'_>, body: &[u8]) -> Result<(OpId, Option<View>), Reject> {
    let list = line.key("len").map(|_| members(body)).transpose()?;
    Ok((line.parsed("op")?, list.map(|list| list.view)))
}

pub(super) fn push_checked(out: &mut Vec<u8>, op: OpId, view: Option<&View>, stamp: Stamp) {
    let Some(view) = view else {
        return push_line(out, format_args!("CHECKED op={op} stamp={stamp}"));
    };
    let mut body = String::new();
    push_members(&mut body, view, |_, _| ());
    push_line(out, format_args!("CHECKED op={op} stamp={stamp} len={}", body.len()));
    out.extend_from_slice(body.as_bytes());
}
