//! What is in flight through a node, and the one budget for it.
//!
//! Three things grow with what others send or do not take: files of which only a part has arrived,
//! bytes that wait in an outbox, and PUTs whose circle has not closed. The content of a file that
//! waits in several places is in memory once and counts once. One that waits only for clients
//! counts from when nothing else holds it: until then it counts as part of the store.
//!
//! No client is refused for want of room. One that wants to put something is not read from until
//! there is room again; one that only gets what is here is always answered. Half of the budget is
//! for what is whole, half for what is arriving:
//!
//! - A PUT begins while less than half of the budget waits to leave, and while this node's own PUTs
//!   have less than their share of that: one node may have to hold those of all nodes.
//! - A quarter goes to the uploads that come first. The other quarter is divided among all uploads
//!   that are under way, so a slow one does not block the others. One upload at a time goes on even
//!   if both are used up, so there is no deadlock.
//!
//! Links between nodes are always read. What they bring counts, and so holds back clients.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::Waker,
    time::Instant,
};

use bytes::Bytes;

use super::limits::{FLIGHT_WAKES_MAX, TURN_BYTES_MIN, TURN_LOOK};
use crate::{by_number::ByNumber, ring::limits::FILE_BYTES_CEILING};

/// The account of one node.
pub(super) struct Flight {
    bytes_max: usize,
    /// Of files of which only a part is here.
    half_bytes: Cell<usize>,
    /// Clients that are sending such a file.
    uploads: Cell<usize>,
    /// In outboxes, beside the contents.
    copied_bytes: Cell<usize>,
    /// Of PUTs of this node's clients.
    put_bytes: Cell<usize>,
    /// Live members of the ring.
    members: Cell<usize>,
    /// By their place in memory.
    contents: RefCell<ByNumber<*const u8, Waiting>>,
    /// Of all contents; of those that wait for more than clients.
    content_bytes: Cell<usize>,
    ring_bytes: Cell<usize>,
    turn: Cell<Option<Turn>>,
    waits_for_room: RefCell<VecDeque<Waker>>,
    waits_for_turn: RefCell<VecDeque<Waker>>,
}

/// The upload that goes on in any case.
#[derive(Clone, Copy)]
struct Turn {
    id: u32,
    /// What it has brought since then.
    bytes: usize,
    since: Instant,
}

/// The content of a file that waits somewhere.
struct Waiting {
    content: Rc<Bytes>,
    /// The number of places.
    places: usize,
    /// Those that are not the outbox of a client.
    in_ring: usize,
}

/// Where the content of a file waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WaitingPlace {
    /// In the outbox of a client.
    Client,
    /// In the outbox of a link.
    Link,
    /// With an operation that is under way.
    Operation,
}

/// The content of a file, which is counted as long as this lives.
pub(super) struct Held {
    flight: Rc<Flight>,
    content: Rc<Bytes>,
    place: WaitingPlace,
}

/// A file of which a part has arrived, from a client or on a link.
pub(super) struct Half {
    flight: Rc<Flight>,
    /// The connection of a client.
    upload: Option<u32>,
    bytes: usize,
}

