//! The store of a host: it confirms contents at once or later, in order, and loses what it has not
//! confirmed when a life ends without notice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smolring::ring::{
    StoreFault,
    index::{EntryKind, Index, IndexEntry},
    item::{ArrivalId, Content, Ticket, Value},
    name::Name,
    version::Version,
};

#[derive(Default)]
pub struct Store {
    files: BTreeMap<Ticket, StoredFile>,
    /// Contents that have come in pieces, and that no version has yet.
    pub arrivals: BTreeMap<ArrivalId, Content>,
    /// What has come of those that are still being pulled.
    pub(super) parts: BTreeMap<ArrivalId, Vec<u8>>,
    /// And those that versions have now.
    pub arrived: BTreeMap<ArrivalId, Ticket>,
    /// What it will report, in order.
    pub(super) unsaid: VecDeque<(Ticket, Result<(), StoreFault>)>,
}

struct StoredFile {
    name: Name,
    version: Version,
    value: Value,
    is_confirmed: bool,
}

impl Store {
    /// A file that is there from the beginning.
    pub fn put(&mut self, name: &Name, version: Version, content: Content) {
        let ticket = Ticket(self.files.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let value = Value::Content { hash: content.hash(), content };
        self.keep(ticket, name.clone(), version, value);
        self.files.get_mut(&ticket).expect("it was just kept").is_confirmed = true;
    }

    pub(super) fn keep(&mut self, ticket: Ticket, name: Name, version: Version, value: Value) {
        let value = match value {
            Value::Arrived { arrival, hash, .. } => {
                let content = self.arrivals.remove(&arrival).expect("it has arrived");
                self.arrived.insert(arrival, ticket);
                Value::Content { hash, content }
            }
            value => value,
        };
        let file = StoredFile { name, version, value, is_confirmed: false };
        let before = self.files.insert(ticket, file);
        assert!(before.is_none(), "{ticket:?} is used twice");
    }

    /// What it reports next.
    pub(super) fn say(&mut self) -> Option<(Ticket, Result<(), StoreFault>)> {
        let (ticket, result) = self.unsaid.pop_front()?;
        match result {
            Ok(()) => {
                if let Some(file) = self.files.get_mut(&ticket) {
                    file.is_confirmed = true;
                }
            }
            Err(_) => drop(self.files.remove(&ticket)),
        }
        Some((ticket, result))
    }

    pub fn read(&self, ticket: Ticket) -> Content {
        let file = self.files.get(&ticket);
        match &file.unwrap_or_else(|| panic!("{ticket:?} is read and not there")).value {
            Value::Content { content, .. } => content.clone(),
            Value::Arrived { .. } | Value::Tombstone => {
                panic!("{ticket:?} is read and is a tombstone")
            }
        }
    }

    /// A content that another host pulls, if it is there.
    pub(super) fn find(&self, ticket: Ticket) -> Option<Content> {
        match &self.files.get(&ticket)?.value {
            Value::Content { content, .. } => Some(content.clone()),
            Value::Arrived { .. } | Value::Tombstone => None,
        }
    }

    pub(super) fn discard(&mut self, ticket: Ticket) {
        let file = self.files.remove(&ticket);
        let file = file.unwrap_or_else(|| panic!("{ticket:?} is discarded and not there"));
        assert!(file.is_confirmed, "{ticket:?} is discarded before it was confirmed");
    }

    /// What would survive now.
    pub fn confirmed(&self) -> impl Iterator<Item = (&Name, Version)> {
        let files = self.files.values().filter(|file| file.is_confirmed);
        files.map(|file| (&file.name, file.version))
    }

    /// Whether contents have come, in whole or in part, that no file has yet.
    pub fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty() || !self.parts.is_empty()
    }

    /// The newest version of a name that would.
    pub fn newest_confirmed(&self, name: &Name) -> Option<Version> {
        let versions = self.confirmed().filter(|(it, _)| *it == name);
        versions.map(|(_, version)| version).max()
    }

    /// How many records it has not confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.files.values().filter(|file| !file.is_confirmed).count()
    }

    /// A life has ended. Of what was not confirmed, the first so many records are there all the same.
    /// Returns whether the content of a file was lost that was not confirmed.
    pub(super) fn end_life(&mut self, survive: usize) -> bool {
        let before = self.files.len();
        self.unsaid.clear();
        self.arrivals.clear();
        self.arrived.clear();
        self.parts.clear();
        let open = self.files.values_mut().filter(|file| !file.is_confirmed);
        open.take(survive).for_each(|file| file.is_confirmed = true);
        self.files.retain(|_, file| file.is_confirmed);
        self.files.len() < before
    }

    /// The newest versions of each name, as far as there is room, as a starting node finds them. What
    /// does not fit is dropped.
    pub fn open(&mut self, bytes_max: usize, versions_max: usize) -> Index {
        let mut index = Index::new(bytes_max, versions_max);
        for (&ticket, file) in &self.files {
            let kind = match &file.value {
                Value::Content { hash, content } => {
                    EntryKind::File { hash: *hash, bytes: content.len() }
                }
                Value::Arrived { .. } | Value::Tombstone => EntryKind::Tombstone,
            };
            index.put(&file.name, IndexEntry { version: file.version, kind, ticket });
        }
        let held: BTreeSet<_> = index.entries().map(|entry| entry.ticket).collect();
        self.files.retain(|ticket, _| held.contains(ticket));
        index
    }

    pub fn clear(&mut self) {
        self.files.clear();
    }
}
