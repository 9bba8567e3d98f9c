//! What a node holds of all that was ever brought into its ring: when it is ready.
//!
//! Every member that may hold files which others have not followed says so in the view, by a number
//! that only grows: [`Member::brings`](super::view::Member::brings). A node that begins a ring
//! brings something, and so does one that comes with files. A node that declares another dead
//! raises its own number, because the others now go on without that member: what they acknowledge
//! from then on is what they bring to it if it comes back. A newcomer without files brings nothing.
//!
//! A node **covers** a pair of member and number if it holds whatever that stands for. It comes to
//! cover pairs in three ways:
//!
//! 1. its own, as long as no earlier life of it brought something that it does not cover; a node that
//!    comes back with all that it had on its disk covers what its earlier lives brought;
//! 2. by catching up: what its predecessor covered when a session began, it covers when the session
//!    is done, or at once where both tables are equal;
//! 3. a number that another member raises, if it covered the one before and comes to be in the same
//!    circle in which it was raised: whatever is acknowledged there, this node takes part in. It does
//!    not cover one before that was given up: nobody has followed that.
//!
//! A node is **ready** when it covers all that any member of its view brings, live or gone: it then
//! holds every file that was acknowledged in its ring, or a newer version. Whether others are ready
//! does not matter, nor whether writes are under way. Where no live member covers a pair, its files are
//! out of reach; see `giving_up.rs` for what happens then.
//!
//! This is the idea of a version vector (Parker et al., 1983) over members instead of writes.

use std::{collections::BTreeMap, net::SocketAddr};

use super::view::View;

/// Pairs of a member and the highest number of it that is covered.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Covers(BTreeMap<SocketAddr, u64>);

impl Covers {
    /// The highest number of this member that is covered; 0 if none is.
    pub fn of(&self, member: SocketAddr) -> u64 {
        self.0.get(&member).copied().unwrap_or(0)
    }

    /// Whether this pair is covered. Every node covers the number 0.
    pub fn has(&self, member: SocketAddr, brings: u64) -> bool {
        self.of(member) >= brings
    }

    /// Covers this pair from now on. Says whether that is news.
    pub fn add(&mut self, member: SocketAddr, brings: u64) -> bool {
        let is_news = !self.has(member, brings);
        if is_news {
            self.0.insert(member, brings);
        }
        is_news
    }

    /// Covers what the other covers. Says whether any of that is news.
    pub fn add_all(&mut self, other: &Covers) -> bool {
        let pairs = other.0.iter();
        pairs.fold(false, |news, (&member, &brings)| self.add(member, brings) || news)
    }

    /// Keeps what this member brings.
    pub fn keep_only(&mut self, member: Option<SocketAddr>) {
        self.0.retain(|it, _| Some(*it) == member);
    }

    /// Drops entries for addresses that are not in the view.
    pub fn prune(&mut self, view: &View) {
        self.0.retain(|&member, _| view.get(member).is_some());
    }

    /// What members of the view bring that the node `me` does not cover. A member that is back
    /// although others have gone on without what it brings is not covered by them before it brings
    /// that again.
    pub fn lacks(&self, view: &View, me: SocketAddr) -> impl Iterator<Item = (SocketAddr, u64)> {
        let is_back =
            move |member| view.get(member).is_some_and(|it| it.is_alive() && it.lost >= it.brings);
        view.brought().filter(move |&(member, brings)| {
            !self.has(member, brings) || (member != me && is_back(member))
        })
    }
}

/// Which of all that a view's members bring is not covered, in the few bytes that travel with a
/// GET: one bit for each pair, in the order of the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lacks {
    /// A set bit for each pair that is not covered.
    pub bits: u128,
    /// The pairs that the bits stand for.
    pub pairs: u64,
}

