//! The table that RING answers, one line per member: as a node writes it, and as a client reads it.

use std::{fmt::Write as _, net::SocketAddr};

use super::{
    line::{Line, push_line},
    members::{Report, push_self},
};
use crate::ring::{
    release::Release,
    view::{Member, MemberState},
};

/// A line of the table, as the node that answers knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Where the member listens, which is its name.
    pub address: SocketAddr,
    /// Its entry in the view.
    pub member: Member,
    /// What it said about itself in the last CHECK, if it is alive and there was one.
    pub report: Option<Report>,
    /// How far its clock is ahead of the ring's, in milliseconds; negative: behind.
    pub clock_off_ms: Option<i64>,
}

/// Appends a line for each member; `me` is the node that answers.
pub(super) fn push_rows(out: &mut Vec<u8>, rows: &[Row], me: SocketAddr) {
    for (Row { address, member, report, clock_off_ms }, label) in rows.iter().zip(1..) {
        let (state, mut keys) = match member.state {
            MemberState::Alive => {
                let is_self = u8::from(*address == me);
                (format!("alive label=WS{label}"), format!(" self={is_self}"))
            }
            MemberState::Gone { since_ms, cause } => {
                ("gone".into(), format!(" since={since_ms} cause={}", cause.words().0))
            }
            MemberState::Left { since_ms } => ("left".into(), format!(" since={since_ms}")),
        };
        if let Some(report @ Report { ready, full, files, bytes, .. }) = report {
            let (ready, full) = (u8::from(*ready), u8::from(*full));
            let _ = write!(keys, " ready={ready} full={full} files={files} bytes={bytes}");
            push_self(&mut keys, report);
        }
        if member.is_alive() {
            keys += if member.keeps { " keeps=disk" } else { " keeps=memory" };
        }
        if let Some(off_ms) = clock_off_ms {
            let _ = write!(keys, " clock={off_ms:+}");
        }
        let incarnation = member.incarnation;
        push_line(out, format_args!("{address} {state} incarnation={incarnation}{keys}"));
    }
}

/// Whether a member takes part in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingState {
    /// It does.
    Alive,
    /// It was found dead, and may come back.
    Gone,
    /// It left gracefully, or the ring was told to forget it.
    Left,
}

impl RingState {
    /// The word for it in the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Gone => "gone",
            Self::Left => "left",
        }
    }
}

/// A line of the table, as a client reads it. `None` is what the node that answers does not know, or
/// is too old to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingMember {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is there.
    pub state: RingState,
    /// Its label, like `WS1`; empty when it is not alive.
    pub label: String,
    /// How often it has come back.
    pub incarnation: u64,
    /// Whether this is the node that was asked.
    pub is_self: bool,
    /// Since when it has been in this state, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Whether it holds what the ring holds.
    pub ready: Option<bool>,
    /// Whether its store is full.
    pub full: Option<bool>,
    /// How many files it holds.
    pub files: Option<u64>,
    /// How many bytes these have.
    pub bytes: Option<u64>,
    /// How far its clock is from the ring's time; negative: behind.
    pub clock_ms: Option<i64>,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// How long its successor usually takes to answer it, in microseconds.
    pub round_trip_us: Option<u32>,
    /// Which release of the program it is.
    pub release: Option<Release>,
}

impl RingMember {
    /// Whether it takes part in the ring.
    pub fn is_alive(&self) -> bool {
        self.state == RingState::Alive
    }

    /// Reads a line of the table. A key that is absent or has an odd value counts as not known.
    pub fn read(line: Line<'_>) -> Result<Self, String> {
        let address = line.word(0).and_then(|word| word.parse().ok());
        let state = match line.word(1) {
            Some("alive") => RingState::Alive,
            Some("gone") => RingState::Gone,
            Some("left") => RingState::Left,
            _ => return Err("a member that is neither alive nor gone nor left".into()),
        };
        Ok(Self {
            address: address.ok_or("a member without an address")?,
            state,
            label: line.key("label").unwrap_or_default().to_owned(),
            incarnation: line.number("incarnation").map_err(|bad| bad.to_string())?,
            is_self: line.key("self") == Some("1"),
            since_ms: line.number("since").ok(),
            ready: line.key("ready").and_then(flag),
            full: line.key("full").and_then(flag),
            files: line.number("files").ok(),
            bytes: line.number("bytes").ok(),
            clock_ms: line.key("clock").and_then(|value| value.parse().ok()),
            started_ms: line.number("started").ok(),
            round_trip_us: line.key("round-trip").and_then(|value| value.parse().ok()),
            release: line.key("version").and_then(|value| value.parse().ok()),
        })
    }
}

/// The value of a key that is 0 or 1.
pub fn flag(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<RingMember, String> {
        RingMember::read(Line::new(line))
    }

    #[test]
    fn members_are_read() {
        let alive = read("127.0.1.1:4043 alive label=WS1 incarnation=2 self=1").unwrap();
        assert!(alive.is_alive() && alive.is_self && alive.label == "WS1");
        assert_eq!((alive.incarnation, alive.since_ms, alive.ready), (2, None, None));
        let gone = read("[::1]:4044 gone incarnation=1 since=77").unwrap();
        assert!(
            gone.state == RingState::Gone && gone.since_ms == Some(77) && gone.label.is_empty()
        );
        assert_eq!(read("[::1]:4044 left incarnation=1 since=77").unwrap().state, RingState::Left);
        for bad in ["", "x alive incarnation=1", "1.2.3.4:5 dead incarnation=1", "1.2.3.4:5 gone"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_newer_node_says_of_a_member_is_read_and_what_is_odd_is_not_known() {
        let line = "127.0.1.1:4043 alive label=WS1 incarnation=2 self=0 since=5";
        let known = read(&format!("{line} ready=1 full=0 files=6 bytes=7 clock=-600000")).unwrap();
        assert_eq!((known.ready, known.full), (Some(true), Some(false)));
        assert_eq!((known.files, known.bytes), (Some(6), Some(7)));
        assert_eq!((known.clock_ms, known.since_ms), (Some(-600_000), Some(5)));
        assert_eq!(read(&format!("{line} clock=+20")).unwrap().clock_ms, Some(20));
        let odd = read(&format!("{line} ready=yes files=-1 clock=late more=1")).unwrap();
        assert_eq!(odd, read(line).unwrap());
    }
}
