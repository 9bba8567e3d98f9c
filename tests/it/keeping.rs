//! A node whose store is slow, full or broken: what its client is answered, and what can still be
//! read. One node in virtual time; the test is its store.

use std::net::SocketAddr;

use smolring::ring::{
    Event, Input, LinkId, Node, Output, RequestId, StoreFault,
    coverage::Covers,
    index::Index,
    item::{Body, Item, Ticket},
    limits::PROTOCOL,
    message::{
        Answer, Carried, Envelope, Failed, ForwardPut, Greeting, Keep, OpId, Peer, Request, Role,
        Status,
    },
    name::Name,
    version::{Stamp, Time, Version},
    view::{Member, View, ViewHash},
};

use crate::world::lone_config;

const MS: u64 = 1000;

/// A node that is alone in its ring, and all its outputs.
struct Keeper {
    node: Node,
    now_us: u64,
    requests: u64,
    /// Contents that the store was given, in order, and those that it was told to forget.
    stored: Vec<(Ticket, Version)>,
    discarded: Vec<Ticket>,
    answers: Vec<(RequestId, Answer)>,
    events: Vec<Event>,
    sent: Vec<Peer>,
    has_left: bool,
}

impl Keeper {
    fn new() -> Self {
        Self::with_versions(1)
    }

    /// It keeps up to so many versions of a name.
    fn with_versions(versions_max: usize) -> Self {
        let config = lone_config(([10, 0, 0, 1], 4043).into());
        let mut keeper = Self {
            node: Node::new(config, Index::new(1 << 20, versions_max)),
            now_us: 0,
            requests: 0,
            stored: Vec::new(),
            discarded: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            has_left: false,
        };
        keeper.handle(Input::Wake);
        keeper
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.node.handle(Time(self.now_us), input, &mut out);
        for output in out {
            match output {
                Output::Store { ticket, version, .. } => self.stored.push((ticket, version)),
                Output::Discard { ticket } => self.discarded.push(ticket),
                Output::Reply { id, answer } => self.answers.push((id, answer)),
                Output::Notify(event) => self.events.push(event),
                Output::Left => self.has_left = true,
                Output::Send { message, .. } => self.sent.push(message.message),
                Output::Connect { .. } | Output::Disconnect { .. } => {}
                Output::Pull { .. } | Output::GiveUp { .. } => panic!("nothing is so large"),
            }
        }
    }

    /// Another node greets this one, and forwards these versions of one file, the second of each pair in
    /// place of the first. Returns the link.
    fn is_forwarded(&mut self, role: Role, versions: &[(Option<Version>, Version)]) -> LinkId {
        let link = self.node.accept().expect("there is room for a link");
        let mut view = View::default();
        view.set(other(), Member::alive(1, 0));
        let (node, protocol, ring) = (other(), PROTOCOL, "smolring".into());
        let (clock_ms, knew, covers) = (0, 0, Covers::default());
        let greeting = Greeting { node, role, protocol, ring, clock_ms, knew, view, covers };
        self.hears(link, Peer::Meet(Box::new(greeting)));
        for (n, &(instead, version)) in versions.iter().enumerate() {
            let forward = ForwardPut {
                op: OpId { creator: other(), count: n as u64 },
                view: ViewHash(1),
                name: name(),
                version,
                copies: 1,
                instead,
                newest: None,
                refused: None,
                offer: None,
                carried: Carried::Content(Item::file(version, "text".into())),
            };
            self.hears(link, Peer::ForwardPut(Box::new(forward)));
        }
        link
    }

    fn hears(&mut self, link: LinkId, message: Peer) {
        let message = Envelope { stamp: Stamp::at_ms(0), message };
        self.handle(Input::Received { link, message });
    }

    fn ask(&mut self, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.handle(Input::Request { id, request });
        id
    }

    fn put(&mut self, text: &'static str) -> RequestId {
        self.ask(Request::Put { name: name(), content: text.into(), only_if: None })
    }

    /// The store reports what became of the n-th content that it was given.
    fn store_says(&mut self, nth: usize, result: Result<(), StoreFault>) {
        let (ticket, _) = self.stored[nth];
        self.handle(Input::Stored { ticket, result });
    }

    fn answer(&self, id: RequestId) -> Option<&Answer> {
        let mut answers = self.answers.iter().filter(|(it, _)| *it == id).map(|(_, answer)| answer);
        let first = answers.next();
        assert!(answers.next().is_none(), "{id:?} is answered twice");
        first
    }