impl Flight {
    pub(super) fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self {
            bytes_max,
            half_bytes: Cell::new(0),
            uploads: Cell::new(0),
            copied_bytes: Cell::new(0),
            put_bytes: Cell::new(0),
            members: Cell::new(1),
            contents: RefCell::default(),
            content_bytes: Cell::new(0),
            ring_bytes: Cell::new(0),
            turn: Cell::new(None),
            waits_for_room: RefCell::default(),
            waits_for_turn: RefCell::default(),
        })
    }

    /// Whether nothing is in flight.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let bytes = [&self.half_bytes, &self.copied_bytes, &self.put_bytes, &self.content_bytes];
        bytes.iter().all(|it| it.get() == 0) && self.uploads.get() == 0
    }

    pub(super) fn set_members(&self, members: usize) {
        self.members.set(members.max(1));
    }

    /// Whether another PUT may begin, or another GET that goes round the ring.
    pub(super) fn has_room(&self) -> bool {
        let share = self.bytes_max / 2 / self.members.get();
        self.put_bytes.get() <= share && self.waiting_bytes() <= self.bytes_max / 2
    }

    /// Whether a link has fallen so far behind that it must end: what waits for nodes is more than
    /// the budget, and more than one file, and most of it is on this link.
    pub(super) fn is_beyond(&self, link_bytes: usize) -> bool {
        let waiting = self.copied_bytes.get() + self.ring_bytes.get();
        waiting > self.bytes_max + FILE_BYTES_CEILING && link_bytes > waiting / 2
    }

    /// Counts bytes that were copied into an outbox.
    pub(super) fn add_copied(&self, bytes: usize) {
        self.copied_bytes.set(self.copied_bytes.get() + bytes);
    }

    pub(super) fn sub_copied(&self, bytes: usize) {
        self.copied_bytes.set(self.copied_bytes.get() - bytes);
        self.wake_for_room();
    }

    /// Counts the content of a file.
    pub(super) fn hold(self: &Rc<Self>, content: &Bytes, place: WaitingPlace) -> Held {
        let mut contents = self.contents.borrow_mut();
        let waiting = contents.entry(content.as_ptr()).or_insert_with(|| {
            self.content_bytes.set(self.content_bytes.get() + content.len());
            Waiting { content: Rc::new(content.clone()), places: 0, in_ring: 0 }
        });
        waiting.places += 1;
        if place != WaitingPlace::Client {
            if waiting.in_ring == 0 {
                self.ring_bytes.set(self.ring_bytes.get() + content.len());
            }
            waiting.in_ring += 1;
        }
        if place == WaitingPlace::Operation {
            self.put_bytes.set(self.put_bytes.get() + content.len());
        }
        let content = waiting.content.clone();
        Held { flight: self.clone(), content, place }
    }

    /// Wakes this task when there may be room again.
    pub(super) fn park(&self, waker: Waker) {
        self.waits_for_room.borrow_mut().push_back(waker);
    }

    /// Wakes some tasks that wait for room, if there is room. They may not use it, so
    /// [`Flight::wake_all`] wakes the rest.
    pub(super) fn wake_for_room(&self) {
        if self.waits_for_room.borrow().is_empty() || !self.has_room() {
            return;
        }
        let mut waiting = self.waits_for_room.borrow_mut();
        let count = waiting.len().min(FLIGHT_WAKES_MAX);
        waiting.drain(..count).for_each(Waker::wake);
    }

    /// Wakes all tasks that wait for room. To be called now and then.
    pub(super) fn wake_all(&self) {
        self.waits_for_room.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Whether an upload has the turn. One that has it and brings little loses it to the next that
    /// asks.
    fn takes_turn(&self, id: u32, now: Instant) -> bool {
        let fresh = Turn { id, bytes: 0, since: now };
        match self.turn.get() {
            Some(turn) if turn.id == id => return true,
            Some(turn) if now.saturating_duration_since(turn.since) < TURN_LOOK => return false,
            Some(turn) if turn.bytes >= TURN_BYTES_MIN => {
                self.turn.set(Some(Turn { id: turn.id, ..fresh }));
                return false;
            }
            _ => self.turn.set(Some(fresh)),
        }
        true
    }

    /// Bytes of what is whole; of what waits only for clients, those that nothing else holds.
    pub(super) fn waiting_bytes(&self) -> usize {
        let copied = self.copied_bytes.get();
        if copied + self.content_bytes.get() <= self.bytes_max / 2 {
            return copied + self.content_bytes.get();
        }
        let contents = self.contents.borrow();
        let alone = contents.values().filter(|it| it.in_ring == 0 && it.content.is_unique());
        let alone: usize = alone.map(|it| it.content.len()).sum();
        copied + self.ring_bytes.get() + alone
    }
}

impl Held {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (flight, bytes) = (&self.flight, self.content.len());
        let mut contents = flight.contents.borrow_mut();
        let place = self.content.as_ptr();
        let waiting = contents.get_mut(&place).expect("it is counted while it is held");
        waiting.places -= 1;
        if self.place != WaitingPlace::Client {
            waiting.in_ring -= 1;
            if waiting.in_ring == 0 {
                flight.ring_bytes.set(flight.ring_bytes.get() - bytes);
            }
        }
        if self.place == WaitingPlace::Operation {
            flight.put_bytes.set(flight.put_bytes.get() - bytes);
        }
        if waiting.places == 0 {
            contents.remove(&place);
            flight.content_bytes.set(flight.content_bytes.get() - bytes);
        }
        drop(contents);
        flight.wake_for_room();
    }
}

impl Half {
    /// A file has begun to arrive: an upload on this connection of a client, or on a link.
    pub(super) fn new(flight: Rc<Flight>, upload: Option<u32>) -> Self {
        if upload.is_some() {
            flight.uploads.set(flight.uploads.get() + 1);
        }
        Self { flight, upload, bytes: 0 }
    }

    /// This much of it is here now.
    pub(super) fn set(&mut self, bytes: usize) {
        let flight = &self.flight;
        flight.half_bytes.set(flight.half_bytes.get() + bytes - self.bytes);
        if let Some(mut turn) = flight.turn.get().filter(|turn| Some(turn.id) == self.upload) {
            turn.bytes += bytes.saturating_sub(self.bytes);
            flight.turn.set(Some(turn));
        }
        self.bytes = bytes;
    }

