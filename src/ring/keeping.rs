//! Keeping a file that has come: from a client, from another member on its way round, or by catching
//! up.
//!
//! A version that the index takes is entered there at once, and handed to the store
//! ([`Output::Store`]). From then on it can be read, and what had to make way for it stays in the
//! store until the store has confirmed it ([`Input::Stored`](super::Input::Stored)). If the store
//! cannot keep it, the index goes back to what it held. The creator of a PUT or a DELETE answers its
//! client when its own store has confirmed it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    event::{Event, Output, RequestId, StoreFault},
    index::{Dropped, EntryKind, Index, IndexEntry, Kept},
    item::{Body, Item, ItemValue, Ticket, Value},
    limits::{FILE_BYTES_CEILING, INCARNATION_MAX, OPERATION_BYTES_MAX, OPERATIONS_MAX},
    message::{Answer, OpId, Refusal, Request, Status},
    name::Name,
    node::{Node, Phase},
    size,
    version::{Stamp, Time, Version},
};

/// The wait after a store has failed is doubled up to this many times.
const DOUBLINGS_MAX: u32 = 2;

/// Files that the store was given and has not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct Storing {
    open: BTreeMap<Ticket, Unconfirmed>,
    bytes: usize,
    /// Clients that wait until their file is confirmed.
    replies: BTreeMap<(Ticket, RequestId), Reply>,
    /// When each of them is due.
    due: BTreeSet<(Time, (Ticket, RequestId))>,
    tickets_made: u64,
    /// The store has failed so often in a row, for the last time so, and is given nothing until then.
    failures: u32,
    fault: Option<StoreFault>,
    not_before: Time,
}

#[derive(Debug)]
struct Unconfirmed {
    name: Name,
    version: Version,
    kind: EntryKind,
    /// What of it is in memory until then.
    bytes: usize,
    /// What had to make way for it.
    dropped: Vec<Dropped>,
    /// Whether this node knew of it, and had no room for it before.
    was_refused: bool,
    /// Earlier writes of its name that were not entered because of it.
    outdone: Vec<Version>,
}

/// What a client will be answered when its file is kept.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: RequestId,
    /// When it is answered 504 instead.
    pub(super) until: Time,
    pub(super) answer: Answer,
}

impl Reply {
    pub(super) fn output(self) -> Output {
        Output::Reply { id: self.id, answer: self.answer }
    }

    fn refused(self, status: Status, reason: impl Into<String>) -> Output {
        Output::Reply { id: self.id, answer: Answer::Refused(Refusal::new(status, reason)) }
    }
}

impl Storing {
    /// Whether the store has confirmed all that it was given.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The last ticket that the store was given.
    pub(super) fn last_ticket(&self) -> Ticket {
        Ticket(self.tickets_made)
    }

    /// Whether the store has confirmed, or could not keep, everything up to this ticket.
    pub(super) fn is_confirmed_up_to(&self, ticket: Ticket) -> bool {
        self.open.first_key_value().is_none_or(|(first, _)| *first > ticket)
    }

