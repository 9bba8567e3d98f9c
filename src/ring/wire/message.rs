//! Every message of the protocol by its type: what clients ask and are answered, and what nodes say
//! to each other.

pub(crate) use super::answer::{push_found, push_offered};
pub use super::{
    answer::{Answer, Info},
    check::Check,
    files::FileRow,
    forward::{Carried, ForwardGet, ForwardPut},
    keep::{Failed, Keep},
    meet::{Greeting, Role},
    members::Report,
    offer::Offer,
    op::OpId,
    peer::{Envelope, Peer},
    refusal::{Refusal, Status},
    request::{Condition, PullOf, Request},
    rows::Row,
    sync::Sync,
    trace::{Hop, WriteTrace},
};
pub use crate::ring::item::{Body, Content, Item, ItemValue};

/// What decodes from a connection: a client's request, or another node's message.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// From a client.
    Request(Request),
    /// From a node.
    Peer(Envelope),
}

impl Message {
    /// Whether it brings a file.
    pub(super) fn brings_file(&self) -> bool {
        match self {
            Self::Request(request) => matches!(request, Request::Put { .. }),
            Self::Peer(envelope) => {
                let body = envelope.message.item().and_then(Item::body);
                matches!(body, Some(Body::Coming { .. }))
            }
        }
    }

    /// The hash that the file which it brings must have, if it says so.
    pub(super) fn file_hash(&self) -> Option<blake3::Hash> {
        match self {
            Self::Request(_) => None,
            Self::Peer(envelope) => envelope.message.item().and_then(Item::hash),
        }
    }

    /// The file that it brings is whole.
    pub(super) fn complete(&mut self, file: Content) {
        match self {
            Self::Request(Request::Put { content, .. }) => *content = file,
            Self::Request(_) => {}
            Self::Peer(envelope) => {
                if let Some(item) = envelope.message.item_mut() {
                    item.complete(file);
                }
            }
        }
    }
}
