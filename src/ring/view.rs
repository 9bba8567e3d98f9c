//! The members of the ring, and their order.
//!
//! A view is a map from an address to a [`Member`]. All nodes that hold the same map have the same
//! ring: live members stand in the order of their positions, ties broken by address.
//!
//! # Merging
//!
//! Of two entries for one address the greater wins: by incarnation, then Left over Gone over Alive,
//! then by position. Of [`brings`](Member::brings) and [`lost`](Member::lost) the greater number
//! stays, whichever entry has it. Taking the greater of two is commutative, associative and
//! idempotent, so it does not matter in which order or how often nodes hear from each other: all of
//! them end with the same map. (SWIM by Das, Gupta and Motivala, 2002, orders suspicion in the same
//! way.)
//!
//! # Coming back
//!
//! A Gone or Left entry is only ever undone by a higher incarnation. There are three ways to get one: a
//! node that restarts takes one; a node that finds itself Gone although it lives takes one; and
//! when two rings meet, each [vouches](View::vouch) for its own live members.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    digits,
    limits::{INCARNATION_MAX, MEMBERS_MAX},
};

/// Names the set of live members: address, incarnation and position of each. Two nodes with equal
/// hashes agree which members are in the circle, and in which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ViewHash(pub u64);

impl fmt::Display for ViewHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::write_number(self.0, f)
    }
}

/// Why a member counts as gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cause {
    /// No reason is known.
    Unknown,
    /// It did not answer in time.
    Silent,
    /// No process listens at its address.
    Refused,
    /// Its connection broke and could not be made again.
    Broken,
    /// It was restarted, and has not been taken in yet.
    Restarted,
}

impl Cause {
    /// All causes: the word on the wire, and the words that users read.
    pub const WORDS: [(Self, &'static str, &'static str); 5] = [
        (Self::Unknown, "unknown", "for a reason that is not known"),
        (Self::Silent, "silent", "it did not answer its predecessor in time"),
        (Self::Refused, "refused", "nobody listens at its address"),
        (Self::Broken, "broken", "its predecessor can no longer connect to it"),
        (Self::Restarted, "restarted", "it was started anew"),
    ];

    /// The word on the wire, and the words that users read.
    pub fn words(self) -> (&'static str, &'static str) {
        let found = Self::WORDS.into_iter().find(|(cause, ..)| *cause == self);
        found.map_or(("unknown", ""), |(_, word, text)| (word, text))
    }

    /// The cause of this word. A later version may know more of them.
    pub fn from_word(word: &str) -> Self {
        let found = Self::WORDS.into_iter().find(|(_, it, _)| *it == word);
        found.map_or(Self::Unknown, |(cause, ..)| cause)
    }
}

/// Whether a member takes part in the circle. The later one is the greater, so it wins a tie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MemberState {
    /// In the circle.
    Alive,
    /// Out of it: its predecessor found it dead. It is sought, since it may come back.
    Gone {
        /// When, in milliseconds since 1970.
        since_ms: u64,
        /// Why.
        cause: Cause,
    },
    /// Out of it: it left gracefully, or was given up by an operator. It is not sought.
    Left {
        /// When, in milliseconds since 1970.
        since_ms: u64,
    },
}

/// What a view says of one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Counts the lives of this member; a higher one overrides everything said before.
    pub incarnation: u64,
    /// Alive, gone or left.
    pub state: MemberState,
    /// Its place in the circle.
    pub position: u128,
    /// Grows whenever this member may hold files that others have not followed; 0: it came with
    /// nothing. See `coverage.rs`.
    pub brings: u64,
    /// What it brought before it raised that number.
    pub from: u64,
    /// The circle in which it did so.
    pub within: ViewHash,
    /// The highest of its `brings` that others have gone on without.
    pub lost: u64,
    /// Whether this life of it keeps files on a disk.
    pub keeps: bool,
}

impl Member {
    /// A live member that brings nothing.
    pub fn alive(incarnation: u64, position: u128) -> Self {
        let (state, within) = (MemberState::Alive, ViewHash(0));
        Self { incarnation, state, position, brings: 0, from: 0, within, lost: 0, keeps: false }
    }

    /// Whether it is in the circle.
    pub fn is_alive(&self) -> bool {
        self.state == MemberState::Alive
    }

    /// Since when it is out of the circle, in milliseconds since 1970.
    pub fn out_since_ms(&self) -> Option<u64> {
        match self.state {
            MemberState::Alive => None,
            MemberState::Gone { since_ms, .. } | MemberState::Left { since_ms } => Some(since_ms),
        }
    }

