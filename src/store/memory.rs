//! KEEPS the contents of files: in memory, for as long as the process lives.
//!
//! The node's index knows which files there are; a store knows contents by their tickets and
//! nothing else. This one confirms at once.

use bytes::Bytes;

use crate::{
    by_number::ByNumber,
    ring::{
        StoreFault,
        item::{Content, Ticket, Value},
    },
};

/// The contents of one node.
#[derive(Default, Debug)]
pub struct MemoryStore {
    contents: ByNumber<Ticket, Bytes>,
}

impl MemoryStore {
    /// Keeps the content of a file, without a copy. The node makes sure that there is room. Of a
    /// tombstone there is nothing to keep. What has arrived in pieces is not in memory.
    pub fn keep(&mut self, ticket: Ticket, value: Value) -> Result<(), StoreFault> {
        match value {
            Value::Content { content, .. } => {
                self.contents.insert(ticket, content.bytes().clone());
            }
            Value::Arrived { .. } => return Err(StoreFault::Broken),
            Value::Tombstone => {}
        }
        Ok(())
    }

    /// The content of a file, without a copy.
    ///
    /// # Panics
    ///
    /// If it was never kept, or was discarded: nodes do not ask for that.
    pub fn read(&self, ticket: Ticket) -> Content {
        self.contents.get(&ticket).expect("a node reads only what it keeps").clone().into()
    }

    /// Forgets the content of a file.
    pub fn discard(&mut self, ticket: Ticket) {
        self.contents.remove(&ticket);
    }
}
