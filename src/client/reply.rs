//! What a node answers. `ring::wire` writes and reads it.

pub use crate::ring::wire::reply::{Head, Reply, head};