    /// Whether the store has yet to confirm this.
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    /// When the first client has waited for too long.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|&(until, _)| until)
    }

    fn await_reply(&mut self, ticket: Ticket, reply: Reply) {
        let key = (ticket, reply.id);
        self.due.insert((reply.until, key));
        self.replies.insert(key, reply);
    }

    /// The first client that has waited for too long.
    fn next_due(&mut self, now: Time) -> Option<Reply> {
        let first = self.due.first().copied().filter(|&(until, _)| now >= until)?;
        self.due.remove(&first);
        self.replies.remove(&first.1)
    }

    /// Whether the store, which has failed, may be tried again.
    pub(super) fn may_be_tried_again(&self, now: Time) -> bool {
        self.failures > 0 && now >= self.not_before
    }

    /// Whether the store may be given this many bytes more.
    fn has_room(&self, now: Time, bytes: usize) -> bool {
        now >= self.not_before
            && self.open.len() < OPERATIONS_MAX
            && self.bytes + bytes <= OPERATION_BYTES_MAX
    }

    /// Tickets begin after those of the files that are here.
    pub(super) fn after(index: &Index) -> Self {
        let last = index.entries().map(|held| held.ticket.0).max();
        Self { tickets_made: last.unwrap_or(0), ..Self::default() }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets_made += 1;
        Ticket(self.tickets_made)
    }

    fn begin(&mut self, ticket: Ticket, unconfirmed: Unconfirmed) {
        self.bytes += unconfirmed.bytes;
        self.open.insert(ticket, unconfirmed);
    }

    /// The clients that wait for this content.
    fn replies_to(&mut self, ticket: Ticket) -> Vec<Reply> {
        let mut replies = Vec::new();
        // Stores confirm in order, so none waits for an earlier one.
        while let Some(first) = self.replies.first_entry().filter(|it| it.key().0 <= ticket) {
            let (key, reply) = first.remove_entry();
            self.due.remove(&(reply.until, key));
            replies.push(reply);
        }
        replies
    }

    /// What the index has no place for stays in the store while another record of its name is not
    /// confirmed: if that fails, it is needed. Returns the rest.
    fn hold_back(&mut self, dropped: Vec<Dropped>) -> Vec<Dropped> {
        let mut rest = Vec::new();
        for (name, entry) in dropped {
            match self.open.values_mut().rev().find(|it| it.name == name) {
                Some(last) => last.dropped.push((name, entry)),
                None => rest.push((name, entry)),
            }
        }
        rest
    }

    /// Whether the store has yet to confirm anything of this name.
    fn has_name(&self, name: &Name) -> bool {
        self.open.values().any(|it| it.name == *name)
    }

    fn end(&mut self, ticket: Ticket) -> Option<Unconfirmed> {
        let unconfirmed = self.open.remove(&ticket)?;
        self.bytes -= unconfirmed.bytes;
        Some(unconfirmed)
    }
}

impl Node {
    /// Keeps a file whose circle has closed, and answers its client when the store has confirmed it.
    pub(super) fn keep_own(
        &mut self,
        now: Time,
        name: &Name,
        item: Item,
        reply: Reply,
        out: &mut Vec<Output>,
    ) {
        let version = item.version;
        let kept = self.keep_closed(now, name, item, out);
        // The store may have failed since it was given this.
        if kept == Kept::Full || self.index.get(name).is_none_or(|held| held.version < version) {
            let (status, why) = self.why_full();
            let reason = format!("{why}; other members may have kept it");
            return out.push(reply.refused(status, reason));
        }
        // It may have come before by another way, or a later one may have; that counts as soon as it
        // is confirmed.
        let held = self.index.get(name).map(|held| held.ticket);
        match held.filter(|held| self.storing.has(*held)) {
            Some(ticket) => self.storing.await_reply(ticket, reply),
            None => out.push(reply.output()),
        }
    }

    /// Keeps a write whose circle has closed.
    pub(super) fn keep_closed(
        &mut self,
        now: Time,
        name: &Name,
        item: Item,
        out: &mut Vec<Output>,
    ) -> Kept {
        self.has_taken_part = true;
        self.file(now, name, item, out)
    }

    /// Keeps what another node sent, if it is newer than what is here. A version that had another number
    /// before takes the place of that one; and its content may have come with an offer.
    pub(super) fn keep(
        &mut self,
        now: Time,
        name: &Name,
        item: Item,
        instead: Option<Version>,
        offer: Option<OpId>,
        out: &mut Vec<Output>,
    ) -> Result<Kept, Status> {
        if item.version.stamp.wall_ms() > INCARNATION_MAX {
            return Err(Status::Unavailable);
        }
        self.clock.observe(item.version.stamp, self.clocks.latest(now));
        let kept = match item.body() {
            Some(Body::Apart { .. }) => self.arrive(now, name, &item, instead, offer, out),
            _ => self.file(now, name, item, out),
        };
        match kept {
            Kept::Full => Err(Status::InsufficientStorage),
            kept => Ok(kept),
        }
    }

