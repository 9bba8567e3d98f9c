//! Members that are gone are sought for as long as they are remembered: many of them at a time, and
//! after any time. One node in virtual time, and nobody at any address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use smolring::ring::{
    Config, Input, LinkId, Node, Output, Place,
    codec::Decoder,
    limits::{FORGET_AFTER, GIVE_UP_AFTER},
    message::{Envelope, Message, Peer},
    table::Table,
    version::Time,
};

const STARTED_MS: u64 = 1_700_000_000_000;
const SECOND_US: u64 = 1_000_000;

fn address(n: usize) -> SocketAddr {
    ([10, 0, (n / 250) as u8, (n % 250) as u8], 4043).into()
}

/// A node that remembers others, and when it last tried each of them.
struct Seeker {
    node: Node,
    now_us: u64,
    links: BTreeMap<LinkId, SocketAddr>,
    tried_us: BTreeMap<SocketAddr, u64>,
    /// Addresses that answer that nobody is there. The others say nothing.
    refuses: BTreeSet<SocketAddr>,
}

impl Seeker {
    /// Alone, in a list with this many members that failed a second before it began, and as many that
    /// left in order long ago.
    fn new(failed: usize, left: usize) -> Self {
        let config = Config {
            address: address(0),
            prevs: Vec::new(),
            ring: "smolring".into(),
            bootstrap: true,
            check_interval: Duration::from_secs(1),
            check_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            forget_after: FORGET_AFTER,
            give_up_after: GIVE_UP_AFTER,
            min_copies: 1,
            max_file_bytes: 1 << 20,
            seed: 7,
            started_ms: STARTED_MS,
        };
        let node = Node::new(config, Table::new(1 << 20));
        let (links, tried_us, refuses) = Default::default();
        let mut seeker = Self { node, now_us: 0, links, tried_us, refuses };
        seeker.handle(Input::Wake);
        let row = |n: usize, what: &str, since_ms: u64| {
            format!("{} {what} since={since_ms} incarnation=1 position={n:x}\n", address(n))
        };
        let gone = (1..=failed).map(|n| row(n, "gone", STARTED_MS - 1000));
        let out = (failed + 1..=failed + left).map(|n| row(n, "left", STARTED_MS - 3_600_000));
        let list: String = gone.chain(out).collect();
        let meet = format!("MEET node={} protocol=2 len={}\n{list}", address(200), list.len());
        let link = seeker.node.accept().expect("it is the first");
        seeker.hear(link, meet.as_bytes());
        seeker
    }

    fn hear(&mut self, link: LinkId, bytes: &[u8]) {
        let mut decoder = Decoder::new(1 << 20);
        let Some(Ok(Message::Peer(message))) = decoder.decode(bytes).1 else { panic!("a MEET") };
        let Envelope { message: Peer::Meet(_), .. } = &message else { panic!("a MEET") };
        self.handle(Input::Received { link, message });
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.node.handle(Time(self.now_us), input, &mut out);
        for output in out {
            match output {
                Output::Connect { link, to: Place::Node(to) } => {
                    self.tried_us.insert(to, self.now_us);
                    self.links.insert(link, to);
                }
                Output::Disconnect { link } => drop(self.links.remove(&link)),
                _ => {}
            }
        }
        let refused = self.links.iter().filter(|(_, to)| self.refuses.contains(to));
        for link in refused.map(|(&link, _)| link).collect::<Vec<_>>() {
            self.links.remove(&link);
            self.handle(Input::LinkDown { link, why: "connection refused".into() });
        }
    }

    fn run_until(&mut self, end_us: u64) {
        while self.node.deadline().0 < end_us {
            self.now_us = self.now_us.max(self.node.deadline().0);
            self.handle(Input::Wake);
        }
        self.now_us = end_us;
    }
}

#[test]
fn many_that_are_silent_do_not_keep_one_from_being_tried() {
    let mut seeker = Seeker::new(60, 40);
    seeker.run_until(20 * SECOND_US);
    let failed: Vec<_> = (1..=60).map(address).collect();
    for member in &failed {
        let tried = seeker.tried_us.get(member);
        assert!(tried.is_some(), "{member} was not tried within 20 s");
    }
    // Each waits for 2 s, so one round of all of them takes 8 s with 16 at a time.
    seeker.run_until(40 * SECOND_US);
    for member in &failed {
        let ago = 40 * SECOND_US - seeker.tried_us[member];
        assert!(ago <= 20 * SECOND_US, "{member} was tried {} s ago", ago / SECOND_US);
    }
    for member in (61..=100).map(address) {
        assert!(!seeker.tried_us.contains_key(&member), "{member} has left, and is not sought");
    }
}

#[test]
fn who_was_apart_for_a_day_is_still_sought_and_after_a_month_forgotten() {
    let mut seeker = Seeker::new(3, 0);
    seeker.refuses = (1..=3).map(address).collect();
    let day_us = 86_400 * SECOND_US;
    // Not every second of it.
    for hours in [1, 25, 29 * 24] {
        let at_us = hours * day_us / 24;
        seeker.now_us = at_us;
        seeker.run_until(at_us + 120 * SECOND_US);
        for member in (1..=3).map(address) {
            let tried_us = seeker.tried_us[&member];
            assert!(tried_us >= at_us, "{member} was not tried after {hours} h");
        }
    }
    seeker.now_us = 31 * day_us;
    seeker.run_until(31 * day_us + 120 * SECOND_US);
    assert_eq!(seeker.node.view().members().len(), 1, "they are forgotten");
}
