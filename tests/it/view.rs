//! The list of members: merging, order, and places for newcomers.

use std::{net::SocketAddr, time::Duration};

use proptest::{collection::vec, prelude::*, sample::select};
use smolring::ring::{
    limits::{FORGET_AFTER, INCARNATION_MAX, MEMBERS_MAX},
    view::{Cause, Full, Member, MemberState, View, ViewHash},
};

/// Wall clock of all tests, early enough that nothing gone is forgotten.
const NOW_MS: u64 = 1000;

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 4043))
}

fn alive(position: u128) -> Member {
    Member::alive(1, position)
}

fn gone(since_ms: u64) -> MemberState {
    MemberState::Gone { since_ms, cause: Cause::Silent }
}

/// Few values of each field, so that entries often differ in one of them only.
fn member() -> impl Strategy<Value = Member> {
    let cause = select(vec![Cause::Unknown, Cause::Silent, Cause::Restarted]);
    let state = prop_oneof![
        3 => Just(MemberState::Alive),
        2 => (0..3u64, cause).prop_map(|(since_ms, cause)| MemberState::Gone { since_ms, cause }),
        1 => (0..3u64).prop_map(|since_ms| MemberState::Left { since_ms }),
    ];
    let position = prop_oneof![select(vec![0, 1, 2, u128::MAX]), any::<u128>()];
    // A number is raised once: the one before it and the circle go with it, the same everywhere.
    let raised = (0..3u64).prop_map(|brings| (brings, brings.saturating_sub(1), ViewHash(brings)));
    (0..3u64, state, position, raised, (0..3u64, any::<bool>())).prop_map(
        |(incarnation, state, position, (brings, from, within), (lost, keeps))| Member {
            incarnation,
            state,
            position,
            brings,
            from,
            within,
            lost,
            keeps,
        },
    )
}

fn view() -> impl Strategy<Value = View> {
    vec((0..8usize, member()), 0..10).prop_map(|entries| {
        let mut view = View::default();
        for (n, member) in entries {
            view.set(address(n), member);
        }
        view
    })
}

/// Live members only, close together, so that gaps are soon used up.
fn crowd() -> impl Strategy<Value = View> {
    let position = prop_oneof![0..20u128, (0..20u128).prop_map(|it| u128::MAX - it), any::<u128>()];
    vec(position, 1..12).prop_map(|positions| {
        let mut view = View::default();
        for (n, position) in positions.into_iter().enumerate() {
            view.set(address(n), alive(position));
        }
        view
    })
}

