//! A member of the ring, as one node knows it: a line of its answer to RING.

use std::net::SocketAddr;

use crate::ring::line::Line;

/// Whether a member takes part in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It does.
    Alive,
    /// It was found dead, and may come back.
    Gone,
    /// It left in order, or the ring was told to forget it.
    Left,
}

impl MemberState {
    /// The word for it in the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Gone => "gone",
            Self::Left => "left",
        }
    }
}

/// A member of the ring, as one node knows it. `None`: that node does not know it, or is of an older
/// version that does not send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it takes part.
    pub state: MemberState,
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
    /// How far its clock is from the ring's time; less than 0 is behind.
    pub clock_ms: Option<i64>,
}

impl Member {
    /// Whether it takes part in the ring.
    pub fn is_alive(&self) -> bool {
        self.state == MemberState::Alive
    }

    pub(super) fn read(line: Line<'_>) -> Result<Self, String> {
        let address = line.word(0).and_then(|word| word.parse().ok());
        let state = match line.word(1) {
            Some("alive") => MemberState::Alive,
            Some("gone") => MemberState::Gone,
            Some("left") => MemberState::Left,
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
        })
    }
}

/// The value of a key that is 0 or 1.
pub(super) fn flag(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Member, String> {
        Member::read(Line::new(line))
    }

    #[test]
    fn members_are_read() {
        let alive = read("127.0.1.1:4043 alive label=WS1 incarnation=2 self=1").unwrap();
        assert!(alive.is_alive() && alive.is_self && alive.label == "WS1");
        assert_eq!((alive.incarnation, alive.since_ms, alive.ready), (2, None, None));
        let gone = read("[::1]:4044 gone incarnation=1 since=77").unwrap();
        assert!(
            gone.state == MemberState::Gone && gone.since_ms == Some(77) && gone.label.is_empty()
        );
        assert_eq!(
            read("[::1]:4044 left incarnation=1 since=77").unwrap().state,
            MemberState::Left
        );
        for bad in ["", "x alive incarnation=1", "1.2.3.4:5 dead incarnation=1", "1.2.3.4:5 gone"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_of_newer_nodes_are_read_and_odd_values_are_not_known() {
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
