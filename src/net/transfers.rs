//! Contents that come in pieces into the store: how much of each is on the disk.

use std::{
    cell::RefCell,
    future::poll_fn,
    task::{Poll, Waker},
};

use bytes::Bytes;

use crate::{
    by_number::ByNumber,
    ring::{StoreFault, item::ArrivalId},
    store::disk::{DiskStore, Report, TransferId},
};

/// What is known of the transfers into one store.
#[derive(Default)]
pub(super) struct Transfers(RefCell<ByNumber<ArrivalId, Transfer>>);

#[derive(Default)]
struct Transfer {
    /// Bytes that the store was given, and those that it has written.
    given: u64,
    written: u64,
    finished: Option<(blake3::Hash, u64)>,
    fault: Option<StoreFault>,
    waker: Option<Waker>,
}

impl Transfers {
    /// Begins a transfer, or goes on with one. Returns how much of it is here.
    pub(super) async fn begin(
        &self,
        store: &DiskStore,
        arrival: ArrivalId,
    ) -> Result<u64, StoreFault> {
        let is_usable = self.0.borrow().get(&arrival).is_some_and(|it| it.finished.is_none());
        if is_usable {
            return self.written(arrival, 0).await;
        }
        self.abort(store, arrival);
        self.0.borrow_mut().insert(arrival, Transfer::default());
        store.begin(id(arrival));
        Ok(0)
    }

    pub(super) fn append(&self, store: &DiskStore, arrival: ArrivalId, bytes: Bytes) {
        if let Some(transfer) = self.0.borrow_mut().get_mut(&arrival) {
            transfer.given += bytes.len() as u64;
            store.append(id(arrival), bytes);
        }
    }

    /// Waits until no more than `ahead` bytes are still to be written. Returns how many are.
    pub(super) async fn written(&self, arrival: ArrivalId, ahead: u64) -> Result<u64, StoreFault> {
        self.wait(arrival, |it| (it.given - it.written <= ahead).then_some(it.written)).await
    }

    /// All has been given. Returns what it is, once it is on the disk.
    pub(super) async fn finish(
        &self,
        store: &DiskStore,
        arrival: ArrivalId,
    ) -> Result<blake3::Hash, StoreFault> {
        store.finish(id(arrival));
        self.wait(arrival, |it| it.finished.map(|(hash, _)| hash)).await
    }

    async fn wait<T>(
        &self,
        arrival: ArrivalId,
        look: impl Fn(&Transfer) -> Option<T>,
    ) -> Result<T, StoreFault> {
        poll_fn(|cx| {
            let mut all = self.0.borrow_mut();
            let Some(transfer) = all.get_mut(&arrival) else {
                return Poll::Ready(Err(StoreFault::Broken));
            };
            if let Some(fault) = transfer.fault {
                return Poll::Ready(Err(fault));
            }
            match look(transfer) {
                Some(found) => Poll::Ready(Ok(found)),
                None => {
                    transfer.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Forgets a transfer, and gives its room back.
    pub(super) fn abort(&self, store: &DiskStore, arrival: ArrivalId) {
        if self.0.borrow_mut().remove(&arrival).is_some() {
            store.abort(id(arrival));
        }
    }

    /// A version has it now.
    pub(super) fn end(&self, arrival: ArrivalId) {
        self.0.borrow_mut().remove(&arrival);
    }

    /// Takes note of what the store reports.
    pub(super) fn note(&self, report: &Report) {
        let (transfer, written, finished) = match report {
            Report::Appended { transfer, result } => (transfer, Some(result), None),
            Report::Finished { transfer, result } => (transfer, None, Some(result)),
            _ => return,
        };
        let mut all = self.0.borrow_mut();
        let Some(transfer) = all.get_mut(&ArrivalId(transfer.0)) else { return };
        match written {
            Some(Ok(written)) => transfer.written = *written,
            Some(Err(fault)) => transfer.fault = Some(*fault),
            None => {}
        }
        match finished {
            Some(Ok(finished)) => transfer.finished = Some(*finished),
            Some(Err(fault)) => transfer.fault = Some(*fault),
            None => {}
        }
        transfer.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// Its name in the store.
pub(super) fn id(ArrivalId(id): ArrivalId) -> TransferId {
    TransferId(id)
}
