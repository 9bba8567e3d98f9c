//! Large contents on their way to this node.
//!
//! Where all members keep files on disks, the content of a large file does not travel on the links that
//! carry FORWARD and CHECK: the message says how long it is, what its hash is and where it can be
//! pulled from, and a node that lacks it pulls it, over a connection of its own
//! ([`Output::Pull`]). Its predecessor may still be receiving it, and passes on what it has: so a content is
//! at all members soon after it is at the second (cut-through). Only this transfer is slow on a slow
//! line.
//!
//! When the content is here, its version is entered into the index and handed to the store, as any other
//! is. Until then a KEEP that passes says that the version is pending, and its creator sends another
//! KEEP later; but a KEEP waits for a moment for what has only just begun to come, so that a quick
//! transfer costs no second round.
//!
//! A transfer that breaks goes on where it ended, from another member if there is one that may have
//! it. One that does not come in the end is given up: then this node lacks a version that others have, and
//! catches up with them as after any other loss.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    event::{Output, PullFault, RequestId, StoreFault},
    index::Kept,
    item::{ArrivalId, Body, Item, ItemValue, Ticket},
    message::{Answer, Failed, Refusal, Status},
    name::Name,
    node::Node,
    version::{Time, Version},
};

/// Contents that are pulled at the same time; others wait.
const PULLS_MAX: usize = 16;
/// Contents that are pulled or wait for that. Over that, the node is full for them.
const ARRIVALS_MAX: usize = 1024;
/// After so many attempts in which nothing came, a content is given up.
const TRIES_MAX: u32 = 30;
/// How long a KEEP waits for a content that has just begun to come.
const QUICK: Duration = Duration::from_millis(50);
/// Requests that wait for one content.
const REPLIES_MAX: usize = 64;

/// What is on its way to this node.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    all: BTreeMap<ArrivalId, Coming>,
    made: u64,
}

/// A version whose content is on its way.
#[derive(Debug)]
struct Coming {
    name: Name,
    version: Version,
    hash: blake3::Hash,
    bytes: usize,
    /// Where it is pulled from.
    at: SocketAddr,
    state: ComingState,
    tries: u32,
    /// Until then a KEEP waits for it.
    quick_until: Time,
    /// The version that it had on its round before, if there was one.
    instead: Option<Version>,
    /// GETs that are answered with it, and until when.
    replies: Vec<(RequestId, Time)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ComingState {
    /// It is to be pulled from then on.
    Waits(Time),
    Pulled,
    /// It has come, or a later version has, and the store has yet to confirm that.
    Stored(Ticket),
}

impl Arriving {
    /// A name for another content.
    fn id(&mut self) -> ArrivalId {
        self.made += 1;
        ArrivalId(self.made)
    }

    fn find(&self, name: &Name, version: Version) -> Option<ArrivalId> {
        let mut all = self.all.iter();
        all.find(|(_, it)| it.version == version && it.name == *name).map(|(id, _)| *id)
    }

    /// How many are pulled.
    fn pulled(&self) -> usize {
        self.all.values().filter(|it| it.state == ComingState::Pulled).count()
    }

    /// The last that has begun.
    pub(super) fn last(&self) -> ArrivalId {
        self.all.last_key_value().map_or(ArrivalId(0), |(id, _)| *id)
    }

    /// Whether a KEEP that came after this one waits.
    pub(super) fn holds_keep(&self, now: Time, last: ArrivalId) -> bool {
        self.all.range(..=last).any(|(_, it)| now < it.quick_until)
    }

    /// The versions of one node that are on their way.
    pub(super) fn pending(&self, node: SocketAddr, most: usize) -> Failed {
        let mut pending = Failed::default();
        let of_node = self.all.values().filter(|it| it.version.node == node);
        of_node.for_each(|it| pending.add(it.version.stamp, most));
        pending
    }

    /// When there is something to do next. `holds_keeps`: a KEEP may wait for a content.
    pub(super) fn deadline(&self, now: Time, holds_keeps: bool) -> Option<Time> {
        let has_room = self.pulled() < PULLS_MAX;
        let of_one = |it: &Coming| {
            let waits = match it.state {
                ComingState::Waits(until) if has_room => Some(until),
                _ => None,
            };
            let replies = it.replies.iter().map(|(_, until)| *until);
            let quick = Some(it.quick_until).filter(|&until| holds_keeps && now < until);
            waits.into_iter().chain(replies).chain(quick).min()
        };
        self.all.values().filter_map(of_one).min()
    }
}

impl Node {
    /// A name in the store for a client's file that begins to arrive in pieces.
    pub fn new_arrival(&mut self) -> ArrivalId {
        self.arriving.id()
    }

    /// Where the content of a version is, and its hash and length, if it is in this node's store or on
    /// its way there.
    pub fn content_of(&self, name: &Name, version: Version) -> Option<(blake3::Hash, Body)> {
        let held = self.index.version(name, version).map(|held| held.item());
        let item = held.or_else(|| self.operations.written(name, version).cloned());
        if let Some(Item { value: ItemValue::File { hash, body }, .. }) = item {
            return Some((hash, body));
        }
        let arrival = self.arriving.find(name, version)?;
        let Coming { hash, bytes, .. } = self.arriving.all[&arrival];
        Some((hash, Body::Arrived { arrival, bytes }))
    }

