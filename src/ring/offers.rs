//! OFFER: a large file that a client is still sending.
//!
//! The member that a client sends a large file to offers it to the others at once, and they pull it from
//! each other while it comes (cut-through): they have it soon after the creator does, and not only
//! then. Its FORWARD follows when all of it is there and its hash is known, with the number of the
//! offer; what has come is taken if it has that hash.
//!
//! An offer is only a help. Where it is lost, breaks, or there are too many, the content is pulled when its
//! version comes; see `arriving.rs`.

use super::{
    arriving::{ARRIVALS_MAX, Coming, ComingState, QUICK, Upload},
    event::{LinkId, Output},
    item::{ArrivalId, Body, Item, ItemValue},
    message::{Offer, OpId, Peer},
    name::Name,
    node::Node,
    version::{Time, Version},
};

/// Contents that are pulled because they are offered. Others come with their version.
const OFFERS_MAX: usize = 64;

impl Node {
    /// Where an offered content is arriving here, and its length.
    pub fn offered_content(&self, offer: OpId) -> Option<(ArrivalId, usize)> {
        let arrival = match offer.creator == self.config.address {
            true => ArrivalId(offer.count),
            false => self.arriving.find_offer(offer)?,
        };
        let upload = self.arriving.uploads.get(&arrival).map(|it| it.bytes);
        let coming = self.arriving.all.get(&arrival).map(|it| it.bytes);
        let bytes = upload.or(coming).or_else(|| self.operations.arrived(arrival))?;
        Some((arrival, bytes))
    }

    /// A client begins to send a file that arrives in pieces: the others may pull it meanwhile.
    pub(super) fn upload_begins(
        &mut self,
        arrival: ArrivalId,
        name: Name,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        self.arriving.uploads.insert(arrival, Upload { name, bytes });
        self.offer(arrival, out);
    }

    /// A client's file has arrived, or does not.
    pub(super) fn upload_ends(&mut self, arrival: ArrivalId) {
        self.arriving.uploads.remove(&arrival);
    }

    /// The circle has changed: what is offered is offered to those who are in it now.
    pub(super) fn offer_anew(&mut self, out: &mut Vec<Output>) {
        for arrival in self.arriving.uploads.keys().copied().collect::<Vec<_>>() {
            self.offer(arrival, out);
        }
    }

    fn offer(&mut self, arrival: ArrivalId, out: &mut Vec<Output>) {
        let Some(Upload { name, bytes }) = self.arriving.uploads.get(&arrival) else { return };
        let (name, bytes, at) = (name.clone(), *bytes, self.config.address);
        let Some(link) = self.next_link().filter(|_| self.is_offered(bytes)) else { return };
        let op = OpId { creator: at, count: arrival.0 };
        let offer = Offer { op, view: self.circle, name, bytes, at };
        self.say(link, Peer::Offer(Box::new(offer)), out);
    }

    /// Whether a content of this length is offered before its version comes.
    pub(super) fn is_offered(&self, bytes: usize) -> bool {
        bytes >= self.config.offer_bytes && self.goes_apart(bytes)
    }

    /// Another member offers what a client is sending to it.
    pub(super) fn offer_comes(
        &mut self,
        now: Time,
        from: LinkId,
        mut offer: Box<Offer>,
        out: &mut Vec<Output>,
    ) {
        if offer.op.creator == self.config.address {
            return;
        }
        if offer.view != self.circle {
            return self.tell(now, from, out);
        }
        if self.takes_offer(now, &offer, out) {
            offer.at = self.config.address;
        }
        let Some(next) = self.next.as_ref().filter(|it| it.peer != offer.op.creator) else {
            return;
        };
        let link = next.link;
        self.say(link, Peer::Offer(offer), out);
    }

    /// Begins to pull what is offered. Returns whether this node has it or pulls it.
    fn takes_offer(&mut self, now: Time, offer: &Offer, out: &mut Vec<Output>) -> bool {
        let Offer { op, ref name, bytes, at, .. } = *offer;
        if self.arriving.find_offer(op).is_some() {
            return true;
        }
        let offered = self.arriving.all.values().filter(|it| it.of.is_none()).count();
        let is_too_much = offered >= OFFERS_MAX || self.arriving.all.len() >= ARRIVALS_MAX;
        if is_too_much || !self.goes_apart(bytes) || !self.has_room(now, name, bytes) {
            return false;
        }
        let id = self.arriving.id();
        let coming = Coming {
            name: name.clone(),
            bytes,
            of: None,
            offer: Some(op),
            at,
            state: ComingState::Waits(now),
            tries: 0,
            quick_until: Time(0),
            instead: None,
            replies: Vec::new(),
        };
        self.arriving.all.insert(id, coming);
        self.pull_next(now, out);
        true
    }

    /// The version of an offered content has come. Returns whether the content is here or on its way.
    pub(super) fn version_of_offer(
        &mut self,
        now: Time,
        arrival: ArrivalId,
        item: &Item,
        instead: Option<Version>,
        out: &mut Vec<Output>,
    ) {
        let ItemValue::File { hash, body: Body::Apart { at, .. } } = item.value else { return };
        let Some(coming) = self.arriving.all.get_mut(&arrival) else { return };
        coming.of = Some((item.version, hash));
        (coming.quick_until, coming.instead) = (now + QUICK, instead);
        match coming.state {
            ComingState::Here(here, _) => self.pulled(now, arrival, Ok(here), out),
            ComingState::Waits(_) => {
                (coming.at, coming.state) = (at, ComingState::Waits(now));
                self.pull_next(now, out);
            }
            ComingState::Pulled | ComingState::Stored(_) => {}
        }
    }
}
