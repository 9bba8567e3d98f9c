//! Who is in the ring, and in which order.
//!
//! A view is a map from an address to a [`Member`]. Everybody who holds the same map has the same
//! ring: live members stand in the order of their positions, ties broken by address.
//!
//! # Merging
//!
//! Of two entries for one address the greater wins: by incarnation, then Gone over Alive, then by
//! position. Taking the greater of each pair is commutative, associative and idempotent, so it
//! does not matter in which order or how often nodes hear of each other: all of them end with the
//! same map. (SWIM by Das, Gupta and Motivala, 2002, orders suspicion in the same way.)
//!
//! # Coming back
//!
//! A Gone entry is only ever undone by a higher incarnation. There are three ways to get one: a
//! node that restarts takes one; a node that finds itself Gone although it lives takes one; and
//! when two rings meet, each [vouches](View::vouch) for its own live members.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use super::limits::{GONE_KEPT, MEMBERS_MAX, VIEW_AHEAD_MAX};

/// Names the set of live members: address, incarnation and position of each. Two nodes with equal
/// hashes agree who is in the circle and who follows whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ViewHash(pub u64);

impl fmt::Display for ViewHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Whether a member takes part in the circle. Gone is the greater, so it wins a tie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// In the circle.
    Alive,
    /// Out of it: it left, or its predecessor found it dead.
    Gone {
        /// When, in milliseconds since 1970; after [`GONE_KEPT`] it is forgotten.
        since_ms: u64,
    },
}

/// What a view says of one address. The order of the fields is the order of merging.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member {
    /// Counts the lives of this member; a higher one makes everything said before void.
    pub incarnation: u64,
    /// Alive or gone.
    pub state: State,
    /// Its place in the circle.
    pub position: u128,
}

impl Member {
    /// Whether it is in the circle.
    pub fn is_alive(&self) -> bool {
        self.state == State::Alive
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

    /// Says something new of an address, whatever was known of it.
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

    /// Takes over what the other view knows better.
    pub fn merge(&mut self, other: &View, wall_ms: u64) -> Result<(), Full> {
        let newcomers = other.places().filter(|&(_, address)| !self.is_alive(address)).count();
        if self.places().count() + newcomers > MEMBERS_MAX {
            return Err(Full);
        }
        for (&address, &theirs) in &other.0 {
            let mine = self.0.entry(address).or_insert(theirs);
            let was_alive = mine.is_alive();
            *mine = theirs.max(*mine);
            if was_alive && is_forgotten(mine, wall_ms) {
                // Whatever clock says so: whom this node held alive it must be able to find again.
                mine.state = State::Gone { since_ms: wall_ms };
            }
        }
        self.forget(wall_ms);
        Ok(())
    }

    /// Whether it speaks of a time that is further ahead than clocks may differ. Incarnations begin
    /// as times too; one near the end of the numbers could never be overcome by its own member.
    pub fn is_ahead(&self, wall_ms: u64) -> bool {
        let latest_ms = wall_ms.saturating_add(VIEW_AHEAD_MAX.as_millis() as u64);
        self.0.values().any(|member| match member.state {
            State::Gone { since_ms } if since_ms > latest_ms => true,
            _ => member.incarnation > latest_ms,
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

    /// Drops gone members after [`GONE_KEPT`], and the longest gone where there are too many.
    pub fn forget(&mut self, wall_ms: u64) {
        self.0.retain(|_, member| !is_forgotten(member, wall_ms));
        while self.0.len() > MEMBERS_MAX {
            let gone = self.0.iter().filter(|(_, member)| !member.is_alive());
            let Some(oldest) = gone.min_by_key(|(_, m)| m.state).map(|(&address, _)| address)
            else {
                return;
            };
            self.0.remove(&oldest);
        }
    }

    /// The hash of the circle: live members only.
    pub fn circle_hash(&self) -> ViewHash {
        self.hash(Member::is_alive)
    }

    /// The hash of all that is known, gone members too.
    pub fn full_hash(&self) -> ViewHash {
        self.hash(|_| true)
    }

    fn hash(&self, counts: impl Fn(&Member) -> bool) -> ViewHash {
        let mut hasher = blake3::Hasher::new();
        for (address, member) in self.0.iter().filter(|(_, member)| counts(member)) {
            hasher.update(format!("{address} {member:?}\n").as_bytes());
        }
        let bytes = *hasher.finalize().as_bytes();
        ViewHash(u64::from_le_bytes(*bytes.first_chunk().expect("a hash has 32 bytes")))
    }

    fn places(&self) -> impl Iterator<Item = (u128, SocketAddr)> + '_ {
        let live = self.0.iter().filter(|(_, member)| member.is_alive());
        live.map(|(&address, member)| (member.position, address))
    }
}

fn is_forgotten(member: &Member, wall_ms: u64) -> bool {
    match member.state {
        State::Alive => false,
        State::Gone { since_ms } => {
            Duration::from_millis(wall_ms.saturating_sub(since_ms)) > GONE_KEPT
        }
    }
}

/// The list as people read it: `127.0.1.1:4043(WS1) -> 127.0.1.1:4044(WS2) -> (WS1)`.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let circle = self.circle();
        for (i, address) in circle.iter().enumerate() {
            write!(f, "{}{address}(WS{})", if i == 0 { "" } else { " -> " }, i + 1)?;
        }
        if circle.len() > 1 { f.write_str(" -> (WS1)") } else { Ok(()) }
    }
}
