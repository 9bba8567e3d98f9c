//! The list of members: merging, order, and places for newcomers.

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*, sample::select};
use smolring::ring::{
    limits::{GONE_KEPT, MEMBERS_MAX},
    view::{Full, Member, State, View},
};

/// Wall clock of all tests, early enough that nothing gone is forgotten.
const NOW_MS: u64 = 1000;

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 4043))
}

fn alive(position: u128) -> Member {
    Member { incarnation: 1, state: State::Alive, position }
}

/// Few values of each field, so that entries often differ in one of them only.
fn member() -> impl Strategy<Value = Member> {
    let state = prop_oneof![
        3 => Just(State::Alive),
        2 => (0..3u64).prop_map(|since_ms| State::Gone { since_ms }),
    ];
    let position = prop_oneof![select(vec![0, 1, 2, u128::MAX]), any::<u128>()];
    (0..3u64, state, position).prop_map(|(incarnation, state, position)| Member {
        incarnation,
        state,
        position,
    })
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
    view.merge(other, NOW_MS).expect("there is room for so few");
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
    fn of_two_entries_the_higher_incarnation_wins_then_gone(a in view(), b in view()) {
        let both = merged(&a, &b);
        for (address, member) in both.members() {
            let of = |view: &View| view.get(address);
            let known: Vec<_> = [of(&a), of(&b)].into_iter().flatten().collect();
            prop_assert!(known.contains(&member));
            let newest = known.iter().map(|it| it.incarnation).max();
            prop_assert_eq!(Some(member.incarnation), newest);
            let same_life = || known.iter().filter(|it| it.incarnation == member.incarnation);
            prop_assert_eq!(member.is_alive(), same_life().all(Member::is_alive));
        }
    }

    #[test]
    fn equal_hashes_mean_equal_views(a in view(), b in view()) {
        prop_assert_eq!(a == b, a.full_hash() == b.full_hash());
        let live = |view: &View| view.members().filter(|(_, it)| it.is_alive()).collect::<Vec<_>>();
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
            with.set(gone, Member { state: State::Alive, ..member });
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
        // Of several in one place nobody stands between; the newcomer comes after the last of them.
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
    assert_eq!(view.merge(&newcomer, NOW_MS), Err(Full));
    assert_eq!(view, before);
    // News of members that are known already is no newcomer.
    let mut news = View::default();
    news.set(address(3), Member { incarnation: 2, ..alive(3) });
    news.set(address(4), Member { state: State::Gone { since_ms: 5 }, ..alive(4) });
    assert_eq!(view.merge(&news, NOW_MS), Ok(()));
    assert_eq!(view.circle().len(), MEMBERS_MAX - 1);
}

#[test]
fn the_longest_gone_are_forgotten_first_and_the_living_never() {
    let mut view = View::default();
    for n in 0..MEMBERS_MAX {
        let state = State::Gone { since_ms: 1 + n as u64 };
        view.set(address(n), Member { state, ..alive(n as u128) });
    }
    view.set(address(500), alive(1));
    view.forget(NOW_MS);
    assert_eq!(view.members().len(), MEMBERS_MAX);
    assert_eq!(view.get(address(0)), None, "the longest gone");
    assert!(view.is_alive(address(500)));
    view.forget(NOW_MS + GONE_KEPT.as_millis() as u64 + 1);
    assert_eq!(view.circle(), [address(500)]);
    assert_eq!(view.members().len(), 1);
}
