//! What one node says to another.

use std::net::SocketAddr;

use super::{
    check::{Check, push_checked},
    encode::Encode,
    forward::{ForwardGet, ForwardPut},
    keep::Keep,
    line::{Line, on_one_line, push_line},
    meet::Greeting,
    offer::Offer,
    op::OpId,
    refusal::Reject,
    sync::Sync,
};
use crate::ring::{
    item::{Content, Item, Ticket},
    limits::INCARNATION_MAX,
    version::Stamp,
    view::View,
};

/// What one node says to another, with the highest stamp that it knows.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// The receiver's next version is later than this.
    pub stamp: Stamp,
    /// The message itself.
    pub message: Peer,
}

/// What one node says to another.
#[derive(Clone, PartialEq, Debug)]
pub enum Peer {
    /// The first line of every link, in both directions.
    Meet(Box<Greeting>),
    /// The answer to a MEET that leads to nothing; the sender closes the link.
    Refuse {
        /// The sender.
        node: SocketAddr,
        /// The sender is itself still joining: try again.
        is_joining: bool,
        /// Why, for people.
        reason: String,
    },
    /// Goes round the ring and stops at its creator.
    Check(Box<Check>),
    /// The next node's answer to CHECK; with its view, if that differs from the CHECK's.
    Checked {
        /// Which CHECK.
        op: OpId,
        /// The receiver's view, where it differs.
        view: Option<View>,
    },
    /// A PUT on its way round.
    ForwardPut(Box<ForwardPut>),
    /// A GET on its way round.
    ForwardGet(Box<ForwardGet>),
    /// A large file that a client is sending: goes round, and stops before its creator.
    Offer(Box<Offer>),
    /// Goes round behind writes, and waits at each member for its store.
    Keep(Box<Keep>),
    /// A node catching up with its predecessor.
    Sync(Sync),
}

impl Peer {
    /// Whether it has a time or a number that is too high for any member to exceed.
    pub fn is_absurd(&self) -> bool {
        let is_absurd = |number: u64| number >= INCARNATION_MAX;
        let others = match self {
            Self::Meet(greeting) => is_absurd(greeting.knew) || is_absurd(greeting.clock_ms),
            Self::Check(check) => check.reports.values().any(|report| is_absurd(report.clock_ms)),
            _ => false,
        };
        others || self.view().is_some_and(View::is_absurd)
    }

    /// The view that it brings, if any.
    pub fn view(&self) -> Option<&View> {
        match self {
            Self::Meet(greeting) => Some(&greeting.view),
            Self::Check(check) => Some(&check.view),
            Self::Checked { view, .. } => view.as_ref(),
            Self::ForwardPut(_) | Self::ForwardGet(_) | Self::Offer(_) | Self::Keep(_) => None,
            Self::Refuse { .. } | Self::Sync(_) => None,
        }
    }

    /// The version of a file that it brings, if any.
    pub fn item(&self) -> Option<&Item> {
        match self {
            Self::ForwardPut(forward) => forward.carried.item(),
            Self::ForwardGet(forward) => forward.found.as_ref(),
            Self::Sync(Sync::Item { item, .. }) => item.as_ref(),
            Self::Meet(_) | Self::Refuse { .. } | Self::Check(_) => None,
            Self::Checked { .. } | Self::Offer(_) | Self::Keep(_) | Self::Sync(_) => None,
        }
    }

    /// The file that it brings cannot be read: it goes without.
    pub fn leave_out(&mut self) {
        match self {
            Self::ForwardGet(forward) => forward.found = None,
            Self::Sync(Sync::Item { item, .. }) => *item = None,
            _ => {}
        }
    }

    /// The same, to be changed.
    pub fn item_mut(&mut self) -> Option<&mut Item> {
        match self {
            Self::ForwardPut(forward) => forward.carried.item_mut(),
            Self::ForwardGet(forward) => forward.found.as_mut(),
            Self::Sync(Sync::Item { item, .. }) => item.as_mut(),
            Self::Meet(_) | Self::Refuse { .. } | Self::Check(_) => None,
            Self::Checked { .. } | Self::Offer(_) | Self::Keep(_) | Self::Sync(_) => None,
        }
    }
}

impl Envelope {
    /// Reads the file that the message brings, if that is still in the store.
    pub fn read(&mut self, read: impl FnOnce(Ticket) -> Content) {
        if let Some(item) = self.message.item_mut() {
            item.read(read);
        }
    }
}

impl Encode for Envelope {
    fn encode(&self, out: &mut Vec<u8>) -> Option<&Content> {
        let Self { stamp, message } = self;
        match message {
            Peer::Meet(greeting) => greeting.encode(*stamp, out),
            Peer::Refuse { node, is_joining, reason } => {
                let (joining, reason) = (u8::from(*is_joining), on_one_line(reason));
                let head = format_args!("REFUSE node={node} joining={joining} stamp={stamp}");
                push_line(out, format_args!("{head} : {reason}"));
            }
            Peer::Check(check) => check.encode(*stamp, out),
            Peer::Checked { op, view } => push_checked(out, *op, view.as_ref(), *stamp),
            Peer::ForwardPut(forward) => return forward.encode(*stamp, out),
            Peer::ForwardGet(forward) => return forward.encode(*stamp, out),
            Peer::Offer(offer) => offer.encode(*stamp, out),
            Peer::Keep(keep) => keep.encode(*stamp, out),
            Peer::Sync(sync) => return sync.encode(*stamp, out),
        }
        None
    }
}

pub(super) fn refuse(line: Line<'_>) -> Result<Peer, Reject> {
    Ok(Peer::Refuse {
        node: line.parsed("node")?,
        is_joining: line.flag("joining")?,
        reason: on_one_line(line.text()),
    })
}
