//! Appends on their way to one writer that does them in batches, and their outcomes on the way back.
//!
//! One writer for all keeps the log's order, and goes on when the sender of a message has gone
//! away. While it is busy with one batch, the next one collects.

use smol::channel::{Receiver, Sender, bounded};

use super::contract::{Outcome, StoreError};
use crate::services::logging::limits::{BATCH_APPENDS_MAX, BATCH_BYTES, QUEUE_APPENDS_MAX};

/// A message that is to be kept.
pub(super) struct Append {
    pub(super) id: String,
    pub(super) msg: String,
    reply: Sender<Result<Outcome, StoreError>>,
}

impl Append {
    /// Gives the outcome to the task that waits for it, if one still does. Does not block.
    pub(super) fn answer(&self, outcome: Result<Outcome, StoreError>) {
        let _ = self.reply.try_send(outcome);
    }
}

/// The end at which appends go in.
pub(super) struct Queue(Sender<Append>);

impl Queue {
    pub(super) fn new() -> (Self, Batches) {
        let (sender, receiver) = bounded(QUEUE_APPENDS_MAX);
        (Self(sender), Batches(receiver))
    }

    /// Ends when the append is done.
    pub(super) async fn append(&self, id: &str, msg: &str) -> Result<Outcome, StoreError> {
        let gone = || StoreError::Broken("its writer has ended; restart the service".into());
        let (reply, outcome) = bounded(1);
        let append = Append { id: id.into(), msg: msg.into(), reply };
        self.0.send(append).await.map_err(|_| gone())?;
        outcome.recv().await.map_err(|_| gone())?
    }

    /// From now on appends are refused.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// The end at which they come out.
pub(super) struct Batches(Receiver<Append>);

impl Batches {
    /// All appends that have queued up, within limits. Waits for the first; `None`: the queue is closed
    /// and empty.
    pub(super) async fn next(&self) -> Option<Vec<Append>> {
        loop {
            let mut bytes = 0;
            let mut batch = Vec::new();
            let mut more = Some(self.0.recv().await.ok()?);
            while let Some(append) = more {
                // An append without a waiting sender has been reported as failed, and has not
                // begun.
                if !append.reply.is_closed() {
                    bytes += append.id.len() + append.msg.len();
                    batch.push(append);
                }
                let has_room = batch.len() < BATCH_APPENDS_MAX && bytes < BATCH_BYTES;
                more = if has_room { self.0.try_recv().ok() } else { None };
            }
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }
}