fn merged(one: &View, other: &View) -> View {
    let mut view = one.clone();
    view.merge(other, NOW_MS, FORGET_AFTER).expect("there is room for so few");
    view
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(a in view(), b in view(), c in view()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &a), &a);
        prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
    }

    #[test]
    fn of_two_entries_the_higher_incarnation_wins_then_left_then_gone(a in view(), b in view()) {
        let both = merged(&a, &b);
        for (address, member) in both.members() {
            let of = |view: &View| view.get(address);
            let known: Vec<_> = [of(&a), of(&b)].into_iter().flatten().collect();
            let newest = known.iter().map(|it| it.incarnation).max();
            prop_assert_eq!(Some(member.incarnation), newest);
            let same_life: Vec<_> =
                known.iter().filter(|it| it.incarnation == member.incarnation).collect();
            prop_assert!(same_life.iter().any(|it| it.state == member.state));
            prop_assert_eq!(member.is_alive(), same_life.iter().all(|it| it.is_alive()));
            let is_left = |it: &Member| matches!(it.state, MemberState::Left { .. });
            prop_assert_eq!(is_left(&member), same_life.iter().any(|it| is_left(it)));
        }
    }

    #[test]
    fn of_what_is_brought_and_lost_the_greater_stays_whoever_is_newer(a in view(), b in view()) {
        for (address, member) in merged(&a, &b).members() {
            let known = || [a.get(address), b.get(address)].into_iter().flatten();
            prop_assert_eq!(Some(member.brings), known().map(|it| it.brings).max());
            prop_assert_eq!(Some(member.lost), known().map(|it| it.lost).max());
        }
    }

    #[test]
    fn equal_hashes_mean_equal_views(a in view(), b in view()) {
        prop_assert_eq!(a == b, a.full_hash() == b.full_hash());
        let place = |(address, it): (_, Member)| (address, it.incarnation, it.position);
        let live = |view: &View| {
            view.members().filter(|(_, it)| it.is_alive()).map(place).collect::<Vec<_>>()
        };
        prop_assert_eq!(live(&a) == live(&b), a.circle_hash() == b.circle_hash());
    }

    #[test]
    fn the_circle_its_successors_and_predecessors_agree(view in view()) {
        let circle = view.circle();
        let live = view.members().filter(|(_, it)| it.is_alive()).count();
        prop_assert_eq!(circle.len(), live);
        for (i, &member) in circle.iter().enumerate() {
            let next = circle[(i + 1) % circle.len()];
            let other = |it| (circle.len() > 1).then_some(it);
            prop_assert_eq!(view.successor(member), other(next));
            prop_assert_eq!(view.predecessor(next), other(member));
        }
    }

    #[test]
    fn a_member_that_is_gone_still_knows_who_is_next(view in view()) {
        for (gone, member) in view.members().filter(|(_, it)| !it.is_alive()) {
            let mut with = view.clone();
            with.set(gone, Member { state: MemberState::Alive, ..member });
            prop_assert_eq!(view.successor(gone), with.successor(gone));
            prop_assert_eq!(view.predecessor(gone), with.predecessor(gone));
        }
    }

    #[test]
    fn a_newcomer_stands_right_after_its_prev_or_in_the_widest_gap(view in crowd(), n in 0..12usize) {
        let circle = view.circle();
        let prev = circle[n % circle.len()];
        let place = |it: SocketAddr| view.get(it).expect("it is in the circle").position;
        let gaps: Vec<_> = (0..circle.len())
            .map(|i| place(circle[(i + 1) % circle.len()]).wrapping_sub(place(circle[i])))
            .collect();
        let mut with = view.clone();
        let newcomer = address(99);
        with.set(newcomer, alive(view.position_after(prev)));
        let before = with.predecessor(newcomer).expect("there are others");
        // Between several at one position there is no room; the newcomer comes after the last of
        // them.
        let last = circle.iter().rposition(|&it| place(it) == place(prev)).expect("prev is there");
        let alone = circle.len() == 1;
        if alone || gaps[last] >= 2 {
            prop_assert_eq!(before, circle[last]);
        } else if gaps.iter().any(|&gap| gap >= 2) {
            let i = circle.iter().position(|&it| it == before).expect("it is in the circle");
            prop_assert_eq!(Some(&gaps[i]), gaps.iter().max(), "the widest gap is taken");
        }
        let taken = view.members().any(|(_, it)| it.position == with.get(newcomer).unwrap().position);
        prop_assert!(!taken || gaps.iter().all(|&gap| gap < 2) && !alone, "a place is shared");
    }

    #[test]
    fn vouching_keeps_own_members_alive_and_gives_none_to_the_dead(a in view(), b in view()) {
        let mut vouched = a.clone();
        vouched.vouch(&b);
        let both = merged(&vouched, &b);
        for (address, member) in a.members() {
            prop_assert!(!member.is_alive() || both.is_alive(address));
            prop_assert!(member.is_alive() || vouched.get(address) == Some(member));
        }
    }
}

#[test]
fn many_newcomers_after_the_same_member_all_find_a_place() {
    let mut view = View::default();
    view.set(address(0), alive(0));
    for n in 1..MEMBERS_MAX {
        let position = view.position_after(address(0));
        assert!(view.members().all(|(_, it)| it.position != position), "newcomer {n}");
        view.set(address(n), alive(position));
        // The gap after the first is used up after as many halvings as a position has bits.
        if n < 120 {
            assert_eq!(view.successor(address(0)), Some(address(n)), "newcomer {n}");
        }
    }
    assert_eq!(view.circle().len(), MEMBERS_MAX);
}

#[test]
fn a_full_ring_takes_nobody_and_stays_as_it_is() {
    let mut view = View::default();
    for n in 0..MEMBERS_MAX {
        view.set(address(n), alive(n as u128));
    }
    let before = view.clone();
    let mut newcomer = View::default();
    newcomer.set(address(MEMBERS_MAX), alive(7));
    assert_eq!(view.merge(&newcomer, NOW_MS, FORGET_AFTER), Err(Full));
    assert_eq!(view, before);
    // News about a member that is already known does not count as a newcomer.
    let mut news = View::default();
    news.set(address(3), Member { incarnation: 2, ..alive(3) });
    news.set(address(4), Member { state: gone(5), ..alive(4) });
    assert_eq!(view.merge(&news, NOW_MS, FORGET_AFTER), Ok(()));
    assert_eq!(view.circle().len(), MEMBERS_MAX - 1);
}

