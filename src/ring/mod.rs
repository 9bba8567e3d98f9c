//! ring
pub mod codec;
mod forward;
pub mod limits;
pub mod line;
pub mod message;
pub mod name;
pub mod node;
mod parse;
mod rng;
mod sync;
pub mod table;
pub mod version;
pub mod view;
