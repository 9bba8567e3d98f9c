//! Operations on their way round the ring.
//!
//! A PUT is FORWARDed from node to node; each keeps the file and passes it on; a DELETE is the PUT of
//! a tombstone. When it comes back to
//! its creator the circle has closed: every live member holds it, the creator keeps it too, and the
//! client is answered. A GET that misses goes round in the same way and collects the newest version
//! there is; every node that it passes learns what was found so far.
//!
//! # Which circle?
//!
//! A FORWARD carries the hash of the circle that it is to close. A node passes it on only if its
//! own circle has the same hash; so one that comes back has visited exactly the members that its
//! creator counts, and no other. On a mismatch the node keeps the file (that never harms), drops
//! the message, and tells the sender its view: the ring has moved on. The news reaches the creator,
//! and at every change of its circle a creator forwards what is unfinished again. If it was the
//! other node that had yet to hear the news, the creator finds out when its next CHECK comes back
//! before the FORWARD does, and sends the FORWARD again. The hash also ends the message of a
//! creator that died: its circle no longer exists, so the first node that knows stops it.
//!
//! # Later than what?
//!
//! Clocks differ, so a new version may be earlier than one that was acknowledged before the PUT
//! began. A FORWARD PUT therefore collects the newest version that any member holds already. If
//! that is later than its own, the creator gives it a version above and sends it round once more.
//! Once a circle is enough: whatever was acknowledged before the PUT began was seen on the first
//! round, and what appeared since was written concurrently. So of two writes of which one was
//! acknowledged before the other began, the other wins, and two clients that write the same name
//! without end both make progress.
//!
//! Nothing here is a transaction. A PUT that ends in 504 may have been kept by some members, and
//! anti-entropy will then give it to all.

use super::{
    coverage::Lacks,
    event::{LinkId, Output},
    index::IndexEntry,
    item::{Body, Item},
    limits::MEMBERS_MAX,
    message::{Carried, ForwardGet, ForwardPut, Peer, Status},
    node::Node,
    version::{Stamp, Time, Version},
};

impl Node {
    pub(super) fn forward_put(
        &mut self,
        now: Time,
        from: LinkId,
        mut forward: Box<ForwardPut>,
        out: &mut Vec<Output>,
    ) {
        if forward.op.creator == self.config.address {
            return self.put_returned(now, &forward, out);
        }
        let item = match &forward.carried {
            Carried::Content(item) => Some(item.clone()),
            Carried::Tombstone => Some(Item::tombstone(forward.version)),
            Carried::Known => None,
        };
        if let Some(item) = item {
            let held = self.index.get(&forward.name);
            let held_version = held.map(|held| held.version);
            // The same version with other bytes: a clock that went back has given it out twice.
            let is_other = |held: &IndexEntry| {
                held.version > item.version
                    || (held.version == item.version && held.kind.hash() != item.hash())
            };
            let held = held.filter(is_other).map(|held| held.version);
            let refused = self.refused.get(&forward.name);
            let known = held_version.max(refused);
            let refused = refused.filter(|&it| it > item.version);
            forward.newest = forward.newest.max(held).max(refused);
            let kept = match self.believes(now, known, item.version.stamp) {
                true => {
                    self.keep(now, &forward.name, item, forward.instead, forward.offered(), out)
                }
                false => Err(Status::Unavailable),
            };
            if let Some(instead) = forward.instead.filter(|_| kept.is_ok()) {
                self.keep_instead(&forward.name, forward.version, instead, out);
            }
            if let Err(status) = kept {
                forward.refused.get_or_insert((status, self.config.address));
            }
        }
        if forward.view != self.circle || forward.copies >= MEMBERS_MAX {
            return self.tell(now, from, out);
        }
        let Some(next) = &self.next else { return };
        // The creator has the content: the last link carries only the line.
        if next.peer == forward.op.creator && forward.carried != Carried::Tombstone {
            (forward.carried, forward.offer) = (Carried::Known, None);
        }
        forward.copies += 1;
        let link = next.link;
        if let Some(item) = forward.carried.item_mut()
            && matches!(item.body(), Some(Body::Apart { .. }))
        {
            *item = item.clone().apart(self.config.address);
        }
        self.has_taken_part = true;
        self.say(link, Peer::ForwardPut(forward), out);
    }

    pub(super) fn forward_get(
        &mut self,
        now: Time,
        from: LinkId,
        mut forward: Box<ForwardGet>,
        out: &mut Vec<Output>,
    ) {
        if let Some(item) = &forward.found {
            // Where it cannot be kept, it is still passed on.
            let _ = self.keep(now, &forward.name, item.clone(), None, None, out);
        }
        let held = match forward.wanted {
            Some(version) => self.index.version(&forward.name, version),
            None => self.index.get(&forward.name),
        };
        if let Some(held) = held
            && forward.found.as_ref().is_none_or(|found| found.version < held.version)
        {
            forward.found = Some(self.travelling(held.item()));
        }
        if forward.op.creator == self.config.address {
            return self.get_returned(now, *forward, out);
        }
        if forward.view != self.circle || forward.hops >= MEMBERS_MAX {
            return self.tell(now, from, out);
        }
        let Some(link) = self.next_link() else { return };
        forward.hops += 1;
        if let Some(lacks) = &mut forward.lacks {
            lacks.meet(Lacks::of(&self.offered(), &self.view, self.config.address));
        }
        self.say(link, Peer::ForwardGet(forward), out);
    }

    /// Whether the time of a new write is believed: it is not far ahead of the ring's, or just above
    /// what is known of the name already.
    fn believes(&self, now: Time, known: Option<Version>, stamp: Stamp) -> bool {
        stamp <= self.clocks.latest(now)
            || known.is_some_and(|known| stamp.wall_ms() <= known.stamp.wall_ms() + 1)
    }
}
