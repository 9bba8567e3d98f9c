//! Large contents: those that leave a connection piece by piece, those that are pulled, and those that
//! messages wait for.

use std::{collections::VecDeque, rc::Rc};

use smol::Task;

use super::Driver;
use crate::{
    net::{
        disk::Disk,
        streamed::{Piece, StreamSource, Streamed},
    },
    ring::{
        Input, LinkId,
        item::{ArrivalId, Body},
    },
    store::disk::ReadError,
};

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
    pub(in crate::net) fn piece(self: &Rc<Self>, streamed: &Streamed) -> Piece {
        match (&self.disk, self.place(streamed)) {
            (Some(disk), Some(body)) => disk.piece(streamed, &body),
            _ => Piece::Now(Err(ReadError::Gone)),
        }
    }

    /// A content that was being sent is damaged: the ring is asked for it.
    pub(in crate::net) fn is_damaged(self: &Rc<Self>, streamed: &Streamed) {
        if let Some(Body::Stored { ticket, .. }) = self.place(streamed) {
            self.drive(Input::Damaged { ticket, asked_by: None });
        }
    }

    /// Where a content is at the moment.
    fn place(&self, streamed: &Streamed) -> Option<Body> {
        match &streamed.source {
            StreamSource::Stored(body) => Some(body.clone()),
            StreamSource::Version(name) => {
                let state = self.state.borrow();
                state.node.content_of(name, streamed.version()).map(|(_, body)| body)
            }
        }
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
