//! The log as HTTP and gRPC see it: the check of an id, the append, answers that are lost on
//! purpose, and how many may follow it or be sent all of it at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::{
    limits::{FOLLOWERS_MAX, ID_BYTES_MAX, LISTS_MAX, MSG_BYTES_MAX},
    store::{Outcome, Store, StoreError},
};
use crate::random;

/// A store, and the rules that hold for each of its users.
pub(super) struct MessageLog {
    store: Box<dyn Store>,
    drop_replies: f64,
    followers: Arc<AtomicUsize>,
    /// A permit for each list of the whole log that is held in memory.
    lists: Arc<Semaphore>,
}

/// Why a message is not in the log, or may not be.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// Nothing has changed.
    #[error("the id must have 1 to {ID_BYTES_MAX} characters of visible ASCII, without spaces")]
    BadId,
    /// Nothing has changed.
    #[error("the msg is longer than {MSG_BYTES_MAX} bytes")]
    MsgTooLong,
    /// Its variants say what has changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MessageLog {
    /// `drop_replies` is the share of answers that are lost on purpose.
    pub(super) fn new(store: Box<dyn Store>, drop_replies: f64) -> Self {
        let lists = Arc::new(Semaphore::new(LISTS_MAX));
        Self { store, drop_replies, followers: Arc::default(), lists }
    }

    /// Keeps the message unless its id is known. Ends when the message is as safe as the store can
    /// make it.
    pub(super) async fn append(&self, id: &str, msg: &str) -> Result<Outcome, LogError> {
        let is_visible = id.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible || !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(LogError::BadId);
        }
        if msg.len() > MSG_BYTES_MAX {
            return Err(LogError::MsgTooLong);
        }
        Ok(self.store.append(id, msg).await?)
    }

    /// Whether the answer to the message that was just appended is to be lost. It is left to chance.
    pub(super) fn drops_reply(&self) -> bool {
        random::happens(self.drop_replies)
    }

    /// The store, to read from it.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Waits until the whole log may be put into one answer, which takes that much memory until the
    /// permit is dropped.
    pub(super) async fn list_permit(&self) -> SemaphoreGuardArc {
        self.lists.acquire_arc().await
    }

    /// Counts one more follower, until the result is dropped. `None`: there are too many.
    pub(super) fn follower(&self) -> Option<Follower> {
        let another = |count| (count < FOLLOWERS_MAX).then_some(count + 1);
        self.followers.fetch_update(Relaxed, Relaxed, another).ok()?;
        Some(Follower(self.followers.clone()))
    }

    /// Where a follower begins that asks for what comes after `position`; without a position it
    /// gets what is new from now on. A position that the log has not reached belongs to another
    /// log, so the follower gets all of this one.
    pub(super) async fn begin(&self, position: Option<u64>) -> Result<u64, StoreError> {
        let last = self.store.last().await?;
        Ok(match position {
            None => last,
            Some(position) if position <= last => position,
            Some(_) => 0,
        })
    }
}

/// A client that follows the log.
pub(super) struct Follower(Arc<AtomicUsize>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
