//! KEEP: whether what went round the ring is on the disks of its members.
//!
//! A FORWARD is never held up by a disk: each member hands the write to its store and passes the
//! message on at once. A KEEP goes round behind it. A member passes that on when its store has
//! confirmed all that reached it before; so one that comes back to its creator proves that every
//! member has on its disk whatever the creator forwarded before it. A PUT or a DELETE is answered
//! when its FORWARD has come back and a KEEP that was sent after it has too, in the same circle.
//!
//! A creator has a few KEEPs under way at a time, and sends the next when there is one fewer. So the
//! writes that come meanwhile share it, as writes that wait for one disk share its next sync: group
//! commit (Gawlick, Kinkade, "Varieties of concurrency control in IMS/VS Fast Path", 1985) for the
//! whole ring. The disks of all members work at the same time, not one after the other.
//!
//! A store that fails or is full says so in the KEEP that passes next, by the times of the writes
//! that it could not keep. What was lost on a link, a change of the circle follows, and unfinished
//! writes go round again with a KEEP behind them, as everything does (see `forward.rs`).
//!
//! Where no member keeps files on a disk there is no KEEP.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use super::{
    event::{LinkId, Output, StoreFault},
    item::Ticket,
    limits::MEMBERS_MAX,
    message::{Failed, Keep, OpId, Peer, Status},
    node::Node,
    version::{Time, Version},
    view::ViewHash,
};

/// KEEPs that one node has under way.
const KEEPS_MAX: usize = 4;
/// KEEPs of other members that wait for this node's store. Beyond that, the first that waits is
/// dropped: a later one of its creator waits behind it.
const WAITING_MAX: usize = 2 * KEEPS_MAX * MEMBERS_MAX;
/// Writes of one creator that failed and are named; if there are more, all count as failed.
const FAILED_MAX: usize = 64;

/// What this node knows of KEEPs.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// KEEPs that this node has sent.
    made: u64,
    /// Those that are under way, all in this circle.
    open: VecDeque<u64>,
    circle: ViewHash,
    /// A write was forwarded since the last.
    is_wanted: bool,
    /// The last that has come back.
    back: u64,
    /// Of others: each waits until the store has confirmed everything up to a ticket.
    waiting: VecDeque<(Ticket, Box<Keep>)>,
    /// What the store could not keep, by the node that made the version.
    failed: BTreeMap<SocketAddr, (Status, Failed)>,
}

impl Commits {
    /// A write was forwarded. Returns the number of the first KEEP that comes after it.
    pub(super) fn follow(&mut self) -> u64 {
        self.is_wanted = true;
        self.made + 1
    }

    /// Whether this KEEP, or a later one, has come back.
    pub(super) fn has(&self, number: u64) -> bool {
        self.back >= number
    }

    /// The store could not keep a version.
    pub(super) fn note_failure(&mut self, version: Version, fault: StoreFault) {
        let status = match fault {
            StoreFault::Full => Status::InsufficientStorage,
            StoreFault::Broken => Status::Unavailable,
        };
        if self.failed.len() >= MEMBERS_MAX && !self.failed.contains_key(&version.node) {
            self.failed.pop_first();
        }
        let none = || (status, Failed::default());
        self.failed.entry(version.node).or_insert_with(none).1.add(version.stamp, FAILED_MAX);
    }
}

impl Node {
    /// Whether a member of this circle keeps files on a disk.
    pub(super) fn has_keepers(&self) -> bool {
        self.keepers > 0
    }

    /// Sends a KEEP if a write was forwarded since the last, and few are under way.
    pub(super) fn commit(&mut self, out: &mut Vec<Output>) {
        if self.commits.circle != self.circle {
            self.commits.circle = self.circle;
            self.commits.open.clear();
        }
        if !self.commits.is_wanted || self.commits.open.len() >= KEEPS_MAX {
            return;
        }
        self.commits.is_wanted = false;
        let Some(link) = self.next_link().filter(|_| self.has_keepers()) else { return };
        self.commits.made += 1;
        self.commits.open.push_back(self.commits.made);
        let op = OpId { creator: self.config.address, count: self.commits.made };
        let (view, failed) = (self.circle, Failed::default());
        let keep = Keep { op, view, hops: 0, refused: None, failed };
        self.say(link, Peer::Keep(Box::new(keep)), out);
    }

    /// A KEEP comes round.
    pub(super) fn keep_comes(
        &mut self,
        now: Time,
        from: LinkId,
        keep: Box<Keep>,
        out: &mut Vec<Output>,
    ) {
        if keep.op.creator == self.config.address {
            return self.keep_returned(now, &keep, out);
        }
        if keep.view != self.circle || keep.hops >= MEMBERS_MAX {
            return self.tell(now, from, out);
        }
        if self.commits.waiting.len() >= WAITING_MAX {
            self.commits.waiting.pop_front();
        }
        self.commits.waiting.push_back((self.storing.last_ticket(), keep));
        self.pass_keeps(out);
    }

    /// Passes on the KEEPs before which the store has confirmed everything.
    pub(super) fn pass_keeps(&mut self, out: &mut Vec<Output>) {
        while let Some((after, _)) = self.commits.waiting.front()
            && self.storing.is_confirmed_up_to(*after)
        {
            let (_, mut keep) = self.commits.waiting.pop_front().expect("it was looked at");
            let Some(next) = self.next.as_ref().filter(|_| keep.view == self.circle) else {
                continue;
            };
            let link = next.link;
            if let Some((status, failed)) = self.commits.failed.remove(&keep.op.creator) {
                keep.refused.get_or_insert((status, self.config.address));
                keep.failed.add_all(failed, FAILED_MAX);
            }
            keep.hops += 1;
            self.say(link, Peer::Keep(keep), out);
        }
    }

    /// A KEEP of this node has gone all round.
    fn keep_returned(&mut self, now: Time, keep: &Keep, out: &mut Vec<Output>) {
        let Keep { op, view, hops, refused, failed } = keep;
        let is_whole = hops.saturating_add(1) == self.live;
        if *view != self.circle || self.commits.circle != self.circle || !is_whole {
            return;
        }
        self.commits.open.retain(|&it| it > op.count);
        self.commits.back = self.commits.back.max(op.count);
        self.kept(now, op.count, refused.map(|refused| (refused, failed)), out);
    }
}
