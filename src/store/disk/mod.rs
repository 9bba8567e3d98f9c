//! KEEPS on a disk.

mod background;
mod cache;
mod contents;
mod engine;
mod error;
mod file;
mod heads;
pub mod limits;
mod live;
mod lock;
mod node;
mod open;
mod queue;
mod read;
mod record;
mod scan;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod threads;
mod tree;
mod types;

pub use error::{OpenError, ReadError};
pub use store::{DiskStore, LaterRead, Read};
pub use types::{
    DiskOptions, DiskStats, Durability, Found, FoundKind, Opened, Report, SavedNode, Write,
};
