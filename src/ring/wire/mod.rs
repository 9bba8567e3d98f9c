//! How everything that is said looks on the wire. The grammar for people is in PROTOCOL.md.
//!
//! A message is one [line], and the bytes that it announces with `len=`: a file, or a list.
//! `verbs.rs` is the table of all verbs: what each may bring, and how it is read. Each file beside it
//! has the types of some of them, and how these are read and written, next to each other:
//!
//! | | asked or told | answered |
//! |---|---|---|
//! | clients | `request.rs` | `answer.rs` as a node writes it, [reply] as a client reads it |
//! | nodes | `meet.rs`, `check.rs`, `forward.rs`, `sync.rs`; `peer.rs` is what they have in common | the same |
//!
//! `decode.rs` takes the bytes of a connection apart, whatever pieces they come in, and yields a
//! file in pieces too; [codec] makes whole messages of that.

mod answer;
mod check;
pub mod codec;
mod decode;
mod encode;
mod files;
mod forward;
mod item;
pub mod line;
mod meet;
mod members;
pub mod message;
pub mod name;
mod op;
mod peer;
mod refusal;
pub mod reply;
pub(crate) mod request;
mod rows;
mod sync;
mod verbs;
