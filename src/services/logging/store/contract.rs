//! What every store does, and what it may answer.

use std::{pin::Pin, sync::Arc};

use crate::services::logging::limits::ENTRY_OVERHEAD_BYTES;

/// Something that a store is doing, and its result.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Called for every append that is decided, in the order of the log, with id, message and outcome.
/// It is called before the sender gets the outcome, even if the sender no longer waits for it. It
/// must not block.
pub type OnAppend = Box<dyn Fn(&str, &str, Outcome) + Send + Sync>;

/// A log that has every id once.
pub trait Store: Send + Sync + 'static {
    /// Keeps the message unless its id is known. Ends when the message is as safe as this store can make
    /// it.
    fn append<'a>(&'a self, id: &'a str, msg: &'a str) -> Pending<'a, Result<Outcome, StoreError>>;

    /// The entries after `position` (0: from the first on), oldest first: about `bytes` in all, but at
    /// least one entry if there is one.
    fn read(&self, position: u64, bytes: usize)
    -> Pending<'_, Result<Vec<StoreEntry>, StoreError>>;

    /// The position of the newest entry; 0 if there is none.
    fn last(&self) -> Pending<'_, Result<u64, StoreError>>;

    /// Ends when there may be entries after `position`.
    fn arrival(&self, position: u64) -> Pending<'_, Result<(), StoreError>>;

    /// Ends what the store does in the background, once it is no longer used. May block.
    fn close(&self) {}
}

/// A message in the log. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEntry {
    /// 1 is the first.
    pub position: u64,
    /// The id that its sender gave it.
    pub id: Arc<str>,
    /// The message itself.
    pub msg: Arc<str>,
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The id is new; the message is in the log.
    Logged,
    /// This message was there already, with this id. Nothing has changed.
    Duplicate,
    /// Another message was there already with this id. Nothing has changed.
    Conflict,
}

/// Why a store could not do what it was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing has changed. Trying again does not help.
    #[error("the log is full: restart the service with a larger --max-store-bytes")]
    Full,
    /// The append may have taken place. Trying again is safe, and may help.
    #[error("the store does not answer: {0}. Try again soon")]
    Unavailable(String),
    /// The append may have taken place. Trying again does not help before an operator has repaired
    /// something.
    #[error("the store is broken: {0}")]
    Broken(String),
}

/// Why a store could not be opened. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotOpen(pub String);

/// What an entry counts against the size of the log.
pub(super) fn cost(id: &str, msg: &str) -> u64 {
    (id.len() + msg.len()) as u64 + ENTRY_OVERHEAD_BYTES
}