    /// A write has come round again, and its version takes the place of the one that it had before.
    pub(super) fn keep_instead(
        &mut self,
        name: &Name,
        version: Version,
        before: Version,
        out: &mut Vec<Output>,
    ) {
        let ticket = |version| self.index.version(name, version).map(|held| held.ticket);
        let (Some(new), Some(old)) = (ticket(version), ticket(before)) else { return };
        // What the store confirms later than this one cannot be dropped with it.
        if version.node != before.node || before >= version || (old > new && self.storing.has(old))
        {
            return;
        }
        let dropped = self.index.remove(name, old);
        match self.storing.open.get_mut(&new) {
            Some(unconfirmed) => unconfirmed.dropped.extend(dropped),
            // Stores confirm in order, so the one before is confirmed too.
            None => discard(dropped.into_iter().collect(), out),
        }
    }

    /// Whether a file of this many bytes would fit under this name.
    pub(super) fn has_room(&self, now: Time, name: &Name, bytes: usize) -> bool {
        let in_memory = if self.goes_apart(bytes) { 0 } else { bytes };
        self.index.has_room(name, bytes.saturating_add(self.arriving_bytes()))
            && self.storing.has_room(now, in_memory)
            && (self.config.keeps || bytes <= FILE_BYTES_CEILING)
    }

    /// There is no room for a version. Of one that is not the newest, that does not matter.
    pub(super) fn refuse_version(
        &mut self,
        name: &Name,
        version: Version,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        if self.index.get(name).is_some_and(|held| held.version >= version) {
            return;
        }
        let was_full = !self.refused.is_empty();
        self.refused.add(name, version, Some(bytes));
        self.note_room(was_full, out);
    }

    /// Enters a version into the index if that takes it, and hands it to the store.
    pub(super) fn file(
        &mut self,
        now: Time,
        name: &Name,
        item: Item,
        out: &mut Vec<Output>,
    ) -> Kept {
        let version = item.version;
        let (value, kind) = match item.value {
            ItemValue::File { hash, body: Body::Whole(content) } => {
                let kind = EntryKind::File { hash, bytes: content.len() };
                (Value::Content { hash, content }, kind)
            }
            ItemValue::File { hash, body: Body::Arrived { arrival, bytes } } => {
                (Value::Arrived { arrival, hash, bytes }, EntryKind::File { hash, bytes })
            }
            // It is in this node's own store already.
            ItemValue::File { .. } => return Kept::Old,
            ItemValue::Tombstone => (Value::Tombstone, EntryKind::Tombstone),
        };
        let bytes = match &value {
            Value::Content { content, .. } => content.len(),
            Value::Arrived { .. } | Value::Tombstone => 0,
        };
        let was_full = !self.refused.is_empty();
        let was_refused = self.refused.get(name).is_some_and(|refused| refused <= version);
        let ticket = self.storing.ticket();
        let (kept, dropped) = match self.storing.has_room(now, bytes) {
            true => self.index.put(name, IndexEntry { version, kind, ticket }),
            false if self.index.get(name).is_some_and(|held| held.version >= version) => {
                (Kept::Old, Vec::new())
            }
            false => (Kept::Full, Vec::new()),
        };
        match kept {
            // A write that this node alone could not keep is nowhere.
            Kept::Full if version.node == self.config.address && self.live == 1 => {}
            Kept::Full => self.refused.add(name, version, kind.bytes()),
            Kept::New | Kept::Older | Kept::Old => self.refused.kept(name, version),
        }
        self.note_room(was_full, out);
        if kept == Kept::Old {
            self.note_outdone(name, version);
        }
        if !matches!(kept, Kept::New | Kept::Older) {
            return kept;
        }
        let outdone = Vec::new();
        let unconfirmed =
            Unconfirmed { name: name.clone(), version, kind, bytes, dropped, was_refused, outdone };
        self.storing.begin(ticket, unconfirmed);
        out.push(Output::Store { ticket, name: name.clone(), version, value });
        kept
    }

