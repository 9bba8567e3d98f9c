//! What `ring-client` does: a small library to talk to a ring, and the command on top of it.
//!
//! A [`Connection`] speaks the client part of PROTOCOL.md to one node. A [`Client`] knows several
//! nodes and moves on when one is down. [`upload()`] puts many files, and [`bench`](bench::run) measures a ring. All of it runs on one thread of the smol runtime;
//! disks are read and written on others. Of a large content a few pieces are in memory.

mod archive;
mod args;
pub mod bench;
mod chosen;
mod command;
mod compare;
mod connection;
mod content;
mod error;
mod failover;
mod files;
mod folder;
mod human;
mod local;
mod member;
mod merged;
mod meter;
mod node;
mod pages;
mod pieces;
mod progress;
mod reply;
mod requests;
mod save;
mod sink;
#[cfg(test)]
mod streams;
mod tree;
mod upload;
mod verbs;
mod workers;

pub use args::is_verb;
pub use command::run;
pub use connection::{Connection, Timeouts};
pub use error::Error;
pub use failover::Client;
pub use files::{Collected, Origin, Skipped, Source, collect, collect_folder};
pub use human::shown;
pub use member::{Member, MemberState};
pub use node::{HOST_DEFAULT, Node, Nodes, PORT_DEFAULT};
pub use reply::{Head, Reply, head};
pub use requests::{File, Held, ListedFile, Page, Pong};
pub use upload::{Selection, Uploaded, upload};
