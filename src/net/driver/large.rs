//! Large contents: those that leave a connection piece by piece, those that are pulled, and those that
//! messages wait for.

use std::{collections::VecDeque, net::SocketAddr, rc::Rc, task::Context};

use smol::Task;

use super::{Driver, Turn};
use crate::{
    net::{
        connection::NetConnection,
        disk::Disk,
        streamed::{Piece, Streamed},
        transfers::Place,
    },
    ring::{
        ArrivedPut, Input, LinkId,
        item::{ArrivalId, Body, Item, ItemValue},
        limits::FILE_BYTES_CEILING,
        message::{Condition, Message, PullOf, Refusal, Request, Status},
        name::Name,
        size,
    },
    store::disk::ReadError,
};

/// The length of the largest file that a client may send.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct FileBytesMax {
    /// Of all.
    pub(in crate::net) any: usize,
    /// Of one that arrives in memory.
    pub(in crate::net) whole: usize,
}

impl FileBytesMax {
    /// By the limit for all files, and the room for what is in flight.
    pub(super) fn new(any: usize, flight: usize) -> Self {
        Self { any, whole: any.min(flight).min(FILE_BYTES_CEILING) }
    }
}

impl Driver {
    /// Where files are kept, if not in memory.
    pub(in crate::net) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// A content is no longer pulled.
    pub(in crate::net) fn pull_ended(&self, arrival: ArrivalId) {
        // The task is just ending, and must not be cancelled in the midst of that.
        self.state.borrow_mut().pulls.remove(&arrival).into_iter().for_each(Task::detach);
    }

    /// The next piece of what a connection sends piece by piece.
    pub(in crate::net) fn piece(&self, cx: &Context<'_>, streamed: &Streamed) -> Piece {
        match &self.disk {
            Some(disk) => disk.piece(cx, streamed),
            None => Piece::Now(Err(ReadError::Gone)),
        }
    }

    /// A content that was being sent is damaged: the ring is asked for it.
    pub(in crate::net) fn is_damaged(self: &Rc<Self>, streamed: &Streamed) {
        if let Place::Stored(ticket) = streamed.place() {
            self.drive(Input::Damaged { ticket, asked_by: None });
        }
    }

    // ---- what clients send in pieces

    /// Whether the file of a client's message is to arrive in pieces.
    pub(in crate::net) fn takes_apart(&self, message: &Message, bytes: usize) -> bool {
        matches!(message, Message::Request(Request::Put { .. })) && self.takes_in_pieces(bytes)
    }

    /// Whether a file of so many bytes is to arrive in pieces. One that cannot arrive in memory either
    /// does so as well, and is refused when it begins.
    pub(in crate::net) fn takes_in_pieces(&self, bytes: usize) -> bool {
        bytes > self.bytes_max.whole || self.comes_apart(bytes)
    }

    pub(in crate::net) fn comes_apart(&self, bytes: usize) -> bool {
        self.disk.is_some() && self.state.borrow().node.takes_apart(bytes)
    }

    /// Whether a file of so many bytes may be put now.
    pub(in crate::net) fn may_put(
        self: &Rc<Self>,
        name: &Name,
        bytes: usize,
        only_if: Option<Condition>,
    ) -> Result<(), Refusal> {
        let turn = self.turn();
        turn.state.node.may_put(turn.now, name, bytes, only_if)
    }

    /// A client begins to send a file in pieces.
    pub(in crate::net) fn begin_upload(
        self: &Rc<Self>,
        name: &Name,
        bytes: usize,
        only_if: Option<Condition>,
    ) -> Result<ArrivalId, Refusal> {
        let comes_apart = self.comes_apart(bytes);
        let mut turn = self.turn();
        turn.state.node.may_put(turn.now, name, bytes, only_if)?;
        if !comes_apart {
            let most = size::in_words(self.bytes_max.whole as u64);
            let reason =
                format!("a member keeps files in memory, and this node takes at most {most}");
            return Err(Refusal::new(Status::ContentTooLarge, reason));
        }
        let arrival = turn.state.node.new_arrival();
        self.disk.iter().for_each(|disk| disk.begin(arrival, bytes));
        turn.input(Input::Upload { arrival, name: name.clone(), bytes });
        Ok(arrival)
    }

    /// The same, of a file whose length is not known.
    pub(in crate::net) fn begin_arrival(self: &Rc<Self>) -> ArrivalId {
        let arrival = self.turn().state.node.new_arrival();
        self.disk.iter().for_each(|disk| disk.begin(arrival, 0));
        arrival
    }

    /// The name of the node.
    pub(in crate::net) fn address(&self) -> SocketAddr {
        self.state.borrow().node.address()
    }
}

impl Turn<'_> {
    /// A file that a client has sent is in the store, and is put.
    pub(in crate::net) fn put(&mut self, connection: &NetConnection, put: ArrivedPut) {
        self.put_as(connection.expect(), put);
    }

    /// What another node pulls, if it is in the store or on its way there.
    pub(super) fn pulled(&self, name: &Name, of: PullOf, from: u64) -> Option<Streamed> {
        let (disk, node) = (self.driver.disk.as_ref()?, &self.state.node);
        let (of, body) = match of {
            PullOf::Version(version) => {
                let (hash, body) = node.content_of(name, version)?;
                (Some((version, hash)), body)
            }
            PullOf::Offer(offer) => {
                let (arrival, bytes) = node.offered_content(offer)?;
                (None, Body::Arrived { arrival, bytes })
            }
        };
        Some(Streamed::new(disk.place(&body)?, of, from, body.len()))
    }

    /// A file that is sent piece by piece, since it is large.
    pub(super) fn streamed(&self, item: &Item) -> Option<Streamed> {
        let ItemValue::File { hash, body } = &item.value else { return None };
        let place = self.driver.disk.as_ref()?.place(body)?;
        Some(Streamed::new(place, Some((item.version, *hash)), 0, body.len()))
    }
}

/// Sends the messages that wait for the disk on a link.
pub(super) async fn send_later(driver: Rc<Driver>, link: LinkId) {
    let disk = driver.disk.as_ref().expect("something is to be read");
    loop {
        let first = {
            let mut state = driver.state.borrow_mut();
            let waiting = state.reading.get_mut(&link).and_then(VecDeque::pop_front);
            if waiting.is_none() || !state.links.contains_key(&link) {
                state.reading.remove(&link);
                return;
            }
            waiting
        };
        let Some(mut message) = first else { return };
        if let Some(item) = message.message.item_mut()
            && disk.read(item).await.is_err()
        {
            message.message.leave_out();
        }
        driver.turn().send_whole(link, &message);
    }
}