    /// A content may be pulled rather than sent with its message, if all members keep theirs on a disk.
    pub(super) fn goes_apart(&self, bytes: usize) -> bool {
        bytes >= self.config.apart_bytes && self.keepers == self.live
    }

    /// A version comes whose content is to be pulled.
    pub(super) fn arrive(
        &mut self,
        now: Time,
        name: &Name,
        item: &Item,
        instead: Option<Version>,
        out: &mut Vec<Output>,
    ) -> Kept {
        let version = item.version;
        let ItemValue::File { hash, body: Body::Apart { at, bytes } } = item.value else {
            return Kept::Old;
        };
        if let Some(before) = instead.and_then(|it| self.arriving.find(name, it)) {
            self.give_up_arrival(now, before, None, out);
        }
        if self.index.is_old(name, version) {
            return Kept::Old;
        }
        if let Some(coming) = self.arriving.find(name, version) {
            let coming = self.arriving.all.get_mut(&coming).expect("it was found");
            coming.instead = coming.instead.or(instead);
            if matches!(coming.state, ComingState::Waits(_)) {
                (coming.at, coming.state) = (at, ComingState::Waits(now));
                self.pull_next(now, out);
            }
            return Kept::Old;
        }
        let has_room = self.config.keeps && self.arriving.all.len() < ARRIVALS_MAX;
        if !has_room || !self.has_room(now, name, bytes) {
            self.refuse_version(name, version, bytes, out);
            return Kept::Full;
        }
        let id = self.arriving.id();
        let coming = Coming {
            name: name.clone(),
            version,
            hash,
            bytes,
            at,
            state: ComingState::Waits(now),
            tries: 0,
            quick_until: now + QUICK,
            instead,
            replies: Vec::new(),
        };
        self.arriving.all.insert(id, coming);
        self.pull_next(now, out);
        Kept::New
    }

    /// Whether a version is on its way; if so, under which name.
    pub(super) fn coming(&self, name: &Name, version: Version) -> Option<ArrivalId> {
        self.arriving.find(name, version)
    }

    /// A GET waits for a content that is on its way.
    pub(super) fn await_arrival(
        &mut self,
        arrival: ArrivalId,
        id: RequestId,
        until: Time,
        out: &mut Vec<Output>,
    ) {
        match self.arriving.all.get_mut(&arrival) {
            Some(coming) if coming.replies.len() < REPLIES_MAX => coming.replies.push((id, until)),
            _ => out.push(Output::Reply { id, answer: not_here() }),
        }
    }

    /// Pulls what waits for that, as far as not too much is pulled already.
    fn pull_next(&mut self, now: Time, out: &mut Vec<Output>) {
        let room = PULLS_MAX.saturating_sub(self.arriving.pulled());
        let is_due = |it: &Coming| matches!(it.state, ComingState::Waits(from) if now >= from);
        let due = self.arriving.all.iter_mut().filter(|(_, it)| is_due(it));
        for (&arrival, it) in due.take(room) {
            it.state = ComingState::Pulled;
            let (name, version, hash) = (it.name.clone(), it.version, it.hash);
            out.push(Output::Pull { arrival, from: it.at, name, version, hash, bytes: it.bytes });
        }
    }

    /// A content that was to be pulled is here, or did not come.
    pub(super) fn pulled(
        &mut self,
        now: Time,
        arrival: ArrivalId,
        result: Result<(), PullFault>,
        out: &mut Vec<Output>,
    ) {
        let Some(coming) = self.arriving.all.get_mut(&arrival) else { return };
        match result {
            Ok(()) => {
                let (hash, bytes) = (coming.hash, coming.bytes);
                let (name, version, instead) =
                    (coming.name.clone(), coming.version, coming.instead);
                let value = ItemValue::File { hash, body: Body::Arrived { arrival, bytes } };
                match self.file(now, &name, Item { version, value }, out) {
                    Kept::New | Kept::Older => {
                        let stored = ComingState::Stored(self.storing.last_ticket());
                        let coming = self.arriving.all.get_mut(&arrival).expect("it is here");
                        coming.state = stored;
                        if let Some(before) = instead {
                            self.keep_instead(&name, version, before, out);
                        }
                    }
                    Kept::Old => self.arrival_is_old(now, arrival, out),
                    Kept::Full => {
                        let fault = Some(Status::InsufficientStorage);
                        self.give_up_arrival(now, arrival, fault, out);
                    }
                }
            }
            Err(PullFault::Broken) if coming.tries < TRIES_MAX => {
                coming.tries += 1;
                let delay = self.config.check_interval * coming.tries.min(8) / 4;
                let (before, creator) = (coming.at, coming.version.node);
                let others = [self.view.predecessor(self.config.address), Some(creator)];
                let others = others.into_iter().flatten();
                let mut others =
                    others.filter(|&it| it != self.config.address && self.view.is_alive(it));
                let next = others.find(|&it| it != before).unwrap_or(before);
                let coming = self.arriving.all.get_mut(&arrival).expect("it is here");
                (coming.at, coming.state) = (next, ComingState::Waits(now + delay));
            }
            Err(PullFault::Broken) => {
                self.give_up_arrival(now, arrival, Some(Status::Timeout), out);
            }
            Err(PullFault::Store(fault)) => {
                let (name, version, bytes) = (coming.name.clone(), coming.version, coming.bytes);
                self.refuse_version(&name, version, bytes, out);
                let status = match fault {
                    StoreFault::Full => Status::InsufficientStorage,
                    StoreFault::Broken => Status::Unavailable,
                };
                self.give_up_arrival(now, arrival, Some(status), out);
            }
        }
        self.pull_next(now, out);
        self.pass_keeps(now, out);
    }