    /// A write is not entered since a later one of its name is here. If that is not confirmed, both depend
    /// on it. Returns whether this node has the write, or a later one.
    fn note_outdone(&mut self, name: &Name, version: Version) -> bool {
        let newest = self.index.get(name).filter(|held| held.version >= version);
        let Some(newest) = newest else { return false };
        if let Some(unconfirmed) = self.storing.open.get_mut(&newest.ticket)
            && unconfirmed.outdone.len() < OPERATIONS_MAX
        {
            unconfirmed.outdone.push(version);
        }
        true
    }

    /// The store has kept what it was given, or could not.
    pub(super) fn stored(
        &mut self,
        now: Time,
        ticket: Ticket,
        result: Result<(), StoreFault>,
        out: &mut Vec<Output>,
    ) {
        let Some(unconfirmed) = self.storing.end(ticket) else { return };
        let Unconfirmed { name, version, kind, mut dropped, was_refused, outdone, .. } =
            unconfirmed;
        let replies = self.storing.replies_to(ticket);
        let Err(fault) = result else {
            self.storing.failures = 0;
            if self.storing.fault.take().is_some() {
                out.push(Output::Notify(Event::StoreWorks));
            }
            discard(dropped, out);
            out.extend(replies.into_iter().map(Reply::output));
            self.arrivals_stored(now, ticket, None, out);
            if self.refused.learned_at() == ticket {
                // Others can follow now what has come with this.
                self.begin_check(now, out);
            }
            return self.pass_keeps(now, out);
        };
        let status = match fault {
            StoreFault::Full => Status::InsufficientStorage,
            StoreFault::Broken => Status::Unavailable,
        };
        self.commits.note_failure(version, status);
        if self.storing.fault.replace(fault) != Some(fault) {
            out.push(Output::Notify(Event::StoreFails { fault }));
        }
        // It may have been held back for itself.
        dropped.retain(|(_, it)| it.ticket != ticket);
        // Stores confirm in order. So what this one has had to make way for is not confirmed either,
        // and what made way for this one now makes way for that.
        let mut later = self.storing.open.values_mut().map(|it| &mut it.dropped);
        match later.find(|it| it.iter().any(|(_, it)| it.ticket == ticket)) {
            Some(later) => {
                later.retain(|(_, it)| it.ticket != ticket);
                later.extend(dropped);
            }
            None => {
                let rest = self.index.take_back(&name, ticket, dropped);
                discard(self.storing.hold_back(rest), out);
            }
        }
        for outdone in outdone {
            if !self.note_outdone(&name, outdone) {
                self.commits.note_failure(outdone, status);
            }
        }
        let was_full = !self.refused.is_empty();
        let is_nowhere = version.node == self.config.address && self.live == 1;
        if !is_nowhere && self.index.get(&name).is_none_or(|held| held.version < version) {
            self.refused.add(&name, version, kind.bytes());
            self.note_room(was_full, out);
            match was_refused {
                // It may have been acknowledged elsewhere, and this node has only known of it.
                true => self.refused.start_over(),
                false => self.refused.failed(ticket),
            }
            self.catchup.could_not_keep();
        }
        let delay = self.config.check_interval * 2u32.pow(self.storing.failures);
        self.storing.failures = (self.storing.failures + 1).min(DOUBLINGS_MAX);
        self.storing.not_before = now + delay;
        for reply in replies {
            let (status, why) = self.why_full();
            let reason = format!("{why}; other members may have kept it");
            out.push(reply.refused(status, reason));
        }
        self.arrivals_stored(now, ticket, Some(status), out);
        self.pass_keeps(now, out);
    }

