//! What a node answers. `ring::wire` has how it is written and read.

pub use crate::ring::wire::reply::{Head, Reply, head};
