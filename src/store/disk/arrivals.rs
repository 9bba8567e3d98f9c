//! Transfers at the writing side, where reads can find what has come of them.

use bytes::Bytes;

use super::{
    engine::Engine,
    types::{Report, TransferId},
};

/// What is done with a transfer.
#[derive(Debug)]
pub enum Arrival {
    /// It begins, and is to have so many bytes.
    Begin(TransferId, u64),
    /// Bytes have come.
    Append(TransferId, Bytes),
    /// All has come.
    Finish(TransferId),
    /// It will not be complete, or is not needed.
    Abort(TransferId),
}

impl Engine {
    /// Does it, and says what has come of it.
    pub fn arrive(&mut self, arrival: Arrival) -> Option<Report> {
        match arrival {
            Arrival::Begin(id, bytes) => {
                if let Some(file) = self.transfers.begin(id, bytes) {
                    self.table.lock().transfers.insert(id, (file, 0));
                }
                None
            }
            Arrival::Append(id, bytes) => {
                let result = self.transfers.append(id, &bytes);
                let mut table = self.table.lock();
                match (result, table.transfers.get_mut(&id)) {
                    (Ok(bytes), Some((_, there))) => *there = bytes,
                    _ => drop(table.transfers.remove(&id)),
                }
                Some(Report::Appended { transfer: id, result })
            }
            Arrival::Finish(id) => {
                let result = self.transfers.finish(id).map(|large| (large.hash, large.bytes));
                if result.is_err() {
                    self.table.lock().transfers.remove(&id);
                }
                Some(Report::Finished { transfer: id, result })
            }
            Arrival::Abort(id) => {
                self.table.lock().transfers.remove(&id);
                self.transfers.abort(id);
                None
            }
        }
    }
}