    /// Whether an upload, of which there is more to read, may go on. If not, it will be woken when
    /// something changes, and is to ask again after [`TURN_LOOK`] in any case.
    pub(super) fn may_grow(&self, now: Instant, waker: &Waker) -> bool {
        let (flight, Some(id)) = (&self.flight, self.upload) else { return true };
        if flight.waiting_bytes() > flight.bytes_max / 2 {
            flight.park(waker.clone());
            return false;
        }
        let quarter = flight.bytes_max / 4;
        if flight.half_bytes.get() < quarter || self.bytes < quarter / flight.uploads.get() {
            return true;
        }
        let has_turn = flight.takes_turn(id, now);
        if !has_turn {
            flight.waits_for_turn.borrow_mut().push_back(waker.clone());
        }
        has_turn
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.set(0);
        let (flight, Some(id)) = (&self.flight, self.upload) else { return };
        flight.uploads.set(flight.uploads.get() - 1);
        flight.turn.set(flight.turn.get().filter(|turn| turn.id != id));
        flight.waits_for_turn.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn content(bytes: usize) -> Bytes {
        vec![0; bytes].into()
    }

    fn upload(flight: &Rc<Flight>, id: u32, bytes: usize) -> Half {
        let mut half = Half::new(flight.clone(), Some(id));
        half.set(bytes);
        half
    }

    #[test]
    fn a_content_counts_once_and_for_clients_only_when_nobody_else_has_it() {
        let flight = Flight::new(16 * MIB);
        let in_table = content(10 * MIB);
        let held: Vec<_> = (0..9).map(|_| flight.hold(&in_table, WaitingPlace::Client)).collect();
        assert!(flight.has_room(), "the table has it");
        let on_link = flight.hold(&in_table, WaitingPlace::Link);
        assert!(!flight.has_room());
        assert_eq!(flight.waiting_bytes(), 10 * MIB);
        drop(on_link);
        assert!(flight.has_room());
        drop(in_table);
        assert!(!flight.has_room(), "it is no longer in the table");
        drop(held);
        assert!(flight.has_room() && flight.contents.borrow().is_empty());
        assert_eq!((flight.content_bytes.get(), flight.ring_bytes.get()), (0, 0));
    }

    #[test]
    fn each_node_puts_so_little_at_once_that_one_can_hold_the_puts_of_all() {
        let flight = Flight::new(16 * MIB);
        let put = content(3 * MIB);
        let _held = flight.hold(&put, WaitingPlace::Operation);
        assert!(flight.has_room());
        flight.set_members(3);
        assert!(!flight.has_room());
    }

    #[test]
    fn slow_uploads_keep_nobody_out_and_one_always_goes_on() {
        let flight = Flight::new(256 * MIB);
        let (waker, begun) = (Waker::noop(), Instant::now());
        let slow: Vec<_> = (0..16).map(|id| upload(&flight, id, 15 * MIB)).collect();
        let mut other = upload(&flight, 16, 0);
        assert!(other.may_grow(begun, waker), "it has a share that nobody takes away");
        other.set(8 * MIB);
        // Beyond their share, they go on one at a time.
        let going: Vec<_> = slow.iter().filter(|half| half.may_grow(begun, waker)).collect();
        assert_eq!(going.len(), 1);
        assert!(!other.may_grow(begun, waker));
        // The upload that has the turn brings nothing, so the next one gets it.
        let later = begun + TURN_LOOK;
        assert!(other.may_grow(later, waker) && !slow[0].may_grow(later, waker));
        other.set(16 * MIB);
        let later = later + TURN_LOOK;
        assert!(!slow[0].may_grow(later, waker), "it goes on as long as it brings something");
        drop(other);
        assert!(slow[1].may_grow(later, waker));
        drop(slow);
        assert_eq!((flight.half_bytes.get(), flight.uploads.get()), (0, 0));
    }

    #[test]
    fn one_huge_upload_keeps_nobody_out() {
        let flight = Flight::new(256 * MIB);
        let _huge = upload(&flight, 0, 255 * MIB);
        let mut other = upload(&flight, 1, 0);
        other.set(16 * MIB);
        assert!(other.may_grow(Instant::now(), Waker::noop()));
    }

    #[test]
    fn what_waits_on_links_stops_uploads_whose_turn_it_is_too() {
        let flight = Flight::new(16 * MIB);
        let held = flight.hold(&content(9 * MIB), WaitingPlace::Link);
        let one = upload(&flight, 0, 0);
        assert!(!one.may_grow(Instant::now(), Waker::noop()));
        drop(held);
        assert!(one.may_grow(Instant::now(), Waker::noop()));
    }
}
