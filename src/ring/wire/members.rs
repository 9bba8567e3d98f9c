//! The list of members, one line per member, as MEET, CHECK and CHECKED bring it.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use super::{
    files::lines,
    line::{BadKey, Line},
    refusal::{Reject, Status},
};
use crate::ring::{
    coverage::Covers,
    digest::Digest,
    limits::MEMBERS_MAX,
    release::Release,
    view::{Cause, Member, MemberState, View, ViewHash},
};

/// What a member says of itself when a CHECK passes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its wall clock, in milliseconds since 1970.
    pub clock_ms: u64,
    /// Whether it holds all that the ring holds.
    pub ready: bool,
    /// Whether it had to refuse a file for want of room.
    pub full: bool,
    /// Files that it holds.
    pub files: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Whether it is about to leave.
    pub leaving: bool,
    /// Digest of the newest versions that it holds.
    pub digest: Option<Digest>,
    /// When it was started by its own clock, in milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// How long its successor usually takes to answer a CHECK, in microseconds.
    pub round_trip_us: Option<u32>,
    /// Which release of the program it is.
    pub release: Option<Release>,
}

/// Appends a line for each member, each with the keys that `more` adds to it.
pub(super) fn push_members(out: &mut String, view: &View, more: impl Fn(&mut String, SocketAddr)) {
    for (address, member) in view.members() {
        let Member { incarnation, state, position, brings, from, within, lost, keeps } = member;
        let _ = match state {
            MemberState::Alive => write!(out, "{address} alive"),
            MemberState::Gone { since_ms, cause } => {
                write!(out, "{address} gone since={since_ms} cause={}", cause.words().0)
            }
            MemberState::Left { since_ms } => write!(out, "{address} left since={since_ms}"),
        };
        let _ = write!(out, " incarnation={incarnation} position={position:x}");
        for (key, number) in [("brings", brings), ("from", from), ("lost", lost)] {
            if number > 0 {
                let _ = write!(out, " {key}={number}");
            }
        }
        if within != ViewHash(0) {
            let _ = write!(out, " within={within}");
        }
        if keeps {
            out.push_str(" keeps=disk");
        }
        more(out, address);
        out.push('\n');
    }
}

/// Appends what is covered of a member's number.
pub(super) fn push_covered(out: &mut String, covers: &Covers, member: SocketAddr) {
    if covers.of(member) > 0 {
        let _ = write!(out, " covered={}", covers.of(member));
    }
}

/// Appends what a member says of itself.
pub(super) fn push_report(out: &mut String, report: &Report) {
    let Report { clock_ms, ready, full, files, bytes, leaving, .. } = report;
    let (ready, full) = (u8::from(*ready), u8::from(*full));
    let _ = write!(out, " clock={clock_ms} ready={ready} full={full} files={files} bytes={bytes}");
    if *leaving {
        out.push_str(" leaving=1");
    }
    push_self(out, report);
}

/// Appends what else a member says of itself for people to see, as far as it does.
pub(super) fn push_self(out: &mut String, report: &Report) {
    let Report { digest, started_ms, round_trip_us, release, .. } = report;
    if let Some(digest) = digest {
        let _ = write!(out, " digest={digest}");
    }
    if let Some(started_ms) = started_ms {
        let _ = write!(out, " started={started_ms}");
    }
    if let Some(micros) = round_trip_us {
        let _ = write!(out, " round-trip={micros}");
    }
    if let Some(release) = release {
        let _ = write!(out, " version={release}");
    }
}

/// What a list of members says.
#[derive(Default)]
pub(super) struct List {
    pub view: View,
    /// What its sender covers.
    pub covers: Covers,
    /// What those that a CHECK has visited can give together.
    pub held: Covers,
    pub reports: BTreeMap<SocketAddr, Report>,
}

/// Reads a list of members.
pub(super) fn members(body: &[u8]) -> Result<List, Reject> {
    let mut list = List::default();
    for line in lines(body)? {
        let address = line.word(0).and_then(|word| word.parse().ok());
        let address: SocketAddr = address.ok_or(BadKey("address"))?;
        list.view.set(address, member(line)?);
        for (covers, key) in [(&mut list.covers, "covered"), (&mut list.held, "held")] {
            let number = line.number_or(key, 0)?;
            if number > 0 {
                covers.add(address, number);
            }
        }
        if line.key("clock").is_some() {
            list.reports.insert(address, report(line)?);
        }
        if list.view.members().len() > MEMBERS_MAX {
            let reason = format!("a ring has at most {MEMBERS_MAX} members");
            return Err(Reject::stay(Status::BadRequest, reason));
        }
    }
    Ok(list)
}

fn member(line: Line<'_>) -> Result<Member, Reject> {
    let state = match line.word(1) {
        Some("alive") => MemberState::Alive,
        Some("gone") => MemberState::Gone {
            since_ms: line.number("since")?,
            cause: Cause::from_word(line.key("cause").unwrap_or_default()),
        },
        Some("left") => MemberState::Left { since_ms: line.number("since")? },
        _ => return Err(BadKey("alive|gone|left").into()),
    };
    let within = line.key("within").map(|_| line.hex("within")).transpose()?;
    Ok(Member {
        incarnation: line.number("incarnation")?,
        state,
        position: line.hex("position")?,
        brings: line.number_or("brings", 0)?,
        from: line.number_or("from", 0)?,
        within: ViewHash(within.unwrap_or(0)),
        lost: line.number_or("lost", 0)?,
        keeps: line.key("keeps") == Some("disk"),
    })
}

fn report(line: Line<'_>) -> Result<Report, Reject> {
    Ok(Report {
        clock_ms: line.number("clock")?,
        ready: line.flag("ready")?,
        full: line.flag("full")?,
        files: line.number("files")? as usize,
        bytes: line.number("bytes")? as usize,
        leaving: line.key("leaving") == Some("1"),
        digest: line.hex("digest").ok().map(Digest),
        started_ms: line.number("started").ok(),
        round_trip_us: line.key("round-trip").and_then(|micros| micros.parse().ok()),
        release: line.key("version").and_then(|release| release.parse().ok()),
    })
}
