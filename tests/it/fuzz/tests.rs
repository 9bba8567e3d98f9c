//! The bodies with a bounded number of inputs, and what they have found once.

use proptest::{collection::vec, prelude::*};

use super::*;

proptest! {
    // 1,024 inputs each; PROPTEST_CASES makes it as many as one likes.
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
fn pair() -> (World, LinkId) {
    let mut world = World::new(&mut Source(&[]));
    world.handle(Input::Wake);
    let link = world.node.accept().expect("it is the first");
    world.links.insert(link);
    let view = view_of(address(1), State::Alive, 1);
    world.handle(Input::Received {
        link,
        message: Peer::Meet { node: address(1), join: false, view: view.clone() },
    });
    let next = *world.links.last().expect("it has linked to its successor");
    assert_ne!(link, next);
    let message = Peer::Meet { node: address(1), join: false, view };
    world.handle(Input::Received { link: next, message });
    (world, next)
}

fn view_of(address: SocketAddr, state: State, incarnation: u64) -> View {
    let mut view = View::default();
    view.set(address, Member { incarnation, state, position: 7 });
    view
}

#[test]
fn a_node_that_is_said_to_be_gone_since_1970_comes_back() {
    let (mut world, next) = pair();
    let incarnation = STARTED_MS + 5;
    let view = view_of(address(0), State::Gone { since_ms: 0 }, incarnation);
    world.handle(Input::Received {
        link: next,
        message: Peer::Meet { node: address(1), join: false, view },
    });
    let me = world.node.view().get(address(0)).expect("a node is in its own view");
    assert_eq!((me.is_alive(), me.incarnation), (true, incarnation + 1));
}

#[test]
fn a_check_that_has_come_round_more_often_than_one_can_count_is_harmless() {
    let (mut world, next) = pair();
    let op = OpId { creator: address(0), count: 1 };
    let view = world.node.view().clone();
    let (digest, hops) = (Digest(0), usize::MAX);
    let check = Check { op, digest, ready: true, same: true, hops, view };
    world.handle(Input::Received { link: next, message: Peer::Check(check) });
}

#[test]
fn a_successor_that_wants_to_join_a_node_that_leaves_is_linked_anew() {
    let (mut world, next) = pair();
    world.handle(Input::Leave);
    let message = Peer::Meet { node: address(1), join: true, view: View::default() };
    world.handle(Input::Received { link: next, message });
    assert!(!world.links.contains(&next));
    world.now = world.now + CHECK_INTERVAL;
    world.handle(Input::Wake);
}

#[test]
fn a_node_that_finds_its_ring_full_does_not_begin_one_of_its_own() {
    let mut world = World::new(&mut Source(&[1]));
    world.handle(Input::Wake);
    let link = *world.links.first().expect("it asks for the list");
    let mut view = View::default();
    for i in 1..=MEMBERS_MAX as u8 {
        let position = u128::from(i) << 100;
        view.set(address(i), Member { incarnation: 1, state: State::Alive, position });
    }
    let message = Peer::Meet { node: address(1), join: false, view };
    world.handle(Input::Received { link, message });
    assert!(!world.node.is_ready());
    while world.now < Time(0) + 2 * CHECK_TIMEOUT {
        world.now = world.node.deadline();
        world.handle(Input::Wake);
    }
    assert!(!world.node.is_ready());
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
    b" len=",
    b" len=5",
    b" op=",
    b"127.0.1.1:4043",
    b"/1",
    b" node=",
    b" join=1",
    b" ready=0",
    b" same=1",
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