#[test]
fn where_there_are_too_many_those_who_left_are_dropped_first_then_the_longest_gone() {
    let mut view = View::default();
    for n in 0..MEMBERS_MAX {
        let since_ms = 1 + n as u64;
        let state = if n == 7 { MemberState::Left { since_ms: 900 } } else { gone(since_ms) };
        view.set(address(n), Member { state, ..alive(n as u128) });
    }
    for (newcomer, dropped) in [(500, 7), (501, 0), (502, 1)] {
        let mut news = View::default();
        news.set(address(newcomer), alive(1));
        view.merge(&news, NOW_MS, FORGET_AFTER).expect("there is room for the living");
        assert_eq!(view.members().len(), MEMBERS_MAX);
        assert_eq!(view.get(address(dropped)), None);
        assert!(view.is_alive(address(newcomer)), "the living are never dropped");
    }
}

#[test]
fn who_was_out_for_too_long_is_forgotten_and_not_taken_in_again() {
    let kept = Duration::from_secs(10);
    let mut view = View::default();
    view.set(address(0), alive(0));
    view.set(address(1), Member { state: gone(500), ..alive(1) });
    let old = view.clone();
    assert!(!view.forget(10_500, kept), "none of them brought anything");
    assert_eq!(view, old, "ten seconds are not longer than ten seconds");
    view.set(
        address(2),
        Member { state: MemberState::Left { since_ms: 499 }, brings: 1, ..alive(2) },
    );
    assert!(view.forget(10_500, kept), "one of them brought something");
    assert_eq!(view, old);
    view.forget(10_501, kept);
    assert_eq!(view.members().len(), 1);
    view.merge(&old, 10_501, kept).unwrap();
    assert_eq!(view.members().len(), 1);
    view.merge(&old, 10_500, kept).unwrap();
    assert_eq!(view, old);
}

#[test]
fn numbers_at_the_end_of_the_numbers_are_absurd() {
    let more = INCARNATION_MAX;
    let most = Member { brings: more - 1, ..Member::alive(more - 1, 0) };
    for (member, is_absurd) in [
        (most, false),
        (Member { incarnation: more, ..most }, true),
        (Member { brings: more, ..most }, true),
        (Member { lost: more, ..most }, true),
        (Member { state: gone(more), ..most }, true),
        (Member { state: MemberState::Left { since_ms: more }, ..most }, true),
    ] {
        let mut view = View::default();
        view.set(address(0), alive(0));
        view.set(address(1), member);
        assert_eq!(view.is_absurd(), is_absurd, "{member:?}");
    }
}

/// PROTOCOL.md promises these bytes, so that nodes of different releases agree on their circle.
/// If this fails, the change breaks every ring that is updated one node after the other.
#[test]
fn the_hash_of_a_circle_is_for_ever() {
    let mut view = View::default();
    let member = Member { brings: 5, lost: 6, ..Member::alive(1_700_000_000_000, 1 << 127) };
    view.set("127.0.1.1:4043".parse().unwrap(), Member::alive(1, 0));
    view.set("[2001:db8::1]:80".parse().unwrap(), member);
    let circle = view.circle_hash();
    // A member that is out is not in the circle.
    view.set(address(3), Member { state: gone(5), ..alive(7) });
    view.set(address(4), Member { state: MemberState::Left { since_ms: 5 }, ..alive(7) });
    assert_eq!(view.circle_hash(), circle);
    let mut bytes = Vec::new();
    let mut place = |ip: [u8; 16], port: u16, incarnation: u64, position: u128| {
        bytes.extend_from_slice(&ip);
        bytes.extend_from_slice(&port.to_le_bytes());
        bytes.extend_from_slice(&incarnation.to_le_bytes());
        bytes.extend_from_slice(&position.to_le_bytes());
    };
    place([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 1, 1], 4043, 1, 0);
    let ip = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    place(ip, 80, 1_700_000_000_000, 1 << 127);
    let hash = *blake3::hash(&bytes).as_bytes();
    assert_eq!(circle.0.to_le_bytes(), hash[..8]);
    assert_eq!(circle, ViewHash(0x162cf5503127959b));
}