    /// What two entries say together.
    pub fn merge(self, other: Self) -> Self {
        let rank = |it: &Self| (it.incarnation, it.state, it.position, it.keeps);
        let greater = if rank(&other) > rank(&self) { other } else { self };
        let raised = |it: &Self| (it.brings, it.from, it.within.0);
        let Self { brings, from, within, .. } =
            if raised(&other) > raised(&self) { other } else { self };
        Self { brings, from, within, lost: self.lost.max(other.lost), ..greater }
    }
}

/// The two views together have more live members than [`MEMBERS_MAX`]. Nothing was merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ring is full: it has room for {MEMBERS_MAX} members")]
pub struct Full;

/// The list of members as one node knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View(BTreeMap<SocketAddr, Member>);

impl View {
    /// What is known of an address.
    pub fn get(&self, address: SocketAddr) -> Option<Member> {
        self.0.get(&address).copied()
    }

    /// Sets the entry of an address, whatever it was before.
    pub fn set(&mut self, address: SocketAddr, member: Member) {
        self.0.insert(address, member);
    }

    /// All members, gone ones too, by address.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (SocketAddr, Member)> + '_ {
        self.0.iter().map(|(&address, &member)| (address, member))
    }

    /// Whether this address is in the circle.
    pub fn is_alive(&self, address: SocketAddr) -> bool {
        self.0.get(&address).is_some_and(Member::is_alive)
    }

    /// The circle: live members in order, beginning at the lowest position.
    pub fn circle(&self) -> Vec<SocketAddr> {
        let mut places: Vec<_> = self.places().collect();
        places.sort_unstable();
        places.into_iter().map(|(_, address)| address).collect()
    }

    /// The live member that follows `address` in the circle, if there is another.
    pub fn successor(&self, address: SocketAddr) -> Option<SocketAddr> {
        let own = (self.0.get(&address)?.position, address);
        let others = || self.places().filter(|&place| place != own);
        others().filter(|&place| place > own).min().or_else(|| others().min()).map(|(_, it)| it)
    }

    /// The live member that `address` follows in the circle, if there is another.
    pub fn predecessor(&self, address: SocketAddr) -> Option<SocketAddr> {
        let own = (self.0.get(&address)?.position, address);
        let others = || self.places().filter(|&place| place != own);
        others().filter(|&place| place < own).max().or_else(|| others().max()).map(|(_, it)| it)
    }

    /// A position right after `address`: the middle between it and its successor or, where that
    /// gap is used up, the middle of the widest gap there is.
    pub fn position_after(&self, address: SocketAddr) -> u128 {
        let mut places: Vec<_> = self.places().map(|(position, _)| position).collect();
        places.sort_unstable();
        // The gap of the last place wraps round to the first. Alone, its width is 2^128, which is
        // written 0 here; minus one it compares as the widest.
        let gap = |i: usize| places[(i + 1) % places.len()].wrapping_sub(places[i]);
        let width = |i: usize| if places.len() == 1 { u128::MAX } else { gap(i) };
        let after = self.get(address).and_then(|m| places.iter().rposition(|&p| p == m.position));
        let widest = (0..places.len()).max_by_key(|&i| width(i));
        match after.filter(|&i| width(i) >= 2).or(widest) {
            Some(i) => places[i].wrapping_add(width(i).div_ceil(2)),
            None => 0,
        }
    }

    /// Takes over what is newer in the other view. Members that have been gone for longer than
    /// `kept` at `wall_ms` are not taken in, unless they are known here.
    pub fn merge(&mut self, other: &View, wall_ms: u64, kept: Duration) -> Result<(), Full> {
        let newcomers = other.places().filter(|&(_, address)| !self.is_alive(address)).count();
        if self.places().count() + newcomers > MEMBERS_MAX {
            return Err(Full);
        }
        for (&address, &theirs) in &other.0 {
            match self.0.get_mut(&address) {
                Some(mine) => *mine = mine.merge(theirs),
                None if is_forgotten(&theirs, wall_ms, kept) => {}
                None => drop(self.0.insert(address, theirs)),
            }
        }
        self.make_room();
        Ok(())
    }

    /// Whether one of its numbers is so high that its member could not exceed it. Incarnations
    /// begin as times; no clock is that far ahead.
    pub fn is_absurd(&self) -> bool {
        self.0.values().any(|member| {
            let numbers = [member.incarnation, member.brings, member.lost];
            let since_ms = member.out_since_ms().unwrap_or(0);
            numbers.into_iter().chain([since_ms]).any(|number| number >= INCARNATION_MAX)
        })
    }

    /// Raises the incarnation of every live member that the other ring calls gone, so that the
    /// merge of the two keeps it. For use where two rings meet, never within one.
    pub fn vouch(&mut self, other: &View) {
        for (address, mine) in self.0.iter_mut().filter(|(_, member)| member.is_alive()) {
            if let Some(theirs) = other.0.get(address).filter(|theirs| !theirs.is_alive()) {
                mine.incarnation = mine.incarnation.max(theirs.incarnation.saturating_add(1));
            }
        }
    }

    /// Drops members that have been out of the circle for longer than `kept`. Says whether one of
    /// them brought something.
    pub fn forget(&mut self, wall_ms: u64, kept: Duration) -> bool {
        let mut brought = false;
        self.0.retain(|_, member| {
            let is_kept = !is_forgotten(member, wall_ms, kept);
            brought |= !is_kept && member.brings > 0;
            is_kept
        });
        brought
    }

    /// Where there are too many, drops members that are out: first those that left, the longest
    /// out first.
    fn make_room(&mut self) {
        while self.0.len() > MEMBERS_MAX {
            let out = self.0.iter().filter(|(_, member)| !member.is_alive());
            let rank =
                |member: &Member| (matches!(member.state, MemberState::Gone { .. }), member.state);
            let Some((&oldest, _)) = out.min_by_key(|(_, member)| rank(member)) else { return };
            self.0.remove(&oldest);
        }
    }

    /// What members bring, live and gone ones, in the order of their addresses.
    pub fn brought(&self) -> impl Iterator<Item = (SocketAddr, u64)> + '_ {
        let all = self.0.iter().map(|(&address, member)| (address, member.brings));
        all.filter(|&(_, brings)| brings > 0)
    }

    /// The hash of the circle: address, incarnation and position of each live member.
    pub fn circle_hash(&self) -> ViewHash {
        let mut hasher = blake3::Hasher::new();
        for (&address, member) in self.0.iter().filter(|(_, member)| member.is_alive()) {
            hash_place(&mut hasher, address, member);
        }
        short(&hasher)
    }

    /// The hash of all that is known, of members that are out too.
    pub fn full_hash(&self) -> ViewHash {
        let mut hasher = blake3::Hasher::new();
        for (&address, member) in &self.0 {
            hash_place(&mut hasher, address, member);
            let (state, since_ms) = match member.state {
                MemberState::Alive => (0, 0),
                MemberState::Gone { since_ms, cause } => (1 + cause as u8, since_ms),
                MemberState::Left { since_ms } => (255, since_ms),
            };
            hasher.update(&[state]);
            for number in [since_ms, member.brings, member.lost] {
                hasher.update(&number.to_le_bytes());
            }
        }
        short(&hasher)
    }

    fn places(&self) -> impl Iterator<Item = (u128, SocketAddr)> + '_ {
        let live = self.0.iter().filter(|(_, member)| member.is_alive());
        live.map(|(&address, member)| (member.position, address))
    }
}

