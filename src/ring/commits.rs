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
//! A large content may still be on its way to a member (see `arriving.rs`). Then the KEEP says that its
//! write is pending, nothing else waits for it, and the creator sends another a little later.
//!
//! Where no member keeps files on a disk there is no KEEP.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use super::{
    event::{LinkId, Output},
    item::{ArrivalId, Ticket},
    limits::MEMBERS_MAX,
    message::{Answer, Failed, Keep, OpId, Peer, Refusal, Status},
    node::Node,
    version::{Time, Version},
    view::ViewHash,
};

/// KEEPs that one node has under way.
const KEEPS_MAX: usize = 4;
/// KEEPs of other members that wait for this node's store. Beyond that, the first that waits is
/// dropped: a later one of its creator waits behind it.
const WAITING_MAX: usize = 2 * KEEPS_MAX * MEMBERS_MAX;
/// A KEEP that finds something pending is followed by another after this, doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often that is doubled.
const DOUBLINGS_MAX: u32 = 4;
/// Writes of one creator that failed and are named; if there are more, all count as failed.
const FAILED_MAX: usize = 64;

/// A KEEP of another member, and since when it waits for what.
#[derive(Debug)]
struct WaitingKeep {
    since: Time,
    after: Ticket,
    last: ArrivalId,
    keep: Box<Keep>,
}

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
    /// When the next is sent because of writes that were pending, and how often that was so in a row.
    again_at: Option<Time>,
    in_vain: u32,
    /// Of others: each waits until the store has confirmed everything up to a ticket, and a moment for
    /// contents that had begun to come.
    waiting: VecDeque<WaitingKeep>,
    /// How long the one that came back last has waited at each member, in microseconds.
    waits: Vec<u32>,
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

    /// How long the KEEP that came back last has waited at each member, in microseconds.
    pub(super) fn waits(&self) -> &[u32] {
        &self.waits
    }

    /// Whether a KEEP waits here.
    pub(super) fn holds_keeps(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When another is to be sent.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.again_at
    }

    /// Another KEEP is to be sent soon, because something was pending. Returns its number at the
    /// earliest.
    pub(super) fn ask_again(&mut self, now: Time) -> u64 {
        if self.again_at.is_none() {
            self.again_at = Some(now + AGAIN_AFTER * 2u32.pow(self.in_vain));
            self.in_vain = (self.in_vain + 1).min(DOUBLINGS_MAX);
        }
        self.made + 1
    }

    /// The store could not keep a version, or its content did not come.
    pub(super) fn note_failure(&mut self, version: Version, status: Status) {
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
            self.commits.in_vain = 0;
        }
        if !self.commits.is_wanted || self.commits.open.len() >= KEEPS_MAX {
            return;
        }
        self.commits.is_wanted = false;
        let Some(link) = self.next_link().filter(|_| self.has_keepers()) else { return };
        self.commits.made += 1;
        self.commits.open.push_back(self.commits.made);
        let op = OpId { creator: self.config.address, count: self.commits.made };
        let (view, failed, pending) = (self.circle, Failed::default(), Failed::default());
        let waits = Vec::new();
        let keep = Keep { op, view, hops: 0, refused: None, failed, pending, waits };
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
        let last = (self.storing.last_ticket(), self.arriving.last());
        let (after, last) = last;
        self.commits.waiting.push_back(WaitingKeep { since: now, after, last, keep });
        self.pass_keeps(now, out);
    }

    /// Passes on the KEEPs before which the store has confirmed everything.
    pub(super) fn pass_keeps(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.commits.holds_keeps() {
            self.drop_old_arrivals(now, out);
        }
        while let Some(WaitingKeep { after, last, .. }) = self.commits.waiting.front()
            && self.storing.is_confirmed_up_to(*after)
            && !self.arriving.holds_keep(now, *last)
        {
            let waited = self.commits.waiting.pop_front().expect("it was looked at");
            let WaitingKeep { since, mut keep, .. } = waited;
            let Some(next) = self.next.as_ref().filter(|_| keep.view == self.circle) else {
                continue;
            };
            let link = next.link;
            if let Some((status, failed)) = self.commits.failed.remove(&keep.op.creator) {
                keep.refused.get_or_insert((status, self.config.address));
                keep.failed.add_all(failed, FAILED_MAX);
            }
            let pending = self.arriving.pending(keep.op.creator, FAILED_MAX);
            keep.pending.add_all(pending, FAILED_MAX);
            keep.hops += 1;
            let wait = now.since(since).as_micros();
            keep.waits.push(u32::try_from(wait).unwrap_or(u32::MAX));
            self.say(link, Peer::Keep(keep), out);
        }
    }

    /// A KEEP of this node has gone all round.
    fn keep_returned(&mut self, now: Time, keep: &Keep, out: &mut Vec<Output>) {
        let Keep { op, view, hops, refused, failed, pending, waits } = keep;
        let is_whole = hops.saturating_add(1) == self.live;
        if *view != self.circle || self.commits.circle != self.circle || !is_whole {
            return;
        }
        self.commits.open.retain(|&it| it > op.count);
        self.commits.back = self.commits.back.max(op.count);
        self.commits.waits.clone_from(waits);
        let in_vain = self.commits.in_vain;
        self.kept(now, op.count, refused.map(|refused| (refused, failed)), pending, out);
        if self.commits.again_at.is_none() && self.commits.in_vain == in_vain {
            self.commits.in_vain = 0;
        }
    }

    /// Sends another KEEP where that is due.
    pub(super) fn commit_due(&mut self, now: Time) {
        if self.commits.again_at.take_if(|at| now >= *at).is_some() {
            self.commits.is_wanted = true;
        }
    }
}

/// The answer where a member could not keep a write that has gone round.
pub(super) fn could_not_keep(status: Status, by: SocketAddr) -> Answer {
    let why = match status {
        Status::InsufficientStorage => {
            format!("{by} is full: its disk, or its --max-store-bytes")
        }
        Status::Timeout => format!("the content did not come to {by} in time"),
        _ => format!("the disk of {by} fails"),
    };
    let reason = format!("{why}; other members have kept the file");
    Answer::Refused(Refusal::new(status, reason))
}
