//! Replaces the Redis store in builds without the feature `redis`.

use super::contract::{CannotOpen, OnAppend, Outcome, Pending, Store, StoreEntry, StoreError};

const WHY: &str = "this program is built without Redis: build it with --features redis";

/// A store that is never opened.
pub enum Redis {}

impl Redis {
    /// Always an error.
    pub fn new(_: &str, _: u64, _: OnAppend) -> Result<Self, CannotOpen> {
        Err(CannotOpen(WHY.into()))
    }
}

/// Always an error.
pub(crate) fn check(_: &str) -> Result<(), String> {
    Err(WHY.into())
}

impl Store for Redis {
    fn append<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, Result<Outcome, StoreError>> {
        match *self {}
    }

    fn read(&self, _: u64, _: usize) -> Pending<'_, Result<Vec<StoreEntry>, StoreError>> {
        match *self {}
    }

    fn last(&self) -> Pending<'_, Result<u64, StoreError>> {
        match *self {}
    }

    fn arrival(&self, _: u64) -> Pending<'_, Result<(), StoreError>> {
        match *self {}
    }
}
