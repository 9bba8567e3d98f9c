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
mod node;
mod open;
mod read;
mod record;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod types;

pub use error::{OpenError, ReadError};
pub use types::{
    DiskOptions, DiskStats, Durability, Found, FoundKind, Opened, Report, SavedNode, Write,
};
