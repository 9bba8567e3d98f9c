//! All messages as they are on the wire. PROTOCOL.md has the grammar.
//!
//! A message is one line, and the bytes that the line announces with `len=`: a file, or a list.
//! `verbs.rs` is the table of all verbs: what each may bring, and how it is read. The files beside it
//! have the types of messages, and how each is written and read, next to each other:
//!
//! | between | asked or told | answered |
//! |---|---|---|
//! | client and node | `request.rs` | `answer.rs` as a node writes it, [reply] as a client reads it |
//! | two nodes | `meet.rs`, `check.rs`, `forward.rs`, `sync.rs`, all in an envelope of `peer.rs` | the same |
//!
//! `decode.rs` takes the bytes of a connection apart, whatever pieces they come in, and yields a
//! file in pieces too; [codec] makes whole messages of that.
//!
//! To add a request: a row in `verbs.rs`, a variant with its line in `request.rs`, one with its line
//! in `answer.rs`, and its handler in the node. To add a message between nodes: a row, a file
//! with its type and its line, and a variant in `peer.rs`.

mod answer;
mod check;
pub mod codec;
mod decode;
mod encode;
mod files;
mod forward;
mod item;
mod keep;
pub mod line;
mod meet;
mod members;
pub mod message;
pub mod name;
mod offer;
mod op;
mod peer;
mod refusal;
pub mod reply;
pub(crate) mod request;
mod rows;
mod sync;
mod trace;
mod verbs;
