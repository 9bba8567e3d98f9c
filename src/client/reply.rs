//! What a node answers. How it is read is said where it is written: in the ring's wire format.

pub use crate::ring::wire::reply::{Head, Reply, head};
