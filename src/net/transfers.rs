//! Contents that come in pieces into the store: how much of each is on the disk.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::limits::{AHEAD_BYTES_MAX, TRANSFER_AHEAD_BYTES};
use crate::{
    by_number::ByNumber,
    ring::{
        StoreFault,
        item::{ArrivalId, Ticket},
    },
    store::disk::{DiskStore, Report, TransferId},
};

/// What is known of the transfers into one store.
#[derive(Default)]
pub(super) struct Transfers {
    all: RefCell<ByNumber<ArrivalId, Transfer>>,
    /// By their names in the store: one that begins again gets another.
    names: RefCell<ByNumber<TransferId, ArrivalId>>,
    made: Cell<u64>,
    /// Bytes of all of them that the store was given and has not written.
    ahead: Cell<u64>,
    /// Tasks that wait for that to become less.
    waiting: RefCell<Vec<Waker>>,
}

struct Transfer {
    id: TransferId,
    /// Bytes that the store was given, and those that it has written.
    given: u64,
    written: u64,
    finished: Option<blake3::Hash>,
    fault: Option<StoreFault>,
    /// Tasks that wait for more of it to be written.
    wakers: Vec<Waker>,
    place: SharedPlace,
}

/// Where a content is that may be arriving. Those who send it on share it.
pub(super) type SharedPlace = Rc<Cell<Place>>;

/// Where a content is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On its way into the store.
    Arriving(ArrivalId, TransferId),
    /// In the store.
    Stored(Ticket),
    Gone,
}

impl Transfer {
    fn ahead(&self) -> u64 {
        self.given - self.written
    }

    /// It ends, and those who send it on find it there from now on.
    fn end(self, place: Place) {
        self.place.set(place);
        self.wakers.into_iter().for_each(Waker::wake);
    }
}

impl Transfers {
    /// Begins a transfer of so many bytes, unless it can go on.
    pub(super) fn begin(&self, store: &DiskStore, arrival: ArrivalId, bytes: usize) {
        let is_usable = |it: &Transfer| it.finished.is_none() && it.fault.is_none();
        if self.all.borrow().get(&arrival).is_some_and(is_usable) {
            return;
        }
        self.abort(store, arrival);
        self.made.set(self.made.get() + 1);
        let id = TransferId(self.made.get());
        let transfer = Transfer {
            id,
            given: 0,
            written: 0,
            finished: None,
            fault: None,
            wakers: Vec::new(),
            place: Rc::new(Cell::new(Place::Arriving(arrival, id))),
        };
        self.all.borrow_mut().insert(arrival, transfer);
        self.names.borrow_mut().insert(id, arrival);
        store.begin(id, bytes as u64);
    }

    pub(super) fn append(&self, store: &DiskStore, arrival: ArrivalId, bytes: Bytes) {
        if let Some(transfer) = self.all.borrow_mut().get_mut(&arrival) {
            transfer.given += bytes.len() as u64;
            self.ahead.set(self.ahead.get() + bytes.len() as u64);
            store.append(transfer.id, bytes);
        }
    }

    /// All has been given.
    pub(super) fn finish(&self, store: &DiskStore, arrival: ArrivalId) {
        if let Some(transfer) = self.all.borrow().get(&arrival) {
            store.finish(transfer.id);
        }
    }

    /// Whether the store may be given more of it.
    pub(super) fn has_room(&self, arrival: ArrivalId) -> bool {
        self.all.borrow().get(&arrival).is_some_and(|it| self.may_grow(it))
    }

    fn may_grow(&self, transfer: &Transfer) -> bool {
        let is_little = transfer.ahead() < TRANSFER_AHEAD_BYTES;
        transfer.ahead() == 0 || (is_little && self.ahead.get() < AHEAD_BYTES_MAX)
    }

    /// The same. If not, the task is woken.
    pub(super) fn poll_room(
        &self,
        cx: &Context<'_>,
        arrival: ArrivalId,
    ) -> Poll<Result<(), StoreFault>> {
        let poll = self.poll(cx, arrival, |it| self.may_grow(it).then_some(()));
        if poll.is_pending() && self.ahead.get() >= AHEAD_BYTES_MAX {
            self.waiting.borrow_mut().push(cx.waker().clone());
        }
        poll
    }

