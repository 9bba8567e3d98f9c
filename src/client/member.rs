//! A member of the ring, as RING shows it to a client.

pub use crate::ring::wire::reply::{RingMember as Member, RingState as MemberState, flag};