impl Lacks {
    /// What is not covered.
    pub fn of(covers: &Covers, view: &View, me: SocketAddr) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut bits = 0;
        let mut lacks = covers.lacks(view, me).peekable();
        for (i, pair) in view.brought().enumerate() {
            hasher.update(pair.0.to_string().as_bytes());
            hasher.update(&pair.1.to_le_bytes());
            bits |= u128::from(lacks.next_if_eq(&pair).is_some()) << (i % 128);
        }
        let bytes = *hasher.finalize().as_bytes();
        let pairs = u64::from_le_bytes(*bytes.first_chunk().expect("a hash has 32 bytes"));
        Self { bits, pairs }
    }

    /// Takes away what the other covers, if both are about the same pairs.
    pub fn meet(&mut self, other: Lacks) {
        if self.pairs == other.pairs {
            self.bits &= other.bits;
        }
    }

    /// Whether everything is covered.
    pub fn is_none(&self) -> bool {
        self.bits == 0
    }
}

/// What this node brings itself, and whether it may say that it covers that.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The first number that this life has given out; 0 if none.
    first: u64,
    /// The highest number of an earlier life that is known.
    earlier: u64,
}

impl Own {
    /// This life gives out a number.
    pub(super) fn raised(&mut self, brings: u64) {
        if self.first == 0 {
            self.first = brings;
        }
    }

    /// This life has all that earlier ones had: whatever they gave out counts as its own.
    pub(super) fn has_all(&mut self) {
        self.first = 1;
    }

    /// Others say of this node that it brings this number. `current` is the highest that it gave
    /// out itself. Says whether the number belongs to an earlier life of it.
    pub(super) fn heard(&mut self, brings: u64, current: u64) -> bool {
        let is_own = self.first > 0 && (self.first..=current).contains(&brings);
        if brings == 0 || is_own {
            return false;
        }
        self.earlier = self.earlier.max(brings);
        true
    }

    /// From now on what it has brought so far counts as that of an earlier life: it has been out of the
    /// ring, and others have gone on.
    pub(super) fn start_over(&mut self, brings: u64) {
        self.earlier = self.earlier.max(brings);
    }

    /// Whether this life has given out a number.
    pub(super) fn brings_something(&self) -> bool {
        self.first > 0
    }

    /// Whether it covers what it brings, given what it covers by catching up.
    pub(super) fn is_covered(&self, learned: u64) -> bool {
        self.first > 0 && learned >= self.earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::view::Member;

    fn address(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 4043).into()
    }

    #[test]
    fn what_several_cover_together_is_known_only_where_they_speak_of_the_same() {
        let mut view = View::default();
        for n in 1..=3 {
            view.set(address(n), Member { brings: u64::from(n), ..Member::alive(1, 0) });
        }
        let (mut one, mut two) = (Covers::default(), Covers::default());
        one.add(address(1), 1);
        two.add(address(2), 2);
        two.add(address(3), 3);
        let mut lacks = Lacks::of(&one, &view, address(9));
        assert_eq!(
            one.lacks(&view, address(9)).collect::<Vec<_>>(),
            [(address(2), 2), (address(3), 3)]
        );
        lacks.meet(Lacks::of(&two, &view, address(9)));
        assert!(lacks.is_none());
        let mut lacks = Lacks::of(&one, &view, address(9));
        view.set(address(3), Member { brings: 4, ..Member::alive(1, 0) });
        lacks.meet(Lacks::of(&two, &view, address(9)));
        assert!(!lacks.is_none());
    }

    #[test]
    fn a_node_does_not_cover_what_an_earlier_life_of_it_brought() {
        let mut own = Own::default();
        assert!(!own.is_covered(0), "it brings nothing of its own");
        own.raised(50);
        assert!(own.is_covered(0));
        assert!(!own.heard(50, 60) && !own.heard(60, 60) && !own.heard(0, 60));
        assert!(own.heard(40, 60) && own.heard(70, 60));
        assert!(!own.is_covered(40));
        assert!(own.is_covered(70));
        let mut whole = Own::default();
        whole.has_all();
        assert!(!whole.heard(40, 60) && whole.is_covered(0));
        assert!(whole.heard(70, 60), "a number that it has not given out is another's guess");
    }
}
