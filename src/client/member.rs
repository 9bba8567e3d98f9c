//! A member of the ring, as one node knows it.

pub use crate::ring::wire::reply::{RingMember as Member, RingState as State, flag};
