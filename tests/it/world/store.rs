//! The store of a host: it confirms contents at once or later, in order, and loses what it has not
//! confirmed when a life ends without notice.

use std::collections::{BTreeMap, VecDeque};

use smolring::ring::{
    StoreFault,
    index::{Index, IndexEntry},
    item::{Content, Ticket},
    name::Name,
    version::Version,
};

#[derive(Default)]
pub struct Store {
    files: BTreeMap<Ticket, StoredFile>,
    /// What it will report, in order.
    pub(super) unsaid: VecDeque<(Ticket, Result<(), StoreFault>)>,
}

struct StoredFile {
    name: Name,
    version: Version,
    hash: blake3::Hash,
    content: Content,
    is_confirmed: bool,
}

impl Store {
    /// A file that is there from the beginning.
    pub fn put(&mut self, name: &Name, version: Version, content: Content) {
        let ticket = Ticket(self.files.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let hash = content.hash();
        self.keep(ticket, name.clone(), version, hash, content);
        self.files.get_mut(&ticket).expect("it was just kept").is_confirmed = true;
    }

    pub(super) fn keep(
        &mut self,
        ticket: Ticket,
        name: Name,
        version: Version,
        hash: blake3::Hash,
        content: Content,
    ) {
        let file = StoredFile { name, version, hash, content, is_confirmed: false };
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
        file.unwrap_or_else(|| panic!("{ticket:?} is read and not there")).content.clone()
    }

    pub(super) fn discard(&mut self, ticket: Ticket) {
        let file = self.files.remove(&ticket);
        let file = file.unwrap_or_else(|| panic!("{ticket:?} is discarded and not there"));
        assert!(file.is_confirmed, "{ticket:?} is discarded before it was confirmed");
    }

    /// A life has ended. Returns whether the content of a file was lost that was not confirmed.
    pub(super) fn end_life(&mut self) -> bool {
        let before = self.files.len();
        self.unsaid.clear();
        self.files.retain(|_, file| file.is_confirmed);
        self.files.len() < before
    }

    /// The newest version of each name, as far as there is room, as a starting node finds it. What
    /// does not fit is dropped.
    pub fn open(&mut self, bytes_max: usize) -> Index {
        let mut index = Index::new(bytes_max);
        for (&ticket, file) in &self.files {
            let StoredFile { version, hash, .. } = *file;
            let entry = IndexEntry { version, hash, bytes: file.content.len(), ticket };
            index.put(&file.name, entry);
        }
        self.files.retain(|&ticket, file| {
            index.get(&file.name).is_some_and(|entry| entry.ticket == ticket)
        });
        index
    }

    pub fn clear(&mut self) {
        self.files.clear();
    }
}
