//! KEEPS THE LOG: one trait, [`Store`], and a store for each degree of safety.
//!
//! | store | an acknowledged message outlives | for |
//! |---|---|---|
//! | [`Memory`] | nothing | lessons, tests |
//! | [`Disk`] | the process and the machine: it was fsynced | one process |
//! | [`Redis`] | what Redis' own configuration makes it outlive | several processes that share one
//! log |
//!
//! What holds for each:
//!
//! - An id is in the log once, however many senders send it, however often, even at the same time.
//! - Positions are 1, 2, 3, ... in the order of first arrival, without a gap, and never change.
//! - Nothing is evicted: a forgotten id could be logged twice. A log that is full stays full.
//! - A message whose append ends in [`StoreError::Unavailable`] may have been kept. Repeating it is safe.

mod contract;
mod disk;
mod end;
mod memory;
mod queue;
#[cfg_attr(not(feature = "redis"), path = "no_redis.rs")]
mod redis;

pub(crate) use self::redis::check as check_redis;
pub use self::{
    contract::{CannotOpen, OnAppend, Outcome, Pending, Store, StoreEntry, StoreError},
    disk::Disk,
    memory::Memory,
    redis::Redis,
};
