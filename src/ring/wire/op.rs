//! The name of an operation that goes round the ring.

use std::{fmt, net::SocketAddr, str::FromStr};

use super::line::decimal;

/// Names an operation all round the ring: the node that created it, and its count there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OpId {
    /// The node that the circle ends at.
    pub creator: SocketAddr,
    /// Counts that node's operations.
    pub count: u64,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.creator, self.count)
    }
}

impl FromStr for OpId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (creator, count) = text.split_once('/').ok_or(())?;
        let creator = creator.parse().map_err(drop)?;
        Ok(Self { creator, count: decimal(count).ok_or(())? })
    }
}