/// The canonical bytes of a place in the circle: IPv6 address (of an IPv4 one the mapped form),
/// port, incarnation, position; numbers little-endian. PROTOCOL.md promises them.
fn hash_place(hasher: &mut blake3::Hasher, address: SocketAddr, member: &Member) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    hasher.update(&ip.octets());
    hasher.update(&address.port().to_le_bytes());
    hasher.update(&member.incarnation.to_le_bytes());
    hasher.update(&member.position.to_le_bytes());
}

fn short(hasher: &blake3::Hasher) -> ViewHash {
    let bytes = *hasher.finalize().as_bytes();
    ViewHash(u64::from_le_bytes(*bytes.first_chunk().expect("a hash has 32 bytes")))
}

fn is_forgotten(member: &Member, wall_ms: u64, kept: Duration) -> bool {
    member
        .out_since_ms()
        .is_some_and(|since_ms| Duration::from_millis(wall_ms.saturating_sub(since_ms)) > kept)
}

/// The list as users read it: `127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1)`.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let circle = self.circle();
        for (i, address) in circle.iter().enumerate() {
            write!(f, "{}{address}(WS{})", if i == 0 { "" } else { " -> " }, i + 1)?;
        }
        if circle.len() > 1 { f.write_str(" -> (WS1)") } else { Ok(()) }
    }
}