    /// The store has confirmed a version, or could not keep it.
    pub(super) fn arrivals_stored(
        &mut self,
        now: Time,
        ticket: Ticket,
        fault: Option<Status>,
        out: &mut Vec<Output>,
    ) {
        let all = self.arriving.all.iter();
        let stored = all.filter(|(_, it)| it.state == ComingState::Stored(ticket));
        for arrival in stored.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.give_up_arrival(now, arrival, fault, out);
        }
    }

    /// Enough later versions are here, so a content is not needed. But the first of them may not be on
    /// the disk yet, and until then this one is not safe either.
    fn arrival_is_old(&mut self, now: Time, arrival: ArrivalId, out: &mut Vec<Output>) {
        let Some(coming) = self.arriving.all.get_mut(&arrival) else { return };
        let newest = self.index.get(&coming.name).map(|held| held.ticket);
        match newest.filter(|ticket| self.storing.has(*ticket)) {
            Some(ticket) => {
                coming.state = ComingState::Stored(ticket);
                out.push(Output::GiveUp { arrival });
            }
            None => self.give_up_arrival(now, arrival, None, out),
        }
    }

    /// Contents of versions that are no longer taken, because enough later ones are here, are not needed.
    pub(super) fn drop_old_arrivals(&mut self, now: Time, out: &mut Vec<Output>) {
        let is_stored = |it: &Coming| matches!(it.state, ComingState::Stored(_));
        let is_old = |it: &Coming| !is_stored(it) && self.index.is_old(&it.name, it.version);
        let old = self.arriving.all.iter().filter(|(_, it)| is_old(it)).map(|(id, _)| *id);
        for arrival in old.collect::<Vec<_>>() {
            self.arrival_is_old(now, arrival, out);
        }
    }

    /// What is due.
    pub(super) fn arriving_due(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.arriving.all.is_empty() {
            return;
        }
        for coming in self.arriving.all.values_mut() {
            coming.replies.retain(|&(id, until)| {
                if now >= until {
                    out.push(Output::Reply { id, answer: not_here() });
                }
                now < until
            });
        }
        self.pull_next(now, out);
        self.pass_keeps(now, out);
    }

    /// This node is about to leave the circle: what waits for a content is answered.
    pub(super) fn abandon_arrivals(&mut self, out: &mut Vec<Output>) {
        for coming in self.arriving.all.values_mut() {
            let replies = std::mem::take(&mut coming.replies).into_iter();
            out.extend(replies.map(|(id, _)| Output::Reply { id, answer: not_here() }));
        }
    }

    /// A content does not come, or is not needed. With a status, its creator hears of it.
    fn give_up_arrival(
        &mut self,
        now: Time,
        arrival: ArrivalId,
        fault: Option<Status>,
        out: &mut Vec<Output>,
    ) {
        let Some(coming) = self.arriving.all.get(&arrival) else { return };
        if !matches!(coming.state, ComingState::Stored(_)) {
            out.push(Output::GiveUp { arrival });
        }
        if let Some(status) = fault {
            self.commits.note_failure(coming.version, status);
        }
        self.end_arrival(now, arrival, fault.is_none(), out);
    }

    fn end_arrival(&mut self, now: Time, arrival: ArrivalId, is_kept: bool, out: &mut Vec<Output>) {
        let Some(coming) = self.arriving.all.remove(&arrival) else { return };
        for (id, _) in coming.replies {
            let held = self.index.version(&coming.name, coming.version);
            let answer = held.map_or_else(not_here, |held| Answer::Found(held.item()));
            out.push(Output::Reply { id, answer });
        }
        self.pull_next(now, out);
        self.pass_keeps(now, out);
        self.arrival_ended(now, arrival, is_kept, out);
    }
}

fn not_here() -> Answer {
    let reason = "the content is on its way to this node; try again, or another node";
    Answer::Refused(Refusal::new(Status::Unavailable, reason))
}

/// Contents that a synchronisation waits for.
pub(super) type Awaited = BTreeSet<ArrivalId>;
