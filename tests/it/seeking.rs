//! Members that are gone are sought for as long as they are remembered: many of them at a time, and
//! after any time. One node in virtual time, and no node at any other address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use smolring::ring::{
    Input, LinkId, RequestId,
    codec::Decoder,
    index::Index,
    message::{Answer, Message, Peer},
};

use crate::world::{
    EPOCH_MS, Host, Micros, Network, Scene, State, Timeline, World, lone_config, ms,
};

const SECOND: Micros = ms(1000);
/// The host of the node. The others are those that it remembers.
const SEEKER: usize = 0;
const HOSTS: usize = 202;

fn address(n: usize) -> SocketAddr {
    ([10, 0, (n / 250) as u8, (n % 250) as u8], 4043).into()
}

/// When the node last tried each of the others.
#[derive(Default)]
struct Seeking {
    tried: BTreeMap<usize, Micros>,
}

impl Scene for Seeking {
    type Event = ();

    fn happen(_world: &mut World<Self>, (): ()) {}

    fn connects(world: &mut World<Self>, _host: usize, to: usize) {
        world.scene.tried.insert(to, world.time.now);
    }

    fn answers(_world: &mut World<Self>, _host: usize, _id: RequestId, _answer: &Answer) {}

    fn leaves(_world: &mut World<Self>, _host: usize) {}
}

/// Alone, in a list with this many members that failed a second before it began, and as many that
/// left gracefully long ago. The systems of some answer that nothing listens; the others are
/// silent.
fn seeker(failed: usize, left: usize, refusing: &BTreeSet<usize>) -> World<Seeking> {
    let config = lone_config(address(SEEKER));
    let host = |n| {
        let is_silent = !refusing.contains(&n);
        Host {
            state: State::Down { held: Index::new(0, 1).into(), is_silent },
            ..Host::new(n, address(n))
        }
    };
    let hosts = (0..HOSTS).map(host).collect();
    let network = Network::new(HOSTS, ms(1), 1 << 20, true);
    let mut world = World::new(Timeline::new(7, true), network, hosts, Seeking::default());
    world.begin_life(SEEKER, config, Index::new(1 << 20, 1));
    let row = |n: usize, what: &str, since_ms: u64| {
        format!("{} {what} since={since_ms} incarnation=1 position={n:x}\n", address(n))
    };
    let gone = (1..=failed).map(|n| row(n, "gone", EPOCH_MS - 1000));
    let out = (failed + 1..=failed + left).map(|n| row(n, "left", EPOCH_MS - 3_600_000));
    let list: String = gone.chain(out).collect();
    let last = HOSTS - 1;
    let meet = format!("MEET node={} protocol=3 len={}\n{list}", address(last), list.len());
    let (_, message) = Decoder::new(1 << 20).decode(meet.as_bytes());
    let Some(Ok(Message::Peer(message))) = message else { panic!("a MEET") };
    let Peer::Meet(_) = &message.message else { panic!("a MEET") };
    let connection = world.network.connect(&mut world.time, (last, 0), LinkId(0), SEEKER);
    world.network.establish(&mut world.time, connection, 1);
    let link = world.accept(SEEKER, connection, 1).expect("it is the first");
    world.step(SEEKER, Input::Received { link, message });
    world
}

#[test]
fn many_that_are_silent_do_not_keep_one_from_being_tried() {
    let mut world = seeker(60, 40, &BTreeSet::new());
    world.run_until(20 * SECOND);
    for member in 1..=60 {
        assert!(world.scene.tried.contains_key(&member), "{member} was not tried within 20 s");
    }
    // Each waits for 2 s, so one round of all of them takes 8 s with 16 at a time.
    world.run_until(40 * SECOND);
    for member in 1..=60 {
        let ago = 40 * SECOND - world.scene.tried[&member];
        assert!(ago <= 20 * SECOND, "{member} was tried {} s ago", ago / SECOND);
    }
    for member in 61..=100 {
        assert!(!world.scene.tried.contains_key(&member), "{member} has left, and is not sought");
    }
}

#[test]
fn one_that_was_apart_for_a_day_is_still_sought_and_after_a_month_forgotten() {
    let mut world = seeker(3, 0, &(1..=3).collect());
    let day = 86_400 * SECOND;
    // Not every second of it.
    for hours in [1, 25, 29 * 24] {
        let at = hours * day / 24;
        world.time.now = at;
        world.run_until(at + 120 * SECOND);
        for member in 1..=3 {
            assert!(world.scene.tried[&member] >= at, "{member} was not tried after {hours} h");
        }
    }
    world.time.now = 31 * day;
    world.run_until(31 * day + 120 * SECOND);
    let members = world.hosts[SEEKER].up().map(|up| up.node.view().members().len());
    assert_eq!(members, Some(1), "they are forgotten");
}
