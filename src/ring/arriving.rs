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
//! What a client is still sending is offered before: see `offers.rs`.
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
    message::{Answer, Failed, OpId, PullOf, Refusal, Status},
    name::Name,
    node::Node,
    version::{Time, Version},
};

/// Contents that are pulled at the same time; others wait.
const PULLS_MAX: usize = 16;
/// How long an offered content is kept when all of it is here, and its version is not.
const OFFER_KEPT: Duration = Duration::from_secs(30);
/// Contents that are pulled or wait for that. Over that, the node is full for them.
pub(super) const ARRIVALS_MAX: usize = 1024;
/// After so many attempts in which nothing came, a content is given up.
const TRIES_MAX: u32 = 30;
/// How long a KEEP waits for a content that has just begun to come.
pub(super) const QUICK: Duration = Duration::from_millis(50);
/// Requests that wait for one content.
const REPLIES_MAX: usize = 64;

/// What is on its way to this node.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    pub(super) all: BTreeMap<ArrivalId, Coming>,
    /// What clients of this node are sending.
    pub(super) uploads: BTreeMap<ArrivalId, Upload>,
    made: u64,
}

/// A file that a client is sending.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) name: Name,
    pub(super) bytes: usize,
}

/// A content that is on its way.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) name: Name,
    pub(super) bytes: usize,
    /// The version that has it, and its hash; not known yet of one that is only offered.
    pub(super) of: Option<(Version, blake3::Hash)>,
    pub(super) offer: Option<OpId>,
    /// Where it is pulled from.
    pub(super) at: SocketAddr,
    pub(super) state: ComingState,
    pub(super) tries: u32,
    /// Until then a KEEP waits for it.
    pub(super) quick_until: Time,
    /// The version that it had on its round before, if there was one.
    pub(super) instead: Option<Version>,
    /// GETs that are answered with it, and until when.
    pub(super) replies: Vec<(RequestId, Time)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ComingState {
    /// It is to be pulled from then on.
    Waits(Time),
    Pulled,
    /// It is offered and has come, and has this hash. Its version is awaited until then.
    Here(blake3::Hash, Time),
    /// It has come, or a later version has, and the store has yet to confirm that.
    Stored(Ticket),
}

impl Coming {
    fn has(&self, name: &Name, version: Version) -> bool {
        self.name == *name && self.of.is_some_and(|(it, _)| it == version)
    }

    /// Where it is pulled from, and which.
    fn pull_of(&self) -> Option<PullOf> {
        let version = self.of.map(|(version, _)| PullOf::Version(version));
        version.or(self.offer.map(PullOf::Offer))
    }
}

impl Arriving {
    /// None yet. The count begins at a random number, so that what an earlier life of this node has
    /// offered is not taken for an offer of this one.
    pub(super) fn new(seed: u64) -> Self {
        Self { made: seed >> 16 << 16, ..Self::default() }
    }

    /// A name for another content.
    pub(super) fn id(&mut self) -> ArrivalId {
        self.made += 1;
        ArrivalId(self.made)
    }

    fn find(&self, name: &Name, version: Version) -> Option<ArrivalId> {
        self.all.iter().find(|(_, it)| it.has(name, version)).map(|(id, _)| *id)
    }

    pub(super) fn find_offer(&self, offer: OpId) -> Option<ArrivalId> {
        self.all.iter().find(|(_, it)| it.offer == Some(offer)).map(|(id, _)| *id)
    }

    /// How many are pulled because of their version.
    fn pulled(&self) -> usize {
        let is_pulled = |it: &&Coming| it.state == ComingState::Pulled && it.of.is_some();
        self.all.values().filter(is_pulled).count()
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
        let versions = self.all.values().filter_map(|it| it.of.map(|(version, _)| version));
        let of_node = versions.filter(|it| it.node == node);
        of_node.for_each(|it| pending.add(it.stamp, most));
        pending
    }

