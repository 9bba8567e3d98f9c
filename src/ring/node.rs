//! The node: every transition of the protocol, without a socket, a clock or a thread.
//!
//! [`Node::handle`] takes one [`Input`] and appends what is to be done to a list of [`Output`]s,
//! which its driver carries out in order. [`Node::deadline`] says when the node wants an
//! [`Input::Wake`].
//!
//! This file has the node's state, its clockwork, and its end. Who is in the ring is in
//! `membership.rs`, the connections between nodes in `links.rs`, what travels round in
//! `forward.rs`, catching up in `sync.rs`.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    event::{Input, LinkId, Output},
    forward::Operations,
    limits::PEER_LINKS_MAX,
    links::{Link, Next, Probe},
    message::Peer,
    rng::Rng,
    sync::Catchup,
    table::Table,
    version::{Clock, Time},
    view::{Member, State, View, ViewHash},
};

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where other nodes reach this one; its name in the ring.
    pub address: SocketAddr,
    /// A member to be inserted after; `None` begins a ring.
    pub prev: Option<SocketAddr>,
    /// How often the next node is checked.
    pub check_interval: Duration,
    /// After this long without an answer to CHECK the next node counts as dead.
    pub check_timeout: Duration,
    /// After this long a request is answered 504.
    pub request_timeout: Duration,
    /// A PUT is refused while fewer members than this are alive.
    pub min_copies: usize,
    /// The largest file that a client may put.
    pub max_file_bytes: usize,
    /// Seed of everything random that this node does.
    pub seed: u64,
    /// The wall clock at [`Time`] zero, in milliseconds since 1970. The incarnation of a new node
    /// begins here, so a restarted node is newer than its earlier life.
    pub started_ms: u64,
}

/// Where a node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It has not yet found its place.
    Joining { since: Time, failed: bool },
    /// It is in a ring, perhaps of one.
    Member,
    /// It answers what is in flight and takes nothing new.
    Finishing { until: Time },
    /// It counts itself gone and waits until its predecessor has linked past it.
    Leaving { until: Time },
    /// It has said [`Output::Left`].
    Left,
}

/// One member of a ring.
#[derive(Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) table: Table,
    pub(super) clock: Clock,
    pub(super) view: View,
    pub(super) phase: Phase,
    /// Whether this node holds everything that was acknowledged before it came.
    pub(super) ready: bool,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) next: Option<Next>,
    pub(super) operations: Operations,
    pub(super) catchup: Catchup,
    /// This node's own entry in the view, as it should be.
    pub(super) me: Member,
    /// Hash of the circle, of the whole view, and the number of live members: kept, not counted.
    pub(super) circle: ViewHash,
    pub(super) full: ViewHash,
    pub(super) live: usize,
    /// The view has changed since the links were tended.
    pub(super) untended: bool,
    /// The circle that unfinished operations were last sent round in.
    pub(super) forwarded: ViewHash,
    pub(super) probe: Option<Probe>,
    pub(super) rng: Rng,
    pub(super) links_made: u64,
    pub(super) checks_made: u64,
    pub(super) check_at: Time,
    /// The wall clock at [`Time`] zero, in milliseconds since 1970.
    epoch_ms: u64,
}

impl Node {
    /// A node that holds the files of `table`. It does nothing before its first input, which may
    /// be [`Input::Wake`].
    pub fn new(config: Config, table: Table) -> Self {
        let me = Member { incarnation: config.started_ms, state: State::Alive, position: 0 };
        let mut view = View::default();
        view.set(config.address, me);
        let mut node = Self {
            clock: Clock::new(),
            phase: match config.prev {
                Some(_) => Phase::Joining { since: Time(0), failed: false },
                None => Phase::Member,
            },
            ready: config.prev.is_none(),
            links: BTreeMap::new(),
            next: None,
            operations: Operations::new(config.seed),
            catchup: Catchup::default(),
            me,
            circle: ViewHash(0),
            full: ViewHash(0),
            live: 0,
            untended: true,
            forwarded: ViewHash(0),
            probe: None,
            rng: Rng::new(config.seed),
            links_made: 0,
            checks_made: 0,
            check_at: Time(0),
            epoch_ms: config.started_ms,
            table,
            view,
            config,
        };
        // Its next version must be later than all that it holds.
        for (_, item) in node.table.list("", "") {
            node.clock.observe(item.version.stamp);
        }
        node.hash_view();
        node
    }

