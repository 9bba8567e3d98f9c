//! A list of names, however long: one page of it is in memory.

use std::vec;

use super::{
    error::Error,
    failover::Client,
    requests::{ListedFile, Page},
};
use crate::ring::name::Name;

/// The files whose names begin with a prefix, in the order of their names.
pub(super) struct Pages {
    client: Client,
    prefix: String,
    hashes: bool,
    page: vec::IntoIter<ListedFile>,
    /// The last name of the page.
    last: Option<Name>,
    more: bool,
}

impl Pages {
    /// Nothing is asked for yet. `hashes`: whether the hash of each is wanted.
    pub fn new(client: Client, prefix: String, hashes: bool) -> Self {
        Self { client, prefix, hashes, page: Vec::new().into_iter(), last: None, more: true }
    }

    /// The next file, or `None` at the end. After an error the same page is asked for again.
    pub async fn next(&mut self) -> Result<Option<ListedFile>, Error> {
        loop {
            if let Some(file) = self.page.next() {
                return Ok(Some(file));
            }
            if !self.more {
                return Ok(None);
            }
            let (prefix, after) = (self.prefix.as_str(), self.last.as_ref());
            let Page { entries, more } = match self.hashes {
                true => self.client.list_hashes(prefix, after).await?,
                false => self.client.list(prefix, after).await?,
            };
            self.last = entries.last().map(|file| file.name.clone()).or(self.last.take());
            (self.page, self.more) = (entries.into_iter(), more);
        }
    }
}
