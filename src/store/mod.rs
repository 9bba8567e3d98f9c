//! KEEPS the contents of files: in memory, or on a disk.
//!
//! The node's index knows which files there are; a store knows contents by their tickets and nothing
//! else.

pub mod disk;
mod memory;

pub use memory::MemoryStore;
