//! TRACE: where the time of writes went.

use std::{fmt::Write as _, net::SocketAddr};

use super::line::{Line, push_line};
use crate::ring::{name::Name, version::Version};

/// Where the time of one write went, in microseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteTrace {
    /// What was written.
    pub name: Name,
    /// Which write of that it was.
    pub version: Version,
    /// Once round the ring.
    pub round_us: u64,
    /// From then until a KEEP said that it is on the disks of all members; `None`: none keeps files on a
    /// disk.
    pub keep_us: Option<u64>,
    /// Each member on the way, its creator first; none if the circle has changed since.
    pub hops: Vec<Hop>,
}

/// A member that a write has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Which one.
    pub member: SocketAddr,
    /// How long a message usually takes to the next: half of its round trip.
    pub link_us: Option<u64>,
    /// How long the KEEP behind the write waited for this member's disk; not known of the creator.
    pub wait_us: Option<u64>,
}

/// Appends a line for each.
pub(super) fn push_traces(out: &mut Vec<u8>, traces: &[WriteTrace]) {
    for WriteTrace { name, version, round_us, keep_us, hops } in traces {
        let mut keys = format!("version={version} round={round_us}");
        if let Some(keep_us) = keep_us {
            let _ = write!(keys, " keep={keep_us}");
        }
        for (hop, begin) in hops.iter().zip([" hops="].into_iter().chain(std::iter::repeat(","))) {
            let shown = |micros: Option<u64>| micros.map_or("-".into(), |it| it.to_string());
            let (link, wait) = (shown(hop.link_us), shown(hop.wait_us));
            let _ = write!(keys, "{begin}{}/{link}/{wait}", hop.member);
        }
        push_line(out, format_args!("{} {keys}", name.wire()));
    }
}

impl WriteTrace {
    /// Reads a line. `None`: it is none.
    pub fn read(line: Line<'_>) -> Option<Self> {
        let hops = match line.key("hops") {
            None => Vec::new(),
            Some(hops) => hops.split(',').map(hop).collect::<Option<_>>()?,
        };
        Some(Self {
            name: line.name(0).ok()?,
            version: line.parsed("version").ok()?,
            round_us: line.number("round").ok()?,
            keep_us: line.key("keep").map(|_| line.number("keep")).transpose().ok()?,
            hops,
        })
    }
}

fn hop(text: &str) -> Option<Hop> {
    let mut parts = text.split('/');
    let member = parts.next()?.parse().ok()?;
    let mut micros = || match parts.next()? {
        "-" => Some(None),
        micros => micros.parse().ok().map(Some),
    };
    Some(Hop { member, link_us: micros()?, wait_us: micros()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_read_as_they_are_written() {
        let hop = |member: &str, link_us, wait_us| Hop {
            member: member.parse().unwrap(),
            link_us,
            wait_us,
        };
        let trace = |keep_us, hops| WriteTrace {
            name: Name::new("a b").unwrap(),
            version: "00000000000000ff@127.0.1.1:4043".parse().unwrap(),
            round_us: 412,
            keep_us,
            hops,
        };
        let hops =
            vec![hop("127.0.1.1:4043", Some(190), None), hop("[::1]:4044", None, Some(1700))];
        let traces = [trace(Some(1830), hops), trace(None, Vec::new())];
        let mut out = Vec::new();
        push_traces(&mut out, &traces);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "a%20b version=00000000000000ff@127.0.1.1:4043 round=412 keep=1830 \
             hops=127.0.1.1:4043/190/-,[::1]:4044/-/1700"
        );
        for (line, trace) in lines.iter().zip(traces) {
            assert_eq!(WriteTrace::read(Line::new(line)), Some(trace));
        }
        for bad in
            ["a", "a version=x round=1", "a version=00000000000000ff@127.0.1.1:4043 round=1 hops=x"]
        {
            assert_eq!(WriteTrace::read(Line::new(bad)), None, "{bad}");
        }
    }
}