    fn status(&self, id: RequestId) -> Option<Status> {
        match self.answer(id)? {
            Answer::Refused(refusal) => Some(refusal.status),
            Answer::Stored { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    /// Under which ticket the file is found now.
    fn found(&mut self) -> Option<Ticket> {
        let id = self.ask(Request::Get { name: name(), version: None });
        match self.answer(id).expect("a node alone answers at once") {
            Answer::Found(item) => match item.body() {
                Some(Body::Stored { ticket, .. }) => Some(*ticket),
                other => panic!("{other:?}"),
            },
            Answer::Refused(refusal) => {
                assert_ne!(refusal.status, Status::BadRequest, "{refusal:?}");
                None
            }
            other => panic!("{other:?}"),
        }
    }

    fn run_for(&mut self, us: u64) {
        let end_us = self.now_us + us;
        while self.node.deadline().0 <= end_us {
            self.now_us = self.now_us.max(self.node.deadline().0);
            self.handle(Input::Wake);
        }
        self.now_us = end_us;
    }
}

/// A node that says something to this one.
fn other() -> SocketAddr {
    ([10, 0, 0, 2], 4043).into()
}

fn name() -> Name {
    Name::new("index.html").unwrap()
}

#[test]
fn a_put_is_answered_when_the_store_has_confirmed_it_and_can_be_read_before() {
    let mut keeper = Keeper::new();
    let put = keeper.put("one");
    keeper.run_for(500 * MS);
    assert_eq!(keeper.answer(put), None);
    assert_eq!(keeper.found(), Some(keeper.stored[0].0));
    keeper.store_says(0, Ok(()));
    let version = keeper.stored[0].1;
    assert_eq!(keeper.answer(put), Some(&Answer::Stored { version, copies: 1 }));
}

#[test]
fn what_a_file_replaces_stays_in_the_store_until_the_file_is_confirmed() {
    let mut keeper = Keeper::new();
    keeper.put("one");
    keeper.store_says(0, Ok(()));
    keeper.put("two");
    assert_eq!(keeper.discarded, []);
    keeper.store_says(1, Ok(()));
    assert_eq!(keeper.discarded, [keeper.stored[0].0]);
    assert_eq!(keeper.found(), Some(keeper.stored[1].0));
}

#[test]
fn what_the_store_cannot_keep_is_refused_and_the_file_is_what_it_was() {
    for (fault, status) in
        [(StoreFault::Full, Status::InsufficientStorage), (StoreFault::Broken, Status::Unavailable)]
    {
        let mut keeper = Keeper::new();
        keeper.put("one");
        keeper.store_says(0, Ok(()));
        let before = keeper.node.index().digest();
        let put = keeper.put("two");
        keeper.store_says(1, Err(fault));
        assert_eq!(keeper.status(put), Some(status));
        assert_eq!((keeper.node.index().digest(), keeper.discarded.len()), (before, 0));
        assert!(keeper.events.contains(&Event::StoreFails { fault }), "{:?}", keeper.events);
        // The store is not tried again at once, and works again after a while.
        let put = keeper.put("three");
        assert_eq!(keeper.status(put), Some(status));
        keeper.run_for(1000 * MS);
        let put = keeper.put("four");
        keeper.store_says(2, Ok(()));
        assert!(matches!(keeper.answer(put), Some(Answer::Stored { .. })));
        assert_eq!(keeper.found(), Some(keeper.stored[2].0));
        assert!(keeper.events.contains(&Event::StoreWorks), "{:?}", keeper.events);
    }
}

#[test]
fn of_several_that_are_under_way_only_those_are_lost_that_the_store_cannot_keep() {
    // Which of three PUTs of one name fail, as bits; whichever is kept last is found.
    for failing in 0..8 {
        let mut keeper = Keeper::new();
        let puts = ["one", "two", "three"].map(|text| keeper.put(text));
        let fails = |nth: usize| failing >> nth & 1 == 1;
        for nth in 0..3 {
            let result = if fails(nth) { Err(StoreFault::Full) } else { Ok(()) };
            keeper.store_says(nth, result);
        }
        let last = (0..3).rev().find(|&nth| !fails(nth));
        let expected = last.map(|nth| keeper.stored[nth].0);
        assert_eq!(keeper.node.index().get(&name()).map(|it| it.ticket), expected, "{failing:b}");
        for (nth, put) in puts.into_iter().enumerate() {
            let refused = fails(nth).then_some(Status::InsufficientStorage);
            assert_eq!(keeper.status(put), refused, "{failing:b}, {nth}");
        }
        // All others that were kept are discarded, once.
        let kept = (0..3).filter(|&nth| !fails(nth) && Some(nth) != last);
        let kept: Vec<_> = kept.map(|nth| keeper.stored[nth].0).collect();
        assert_eq!(keeper.discarded, kept, "{failing:b}");
    }
}

#[test]
fn what_a_failed_write_has_replaced_is_kept_though_it_has_come_again_and_is_not_confirmed() {
    let version = |ms| Version { stamp: Stamp::at_ms(ms), node: other() };
    let [v1, v2, v3, v4] = [1, 2, 3, 4].map(version);
    for comes_to_stay in [false, true] {
        let mut keeper = Keeper::with_versions(2);
        keeper.is_forwarded(Role::Visitor, &[(None, v1)]);
        keeper.store_says(0, Ok(()));
        // The last has come by catching up: the index has room for it again, and the store still has it.
        keeper.is_forwarded(Role::Visitor, &[(None, v2), (None, v3), (Some(v3), v4), (None, v1)]);
        for nth in 1..4 {
            keeper.store_says(nth, Err(StoreFault::Full));
        }
        assert_eq!(keeper.discarded, []);
        let last = if comes_to_stay { Ok(()) } else { Err(StoreFault::Full) };
        keeper.store_says(4, last);
        let held = if comes_to_stay { 4 } else { 0 };
        let entry = keeper.node.index().get(&name()).expect("it was confirmed");
        assert_eq!((entry.version, entry.ticket), (v1, keeper.stored[held].0));
        let discarded = if comes_to_stay { vec![keeper.stored[0].0] } else { Vec::new() };
        assert_eq!(keeper.discarded, discarded);
    }
}

#[test]
fn a_write_that_was_not_entered_for_a_later_one_fails_with_that() {
    let version = |ms| Version { stamp: Stamp::at_ms(ms), node: other() };
    let mut keeper = Keeper::new();
    let link = keeper.is_forwarded(Role::Member, &[(None, version(2)), (None, version(1))]);
    let (op, view) = (OpId { creator: other(), count: 1 }, keeper.node.view().circle_hash());
    let (refused, failed) = (None, Failed::default());
    let (pending, waits) = (Failed::default(), Vec::new());
    let keep = Keep { op, view, hops: 0, refused, failed, pending, waits };
    keeper.hears(link, Peer::Keep(Box::new(keep)));
    keeper.store_says(0, Err(StoreFault::Full));
    let keeps = keeper.sent.iter().filter_map(|it| match it {
        Peer::Keep(keep) => Some(keep.failed.clone()),
        _ => None,
    });
    let mut both = Failed::default();
    for ms in [2, 1] {
        both.add(version(ms).stamp, 2);
    }
    assert_eq!(keeps.collect::<Vec<_>>(), [both]);
}

#[test]
fn a_store_that_says_nothing_costs_its_clients_the_request_timeout() {
    let mut keeper = Keeper::new();
    let put = keeper.put("one");
    keeper.run_for(9999 * MS);
    assert_eq!(keeper.answer(put), None);
    keeper.run_for(2 * MS);
    assert_eq!(keeper.status(put), Some(Status::Timeout));
    // Its later reports still count.
    keeper.store_says(0, Ok(()));
    assert_eq!(keeper.found(), Some(keeper.stored[0].0));
}

#[test]
fn a_node_that_leaves_waits_for_its_store_and_answers_everybody() {
    let mut keeper = Keeper::new();
    let put = keeper.put("one");
    keeper.handle(Input::Leave);
    assert!(!keeper.has_left);
    keeper.store_says(0, Ok(()));
    assert!(matches!(keeper.answer(put), Some(Answer::Stored { .. })) && keeper.has_left);

    let mut keeper = Keeper::new();
    let put = keeper.put("one");
    keeper.handle(Input::Leave);
    keeper.run_for(11_000 * MS);
    assert_eq!(keeper.status(put), Some(Status::Timeout));
    assert!(keeper.has_left);
}
