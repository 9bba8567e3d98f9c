//! KEEPS THE LOG: one trait, and a store for each degree of safety.
//!
//! | store | an acknowledged message outlives | for |
//! |---|---|---|
//! | [`Memory`] | nothing | lessons, tests |
//! | [`Disk`] | the process and the machine: it was fsynced | one process |
//! | [`Redis`] | what Redis' own configuration makes it outlive | several processes over one log |
//!
//! What holds for each:
//!
//! - An id is in the log once, whoever sends it, as often and at the same time as they like.
//! - Positions are 1, 2, 3, ... in the order of first arrival, without a gap, and never change.
//! - Nothing is evicted: a forgotten id could be logged twice. A log that is full stays so.
//! - What ends in [`StoreError::Unavailable`] may have been kept. To repeat it is safe.

mod disk;
mod memory;
mod queue;
mod redis;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use event_listener::Event;

pub(crate) use self::redis::check as check_redis;
pub use self::{disk::Disk, memory::Memory, redis::Redis};
use super::limits::ENTRY_OVERHEAD_BYTES;

/// What a store is doing.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Hears of every append that is decided, in the order of the log: id, message, outcome. It is
/// called before the one who waits for the outcome hears of it, and also if nobody waits any more;
/// it must not block.
pub type Witness = Box<dyn Fn(&str, &str, Outcome) + Send + Sync>;

/// A log in which every id is once.
pub trait Store: Send + Sync + 'static {
    /// Keeps the message unless its id is known; ends when it is as safe as this store can make
    /// it.
    fn append<'a>(&'a self, id: &'a str, msg: &'a str) -> Pending<'a, Result<Outcome, StoreError>>;

    /// Entries after `position` (0: from the first), oldest first: of about `bytes` in all, but at
    /// least one if there is one.
    fn read(&self, position: u64, bytes: usize) -> Pending<'_, Result<Vec<Entry>, StoreError>>;

    /// The position of the newest entry; 0 if there is none.
    fn last(&self) -> Pending<'_, Result<u64, StoreError>>;

    /// Ends when there may be entries after `position`.
    fn arrival(&self, position: u64) -> Pending<'_, Result<(), StoreError>>;

    /// Ends what the store does in the background. To be called when nobody uses it any more.
    /// May block.
    fn close(&self) {}
}

/// A message in the log. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 1 is the first.
    pub position: u64,
    /// What its sender called it.
    pub id: Arc<str>,
    /// What its sender said.
    pub msg: Arc<str>,
}

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The id is new; the message is in the log.
    Logged,
    /// The message was there with this id. Nothing has changed.
    Duplicate,
    /// Another message was there with this id. Nothing has changed.
    Conflict,
}

/// Why a store cannot do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing has changed, and to try again does not help.
    #[error("the log is full: restart the service with a larger --max-store-bytes")]
    Full,
    /// The append may have taken place. It may be tried again.
    #[error("the store does not answer: {0}. Try again soon")]
    Unavailable(String),
    /// The append may have taken place. Somebody has to mend something first.
    #[error("the store is broken: {0}")]
    Broken(String),
}

/// Why there is no store to begin with. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotOpen(pub String);

/// What an entry counts against the size of the log.
fn cost(id: &str, msg: &str) -> u64 {
    (id.len() + msg.len()) as u64 + ENTRY_OVERHEAD_BYTES
}

/// Where the log ends, for those who wait for it to go on.
struct End {
    last: AtomicU64,
    moved: Event,
}

impl End {
    fn at(last: u64) -> Self {
        Self { last: last.into(), moved: Event::new() }
    }

    fn last(&self) -> u64 {
        self.last.load(SeqCst)
    }

    fn set(&self, last: u64) {
        if self.last.swap(last, SeqCst) != last {
            self.moved.notify(usize::MAX);
        }
    }

    /// Ends when the log goes beyond `position`.
    async fn beyond(&self, position: u64) {
        while self.last() <= position {
            let moved = self.moved.listen();
            if self.last() <= position {
                moved.await;
            }
        }
    }
}
