//! The bodies with a bounded number of inputs, and regressions that they have found.

use std::{collections::BTreeMap, net::SocketAddr};

use proptest::{collection::vec, prelude::*};
use smolring::ring::{
    Input, LinkId,
    coverage::Covers,
    index::Digest,
    limits::{MEMBERS_MAX, PROTOCOL},
    message::{Check, Envelope, Greeting, OpId, Peer, Role},
    version::Stamp,
    view::{Cause, Member, MemberState, View},
};

use super::{
    chance::{Source, address},
    node::{CHECK_INTERVAL, CHECK_TIMEOUT, Fuzz, RING},
};
use crate::world::{EPOCH_MS as STARTED_MS, Micros, World};

proptest! {
    // 1,024 inputs each; PROPTEST_CASES sets another number.
    #![proptest_config(ProptestConfig::with_cases(4 * ProptestConfig::default().cases))]

    #[test]
    fn bytes_of_chance_do_not_break_the_codec(data in vec(any::<u8>(), 0..1_000)) {
        super::codec(&data);
    }

    #[test]
    fn words_of_the_protocol_in_any_order_do_not_break_the_codec(
        words in vec(proptest::sample::select(WORDS), 0..200),
    ) {
        super::codec(&words.concat());
    }

    #[test]
    fn nonsense_does_not_break_a_node(data in vec(any::<u8>(), 0..2_000)) {
        super::node(&data);
    }
}

/// A node with the link to its successor open, in a ring of two.
fn pair() -> (World<Fuzz>, LinkId) {
    // No prevs, and it is told that there is no other ring.
    let mut world = World::of_one_node(&mut Source(&[0, 1]));
    world.give(Input::Wake);
    let link = world.accept_any().expect("it is the first");
    let view = view_of(address(1), MemberState::Alive, 1);
    world.hear(link, met(Role::Member, view.clone()));
    let next = *world.links().last().expect("it has linked to its successor");
    assert_ne!(link, next);
    world.hear(next, met(Role::Member, view));
    (world, next)
}

impl World<Fuzz> {
    fn hear(&mut self, link: LinkId, message: Peer) {
        let message = Envelope { stamp: Stamp(0), message };
        self.give(Input::Received { link, message });
    }
}

/// The first other node, as it greets.
fn met(role: Role, view: View) -> Peer {
    Peer::Meet(Box::new(Greeting {
        node: address(1),
        role,
        protocol: PROTOCOL,
        ring: RING.into(),
        clock_ms: STARTED_MS,
        knew: 0,
        view,
        covers: Covers::default(),
    }))
}

fn view_of(address: SocketAddr, state: MemberState, incarnation: u64) -> View {
    let mut view = View::default();
    view.set(address, Member { state, ..Member::alive(incarnation, 7) });
    view
}

#[test]
fn a_node_that_is_said_to_be_gone_since_1970_comes_back() {
    let (mut world, next) = pair();
    let incarnation = STARTED_MS + 5;
    for state in [
        MemberState::Gone { since_ms: 0, cause: Cause::Unknown },
        MemberState::Left { since_ms: 0 },
    ] {
        world.hear(next, met(Role::Member, view_of(address(0), state, incarnation)));
        let me = world.node().view().get(address(0)).expect("a node is in its own view");
        assert_eq!((me.is_alive(), me.incarnation > incarnation), (true, true));
    }
}

#[test]
fn a_check_that_has_come_round_more_often_than_one_can_count_is_harmless() {
    let (mut world, next) = pair();
    let check = Check {
        op: OpId { creator: address(0), count: 1 },
        digest: Digest(0),
        history: Digest(0),
        hops: usize::MAX,
        view: world.node().view().clone(),
        covers: Covers::default(),
        held: Covers::default(),
        reports: BTreeMap::new(),
    };
    world.hear(next, Peer::Check(Box::new(check)));
}

#[test]
fn a_successor_that_is_in_no_ring_any_more_is_gone() {
    let (mut world, next) = pair();
    world.hear(next, met(Role::Visitor, View::default()));
    assert!(!world.links().contains(&next));
    let entry = world.node().view().get(address(1)).expect("it stays known");
    assert!(matches!(entry.state, MemberState::Gone { cause: Cause::Restarted, .. }), "{entry:?}");
}

#[test]
fn a_newcomer_to_a_node_that_leaves_is_sent_elsewhere() {
    let (mut world, _) = pair();
    world.give(Input::Leave);
    let link = world.accept_any().expect("there are few links");
    world.hear(link, met(Role::Newcomer, View::default()));
    assert!(!world.links().contains(&link));
    world.time.now += CHECK_INTERVAL.as_micros() as Micros;
    world.give(Input::Wake);
}

#[test]
fn a_node_that_is_told_of_others_does_not_begin_a_ring_of_its_own() {
    let mut world = World::of_one_node(&mut Source(&[1]));
    world.give(Input::Wake);
    let link = *world.links().first().expect("it asks to be taken in");
    let mut view = View::default();
    for i in 1..=MEMBERS_MAX as u8 {
        view.set(address(i), Member::alive(1, u128::from(i) << 100));
    }
    world.hear(link, met(Role::Member, view));
    while world.time.now < 4 * CHECK_TIMEOUT.as_micros() as Micros {
        assert!(!world.node().is_member() && !world.node().is_ready());
        world.time.now = world.node().deadline().0;
        world.give(Input::Wake);
    }
}

const WORDS: &[&[u8]] = &[
    b"PUT ",
    b"GET ",
    b"LIST",
    b"PING",
    b"QUIT",
    b"MEET",
    b"CHECK",
    b"CHECKED",
    b"FORWARD ",
    b"SYNC ",
    b"ITEM ",
    b"PULL ",
    b"NAMES",
    b"DIGESTS",
    b"LISTED",
    b"REFUSE",
    b"FORGET ",
    b" len=",
    b" len=5",
    b" op=",
    b"127.0.1.1:4043",
    b"/1",
    b" node=",
    b" as=newcomer",
    b" as=visitor",
    b" protocol=3",
    b" ring=a",
    b" clock=1",
    b" knew=1",
    b" joining=1",
    b" stamp=00000000000000ff",
    b" newest=00000000000000ff@[::1]:1",
    b" refused=507",
    b" by=[::1]:1",
    b" lacks=1",
    b" of=1",
    b" brings=1",
    b" lost=1",
    b" from=1",
    b" within=1",
    b" covered=1",
    b" held=1",
    b" full=0",
    b" files=1",
    b" bytes=1",
    b" ready=0",
    b" hops=0",
    b" view=0a",
    b" bucket=7",
    b" version=00000000000000ff@[::1]:1",
    b" copies=1",
    b" more=1",
    b" digest=0",
    b" position=f",
    b" incarnation=1",
    b"alive",
    b"gone",
    b"left",
    b" cause=silent",
    b" since=1",
    b" after=",
    b"a",
    b"%41",
    b"%",
    b"0",
    b"9",
    b"+",
    b"-",
    b" ",
    b" ",
    b"\n",
    b"\n",
    b"\n",
    b"\r\n",
    b" : ",
    b"\xff",
    "é".as_bytes(),
    b"\x00",
];