    /// Waits until the store may be given more of it.
    pub(super) async fn room(&self, arrival: ArrivalId) -> Result<(), StoreFault> {
        poll_fn(|cx| self.poll_room(cx, arrival)).await
    }

    /// Waits until all that was given is written. Returns how much that is.
    pub(super) async fn written(&self, arrival: ArrivalId) -> Result<u64, StoreFault> {
        let is_written = |it: &Transfer| (it.ahead() == 0).then_some(it.written);
        poll_fn(|cx| self.poll(cx, arrival, is_written)).await
    }

    /// What it is, once all of it is on the disk.
    pub(super) fn poll_finished(
        &self,
        cx: &Context<'_>,
        arrival: ArrivalId,
    ) -> Poll<Result<blake3::Hash, StoreFault>> {
        self.poll(cx, arrival, |it| it.finished)
    }

    fn poll<T>(
        &self,
        cx: &Context<'_>,
        arrival: ArrivalId,
        look: impl Fn(&Transfer) -> Option<T>,
    ) -> Poll<Result<T, StoreFault>> {
        let mut all = self.all.borrow_mut();
        let Some(transfer) = all.get_mut(&arrival) else {
            return Poll::Ready(Err(StoreFault::Broken));
        };
        if let Some(fault) = transfer.fault {
            return Poll::Ready(Err(fault));
        }
        match look(transfer) {
            Some(found) => Poll::Ready(Ok(found)),
            None => {
                transfer.wait(cx.waker());
                Poll::Pending
            }
        }
    }

    /// Where it is, for those who send it on.
    pub(super) fn place(&self, arrival: ArrivalId) -> Option<SharedPlace> {
        self.all.borrow().get(&arrival).map(|it| it.place.clone())
    }

    /// Wakes the task when more has come of it. Whether it has ended is to be asked before.
    pub(super) fn watch(&self, cx: &Context<'_>, arrival: ArrivalId) {
        if let Some(transfer) = self.all.borrow_mut().get_mut(&arrival) {
            transfer.wait(cx.waker());
        }
    }

    /// Forgets a transfer, and gives its room back.
    pub(super) fn abort(&self, store: &DiskStore, arrival: ArrivalId) {
        if let Some(transfer) = self.remove(arrival) {
            store.abort(transfer.id);
            transfer.end(Place::Gone);
        }
    }

    /// A version has it now. Returns its name in the store.
    pub(super) fn end(&self, arrival: ArrivalId, ticket: Ticket) -> Option<TransferId> {
        let transfer = self.remove(arrival)?;
        let id = transfer.id;
        transfer.end(Place::Stored(ticket));
        Some(id)
    }

    fn remove(&self, arrival: ArrivalId) -> Option<Transfer> {
        let transfer = self.all.borrow_mut().remove(&arrival)?;
        self.names.borrow_mut().remove(&transfer.id);
        self.is_less_ahead(transfer.ahead());
        Some(transfer)
    }

    fn is_less_ahead(&self, bytes: u64) {
        self.ahead.set(self.ahead.get() - bytes);
        if self.ahead.get() < AHEAD_BYTES_MAX {
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }

    /// Takes note of what the store reports.
    pub(super) fn note(&self, report: &Report) {
        let name = match report {
            Report::Appended { transfer, .. } | Report::Finished { transfer, .. } => transfer,
            _ => return,
        };
        let Some(arrival) = self.names.borrow().get(name).copied() else { return };
        let mut all = self.all.borrow_mut();
        let Some(transfer) = all.get_mut(&arrival) else { return };
        let before = transfer.ahead();
        match report {
            Report::Appended { result: Ok(written), .. } => transfer.written = *written,
            Report::Finished { result: Ok((hash, _)), .. } => transfer.finished = Some(*hash),
            Report::Appended { result: Err(fault), .. }
            | Report::Finished { result: Err(fault), .. } => transfer.fault = Some(*fault),
            _ => {}
        }
        transfer.wakers.drain(..).for_each(Waker::wake);
        let less = before - transfer.ahead();
        drop(all);
        self.is_less_ahead(less);
    }
}

impl Transfer {
    fn wait(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|it| it.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }
}