    /// When there is something to do next. `holds_keeps`: a KEEP may wait for a content.
    pub(super) fn deadline(&self, now: Time, holds_keeps: bool) -> Option<Time> {
        let has_room = self.pulled() < PULLS_MAX;
        let of_one = |it: &Coming| {
            let waits = match it.state {
                ComingState::Waits(until) if has_room || it.of.is_none() => Some(until),
                ComingState::Here(_, until) => Some(until),
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
        let coming = &self.arriving.all[&arrival];
        let (_, hash) = coming.of?;
        Some((hash, Body::Arrived { arrival, bytes: coming.bytes }))
    }

    /// Bytes that are on their way to the store, and will have to have room there.
    pub(super) fn arriving_bytes(&self) -> usize {
        // A node may also catch up with what its own client has just written, or with what is old by now.
        let is_needed = |it: &Coming| {
            it.of.is_none_or(|(version, _)| {
                !self.index.is_old(&it.name, version)
                    && self.operations.written(&it.name, version).is_none()
            })
        };
        let is_open = |it: &&Coming| !matches!(it.state, ComingState::Stored(_)) && is_needed(it);
        let coming = self.arriving.all.values().filter(is_open).map(|it| it.bytes);
        let uploads = self.arriving.uploads.values().map(|it| it.bytes);
        coming.chain(uploads).fold(0, usize::saturating_add)
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
        offer: Option<OpId>,
        out: &mut Vec<Output>,
    ) -> Kept {
        let version = item.version;
        let ItemValue::File { hash, body: Body::Apart { at, bytes } } = item.value else {
            return Kept::Old;
        };
        if let Some(before) = instead.and_then(|it| self.arriving.find(name, it)) {
            if self.renumber(before, version, hash) {
                return Kept::New;
            }
            self.give_up_arrival(now, before, None, out);
        }
        let offered = offer.and_then(|offer| self.arriving.find_offer(offer));
        let offered = offered.filter(|it| self.arriving.all[it].of.is_none());
        if self.index.is_old(name, version) {
            offered.into_iter().for_each(|it| self.give_up_arrival(now, it, None, out));
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
        if let Some(arrival) = offered {
            let coming = &self.arriving.all[&arrival];
            if coming.name == *name && coming.bytes == bytes {
                self.version_of_offer(now, arrival, item, instead, out);
                return Kept::New;
            }
            self.give_up_arrival(now, arrival, None, out);
        }
        let has_room = self.config.keeps && self.arriving.all.len() < ARRIVALS_MAX;
        if !has_room || !self.has_room(now, name, bytes) {
            self.refuse_version(name, version, bytes, out);
            let is_newest = self.index.get(name).is_none_or(|held| held.version < version);
            return if is_newest { Kept::Full } else { Kept::Old };
        }
        let id = self.arriving.id();
        let coming = Coming {
            name: name.clone(),
            bytes,
            of: Some((version, hash)),
            offer: None,
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

    /// A write comes round again with another version: what has come of its content stays. Returns
    /// whether that is so.
    fn renumber(&mut self, arrival: ArrivalId, version: Version, hash: blake3::Hash) -> bool {
        let Some(coming) = self.arriving.all.get_mut(&arrival) else { return false };
        let is_same = coming.of.is_some_and(|(_, it)| it == hash);
        let is_open = !matches!(coming.state, ComingState::Stored(_));
        if is_same && is_open {
            coming.of = Some((version, hash));
        }
        is_same && is_open
    }

    /// Whether a content is on its way to this node.
    pub fn is_coming(&self, arrival: ArrivalId) -> bool {
        self.arriving.all.contains_key(&arrival)
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
    pub(super) fn pull_next(&mut self, now: Time, out: &mut Vec<Output>) {
        let room = PULLS_MAX.saturating_sub(self.arriving.pulled());
        let is_due = |it: &Coming| matches!(it.state, ComingState::Waits(from) if now >= from);
        let mut left = room;
        for (&arrival, it) in self.arriving.all.iter_mut().filter(|(_, it)| is_due(it)) {
            if it.of.is_some() {
                let Some(less) = left.checked_sub(1) else { continue };
                left = less;
            }
            let Some(of) = it.pull_of() else { continue };
            it.state = ComingState::Pulled;
            let name = it.name.clone();
            out.push(Output::Pull { arrival, from: it.at, name, of, bytes: it.bytes });
        }
    }

    /// A content that was to be pulled is here, or did not come.
    pub(super) fn pulled(
        &mut self,
        now: Time,
        arrival: ArrivalId,
        result: Result<blake3::Hash, PullFault>,
        out: &mut Vec<Output>,
    ) {
        let Some(coming) = self.arriving.all.get_mut(&arrival) else { return };
        let result = result.and_then(|hash| match coming.of {
            // It is another content, or it was damaged on its way: it is pulled again from the start.
            Some((_, expected)) if hash != expected => {
                out.push(Output::GiveUp { arrival });
                Err(PullFault::Broken)
            }
            _ => Ok(hash),
        });
        match result {
            Ok(hash) => {
                let Some((version, _)) = coming.of else {
                    coming.state = ComingState::Here(hash, now + OFFER_KEPT);
                    return;
                };
                let (bytes, name, instead) = (coming.bytes, coming.name.clone(), coming.instead);
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
            Err(PullFault::Broken | PullFault::Gone) => self.pull_broke(now, arrival, result, out),
            Err(PullFault::Store(fault)) => {
                if let Some((version, _)) = coming.of {
                    let (name, bytes) = (coming.name.clone(), coming.bytes);
                    self.refuse_version(&name, version, bytes, out);
                }
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

    /// A content has come in part, or not at all: it is pulled again, if it may be there.
    fn pull_broke(
        &mut self,
        now: Time,
        arrival: ArrivalId,
        result: Result<blake3::Hash, PullFault>,
        out: &mut Vec<Output>,
    ) {
        // Its client has gone, or sends it again; or its version is about to come.
        if self.is_withdrawn(arrival, result) {
            return self.give_up_arrival(now, arrival, None, out);
        }
        let Some(coming) = self.arriving.all.get_mut(&arrival) else { return };
        if coming.tries >= TRIES_MAX {
            return self.give_up_arrival(now, arrival, Some(Status::Timeout), out);
        }
        coming.tries += 1;
        let delay = self.config.check_interval * coming.tries.min(8) / 4;
        let creator = coming.of.map(|(version, _)| version.node);
        let creator = creator.or(coming.offer.map(|op| op.creator));
        let others = [self.view.predecessor(self.config.address), creator].into_iter().flatten();
        let mut others = others.filter(|&it| it != self.config.address && self.view.is_alive(it));
        if let Some(other) = others.find(|&it| it != coming.at) {
            coming.at = other;
        }
        coming.state = ComingState::Waits(now + delay);
    }

    /// Whether what was offered does not come any more.
    fn is_withdrawn(&self, arrival: ArrivalId, result: Result<blake3::Hash, PullFault>) -> bool {
        let Some(coming) = self.arriving.all.get(&arrival) else { return false };
        let creator = coming.offer.map(|op| op.creator);
        let is_alive = creator.is_some_and(|creator| self.view.is_alive(creator));
        coming.of.is_none() && (result == Err(PullFault::Gone) || !is_alive)
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
        let is_old = |it: &Coming| {
            let version = it.of.map(|(version, _)| version);
            !is_stored(it) && version.is_some_and(|version| self.index.is_old(&it.name, version))
        };
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
        let is_over = |it: &Coming| matches!(it.state, ComingState::Here(_, until) if now >= until);
        let over = self.arriving.all.iter().filter(|(_, it)| is_over(it)).map(|(id, _)| *id);
        for arrival in over.collect::<Vec<_>>() {
            self.give_up_arrival(now, arrival, None, out);
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
        if let (Some(status), Some((version, _))) = (fault, coming.of) {
            self.commits.note_failure(version, status);
        }
        self.end_arrival(now, arrival, fault.is_none(), out);
    }

    fn end_arrival(&mut self, now: Time, arrival: ArrivalId, is_kept: bool, out: &mut Vec<Output>) {
        let Some(coming) = self.arriving.all.remove(&arrival) else { return };
        for (id, _) in coming.replies {
            let held = coming.of.and_then(|(it, _)| self.index.version(&coming.name, it));
            let none = if is_kept { not_here } else { not_kept };
            let answer = held.map_or_else(none, |held| Answer::Found(held.item()));
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

fn not_kept() -> Answer {
    let reason =
        "the content did not come to this node, or it has no room for it; ask another node";
    Answer::Refused(Refusal::new(Status::Unavailable, reason))
}

/// Contents that a synchronisation waits for.
pub(super) type Awaited = BTreeSet<ArrivalId>;