    /// A content is damaged: what it belongs to is not here any more.
    pub(super) fn damaged(
        &mut self,
        now: Time,
        ticket: Ticket,
        asked_by: Option<RequestId>,
        out: &mut Vec<Output>,
    ) {
        let entry = self.index.all().find(|(_, held)| held.ticket == ticket);
        // What is not confirmed is still in memory.
        let Some((name, held)) = entry.filter(|_| !self.storing.has(ticket)) else {
            if let Some(id) = asked_by {
                out.push(Output::Reply { id, answer: self.not_ready() });
            }
            return;
        };
        let is_newest = self.index.get(&name).is_some_and(|it| it.ticket == ticket);
        self.index.remove(&name, ticket);
        out.push(Output::Discard { ticket });
        let was_full = !self.refused.is_empty();
        if is_newest {
            self.refused.add(&name, held.version, held.kind.bytes());
        }
        out.push(Output::Notify(Event::Damaged { name: name.clone() }));
        self.note_room(was_full, out);
        self.refused.start_over();
        if let Some(id) = asked_by {
            let version = Some(held.version).filter(|_| !is_newest);
            self.request(now, id, Request::Get { name, version }, out);
        }
    }

    /// Tombstones from before this are forgotten, by all members at about the same time of the ring.
    pub(super) fn tombstones_since(&self, now: Time) -> Stamp {
        let ttl_ms = self.config.tombstone_ttl.as_millis() as u64;
        Stamp::at_ms(self.clocks.ring(now).saturating_sub(ttl_ms))
    }

    /// Forgets tombstones that are old enough, and what they have deleted. A node whose clock is wrong
    /// does not know which are, nor does one that has yet to hear the time of its ring.
    pub(super) fn forget_deleted(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.clocks.is_off().is_some() || self.phase == Phase::Joining {
            return;
        }
        let before = self.tombstones_since(now);
        let storing = &self.storing;
        discard(self.index.forget_deleted(before, |ticket| storing.has(ticket)), out);
        // There was no room for some, and what they have deleted may still be here.
        let was_full = !self.refused.is_empty();
        for (name, version) in self.refused.forget_deleted(before, |it| storing.has_name(it)) {
            discard(self.index.forget_up_to(&name, version), out);
        }
        self.note_room(was_full, out);
    }

    /// Why a file has no room at this node, and how that is answered.
    pub(super) fn why_full(&self) -> (Status, String) {
        let me = self.config.address;
        match self.storing.fault {
            Some(StoreFault::Full) => {
                (Status::InsufficientStorage, format!("the disk of {me} is full"))
            }
            Some(StoreFault::Broken) => (Status::Unavailable, format!("the disk of {me} fails")),
            None => {
                let most = size::in_words(self.index.bytes_max() as u64);
                let why = format!("{me} is full at {most}; see its --max-store-bytes");
                (Status::InsufficientStorage, why)
            }
        }
    }

    /// Answers clients whose file the store has not confirmed in time.
    pub(super) fn storing_due(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(reply) = self.storing.next_due(now) {
            let reason = "the store did not confirm it in time; it may be kept: repeat it";
            out.push(reply.refused(Status::Timeout, reason));
        }
    }

    /// Reports that this node has become full, or has room again.
    pub(super) fn note_room(&mut self, was_full: bool, out: &mut Vec<Output>) {
        let is_full = !self.refused.is_empty();
        if is_full != was_full {
            if is_full {
                self.refused.begin(self.learned.clone());
            }
            out.push(Output::Notify(if is_full { Event::Full } else { Event::Roomy }));
        }
    }
}

fn discard(dropped: Vec<Dropped>, out: &mut Vec<Output>) {
    out.extend(dropped.into_iter().map(|(_, it)| Output::Discard { ticket: it.ticket }));
}