    /// The one transition. `now` never goes back from one call to the next.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Request { id, request } => self.request(now, id, request, out),
            Input::Received { link, message } => self.received(now, link, message, out),
            Input::Progress { link } => self.heard(now, link, false),
            Input::LinkDown { link, why } => self.link_down(now, link, why, out),
            Input::Wake => self.wake(now, out),
            Input::Leave => self.leave(now),
        }
        if self.untended {
            self.tend(now, out);
        }
        self.step_out(now, out);
    }

    /// Sets the wall clock: it may have been put right, or the machine may have slept. Versions
    /// go forward all the same.
    pub fn set_clock(&mut self, now: Time, wall_ms: u64) {
        self.epoch_ms = wall_ms.saturating_sub(now.0 / 1000);
    }

    /// When the node next wants [`Input::Wake`].
    pub fn deadline(&self) -> Time {
        let timeout = self.config.check_timeout;
        let silence = self.next.as_ref().and_then(|next| next.dead_at(timeout));
        let leaving = match self.phase {
            Phase::Finishing { until } | Phase::Leaving { until } => Some(until),
            _ => None,
        };
        let others = [
            silence,
            self.probe.as_ref().map(|probe| probe.until),
            self.operations.deadline(),
            self.catchup.deadline(timeout),
            leaving,
        ];
        others.into_iter().flatten().fold(self.check_at, Time::min)
    }

    /// Names an incoming connection that has begun to speak as a node. `None`: there are too many.
    pub fn accept(&mut self) -> Option<LinkId> {
        (self.links.len() < PEER_LINKS_MAX).then(|| self.new_link(None))
    }

    /// Where other nodes reach this one.
    pub fn address(&self) -> SocketAddr {
        self.config.address
    }

    /// The members, as this node knows them.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The files that this node holds.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether this node holds what the ring held when it joined, and is in the ring.
    pub fn is_ready(&self) -> bool {
        self.ready && self.is_member()
    }

    pub(super) fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    pub(super) fn wall_ms(&self, now: Time) -> u64 {
        self.epoch_ms + now.0 / 1000
    }

    fn received(&mut self, now: Time, link: LinkId, message: Peer, out: &mut Vec<Output>) {
        let Some(entry) = self.links.get(&link) else { return };
        let has_met = entry.meets > 0;
        if message.view().is_some_and(|view| view.is_ahead(self.wall_ms(now))) {
            let why = "its view is ahead of this node's time; are the clocks of both right?";
            return self.nonsense(now, link, why, out);
        }
        self.heard(now, link, true);
        match message {
            Peer::Meet { node, join, view } => self.met(now, link, node, join, view, out),
            _ if !has_met => self.nonsense(now, link, "a link must begin with MEET", out),
            Peer::Check(check) => self.check(now, link, check, out),
            Peer::Checked { ready, view, .. } => {
                if let Some(next) = self.next.as_mut().filter(|next| next.link == link) {
                    next.is_ready = ready;
                }
                if let Some(view) = view {
                    self.absorb(now, &view, out);
                }
            }
            Peer::ForwardPut(forward) => self.forward_put(now, link, forward, out),
            Peer::ForwardGet(forward) => self.forward_get(now, link, forward, out),
            Peer::Sync(sync) => self.sync(now, link, sync, out),
        }
    }

    /// Brings links and operations in line with a view that has changed. The successor hears of
    /// the new view before anything is sent in it.
    fn tend(&mut self, now: Time, out: &mut Vec<Output>) {
        self.untended = false;
        let successor = match self.phase {
            Phase::Joining { .. } => None,
            _ => self.view.successor(self.config.address),
        };
        if self.next.as_ref().map(|next| next.peer) != successor {
            if let Some(next) = self.next.take() {
                self.close(next.link, out);
            }
            if let Some(peer) = successor {
                self.link_next(now, peer, false, out);
            }
        }
        if self.next_link().is_some_and(|link| self.links[&link].told != Some(self.full)) {
            self.begin_check(now, out);
        }
        // News of those who are gone changes no circle, and what is under way in it arrives.
        if std::mem::replace(&mut self.forwarded, self.circle) != self.circle {
            self.forward_anew(out);
        }
        if self.live == 1 && !self.ready && self.phase == Phase::Member {
            self.become_ready(out);
        }
    }

    fn wake(&mut self, now: Time, out: &mut Vec<Output>) {
        let timeout = self.config.check_timeout;
        let silent = |next: &mut Next| next.dead_at(timeout).is_some_and(|at| now >= at);
        if let Some(next) = self.next.take_if(silent) {
            self.close(next.link, out);
            let why = format!("no answer for {timeout:?}");
            self.declare_dead(now, next.peer, why, out);
        }
        if let Some(probe) = self.probe.take_if(|probe| now >= probe.until) {
            self.close(probe.link, out);
            self.probe_failed(now, format!("no answer for {timeout:?}"), out);
        }
        self.expire(now, out);
        self.catchup_timeout(now);
        if now >= self.check_at {
            self.check_at = now + self.config.check_interval;
            self.view.forget(self.wall_ms(now));
            self.note_change(out);
            self.begin_check(now, out);
            self.look_around(now, out);
            self.close_silent(now, out);
        }
    }

    fn leave(&mut self, now: Time) {
        if matches!(self.phase, Phase::Joining { .. } | Phase::Member) {
            self.phase = Phase::Finishing { until: now + self.config.request_timeout };
        }
    }

    /// The steps of leaving: answer what is in flight, let a successor that is catching up do so,
    /// say goodbye, wait to be passed over.
    fn step_out(&mut self, now: Time, out: &mut Vec<Output>) {
        let is_needed = self.ready && self.next.as_ref().is_some_and(|next| !next.is_ready);
        if let Phase::Finishing { until } = self.phase
            && ((self.operations.is_empty() && !is_needed) || now >= until)
        {
            self.abandon(out);
            self.phase = Phase::Leaving { until: now + self.config.check_timeout };
            self.me.state = State::Gone { since_ms: self.wall_ms(now) };
            self.view.set(self.config.address, self.me);
            self.note_change(out);
            self.tend(now, out);
            let incoming: Vec<_> = self.links.keys().copied().collect();
            for link in incoming {
                self.tell(link, out);
            }
        }
        if let Phase::Leaving { until } = self.phase {
            let linked = self.links.keys().any(|&link| Some(link) != self.next_link());
            if self.live == 0 || !linked || now >= until {
                self.phase = Phase::Left;
                out.push(Output::Left);
            }
        }
    }
}
